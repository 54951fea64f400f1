"""Cross-entropy through a vocabulary projection that carries a LoRA adapter, with the gradients of
A and B written out.

With logits = h·Wᵀ + bias + (s·x·Aᵀ)·Bᵀ, where x is h after dropout, W is frozen, so h needs no
gradient and neither does W: of the three products that autograd would take with W, one is left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

SOFTMAX_ROWS = 32
"""Rows whose probabilities are computed at once on a CPU: few enough to stay in its cache."""


@dataclass(frozen=True)
class LoraHead:
    """A frozen projection with its adapter, plain tensors all.

    `weight` [vocabulary, width]; `bias` [vocabulary] or None; `a` [r, width]; `b` [vocabulary, r];
    logits add `scaling`·B·A. `dropout` is the adapter's rate, `number` its place among
    the model's dropouts.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    a: torch.Tensor
    b: torch.Tensor
    scaling: float
    dropout: float
    number: int


def find_lora_head(head: nn.Module | None) -> LoraHead | None:
    """The parts of a projection that PEFT has adapted, or None where it is anything but plain LoRA
    on a linear layer."""
    from peft.tuners import lora

    from lawtune.train.dropout import ExampleDropout

    if not isinstance(head, lora.Linear) or type(head.get_base_layer()) is not nn.Linear:
        return None
    names = head.active_adapters
    if len(names) != 1 or head.merged or head.disable_adapters or getattr(head, "lora_variant", {}):
        return None
    name = names[0]
    a, b, base = head.lora_A[name], head.lora_B[name], head.get_base_layer()
    frozen = not any(parameter.requires_grad for parameter in base.parameters())
    if a.bias is not None or b.bias is not None or not frozen:
        return None
    if not (a.weight.requires_grad and b.weight.requires_grad):
        return None
    dropout = head.lora_dropout[name]
    rate, number = (
        (dropout.rate, dropout.number) if isinstance(dropout, ExampleDropout) else (0.0, 0)
    )
    return LoraHead(base.weight, base.bias, a.weight, b.weight, head.scaling[name], rate, number)


class LoraCrossEntropy:
    """The loss of one `LoraHead`, a chunk of rows at a time.

    Args:
        dtype: what the product with the vocabulary is computed in. In bfloat16, a copy of the
            projection is kept with B as its last columns, so that one product gives the logits:
            [h, s·x·Aᵀ]·[W, B]ᵀ. All else, and every sum, is float32 (float64 for float64 input).
        chunk: rows whose logits are alive at once.
    """

    def __init__(self, head: LoraHead, dtype: torch.dtype, chunk: int):
        self.head, self.dtype, self.chunk = head, dtype, chunk
        self._folded: torch.Tensor | None = None

    def losses(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of each row (nats), [rows], without gradient or dropout.

        Args:
            hidden: [rows, width]; labels: int64 [rows].
        """
        with torch.no_grad():
            rows, _, _ = self._pass(hidden, hidden, labels, gradient=False)
        return rows

    def loss_sum(
        self, hidden: torch.Tensor, dropped: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the summed loss, differentiable in A and B; the loss of each row).

        Args:
            hidden: [rows, width]; dropped: the same after the adapter's dropout.
        """
        return _Sum.apply(self.head.a, self.head.b, self, hidden, dropped, labels)

    def _pass(
        self, hidden: torch.Tensor, dropped: torch.Tensor, labels: torch.Tensor, gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(losses, gradient of A, gradient of B); the gradients of the sum, zero unless asked."""
        a, b = self.head.a.detach(), self.head.b.detach()
        losses = torch.empty(len(labels), dtype=a.dtype, device=a.device)
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        weight = self._weight()
        for start in range(0, len(labels), self.chunk):
            rows = slice(start, start + self.chunk)
            x = dropped[rows].to(a.dtype)
            low = (x @ a.T).mul_(self.head.scaling)
            logits = self._logits(hidden[rows], low, weight)
            losses[rows] = _to_gradient(logits, labels[rows], losses.dtype, gradient)
            if gradient:
                # This way round the product is the faster, in bf16 by far.
                grad_b += (low.to(self.dtype).T @ logits).T.to(b.dtype)
                grad_low = (logits @ b.to(self.dtype)).to(a.dtype)
                grad_a += (grad_low.T @ x).mul_(self.head.scaling)
        return losses, grad_a, grad_b

    def _logits(
        self, hidden: torch.Tensor, low: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Logits in `dtype`, [rows, vocabulary], fresh memory."""
        if self._folded is not None:
            logits = torch.cat([hidden.to(self.dtype), low.to(self.dtype)], dim=1) @ weight.T
        else:
            logits = (hidden.to(self.dtype) @ weight.T).addmm_(low, self.head.b.detach().T)
        return logits if self.head.bias is None else logits.add_(self.head.bias.to(self.dtype))

    def _weight(self) -> torch.Tensor:
        """What the logits are a product with; B's columns are brought up to date."""
        weight, width = self.head.weight.detach(), self.head.weight.shape[1]
        if self.dtype == weight.dtype == self.head.b.dtype:
            return weight
        if self._folded is None:
            self._folded = torch.cat([weight.to(self.dtype), self.head.b.to(self.dtype)], dim=1)
            self._folded = self._folded.detach()
        self._folded[:, width:].copy_(self.head.b.detach())
        return self._folded


class _Sum(torch.autograd.Function):
    """`LoraCrossEntropy.loss_sum`: the gradients are ready when the loss is."""

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor,
        b: torch.Tensor,
        loss: LoraCrossEntropy,
        hidden: torch.Tensor,
        dropped: torch.Tensor,
        labels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, grad_a, grad_b = loss._pass(hidden, dropped, labels, gradient=True)
        ctx.save_for_backward(grad_a, grad_b)
        ctx.mark_non_differentiable(rows)
        return rows.sum(dtype=torch.float64), rows

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        grad_a, grad_b = ctx.saved_tensors
        return grad_a * grad.to(grad_a.dtype), grad_b * grad.to(grad_b.dtype), *[None] * 4


def _to_gradient(
    logits: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype, gradient: bool
) -> torch.Tensor:
    """The rows' losses; with `gradient`, `logits` becomes d loss / d logits, in place."""
    losses = torch.empty(len(labels), dtype=dtype, device=logits.device)
    step = SOFTMAX_ROWS if logits.device.type == "cpu" else len(labels)
    for start in range(0, len(labels), step):
        rows = slice(start, start + step)
        block, target = logits[rows], labels[rows, None]
        probabilities = torch.softmax(block, dim=1, dtype=dtype)
        # log Σ exp from the largest probability, which never underflows as the target's may.
        top = block.amax(dim=1, keepdim=True).to(dtype)
        log_sum = top - probabilities.amax(dim=1, keepdim=True).log()
        loss = log_sum - block.gather(1, target).to(dtype)
        losses[rows] = loss.squeeze(1)
        if gradient:
            # p − 1 of the target from its loss: a p near 1 has no digits left for the rest.
            probabilities.scatter_(1, target, torch.expm1(-loss))
            block.copy_(probabilities)
    return losses
