"""Keeping a run within its memory: how much is computed at once, lowered before it is too much.

What is lowered moves memory and time, and the loss by no more than rounding.
"""

import ctypes
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch

from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.train.monitor import Listener
from lawtune.train.team_engine import Cut, TeamEngine

FILLED = 0.9
"""The share of the limit from which on less is computed at once."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CGROUP = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""A container's limit and use of memory, in bytes (version 2, version 1)."""


class MemoryWatch:
    """The memory of this process, or of its GPU, against a limit.

    Args:
        limit: MB (10⁶ bytes); None for none; `auto` for what this process holds now and its share
            of what the machine (or its container, or the GPU) still has.
        sharers: how many processes share the machine.
    """

    def __init__(self, limit: int | Literal["auto"] | None, device: torch.device, sharers: int = 1):
        self._gpu = device if device.type == "cuda" else None
        self.restart()
        if limit == "auto":
            self.limit = self.peak() + self._free() / (1 if self._gpu else sharers)
        else:
            self.limit = None if limit is None else limit * 1e6

    def peak(self) -> float:
        """The most bytes in use since `restart`."""
        if self._gpu:
            return torch.cuda.max_memory_allocated(self._gpu)
        if self._restarted:
            lines = _STATUS.read_text().splitlines()
            return 1024 * next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:"))
        import psutil

        # Where the system keeps no peak that can be set back, what is held now must do.
        return psutil.Process().memory_info().rss

    def restart(self) -> None:
        """Begin to look for the peak anew."""
        self._restarted = False
        if self._gpu:
            torch.cuda.reset_peak_memory_stats(self._gpu)
        else:
            with suppress(OSError):
                _CLEAR.write_text("5")
                self._restarted = _STATUS.is_file()

    def halvings_for(self, cut: Cut, rehearse: Callable[[], None], tokens: int) -> int:
        """How often `cut` must be halved for a micro-batch to fit, going by what a pass over
        `tokens` tokens takes."""
        if self.limit is None:
            return 0
        rehearse()  # once for what is set up and stays
        self.give_back()
        before = self.peak()
        rehearse()
        each = max(self.peak() - before, 0) / tokens
        times = 0
        while before + each * cut.halved(
            times
        ).micro_batch_tokens > FILLED * self.limit and cut.halved(times + 1) != cut.halved(times):
            times += 1
        return times

    def spare(self) -> float:
        """Bytes that may be taken before memory counts as short."""
        return math.inf if self.limit is None else FILLED * self.limit - self.peak()

    def give_back(self) -> None:
        """`give_back`, so that it is not counted by `peak`, and begin anew."""
        give_back()
        self.restart()

    def is_short(self) -> bool:
        """Whether the peak since the last call came near the limit."""
        short = self.limit is not None and self.peak() > FILLED * self.limit
        self.restart()
        return short

    def _free(self) -> float:
        if self._gpu:
            cached = torch.cuda.memory_reserved(self._gpu) - torch.cuda.memory_allocated(self._gpu)
            return torch.cuda.mem_get_info(self._gpu)[0] + cached
        import psutil

        free = psutil.virtual_memory().available
        for most, used in _CGROUP:
            try:
                held = int(used.read_text()) - _given_up_when_asked(used)
                free = min(free, int(most.read_text()) - held)
            except (OSError, ValueError):  # no such container, or one without a limit
                continue
        return max(free, 0)


def _given_up_when_asked(used: Path) -> int:
    """What a container keeps of files that were read, as its use counts it: the system takes that
    back before it refuses anything."""
    with suppress(OSError):
        counts = dict(
            line.split() for line in used.with_name("memory.stat").read_text().splitlines()
        )
        # Version 1 counts what lies in containers inside apart.
        return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
    return 0


def give_back() -> None:
    """Return what nobody uses to the system: an engine's modules refer to one another in circles,
    and the allocators keep what was freed for later use."""
    gc.collect()
    torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Return to the system what the allocator keeps of what was freed."""
    with suppress(AttributeError, OSError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


_LESS_AT_ONCE = (
    "give train.memory_limit a lower figure than that, turn on train.gradient_checkpointing, or"
    " shorten data.max_length. What was saved is whole: the same command with --resume and a lower"
    " limit goes on from there"
)


@contextmanager
def exhaustion_is_told(advice: str = _LESS_AT_ONCE) -> Iterator[None]:
    """Within the context, memory that cannot be had becomes a message that ends with `advice`.

    Raises:
        UserError: torch or Python asked for memory in vain.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else "MemoryError"
        # On a CPU torch has no class of its own for it.
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "DefaultCPUAllocator" not in told:
            raise
        raise UserError(f"memory ran out ({told}); {advice}") from None


class MemoryGuard:
    """Lowers what an engine computes at once when memory gets short, in all processes alike, and
    says so (`tell`)."""

    def __init__(self, engine: TeamEngine, watch: MemoryWatch, tell: Listener):
        self.engine, self.watch, self.tell = engine, watch, tell
        self._at_the_end = False

    def fit(self, windows: Sequence[Window], step: int) -> None:
        """Before the first step, or the first after `step`: lower at once what a pass over the
        longest example shows to be too much."""
        longest = max(windows, key=lambda window: len(window.ids))
        inner = self.engine.engine

        def rehearse() -> None:
            inner.stand_in(longest)
            inner.rest()  # so that memory kept from pass to pass counts in each

        times = self.watch.halvings_for(self.engine.cut, rehearse, len(longest.ids))
        inner.model.zero_grad(set_to_none=True)
        if times := self.engine.team.highest(times):
            self._lower(step, times)

    def adapt(self, step: int) -> bool:
        """After a step: lower if memory was short in it; whether that changed anything."""
        return bool(self.engine.team.highest(self.watch.is_short())) and self._lower(step, 1)

    def _lower(self, step: int, times: int) -> bool:
        before, cut = self.engine.cut, self.engine.cut.halved(times)
        limit = f"{self.watch.limit / 1e6:,.0f} MB" if self.watch.limit else "its limit"
        if cut == before:
            if not self._at_the_end:
                text = f"warning: memory nears {limit}, and computing less at once would not help"
                self.tell({"event": "note", "step": step, "text": text})
            self._at_the_end = True
            return False
        self.engine.cut_to(cut)
        self.watch.give_back()
        text = (
            f"memory nears {limit}: micro-batches of {cut.micro_batch_tokens} tokens in place of"
            f" {before.micro_batch_tokens}, {cut.projected_tokens} projected at once in place of"
            f" {before.projected_tokens}"
        )
        self.tell({"event": "note", "step": step, "text": text, **asdict(cut)})
        return True
