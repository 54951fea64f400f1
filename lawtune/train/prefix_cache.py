"""The frozen part's output for every example, computed once and kept in memory or on disk.

A folder on disk holds `hidden.safetensors` (one tensor, the examples' rows one after another),
`key.json` (all that the rows depend on) and a manifest with the hashes of both, written last.
"""

import hashlib
import json
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lawtune.data.encode import Window, hash_windows
from lawtune.errors import UserError
from lawtune.files import atomic_path, read_json, write_json
from lawtune.model.manifest import verify_manifest, write_manifest
from lawtune.train.batches import cut_by_tokens
from lawtune.train.distributed import Alone, spread

HIDDEN_FILE = "hidden.safetensors"
KEY_FILE = "key.json"

FILL_TOKENS = 1024
"""The padded size of a batch when the cache is filled."""

_TENSOR = "hidden"
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Plan:
    """What is cached: `windows` (each content once), which rows of each, and in what form.

    `targets_only` keeps the rows that predict a target (all that a projection needs); else every
    position's. A row is `width` elements of `dtype`. `key` tells all that the rows depend on but
    the windows (it hashes the model, so it is only asked for a cache on disk).
    """

    windows: Sequence[Window]
    targets_only: bool
    width: int
    dtype: torch.dtype
    key: Callable[[], dict[str, Any]]

    def count(self, window: Window) -> int:
        """How many rows of `window` are kept."""
        return window.targets if self.targets_only else len(window.ids)

    def batches(self) -> list[list[Window]]:
        """What is computed together: cut by length over the windows given, so what a row holds, to
        the last bit, does not depend on where a run was interrupted, nor on who computes it."""
        lengths = [len(window.ids) for window in self.windows]
        cut = cut_by_tokens(range(len(lengths)), lengths, FILL_TOKENS)
        return [[self.windows[index] for index in batch] for batch in cut]

    def places(self) -> dict[Window, slice]:
        """Where each window's rows lie: a batch's lie together."""
        found, at = {}, 0
        for batch in self.batches():
            for window in batch:
                found[window] = slice(at, at + self.count(window))
                at = found[window].stop
        return found

    @property
    def rows(self) -> int:
        """How many rows are kept of all windows."""
        return sum(self.count(window) for window in self.windows)

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.width * self.dtype.itemsize

    def identity(self) -> dict[str, Any]:
        """The key, with the rows' form and the hash of the windows' token ids: tokenizer, template
        and data are known by what they come to."""
        return self.key() | {
            "windows": hash_windows(self.windows),
            "order": f"batches of {FILL_TOKENS} tokens",
            "targets_only": self.targets_only,
            "width": self.width,
            "dtype": _DTYPES[self.dtype],
            "torch": version("torch"),
            "transformers": version("transformers"),
        }


@dataclass(frozen=True)
class PrefixCache:
    """Rows by window. `note` says in a sentence where they come from, `seconds` what it took;
    `mapping` is the file that they lie in, if they are on disk."""

    rows: torch.Tensor
    places: dict[Window, slice]
    note: str
    seconds: float
    mapping: mmap.mmap | None = None

    def __contains__(self, window: Window) -> bool:
        return window in self.places

    def __getitem__(self, window: Window) -> torch.Tensor:
        """[rows, width], on the CPU; not to be written to."""
        return self.rows[self.places[window]]

    def let_go(self) -> None:
        """Take what was read of a cache on disk out of this process's memory, in which it would
        mount up; the system keeps it at hand while it has room."""
        if self.mapping and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def look_up(caches: Sequence[PrefixCache], windows: Sequence[Window]) -> list[torch.Tensor]:
    """The rows that `caches` hold of each window; nothing if one of them is in none."""
    found = [next((kept[w] for kept in caches if w in kept), None) for w in windows]
    return [] if any(rows is None for rows in found) else found


Compute = Callable[[Sequence[Window], torch.Tensor], None]
"""Writes the rows to keep of all windows, one after another, into a tensor [rows, width]."""


def fit(plans: Sequence[Plan], budget: float) -> bool:
    """Whether the rows of all plans take no more than `budget` MB."""
    return sum(plan.size for plan in plans) <= budget * 1e6


