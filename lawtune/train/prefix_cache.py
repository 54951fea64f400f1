"""The frozen part's output for every example, computed once and kept in memory or on disk.

A folder on disk holds `hidden.safetensors` (one tensor, the examples' rows one after another),
`key.json` (all that the rows depend on) and a manifest with the hashes of both, written last.
"""

import hashlib
import json
import mmap
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.files import atomic_path, read_json, write_json
from lawtune.model.manifest import verify_manifest, write_manifest
from lawtune.train.batches import cut_by_tokens
from lawtune.train.distributed import Alone, spread

HIDDEN_FILE = "hidden.safetensors"
KEY_FILE = "key.json"

FILL_TOKENS = 1024
"""The padded size of a batch when hidden states are computed."""

_TENSOR = "hidden"
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Plan:
    """What is cached: `windows` (each content once), which rows of each, and in what form.

    `targets_only` keeps the rows that predict a target (all that a projection needs); else every
    position's. A row is `width` elements of `dtype`. `key` tells all that the rows depend on but
    the windows (it hashes the model, so it is only asked for a cache on disk). Windows of no more
    than `at_once` tokens with padding are computed together.
    """

    windows: Sequence[Window]
    targets_only: bool
    width: int
    dtype: torch.dtype
    key: Callable[[], dict[str, Any]]
    at_once: int = FILL_TOKENS

    def count(self, window: Window) -> int:
        """How many rows of `window` are kept."""
        return window.targets if self.targets_only else len(window.ids)

    def places(self) -> tuple[dict[Window, slice], int]:
        """Where each window's rows lie, and how many rows there are."""
        found, at = {}, 0
        for window in self.windows:
            found[window] = slice(at, at + self.count(window))
            at = found[window].stop
        return found, at

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.places()[1] * self.width * self.dtype.itemsize

    def identity(self) -> dict[str, Any]:
        """The key, with the rows' form and the hash of the windows' token ids: tokenizer, template
        and data are known by what they come to."""
        total = hashlib.sha256()
        for window in self.windows:
            total.update(array("q", [len(window.ids), window.target_start, *window.ids]).tobytes())
        return self.key() | {
            "windows": total.hexdigest(),
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


Compute = Callable[[Sequence[Window]], torch.Tensor]
"""Windows → the rows to keep of all of them, one after another, [rows, width]; good until the next
call."""


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

    Batches are cut by length over the windows given, so what a row holds, to the last bit, does
    not depend on where a run was interrupted, nor on how many processes share the work.

    Args:
        team: the processes that fill it together, each its share. All have the whole of it
            afterwards, in memory or from the folder, which the first of them writes.

    Raises:
        UserError: the folder cannot be written to, its disk is full, or a process does not see it.
    """
    team = team or Alone()
    started = time.perf_counter()
    places, count = plan.places()
    megabytes = f"{plan.size / 1e6:,.0f} MB"
    if folder is None:
        rows = torch.empty(count, plan.width, dtype=plan.dtype)
        _fill(plan, compute, lambda window, values: rows[places[window]].copy_(values), team)
        return _told(rows, places, started, f"computed in {{}} and held in memory ({megabytes})")
    identity = plan.identity()
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    target = folder / f"prefix-{name}"
    mapping, damage = _read(target, identity, (count, plan.width))
    if all(team.each(mapping is not None)):
        how = f"read from {target} ({megabytes}), checked in {{}}"
        return _told(_rows_in(mapping, plan), places, started, how, mapping)
    if team.is_main:
        _write(target, plan, compute, identity, team)
    else:
        _fill(plan, compute, lambda window, values: None, team)
    team.wait()
    with team.together():
        mapping, unreadable = _read(target, identity, (count, plan.width))
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


def _fill(
    plan: Plan, compute: Compute, put: Callable[[Window, torch.Tensor], Any], team: Alone
) -> None:
    lengths = [len(window.ids) for window in plan.windows]
    cut = cut_by_tokens(range(len(lengths)), lengths, plan.at_once)
    batches = [[plan.windows[index] for index in batch] for batch in cut]
    with torch.inference_mode():
        computed = spread(team, batches, lambda windows: compute(windows).to(plan.dtype))
        for windows, rows in zip(batches, computed, strict=True):
            parts = rows.cpu().split([plan.count(window) for window in windows])
            for window, part in zip(windows, parts, strict=True):
                put(window, part)


def _write(
    target: Path, plan: Plan, compute: Compute, identity: dict[str, Any], team: Alone
) -> None:
    """Fill `target`, row by row in place, so that no more than a batch is ever in memory."""
    places, count = plan.places()
    row = plan.width * plan.dtype.itemsize
    shape = {"dtype": _DTYPES[plan.dtype], "shape": [count, plan.width]}
    header = json.dumps({_TENSOR: shape | {"data_offsets": [0, count * row]}}).encode()
    # The data begin at a multiple of 64 bytes: spaces may follow the header's JSON.
    header += b" " * (-(len(header) + 8) % 64)
    try:
        with atomic_path(target) as folder:
            folder.mkdir()
            with open(folder / HIDDEN_FILE, "wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
                # Written, not memory-mapped: a full disk is then an error and not a crash.
                file.truncate(file.tell() + count * row)

                def put(window: Window, values: torch.Tensor) -> None:
                    file.seek(8 + len(header) + places[window].start * row)
                    file.write(values.contiguous().view(torch.uint8).numpy())

                _fill(plan, compute, put, team)
            write_json(folder / KEY_FILE, identity)
            write_manifest(folder)
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
