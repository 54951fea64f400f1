"""Cross-entropy through a vocabulary projection, with all its gradients written out.

With logits = h·Wᵀ + bias + (s·x·Aᵀ)·Bᵀ, where x is h after the adapter's dropout, only those
gradients are computed that somebody needs: those of A and B where the projection carries LoRA,
that of h where something below trains, that of W in pre-training. Of a frozen W under LoRA on the
projection alone, one product is left of the three that autograd would take.

The gradient of the summed loss for logit j of a row is p_j − [j is the target]. It is never
written down: p = e / Σe with e = exp(logit − largest), so a product with p is a product with e
whose rows are scaled afterwards, and the target's share, p − 1 = expm1(−loss), is added apart, at
full precision (in bfloat16, a p near 1 has no digits left for the difference).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lawtune.train.batches import parts_within
from lawtune.train.frozen import FrozenMatrix
from lawtune.train.unlikelihood import spare, unlikelihood

SOFTMAX_ROWS = 16
"""Rows whose exponentials are computed at once on a CPU: few enough to stay in its cache."""

LOGITS, FEWEST = 16 << 20, 128
"""Bytes of logits that are enough at once on a CPU, and rows below which a product gets slower."""

Known = Sequence[torch.Tensor]
"""Rows [rows, vocabulary] that are known beforehand, in pieces, one after another; none: ()."""


@dataclass(frozen=True)
class LoraPart:
    """The adapter of a projection: `a` [r, width], `b` [vocabulary, r]; logits add `scaling`·B·A.
    `dropout` is its rate, `number` its place among the model's dropouts."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float
    dropout: float
    number: int


@dataclass(frozen=True)
class Head:
    """A projection as plain tensors: `weight` [vocabulary, width], `bias` [vocabulary] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    lora: LoraPart | None = None


def find_head(module: nn.Module | None) -> Head | None:
    """The parts of a projection, or None where it is anything but a linear layer, bare or with
    plain LoRA of PEFT's on it."""
    if type(module) is nn.Linear:
        trains_bias = module.bias is not None and module.bias.requires_grad
        return None if trains_bias else Head(module.weight, module.bias)
    base, part = plain_lora(module)
    if type(base) is not nn.Linear or any(p.requires_grad for p in base.parameters()):
        return None
    return Head(base.weight, base.bias, part)


def plain_lora(module: nn.Module | None) -> tuple[nn.Module | None, LoraPart | None]:
    """(the layer below, its adapter) where `module` is PEFT's and does nothing but add one
    adapter's product to the layer's; else (None, None)."""
    from peft.tuners import lora

    if not isinstance(module, lora.Linear):
        return None, None
    names = module.active_adapters
    variant = getattr(module, "lora_variant", {})
    if len(names) != 1 or module.merged or module.disable_adapters or variant:
        return None, None
    part = _lora_part(module, names[0])
    return (module.get_base_layer(), part) if part else (None, None)


def _lora_part(module: Any, name: str) -> LoraPart | None:
    from lawtune.train.dropout import ExampleDropout

    a, b, dropout = module.lora_A[name], module.lora_B[name], module.lora_dropout[name]
    if a.bias is not None or b.bias is not None:
        return None
    if not (a.weight.requires_grad and b.weight.requires_grad):
        return None
    drops = isinstance(dropout, ExampleDropout)
    rate, number = (dropout.rate, dropout.number) if drops else (0.0, 0)
    return LoraPart(a.weight, b.weight, module.scaling[name], rate, number)


