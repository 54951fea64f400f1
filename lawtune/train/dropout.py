"""The adapter's dropout, drawn example by example: a mask depends on the step's random state, the
example and the module alone, not on how a step is cut into micro-batches, nor on padding."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lawtune.data.encode import Window
from lawtune.train.batches import parts_within

_LEVELS = 1 << 16
"""A mask's element is decided by 16 random bits: a quarter of a float's cost."""


@dataclass(frozen=True)
class Rows:
    """Which examples a module's input holds.

    `examples` are (the example's seed, its first row, the end of its rows), in order. With
    `padded_to`, the input is [examples, padded_to, width]; without, [rows, width] or
    [1, rows, width], where only the given rows of each example stand.
    """

    examples: Sequence[tuple[int, int, int]]
    padded_to: int | None = None


class ExampleMasks:
    """Draws the masks of all modules. `over` says which examples the next inputs hold."""

    def __init__(self):
        self._rows: Rows | None = None

    @property
    def rows(self) -> Rows | None:
        """What the inputs hold now."""
        return self._rows

    @contextmanager
    def over(self, rows: Rows | None) -> Iterator[None]:
        """Within the context, inputs hold `rows`; None switches dropout off."""
        before, self._rows = self._rows, rows
        try:
            yield
        finally:
            self._rows = before

    def apply(self, x: torch.Tensor, rate: float, module: int) -> torch.Tensor:
        """`x` with a share `rate` of its elements set to zero and the rest scaled up.

        Args:
            module: a number that tells this module's masks from those of the others.
        """
        kept = self.kept(x, rate, module, x.dtype)
        return x if kept is None else x * kept.mul_(scale(rate))

    def kept(
        self, x: torch.Tensor, rate: float, module: int, dtype: torch.dtype
    ) -> torch.Tensor | None:
        """1 where `apply` keeps an element of `x` and 0 where it drops it, in `dtype`; None where
        dropout is off."""
        rows = self._rows
        if rows is None or rate == 0.0:
            return None
        lowest = round(rate * _LEVELS) - _LEVELS // 2
        kept = torch.ones(x.shape, dtype=dtype, device=x.device)
        flat, at = kept.view(-1, x.shape[-1]), 0
        for number, (seed, start, stop) in enumerate(rows.examples):
            drawn = _draw(seed, module, (stop, x.shape[-1]), x.device)[start:]
            if rows.padded_to is not None:
                at = number * rows.padded_to
            torch.ge(drawn, lowest, out=flat[at : at + stop - start])
            at += stop - start
        return kept


def scale(rate: float) -> float:
    """What the elements that are kept are multiplied by."""
    return _LEVELS / (_LEVELS - round(rate * _LEVELS))


class ExampleDropout(nn.Module):
    """Stands where PEFT has `nn.Dropout`; it holds nothing that is saved."""

    def __init__(self, masks: ExampleMasks, rate: float, number: int):
        super().__init__()
        self.rate, self.number = rate, number
        self._masks = masks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of `x` while the engine trains; see `ExampleMasks.over`."""
        return self._masks.apply(x, self.rate, self.number)


def install(model: nn.Module, masks: ExampleMasks) -> None:
    """Put an `ExampleDropout` in the place of every dropout that belongs to an adapter."""
    containers = [m for name, m in model.named_modules() if name.endswith(".lora_dropout")]
    for number, container in enumerate(containers):
        for adapter, dropout in container.items():
            if isinstance(dropout, nn.Dropout | ExampleDropout):
                rate = dropout.p if isinstance(dropout, nn.Dropout) else dropout.rate
                container[adapter] = ExampleDropout(masks, rate, number)


def example_seeds(micro_batches: Sequence[Sequence[Window]]) -> list[list[int]]:
    """A seed for every example of a step, from torch's random state and the example's content.

    Equal examples are told apart by counting them: which of them is which does not matter.
    """
    step = torch.randint(1 << 62, ()).item()
    seen: Counter[bytes] = Counter()
    seeds = []
    for batch in micro_batches:
        seeds.append([])
        for window in batch:
            content = array("q", [window.target_start, *window.ids]).tobytes()
            seeds[-1].append(_hash(f"{step}/{seen[content]}/{window.name}".encode() + content))
            seen[content] += 1
    return seeds


def rows_between(
    windows: Sequence[Window], seeds: Sequence[int], chunk: slice
) -> list[tuple[int, int, int]]:
    """(seed, first row, end) of the examples whose target rows, one after another, lie in
    `chunk`."""
    parts = parts_within((window.targets for window in windows), chunk)
    return [(seeds[index], start, stop) for index, start, stop in parts]


def _draw(seed: int, module: int, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Random int16 of `shape`; the first rows do not depend on how many are drawn."""
    own, count = _hash(f"{seed}/{module}".encode()), shape[0] * shape[1]
    words = -(-count // 4)
    if device.type == "cpu":
        # A quarter of the time of torch's own generator.
        drawn = torch.from_numpy(np.random.SFC64(own).random_raw(words).view(np.int64))
    else:
        generator = torch.Generator(device).manual_seed(own)
        drawn = torch.randint(
            -(1 << 63), (1 << 63) - 1, (words,), generator=generator, device=device
        )
    return drawn.view(torch.int16)[:count].view(shape)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
