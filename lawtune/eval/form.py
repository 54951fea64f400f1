"""The form of an answer, whatever it says: how long it is, and how often it repeats itself."""

from collections.abc import Sequence

from lawtune.eval.similarity import ngrams
from lawtune.eval.text import comparable

REPEATED_ORDER = 4

LONGEST_WORD = 16
"""Characters; what goes on longer without white space is taken by its characters. Else a model
that says 0000… would repeat nothing."""


def length(answer: str) -> int:
    """Characters."""
    return len(comparable(answer))


def pieces(answer: str) -> list[str]:
    """The words, parted by white space; the characters of one longer than `LONGEST_WORD`."""
    parted = comparable(answer).split()
    return [one for word in parted for one in (word if len(word) > LONGEST_WORD else [word])]


def repeated(words: Sequence[str]) -> tuple[int, int]:
    """How many of an answer's runs of four words stood in it before, and how many there are."""
    found = ngrams(words, REPEATED_ORDER)
    return found.total() - len(found), found.total()