def choose_folder(
    plans: Sequence[Plan], cache_dir: str | None, budget: float, spill: Path
) -> Path | None:
    """Where the caches of a run go: to `cache_dir` if there is one, else to memory (None) if all
    fit in `budget` MB, else to `spill`."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    return None if fit(plans, budget) else spill


def open_cache(
    plan: Plan, compute: Compute, folder: Path | None, team: Alone | None = None
) -> PrefixCache:
    """The rows of `plan`: in memory without a `folder`, else memory-mapped from its subfolder
    named by the plan's identity, which is used again if it is whole and filled if it is not.

    Args:
        team: the processes that fill it together, each its share. All have the whole of it
            afterwards, in memory or from the folder, which the first of them writes.

    Raises:
        UserError: the folder cannot be written to, its disk is full, or a process does not see it.
    """
    team = team or Alone()
    started = time.perf_counter()
    places = plan.places()
    megabytes = f"{plan.size / 1e6:,.0f} MB"
    if folder is None:
        rows = torch.empty(plan.rows, plan.width, dtype=plan.dtype)
        for place, values in _computed(plan, compute, team, rows):
            if values.data_ptr() != rows[place].data_ptr():  # another process's
                rows[place] = values
        return _told(rows, places, started, f"computed in {{}} and held in memory ({megabytes})")
    identity = plan.identity()
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    target = folder / f"prefix-{name}"
    mapping, damage = _read(target, identity, (plan.rows, plan.width))
    if all(team.each(mapping is not None)):
        how = f"read from {target} ({megabytes}), checked in {{}}"
        return _told(_rows_in(mapping, plan), places, started, how, mapping)
    if team.is_main:
        _write(target, plan, compute, identity, team)
    else:
        for _ in _computed(plan, compute, team):
            pass
    team.wait()
    with team.together():
        mapping, unreadable = _read(target, identity, (plan.rows, plan.width))
        if mapping is None:
            unreadable = unreadable or "it is not there; is it on a disk that all processes see?"
            raise UserError(f"the cache just written to {target} cannot be read: {unreadable}")
    again = f" (what lay there was damaged: {damage})" if damage else ""
    how = f"computed in {{}} and kept in {target}, {megabytes}{again}"
    return _told(_rows_in(mapping, plan), places, started, how, mapping)


def _told(
    rows: torch.Tensor,
    places: dict[Window, slice],
    started: float,
    how: str,
    mapping: mmap.mmap | None = None,
) -> PrefixCache:
    seconds = time.perf_counter() - started
    return PrefixCache(rows, places, how.format(f"{seconds:.1f} s"), seconds, mapping)


def _computed(
    plan: Plan, compute: Compute, team: Alone, rows: torch.Tensor | None = None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """(place, rows) of each batch, in order: computed where they belong in `rows`, or else in
    memory that the next batch takes again."""
    batches = plan.batches()
    counts = [sum(plan.count(window) for window in batch) for batch in batches]
    ends = list(accumulate(counts))
    spans = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    longest = max(counts, default=0)
    room = torch.empty(longest, plan.width, dtype=plan.dtype) if rows is None else rows

    def run(number: int) -> torch.Tensor:
        values = room[: counts[number]] if rows is None else rows[spans[number]]
        with torch.inference_mode():
            compute(batches[number], values)
        return values

    return zip(spans, spread(team, range(len(batches)), run), strict=True)


class _AlreadyThereError(Exception):
    """Another run has written the same cache meanwhile."""


def _write(
    target: Path, plan: Plan, compute: Compute, identity: dict[str, Any], team: Alone
) -> None:
    """Fill `target`, batch by batch, so that no more than one is ever in memory.

    Two runs may fill it at once. The second to be done leaves the first one's, which may be being
    read, in its place.
    """
    shape = {"dtype": _DTYPES[plan.dtype], "shape": [plan.rows, plan.width]}
    header = json.dumps({_TENSOR: shape | {"data_offsets": [0, plan.size]}}).encode()
    # The data begin at a multiple of 64 bytes: spaces may follow the header's JSON.
    header += b" " * (-(len(header) + 8) % 64)
    try:
        with atomic_path(target) as folder:
            folder.mkdir()
            with open(folder / HIDDEN_FILE, "wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
                # Written, not memory-mapped: a full disk is then an error and not a crash.
                file.truncate(file.tell() + plan.size)
                for _, values in _computed(plan, compute, team):
                    file.write(values.view(torch.uint8).numpy())
            write_json(folder / KEY_FILE, identity)
            write_manifest(folder)
            if _read(target, identity, (plan.rows, plan.width))[0] is not None:
                raise _AlreadyThereError
    except _AlreadyThereError:
        pass
    except OSError as error:
        raise UserError(
            f"cannot keep the frozen part's output, {plan.size / 1e6:,.0f} MB, in {target.parent}:"
            f" {error.strerror}; make room, or set train.cache_dir to a folder on another disk"
        ) from error


def _rows_in(mapping: mmap.mmap, plan: Plan) -> torch.Tensor:
    """The rows of a file that `_read` has found good."""
    header = int.from_bytes(mapping[:8], "little")
    return torch.frombuffer(mapping, dtype=plan.dtype, offset=8 + header).view(-1, plan.width)


def _read(
    target: Path, identity: dict[str, Any], shape: tuple[int, int]
) -> tuple[mmap.mmap | None, str]:
    """(the file with the rows or None; what is wrong with the folder, empty if it is absent)."""
    if not target.exists():
        return None, ""
    problems = verify_manifest(target)
    if problems:
        return None, problems[0]
    if read_json(target / KEY_FILE) != identity:
        return None, f"{KEY_FILE} is of another cache"
    try:
        with safe_open(target / HIDDEN_FILE, "pt") as file:
            found = tuple(file.get_slice(_TENSOR).get_shape())
    except SafetensorError as error:
        return None, str(error)
    if found != shape:
        return None, "its shape is another one's"
    with open(target / HIDDEN_FILE, "rb") as file:
        # Mapped by ourselves, so that it can be let go of. Nothing is ever written to the copy,
        # but torch wants memory that could be.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), ""
