"""The loss over target tokens and its gradient, and where and in what precision it is computed.

`LossEngine` is what the loop asks for gradients (`lawtune.train.loop.Engine`).
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.model.attention import newest_in_float32
from lawtune.train.batches import (
    IGNORED,
    Batch,
    collate,
    cut_by_tokens,
    expect_padding_without_mask,
    pack,
)
from lawtune.train.dropout import ExampleMasks, Rows, example_seeds, install, rows_between
from lawtune.train.head import HeadCrossEntropy, find_head
from lawtune.train.last_layer import LastLayer
from lawtune.train.precision import Precision, autocast, row_dtype
from lawtune.train.prefix import hash_lower, split_model, unwrapped
from lawtune.train.prefix_cache import Plan, PrefixCache, look_up
from lawtune.train.projections import fuse_activations, lighten, merged
from lawtune.train.recompute import recompute_layers
from lawtune.train.unlikelihood import own_answers, spare, unlikelihood

PROJECTED_TOKENS = 512
"""How many tokens are projected on the vocabulary at once, at most (`HeadCrossEntropy`)."""

EVALUATION_TOKENS = 4096
"""The padded size of an evaluation micro-batch; it bounds memory and moves no figure."""

KERNELS = 128
"""How many compiled products oneDNN may keep, and torch above it. One is compiled for each number
of rows and each length of an example, some tens for a micro-batch, and each of the two keeps 1,024
unless told: with micro-batches of ever other lengths that comes to a gigabyte which is hardly
looked at again."""


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

    The trunk runs once over each micro-batch, or only its part above the boundary for examples
    that a `PrefixCache` holds (`use`). Only the hidden states at target positions reach the
    vocabulary projection, a chunk at a time, so that no more than `PROJECTED_TOKENS` × vocabulary
    logits are ever alive (fewer after `project_at_most`; those that are kept come on top,
    `use_logits`): each chunk is differentiated before the next is computed, by hand where the
    adapter is on the projection alone (`lawtune.train.head`).
    Losses and their sums are float32.

    The model stands in evaluation mode, its own dropout off, in training too: the frozen trunk's
    output for a text is then always the same. Only the adapter's dropout is on in `accumulate`,
    with masks by example (`lawtune.train.dropout`).

    Args:
        model: any causal LM of transformers, with or without a PEFT adapter around it. Its
            adapter's dropout modules are replaced; what it saves stays the same. On a CPU in
            bfloat16 its frozen matrices are replaced, too (`lawtune.train.projections`): it can
            train and answer as before, but not be copied, moved or merged.
        spared: a token that is left as likely as it is where the model's own answers are made less
            likely (`lawtune.train.unlikelihood.spare`); None: no token.

    Raises:
        UserError: on a CPU, this model's layers cannot be held in bfloat16.
    """

    def __init__(
        self,
        model: nn.Module,
        pad_id: int,
        precision: Precision = "fp32",
        spared: int | None = None,
    ):
        expect_padding_without_mask()
        for keeper in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            os.environ.setdefault(keeper, str(KERNELS))
        self.model = model.eval()
        self.pad_id = pad_id
        self.precision = precision
        self.spared = spared
        self.device = next(model.parameters()).device
        self._row_dtype = row_dtype(precision)
        self._autocast = partial(autocast, precision, self.device)
        self._masks = ExampleMasks()
        install(model, self._masks)
        fuse_activations(unwrapped(model).base_model)
        self._parts = split_model(model)
        # A GPU makes little of the products that padding costs, and much of their number.
        self._packs = self._parts.packs and self.device.type == "cpu"
        self._head = self._parts.head
        head = find_head(self._head)
        self._fused = head and HeadCrossEntropy(head, self._row_dtype, PROJECTED_TOKENS, spared)
        self._projected_tokens = PROJECTED_TOKENS
        self._caches: list[PrefixCache] = []
        self._logits: list[PrefixCache] = []
        lightens = self.device.type == "cpu" and precision == "bf16"
        self._projections = lighten(unwrapped(model).base_model, self._masks) if lightens else []
        if self._projections:
            self._require_light_layers()
        # After that, which may give the last layer's network another `forward`.
        with self._autocast():
            self._last: LastLayer | None = LastLayer(
                model, self._masks, lambda ids: self._parts.trunk(ids, None)
            )

    def _require_light_layers(self) -> None:
        """Make sure that no layer reads a weight in a way that `lighten` does not know of."""
        probe = torch.tensor([[0]], device=self.device)
        try:
            with torch.no_grad(), self._autocast():
                self._parts.trunk(probe, None)
        except RuntimeError as error:
            raise UserError(
                "this model's layers read their weights in a way of their own, which bfloat16 on a"
                " CPU does not allow; choose --train.precision fp32"
            ) from error

    def cache_plan(self, windows: Sequence[Window]) -> Plan | None:
        """What there is to cache of `windows`: the output of the layers below the lowest one that
        trains; None where there is no such layer."""
        parts = self._parts
        if parts.lower is None:
            return None
        with torch.inference_mode(), self._autocast():
            probe = parts.lower(torch.tensor([[0]], device=self.device), None)
        dtype = self._row_dtype if parts.is_whole else probe.dtype
        unique = tuple(dict.fromkeys(windows))
        return Plan(unique, parts.is_whole, probe.shape[-1], dtype, lambda: self._prefix_key)

    def logits_plan(self, windows: Sequence[Window]) -> Plan | None:
        """What there is to cache of `windows` beyond that, in memory alone: where only the
        projection's adapter trains, the frozen projection's share of the logits, `vocabulary`
        elements a target token; None elsewhere, and on a GPU, which computes them faster than it
        is handed them."""
        head = self._fused and self._fused.head
        if not (head and head.lora and self._parts.is_whole and self.device.type == "cpu"):
            return None
        unique = tuple(dict.fromkeys(windows))
        return Plan(unique, True, len(head.weight), self._row_dtype, dict)

    def frozen_part(self) -> str:
        """What a cache spares, in words."""
        return f"{self._parts.boundary} of {self._parts.blocks} layers"

    def lower(self, windows: Sequence[Window], out: torch.Tensor) -> None:
        """Write the rows of a `cache_plan`, the frozen part's output."""
        batch = self._lay(windows)
        ids, targets = batch.ids.to(self.device), self._positions(batch)
        with self._autocast(), self._reading(targets if self._parts.is_whole else None, None):
            hidden = self._parts.lower(ids, batch.lengths)
        if self._parts.is_whole:
            out.copy_(hidden.flatten(0, 1).index_select(0, targets))
        elif batch.lengths:
            out.copy_(hidden[0])
        else:
            lengths = [len(window.ids) for window in windows]
            for row, part in zip(hidden, out.split(lengths), strict=True):
                part.copy_(row[: len(part)])

    def frozen_logits(self, windows: Sequence[Window], out: torch.Tensor) -> None:
        """Write the rows of a `logits_plan`, of windows that are cached already."""
        self._fused.frozen_logits(torch.cat(look_up(self._caches, windows)), out)

    def use(self, cache: PrefixCache) -> None:
        """Take the output of the frozen part from `cache` for the examples that it holds."""
        self._caches.append(cache)

    def use_logits(self, caches: Sequence[PrefixCache]) -> None:
        """Take the frozen projection's share of the logits from `caches`, all that there are."""
        self._logits += caches
        self._fused.let_go()

    def project_at_most(self, tokens: int) -> None:
        """Project no more than `tokens` on the vocabulary at once, from now on."""
        self._projected_tokens = tokens
        if self._fused:
            self._fused.chunk = tokens
        self.rest()

    def let_go(self) -> None:
        """Keep nothing in memory of what was read of caches on disk."""
        for kept in self._caches:
            kept.let_go()

    def rest(self) -> None:
        """Give back the memory that is kept from step to step."""
        if self._fused:
            self._fused.rest()

    def accumulate(
        self,
        micro_batches: Sequence[Sequence[Window]],
        weight: float = 1.0,
        mine: slice = slice(None),
    ) -> StepLoss:
        """Add `weight` times the gradient of one optimiser step to the parameters' `.grad`.

        The loss is the sum over all target tokens of the step ÷ their number, however the step is
        cut into micro-batches. Of the model's own answers it is the unlikelihood; a micro-batch
        holds such answers only, or none. Dropout masks follow torch's random state and the
        examples.

        Args:
            mine: which micro-batches to compute. The loss and the gradient are then their part of
                the whole step's: the parts of several processes add up to it.

        Raises:
            NonFiniteError: a loss is not a number; it names the examples, or their micro-batch.
                No gradient is left then.
        """
        total = sum(window.targets for batch in micro_batches for window in batch)
        seeds = example_seeds(micro_batches)
        loss_sum, bad = 0.0, []
        for batch, batch_seeds in list(zip(micro_batches, seeds, strict=True))[mine]:
            # To the end, whatever comes: other processes may count on every pass.
            try:
                loss_sum += self._loss_sum(batch, batch_seeds, divisor=total / weight)
            except NonFiniteError as error:
                bad += error.names
        if bad:
            self.model.zero_grad(set_to_none=True)
            raise NonFiniteError("loss", bad)
        return StepLoss(loss_sum / total, total)

    def recompute_layers(self) -> None:
        """Keep no more than each layer's input for the gradient (`lawtune.train.recompute`)."""
        recompute_layers(self.model, self._masks)
        # The second pass would not know where the examples end, nor what is read.
        self._packs, self._last = False, None

    def stand_in(self, window: Window) -> None:
        """A pass forwards and back like any other, which adds nothing to any gradient."""
        with suppress(NonFiniteError):
            self._loss_sum([window], divisor=math.inf)

    def own_answers(self, windows: Sequence[Window], end_id: int) -> list[Window]:
        """What the model now answers in place of the gold answers, where it repeats itself
        (`lawtune.train.unlikelihood`)."""
        project = self._fused and self._fused.project
        with (
            self._autocast(),
            newest_in_float32(unwrapped(self.model)),
            merged(self._projections),
            _forward_as(self._head, project),
        ):
            return own_answers(self.model, windows, end_id)

    def mean_loss(self, windows: Sequence[Window]) -> float:
        """The mean loss per target token over `windows` (nats), all dropout off."""
        lengths = [len(window.ids) for window in windows]
        with torch.no_grad():
            loss_sum = sum(
                self._loss_sum([windows[index] for index in batch])
                for batch in cut_by_tokens(range(len(windows)), lengths, EVALUATION_TOKENS)
            )
        return loss_sum / sum(window.targets for window in windows)

    def _loss_sum(
        self,
        windows: Sequence[Window],
        seeds: Sequence[int] | None = None,
        divisor: float | None = None,
    ) -> float:
        """The summed loss of a micro-batch. With a `divisor`, the gradient of sum ÷ divisor is
        added to the parameters' `.grad`, and a loss that is no number raises NonFiniteError
        after that; with `seeds`, one an example, dropout is on."""
        labels = torch.tensor(
            [token for window in windows for token in window.ids[window.target_start :]],
            device=self.device,
        )
        hidden = self._target_states(windows, seeds)
        marks = [mark for window in windows for mark in window.repeats]
        repeats = torch.tensor(marks, device=self.device) if marks else None
        if self._fused:
            return self._fused_sum(hidden, labels, repeats, windows, seeds, divisor)
        # The graph is cut here, so that a chunk's logits can go as soon as their gradient is known.
        leaf = hidden.detach().requires_grad_(hidden.requires_grad)
        loss_sum = torch.zeros((), device=self.device, dtype=torch.float64)
        for start in range(0, len(labels), self._projected_tokens):
            chunk = slice(start, min(start + self._projected_tokens, len(labels)))
            rows = seeds and Rows(rows_between(windows, seeds, chunk))
            with self._autocast(), self._masks.over(rows):
                logits = self._head(leaf[chunk]).float()
            if repeats is not None:
                logits = spare(logits.clone(), self.spared)
            each = nn.functional.cross_entropy(logits, labels[chunk], reduction="none")
            losses, factor = each.detach(), 1.0
            if repeats is not None:
                losses, factor = (repeats[chunk] * part for part in unlikelihood(losses))
            if divisor is not None:
                ((each * factor).sum() / divisor).backward()
            loss_sum += losses.sum(dtype=torch.float64)
        if divisor is not None and hidden.requires_grad:
            hidden.backward(leaf.grad)
        if divisor is not None and not loss_sum.isfinite():
            raise NonFiniteError("loss", [window.name for window in windows])
        return loss_sum.item()

    def _fused_sum(
        self,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        repeats: torch.Tensor | None,
        windows: Sequence[Window],
        seeds: Sequence[int] | None,
        divisor: float | None,
    ) -> float:
        known = look_up(self._logits, windows)
        if divisor is None:
            return self._fused.losses(hidden, labels, known).sum(dtype=torch.float64).item()
        lora = self._fused.head.lora
        dropped = hidden
        if lora:
            rows = seeds and Rows(rows_between(windows, seeds, slice(0, len(labels))))
            with self._masks.over(rows):
                dropped = self._masks.apply(hidden.float(), lora.dropout, lora.number)
        loss, each = self._fused.loss_sum(hidden, dropped, labels, repeats, known)
        (loss / divisor).backward()
        parts = each.isfinite().split([window.targets for window in windows])
        bad = [w.name for w, part in zip(windows, parts, strict=True) if not part.all()]
        if bad:
            raise NonFiniteError("loss", bad)
        return loss.item()

    def _target_states(
        self, windows: Sequence[Window], seeds: Sequence[int] | None
    ) -> torch.Tensor:
        """What the projection sees: [targets of all windows, width]."""
        cached = look_up(self._caches, windows)
        if cached and self._parts.is_whole:
            return torch.cat(cached).to(self.device)
        batch = self._lay(windows)
        drawn = seeds and Rows(
            [(s, 0, len(w.ids)) for s, w in zip(seeds, windows, strict=True)],
            None if batch.lengths else batch.ids.shape[1],
        )
        read = seeds and Rows(
            [(s, w.target_start - 1, len(w.ids) - 1) for s, w in zip(seeds, windows, strict=True)]
        )
        targets = self._positions(batch)
        with self._autocast(), self._masks.over(drawn), self._reading(targets, read):
            if cached:
                rows = torch.cat(cached)[None] if batch.lengths else _padded(cached)
                hidden = self._parts.upper(rows.to(self.device), batch.lengths)
            else:
                hidden = self._parts.trunk(batch.ids.to(self.device), batch.lengths)
        hidden = hidden.flatten(0, 1).index_select(0, targets)
        return hidden.to(self._row_dtype) if self._fused else hidden

    def _positions(self, batch: Batch) -> torch.Tensor:
        """Which positions predict a target, counted over examples and positions."""
        return (batch.labels.flatten() != IGNORED).nonzero().squeeze(1).to(self.device)

    def _reading(self, positions: torch.Tensor | None, rows: Rows | None) -> Any:
        if self._last is None or positions is None:
            return nullcontext()
        return self._last.reading(positions, rows)

    def _lay(self, windows: Sequence[Window]) -> Batch:
        return pack(windows) if self._packs else collate(windows, self.pad_id)

    @cached_property
    def _prefix_key(self) -> dict[str, Any]:
        return {
            "weights": hash_lower(self.model, self._parts.boundary),
            "boundary": self.frozen_part(),
            "precision": self.precision,
            "device": self.device.type,
        }


@contextmanager
def _forward_as(module: nn.Module, forward: Any) -> Iterator[None]:
    """Within the context, `module` computes `forward`; its own where that is None."""
    if forward is None:
        yield
        return
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _padded(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)
