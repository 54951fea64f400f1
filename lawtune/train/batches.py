"""Which examples make up which optimiser step: pure functions of the seed and the epoch, so that a
resumed run goes on exactly where it stopped."""

import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from lawtune.data.encode import Window

IGNORED = -100
"""The label of a position that the loss does not count (PyTorch's own default)."""

Step = list[list[int]]
"""The micro-batches of one optimiser step, each a list of indices into the windows."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch, padded or packed.

    Padded, `ids` and `labels` are int64 [examples, longest]; packed, [1, tokens], the examples one
    after another, and `lengths` are theirs. `labels` are shifted already: `labels[i, t]` is the
    token that position t must predict, or `IGNORED`.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    lengths: tuple[int, ...] | None = None


def plan_epoch(
    count: int, seed: int, epoch: int, batch_size: int, gradient_accumulation: int
) -> list[Step]:
    """The steps of one epoch over `count` examples: each index once, in an order that depends on
    (seed, epoch) alone; the last step and its last micro-batch may be smaller."""
    order = shuffled(count, seed, epoch)
    per_step = batch_size * gradient_accumulation
    steps = [order[start : start + per_step] for start in range(0, count, per_step)]
    return [
        [step[start : start + batch_size] for start in range(0, len(step), batch_size)]
        for step in steps
    ]


def plan_by_tokens(
    lengths: Sequence[int], seed: int, epoch: int, step_tokens: int, micro_tokens: int
) -> list[Step]:
    """The steps of one epoch, measured in tokens: the shuffled examples are cut into steps as soon
    as they hold `step_tokens`, and each step by length into micro-batches (`cut_by_tokens`). The
    number of steps may differ by a few from epoch to epoch; the last one is smaller."""
    steps, current, tokens = [], [], 0
    for index in shuffled(len(lengths), seed, epoch):
        current.append(index)
        tokens += lengths[index]
        if tokens >= step_tokens:
            steps.append(current)
            current, tokens = [], 0
    if current:
        steps.append(current)
    return [cut_by_tokens(step, lengths, micro_tokens) for step in steps]


def cut_by_tokens(indices: Iterable[int], lengths: Sequence[int], micro_tokens: int) -> Step:
    """Cut examples, longest first, into micro-batches of at most `micro_tokens` with padding (a
    longer example stands alone)."""
    micro_batches: Step = []
    longest = 0
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        if micro_batches and longest * (len(micro_batches[-1]) + 1) <= micro_tokens:
            micro_batches[-1].append(index)
        else:
            micro_batches.append([index])
            longest = lengths[index]
    return micro_batches


def parts_within(lengths: Iterable[int], rows: slice) -> Iterator[tuple[int, int, int]]:
    """Of parts that stand one after another, those that reach into `rows`: (the part's index, its
    first row there, the end of its rows there), counted within the part."""
    at = 0
    for index, length in enumerate(lengths):
        start, stop = max(rows.start - at, 0), min(rows.stop - at, length)
        if start < stop:
            yield index, start, stop
        at += length


def collate(windows: Sequence[Window], pad_id: int) -> Batch:
    """Pad on the right to the longest window.

    No attention mask is needed: attention is causal, so no token sees the padding behind it, and
    labels are set by length, never by the pad id (which may well be EOS, and EOS must be learnt).
    """
    longest = max(len(window.ids) for window in windows)
    ids = torch.full((len(windows), longest), pad_id, dtype=torch.int64)
    labels = torch.full((len(windows), longest), IGNORED, dtype=torch.int64)
    for row, window in enumerate(windows):
        tokens = torch.tensor(window.ids, dtype=torch.int64)
        ids[row, : len(tokens)] = tokens
        labels[row, window.target_start - 1 : len(tokens) - 1] = tokens[window.target_start :]
    return Batch(ids, labels)


def expect_padding_without_mask() -> None:
    """Keep transformers from warning of padding without a mask: see `collate`."""
    logger = logging.getLogger("transformers.modeling_utils")
    if _not_of_padding not in logger.filters:
        logger.addFilter(_not_of_padding)


def _not_of_padding(record: logging.LogRecord) -> bool:
    return "passing in an `attention_mask`" not in record.getMessage()


def pack(windows: Sequence[Window]) -> Batch:
    """All examples one after another. Only for a model that keeps them apart
    (`lawtune.train.packed`)."""
    lone = [collate([window], pad_id=0) for window in windows]
    ids = torch.cat([batch.ids for batch in lone], dim=1)
    labels = torch.cat([batch.labels for batch in lone], dim=1)
    return Batch(ids, labels, tuple(len(window.ids) for window in windows))


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The numbers below `count`, in an order that follows from seed and epoch."""
    order = list(range(count))
    # A string seed is hashed with SHA-512: the same on every platform and in every process.
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
