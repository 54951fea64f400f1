"""The loss over target tokens and its gradient, and where and in what precision it is computed.

`LossEngine` is what the loop asks for gradients; a faster engine need only offer the same two
methods (`lawtune.train.loop.Engine`).
"""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from lawtune.data.encode import Window
from lawtune.model.load import resolve_device as resolve_device
from lawtune.train.batches import IGNORED, collate, cut_by_tokens

Precision = Literal["fp32", "bf16"]

PROJECTED_TOKENS = 1024
"""How many tokens are projected on the vocabulary at once."""

EVALUATION_TOKENS = 4096
"""The padded size of an evaluation micro-batch; it bounds memory and moves no figure."""


class NonFiniteError(ArithmeticError):
    """A loss or gradient is not a number; `names` are the examples it came from."""

    def __init__(self, quantity: str, names: Sequence[str]):
        super().__init__(quantity)
        self.quantity = quantity
        self.names = list(names)


@dataclass(frozen=True)
class StepLoss:
    """The mean loss per target token of an optimiser step (nats), and the number of those."""

    loss: float
    tokens: int


class LossEngine:
    """Cross-entropy over target tokens through the whole model.

    The trunk runs once over each micro-batch; only the hidden states at target positions reach the
    vocabulary projection, a chunk at a time, and each chunk is differentiated before the next is
    computed, so that no more than `PROJECTED_TOKENS` × vocabulary logits are ever alive. Logits
    are turned into losses, and losses are summed, in float32.

    The model stands in evaluation mode, its own dropout off, in training too: the frozen trunk's
    output for a text is then always the same. Only the adapter's dropout is switched on for
    `accumulate`.

    Args:
        model: any causal LM of transformers, with or without a PEFT adapter around it.
    """

    def __init__(self, model: nn.Module, pad_id: int, precision: Precision = "fp32"):
        _expect_padding_without_mask()
        self.model = model.eval()
        self.pad_id = pad_id
        self.precision = precision
        self.device = next(model.parameters()).device
        self._adapter_dropouts = [
            module for name, module in model.named_modules() if name.endswith(".lora_dropout")
        ]
        self._trunk, self._head = _split(model, self.device)

    def accumulate(self, micro_batches: Sequence[Sequence[Window]]) -> StepLoss:
        """Add the gradient of one optimiser step to the parameters' `.grad`.

        The loss is the sum over all target tokens of the step ÷ their number, however the step is
        cut into micro-batches.

        Raises:
            NonFiniteError: the loss of a micro-batch is not a number.
        """
        total = sum(window.targets for batch in micro_batches for window in batch)
        self._set_dropout(True)
        loss_sum = 0.0
        try:
            for batch in micro_batches:
                value = self._loss_sum(batch, divisor=total)
                if not math.isfinite(value):
                    raise NonFiniteError("loss", [window.name for window in batch])
                loss_sum += value
        finally:
            self._set_dropout(False)
        return StepLoss(loss_sum / total, total)

    def mean_loss(self, windows: Sequence[Window]) -> float:
        """The mean loss per target token over `windows` (nats), all dropout off."""
        lengths = [len(window.ids) for window in windows]
        with torch.no_grad():
            loss_sum = sum(
                self._loss_sum([windows[index] for index in batch])
                for batch in cut_by_tokens(range(len(windows)), lengths, EVALUATION_TOKENS)
            )
        return loss_sum / sum(window.targets for window in windows)

    def _loss_sum(self, windows: Sequence[Window], divisor: int | None = None) -> float:
        """The summed loss of a micro-batch. With a `divisor`, the gradient of sum ÷ divisor is
        added to the parameters' `.grad`."""
        batch = collate(windows, self.pad_id)
        labels = batch.labels.flatten()
        positions = (labels != IGNORED).nonzero().squeeze(1).to(self.device)
        labels = labels.to(self.device)[positions]
        with self._autocast():
            hidden = self._trunk(batch.ids.to(self.device)).flatten(0, 1)
            hidden = hidden.index_select(0, positions)
        # The graph is cut here, so that a chunk's logits can go as soon as their gradient is known.
        leaf = hidden.detach().requires_grad_(hidden.requires_grad)
        loss_sum = torch.zeros((), device=self.device, dtype=torch.float64)
        for start in range(0, len(labels), PROJECTED_TOKENS):
            chunk = slice(start, start + PROJECTED_TOKENS)
            with self._autocast():
                logits = self._head(leaf[chunk])
            loss = nn.functional.cross_entropy(logits.float(), labels[chunk], reduction="sum")
            if divisor is not None:
                (loss / divisor).backward()
            loss_sum += loss.detach()
        if divisor is not None and hidden.requires_grad:
            hidden.backward(leaf.grad)
        return loss_sum.item()

    def _autocast(self) -> Any:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _set_dropout(self, on: bool) -> None:
        for module in self._adapter_dropouts:
            module.train(on)


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """The precision that `train.precision` names; `auto` is bf16 only where the hardware
    multiplies in it (emulated on a CPU, it is a hundred times slower), else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if native else "fp32"


def _split(
    model: nn.Module, device: torch.device
) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]:
    """The model as trunk (ids → hidden states) and vocabulary projection (hidden → logits).

    Some models do more to their logits than the projection (they cap or scale them), so the two
    are tried against the model itself; where they differ, the whole model is the trunk.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings()

    def trunk(ids: torch.Tensor) -> torch.Tensor:
        return inner.base_model(input_ids=ids, use_cache=False).last_hidden_state

    def whole(ids: torch.Tensor) -> torch.Tensor:
        return inner(input_ids=ids, use_cache=False).logits

    probe = torch.tensor([[0, 1, 2]], device=device)
    with torch.no_grad():
        if head is not None and torch.equal(head(trunk(probe)), whole(probe)):
            return trunk, head
    return whole, nn.Identity()


def _expect_padding_without_mask() -> None:
    """Keep transformers from warning of padding without a mask: see `collate`."""
    logger = logging.getLogger("transformers.modeling_utils")
    if _not_of_padding not in logger.filters:
        logger.addFilter(_not_of_padding)


def _not_of_padding(record: logging.LogRecord) -> bool:
    return "passing in an `attention_mask`" not in record.getMessage()
