"""Runs of n words as 64-bit numbers: what "stands in" means for two texts, at corpus scale.

A word is a run of digits, Latin letters, Hangul or Hanja, whatever stands between words, so that
line breaks, quotation marks and ㆍ against · make no difference. The numbers are the same in every
process.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

RUN = 13
"""Words in a run that is no coincidence (GPT-3, arXiv:2005.14165, appendix C)."""

# Not \w: ㆍ and ① count as letters there.
_WORD = re.compile(r"[0-9a-z가-힣一-龥]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def words_of(text: str) -> list[str]:
    """The words of a text, NFC and in lower case, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def hash_runs(words: Sequence[str], size: int = RUN) -> np.ndarray:
    """The hashes of every run of `size` words, in order.

    Returns:
        uint64 [max(0, len(words) - size + 1)]; equal runs have equal hashes, others differ but for
        one chance in 2⁶⁴.
    """
    count = len(words) - size + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    codes = np.fromiter(map(_code, words), np.uint64, len(words))
    runs = np.zeros(count, np.uint64)
    for offset in range(size):
        runs = runs * _MULTIPLIER + codes[offset : offset + count]
    return runs


class RunSet:
    """A fixed set of runs that texts can be held against."""

    def __init__(self, parts: Iterable[np.ndarray]):
        """`parts` are arrays of `hash_runs`, of any number of texts."""
        self._runs = np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))

    def __len__(self) -> int:
        return len(self._runs)

    def contains(self, runs: np.ndarray) -> np.ndarray:
        """Which of `runs` are in the set: bool, of the same shape."""
        if not len(self._runs):
            return np.zeros(runs.shape, bool)
        places = np.searchsorted(self._runs, runs)
        return self._runs[np.minimum(places, len(self._runs) - 1)] == runs

    def less(self, other: "RunSet") -> "RunSet":
        """The runs that `other` does not have."""
        return RunSet([self._runs[~other.contains(self._runs)]])

    def share(self, runs: np.ndarray) -> float | None:
        """The share of `runs` that the set has, from 0 to 1; None if there are none."""
        return float(self.contains(runs).mean()) if len(runs) else None


@lru_cache(maxsize=1 << 18)
def _code(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
