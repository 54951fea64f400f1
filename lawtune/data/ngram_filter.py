"""Which 13-word runs a training text holds, in a small file that does not give the text away.

A Bloom filter (Bloom 1970): hashes only, one byte a run. It never misses a run that was put in;
one that was not is taken for one with probability `false_positive_rate`, at most 2.2 %. Of a text
with more runs than `MAX_RUNS` only those whose hash is divisible by `every`, a power of two, are
kept (adaptive sampling, Flajolet 1990), and only such runs can be asked for.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lawtune.data.ngrams import RUN, hash_runs, words_of
from lawtune.errors import UserError
from lawtune.files import atomic_path

FILTER_FILE = "ngrams.safetensors"
"""Beside a model's weights: the runs of the text that it was trained on."""

MAX_RUNS = 6_000_000
"""Runs kept, and so bytes of the largest file."""

HASHES = 6
"""Bits set for a run; with eight bits of room for each, this gives the fewest false positives."""

_STEM, _SUFFIX = Path(FILTER_FILE).stem, Path(FILTER_FILE).suffix
_BITS = 8
_FEWEST_BYTES = 4096
_CHUNK = 1_000_000


@dataclass(frozen=True)
class NgramFilter:
    """The runs of a text. `bits` are the filter's, packed: uint8 [size]; `runs` the number put in;
    every `every`-th run, by its hash, is known."""

    bits: np.ndarray
    runs: int
    every: int

    @classmethod
    def of(cls, texts: Iterable[str], max_runs: int = MAX_RUNS) -> "NgramFilter":
        """The runs of texts, read once; memory is bounded by `max_runs`, not by the texts."""
        kept, every = _sample((hash_runs(words_of(text)) for text in texts), max_runs)
        size = max(_FEWEST_BYTES, len(kept))
        switches = np.zeros(size * _BITS, bool)
        for place in _places(kept, len(switches)):
            switches[place] = True
        return cls(np.packbits(switches), len(kept), every)

    @classmethod
    def load(cls, path: Path) -> "NgramFilter":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or no such filter.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                facts = {key: int(value) for key, value in file.metadata().items()}
                bits = file.get_tensor("bits")
            known = cls(bits, facts["runs"], facts["every"])
            sound = facts["words"] == RUN and facts["hashes"] == HASHES
        except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: not a filter of word runs: {error}") from error
        if not sound or bits.dtype != np.uint8 or bits.size == 0 or known.every < 1:
            raise UserError(f"{path}: a filter of word runs that this version does not read")
        return known

    def save(self, path: Path) -> None:
        """Write the filter (safetensors: the bits, and the rest as metadata)."""
        from safetensors.numpy import save_file

        facts = {"words": RUN, "hashes": HASHES, "runs": self.runs, "every": self.every}
        with atomic_path(path) as temporary:
            save_file({"bits": self.bits}, temporary, {key: str(n) for key, n in facts.items()})

    @property
    def false_positive_rate(self) -> float:
        """The probability that a run which is not in the text is taken for one that is."""
        return (1 - (1 - 1 / (self.bits.size * _BITS)) ** (HASHES * self.runs)) ** HASHES

    def contains(self, runs: np.ndarray) -> np.ndarray:
        """Which of `runs` (uint64, of `hash_runs`) the text has: bool, of the same shape."""
        found = sampled(runs, self.every)
        for place in _places(runs, self.bits.size * _BITS):
            found &= (self.bits[place >> 3] >> (7 - (place & 7)).astype(np.uint8)) & 1 == 1
        return found


def write_ngram_filter(texts: Iterable[str], path: Path) -> NgramFilter:
    """Write the filter of training texts to `path` (`FILTER_FILE` in the model's folder), for
    evaluations to find out which test answers the model has read.

    Statutes may be left out: an answer's quotations of them count for nothing anyway.
    """
    known = NgramFilter.of(texts)
    known.save(path)
    return known


def carry_filters(parts: Iterable[Path], folder: Path) -> bool:
    """Copy into `folder` the filters of the models that its own is made of.

    Returns:
        Whether each of them had one. Where one had none, what it has read is unknown; nothing is
        copied then, for the rest would make it look known.
    """
    found = [_filter_files(part) for part in parts]
    if not all(found):
        return False
    for number, path in enumerate((path for files in found for path in files), start=1):
        with atomic_path(folder / f"{_STEM}-{number}{_SUFFIX}") as temporary:
            shutil.copyfile(path, temporary)
    return True


def load_filters(folder: Path) -> list[NgramFilter]:
    """The filters in a model's folder: its own, and those of earlier rounds of training.

    Raises:
        UserError: one of them is damaged.
    """
    return [NgramFilter.load(path) for path in _filter_files(folder)]


def sampled(runs: np.ndarray, every: int) -> np.ndarray:
    """Which runs a filter that keeps one in `every` can know of: bool, of the same shape. Those of
    a sparser filter are among those of a denser one."""
    return _mix(runs) % np.uint64(every) == 0


def _filter_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_STEM}*{_SUFFIX}"))


def _sample(parts: Iterable[np.ndarray], max_runs: int) -> tuple[np.ndarray, int]:
    """(distinct runs, at most `max_runs` of them; of how many each is one)."""
    every, kept = 1, np.empty(0, np.uint64)
    for chunk in _chunks(parts):
        kept = np.union1d(kept, chunk[sampled(chunk, every)])
        while len(kept) > max_runs:
            every *= 2
            kept = kept[sampled(kept, every)]
    return kept, every


def _chunks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Arrays of a million runs or more, the last one shorter: sorting few by few would be slow."""
    waiting, count = [], 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count >= _CHUNK:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _places(runs: np.ndarray, size: int) -> Iterable[np.ndarray]:
    """The `HASHES` bits of each run, one array after the other: int64 in [0, size)."""
    for number in range(1, HASHES + 1):
        salt = np.uint64(number * 0x9E3779B97F4A7C15 % 2**64)
        yield (_mix(runs + salt) % np.uint64(size)).astype(np.int64)


def _mix(runs: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014): every bit of the result depends on all."""
    runs = (runs ^ (runs >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    runs = (runs ^ (runs >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return runs ^ (runs >> np.uint64(31))