class HeadCrossEntropy:
    """The loss of one `Head`, a chunk of rows at a time.

    Args:
        dtype: what products with the vocabulary are computed in, and the exponentials; for
            bfloat16 a copy of a frozen projection is kept. All else, and every sum, is float32
            (float64 for float64 input).
        chunk: rows whose logits are alive at once, at most.
        spared: a token that the unlikelihood leaves as likely as it is (`spare`).
    """

    def __init__(self, head: Head, dtype: torch.dtype, chunk: int, spared: int | None = None):
        self.head, self.dtype, self.chunk, self.spared = head, dtype, chunk, spared
        self._copy: FrozenMatrix | None = None
        self._logits: torch.Tensor | None = None

    def losses(self, hidden: torch.Tensor, labels: torch.Tensor, known: Known = ()) -> torch.Tensor:
        """The loss of each row (nats), [rows], without gradient or dropout.

        Args:
            hidden: [rows, width]; labels: int64 [rows]; known: as in `loss_sum`.
        """
        with torch.no_grad():
            return _Pass(self, hidden, hidden, labels, None, known, wanted=()).losses

    def loss_sum(
        self,
        hidden: torch.Tensor,
        dropped: torch.Tensor,
        labels: torch.Tensor,
        repeats: torch.Tensor | None = None,
        known: Known = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the summed loss, differentiable in whatever of the head and the hidden states needs a
        gradient; the loss of each row).

        Args:
            hidden: [rows, width]; dropped: the same after the adapter's dropout.
            repeats: bool [rows] where the loss is the unlikelihood of the rows marked, others 0.
            known: `frozen_logits` of the rows, where they are known and only A and B train.
        """
        lora = self.head.lora
        a, b = (lora.a, lora.b) if lora else (None, None)
        return _Sum.apply(a, b, self.head.weight, hidden, dropped, labels, repeats, known, self)

    def frozen_logits(self, hidden: torch.Tensor, out: torch.Tensor) -> None:
        """Write h·Wᵀ + bias, what no step of training changes.

        Args:
            hidden: [rows, width]; out: [rows, vocabulary]; both in `dtype`.
        """
        weight, step = self.weight(), self.rows_at_once()
        for rows, place in zip(hidden.split(step), out.split(step), strict=True):
            place.copy_(self._product(rows, weight))

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits, […, vocabulary] in `dtype` and good until the next ones, without gradient or
        dropout: what the projection gives, without casting its frozen weight at every call.

        Args:
            hidden: […, width].
        """
        with torch.no_grad():
            rows = hidden.flatten(0, -2)
            logits = self.logits(rows.to(self.dtype), self.low_rank(rows), self.weight())
            return logits.view(*hidden.shape[:-1], -1)

    def low_rank(self, x: torch.Tensor) -> torch.Tensor | None:
        """s·x·Aᵀ, [rows, r], in the adapter's precision; None without an adapter."""
        if self.head.lora is None:
            return None
        a = self.head.lora.a.detach()
        return (x.to(a.dtype) @ a.T).mul_(self.head.lora.scaling)

    def logits(
        self, hidden: torch.Tensor, low: torch.Tensor | None, weight: torch.Tensor | FrozenMatrix
    ) -> torch.Tensor:
        """Logits in `dtype`, [rows, vocabulary], good until the next ones.

        Args:
            hidden: [rows, width] in `dtype`; low: `low_rank` of the rows; weight: `weight()`.
        """
        return self.with_adapter(self._product(hidden, weight), low)

    def with_adapter(self, logits: torch.Tensor, low: torch.Tensor | None) -> torch.Tensor:
        """Add what `low_rank` of the rows, if there is an adapter, comes to in the logits."""
        if low is None:
            return logits
        return logits.addmm_(low.to(self.dtype), self.head.lora.b.detach().to(self.dtype).T)

    def _product(self, hidden: torch.Tensor, weight: torch.Tensor | FrozenMatrix) -> torch.Tensor:
        bias = None if self.head.bias is None else self.head.bias.to(self.dtype)
        if isinstance(weight, FrozenMatrix):
            return weight.product(hidden, bias)
        logits = torch.mm(hidden, weight.T, out=self.room(len(hidden)))
        return logits if bias is None else logits.add_(bias)

    def weight(self) -> torch.Tensor | FrozenMatrix:
        """What the logits are a product with, [vocabulary, width] in `dtype`."""
        weight = self.head.weight.detach()
        is_frozen = not self.head.weight.requires_grad
        if not (is_frozen and self.dtype == torch.bfloat16 != weight.dtype):
            return weight.to(self.dtype)
        if self._copy is None:
            self._copy = FrozenMatrix(weight)
        return self._copy

    def rows_at_once(self, known: Known = ()) -> int:
        """The rows of a chunk: `chunk`, or on a CPU fewer, where that makes products no slower:
        those with a `FrozenMatrix`, or none with the vocabulary."""
        if self.head.weight.device.type != "cpu" or (self._copy is None and not known):
            return self.chunk
        row = len(self.head.weight) * self.dtype.itemsize
        return min(self.chunk, max(FEWEST, LOGITS // row))

    def back(self, grad: torch.Tensor, weight: torch.Tensor | FrozenMatrix) -> torch.Tensor:
        """grad·W, [rows, width]: what of a gradient of the logits reaches the hidden states.

        Args:
            grad: [rows, vocabulary] in `dtype`; weight: `weight()`.
        """
        return weight.gradient(grad) if isinstance(weight, FrozenMatrix) else grad @ weight

    def room(self, rows: int) -> torch.Tensor:
        """Where the logits of a chunk go, [rows, vocabulary], the same memory every time."""
        if self._logits is None or len(self._logits) < rows:
            # What is made in inference mode, as whoever needs it first may be in, cannot be
            # written to outside it.
            with torch.inference_mode(False):
                shape, device = (rows, len(self.head.weight)), self.head.weight.device
                self._logits = torch.empty(shape, dtype=self.dtype, device=device)
        return self._logits[:rows]

    def rest(self) -> None:
        """Give that memory back; the next chunk takes it anew."""
        self._logits = None

    def let_go(self) -> None:
        """Give back what only unknown logits need; whoever computes some makes it anew."""
        self._logits = self._copy = None


class _Pass:
    """One pass over all rows: `losses`, and in `gradients` those of the sum that were `wanted` of
    "a", "b", "weight", "hidden" and "dropped"."""

    def __init__(
        self,
        owner: HeadCrossEntropy,
        hidden: torch.Tensor,
        dropped: torch.Tensor,
        labels: torch.Tensor,
        repeats: torch.Tensor | None,
        known: Known,
        wanted: tuple[str, ...],
    ):
        self.head, self.lora, self.dtype = owner.head, owner.head.lora, owner.dtype
        self.repeats, self.known = repeats, known
        self.owner, self.weight = owner, None if known else owner.weight()
        self.b = self.lora and self.lora.b.detach().to(self.dtype)
        exact = self.head.weight.dtype
        like = {"weight": self.head.weight, "hidden": hidden, "dropped": dropped}
        like |= {"a": self.lora.a, "b": self.lora.b} if self.lora else {}
        self.gradients = {name: torch.zeros_like(like[name], dtype=exact) for name in wanted}
        self.losses = torch.empty(len(labels), dtype=exact, device=labels.device)
        step = owner.rows_at_once(known)
        for start in range(0, len(labels), step):
            rows = slice(start, start + step)
            self._chunk(hidden[rows], dropped[rows].to(exact), labels[rows], rows)

    def _chunk(
        self, hidden: torch.Tensor, x: torch.Tensor, labels: torch.Tensor, rows: slice
    ) -> None:
        low = self.owner.low_rank(x)
        hidden = hidden.to(self.dtype)
        logits = self._logits(hidden, low, rows)
        if self.repeats is not None:
            spare(logits, self.owner.spared)
        losses, scale = exponentiate(logits, labels, self.losses.dtype)
        target = torch.expm1(-losses)[:, None]
        if self.repeats is not None:
            marks = self.repeats[rows]
            losses, factor = (marks * part for part in unlikelihood(losses))
            scale, target = scale * factor[:, None], target * factor[:, None]
        self.losses[rows] = losses
        if not self.gradients:
            return
        # From here on `logits` are e, without the target's, and p = e · scale.
        if "weight" in self.gradients:
            exact = hidden.to(scale.dtype)
            self.gradients["weight"] += logits.T @ (exact * scale).to(self.dtype)
            self.gradients["weight"].index_add_(0, labels, exact * target)
        if "hidden" in self.gradients:
            product = self.owner.back(logits, self.weight)
            at_target = self.head.weight.detach()[labels] * target
            self.gradients["hidden"][rows] = product * scale + at_target
        if "b" in self.gradients:
            # This way round the product is the faster, in bf16 by far.
            scaled = (low * scale).to(self.dtype)
            self.gradients["b"] += (scaled.T @ logits).T
            self.gradients["b"].index_add_(0, labels, low * target)
            self._low_rank(logits, x, labels, (scale, target), rows)

    def _logits(self, hidden: torch.Tensor, low: torch.Tensor | None, rows: slice) -> torch.Tensor:
        if not self.known:
            return self.owner.logits(hidden, low, self.weight)
        logits, at = self.owner.room(len(hidden)), 0
        for index, start, stop in parts_within(map(len, self.known), rows):
            logits[at : at + stop - start] = self.known[index][start:stop]
            at += stop - start
        return self.owner.with_adapter(logits, low)

    def _low_rank(
        self,
        exponentials: torch.Tensor,
        x: torch.Tensor,
        labels: torch.Tensor,
        factors: tuple[torch.Tensor, torch.Tensor],
        rows: slice,
    ) -> None:
        """What reaches A and x through B."""
        scale, target = factors
        b = self.lora.b.detach()
        grad_low = (exponentials @ self.b) * scale + b[labels] * target
        grad_low.mul_(self.lora.scaling)
        self.gradients["a"] += grad_low.T @ x
        if "dropped" in self.gradients:
            self.gradients["dropped"][rows] = grad_low @ self.lora.a.detach()


class _Sum(torch.autograd.Function):
    """`HeadCrossEntropy.loss_sum`: the gradients are ready when the loss is."""

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor | None,
        b: torch.Tensor | None,
        weight: torch.Tensor,
        hidden: torch.Tensor,
        dropped: torch.Tensor,
        labels: torch.Tensor,
        repeats: torch.Tensor | None,
        known: Known,
        owner: HeadCrossEntropy,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        names = ("a", "b", "weight", "hidden", "dropped")
        needed = [name for name, need in zip(names, ctx.needs_input_grad[:5], strict=True) if need]
        if a is None:
            needed = [name for name in needed if name != "dropped"]
        done = _Pass(owner, hidden, dropped, labels, repeats, known, tuple(needed))
        ctx.save_for_backward(*(done.gradients.get(name) for name in names))
        ctx.dtypes = (None, None, None, hidden.dtype, dropped.dtype)
        ctx.mark_non_differentiable(done.losses)
        return done.losses.sum(dtype=torch.float64), done.losses

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        found = [
            None if saved is None else (saved * grad.to(saved.dtype)).to(dtype or saved.dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *found, None, None, None, None


def exponentiate(
    logits: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn `logits` [rows, vocabulary] in place into exp(logit − the row's largest), the target's
    set to 0.

    Returns:
        The rows' losses (nats), [rows]; and 1 ÷ the rows' sums, [rows, 1]. Both in `dtype`.
    """
    losses = torch.empty(len(labels), dtype=dtype, device=logits.device)
    scale = torch.empty(len(labels), 1, dtype=dtype, device=logits.device)
    step = SOFTMAX_ROWS if logits.device.type == "cpu" else len(labels)
    first = torch.arange(min(step, len(labels)), device=logits.device) * logits.shape[1]
    for start in range(0, len(labels), step):
        rows = slice(start, start + step)
        block, target = logits[rows], labels[rows, None]
        at_target = block.gather(1, target).to(dtype)
        top = block.amax(dim=1, keepdim=True)
        block.sub_(top).exp_()
        # `scatter_` would copy the block.
        block.view(-1).index_fill_(0, first[: len(block)] + labels[rows], 0)
        at_target -= top.to(dtype)
        # The others' sum apart from the target's own term: where p is near 1, the loss is
        # log(1 + others / own), of which log Σ − own would lose the digits.
        others = block.sum(dim=1, keepdim=True, dtype=dtype)
        ratio = others.log() - at_target
        losses[rows] = torch.logaddexp(torch.zeros_like(ratio), ratio).squeeze(1)
        scale[rows] = 1 / (others + at_target.exp())
    return losses, scale
