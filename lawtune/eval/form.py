"""The form of an answer, whatever it says: how long it is, and how often it repeats itself."""

from collections.abc import Sequence

from lawtune.eval.similarity import ngrams
from lawtune.eval.text import comparable

REPEATED_ORDER = 4


def length(answer: str) -> int:
    """Characters."""
    return len(comparable(answer))


def repeated(words: Sequence[str]) -> tuple[int, int]:
    """How many of an answer's runs of four words stood in it before, and how many there are."""
    found = ngrams(words, REPEATED_ORDER)
    return found.total() - len(found), found.total()
