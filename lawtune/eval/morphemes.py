"""Korean texts as morphemes, each text analysed once and all of them in one call."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from lawtune.eval.text import comparable

Analyses = Mapping[str, Sequence[str]]
"""Each text's morphemes as `form/tag`, punctuation and symbols included."""

CHARACTER = "CHR"
"""The tag of a character where no analyser is installed."""

_KEPT_SYMBOLS = ("SN", "SL", "SH")
"""Numerals, Latin letters and Chinese characters are no punctuation, though their tags begin with
S as those of punctuation do."""


def has_analyser() -> bool:
    """Whether kiwipiepy is installed. Without it the units are characters."""
    return find_spec("kiwipiepy") is not None


def analyse(texts: Iterable[str]) -> Analyses:
    """Every distinct text with its morphemes; kiwipiepy spreads the texts over its threads."""
    distinct = list(dict.fromkeys(texts))
    readable = (comparable(text) for text in distinct)
    if not has_analyser():
        units = ([f"{c}/{CHARACTER}" for c in text if c.isalnum()] for text in readable)
        return dict(zip(distinct, units, strict=True))
    found = _kiwi().tokenize(readable)
    return {
        text: [f"{token.form}/{token.tag}" for token in tokens]
        for text, tokens in zip(distinct, found, strict=True)
    }


def words(analysed: Sequence[str]) -> list[str]:
    """The morphemes without punctuation and symbols."""
    return [unit for unit in analysed if not tag_of(unit).startswith("S") or _is_kept(unit)]


def tag_of(unit: str) -> str:
    """NNG of 손해/NNG."""
    return unit.rpartition("/")[2]


def signature() -> str:
    """The unit and what made it."""
    if not has_analyser():
        return "unit:character, no punctuation"
    made_by = f"kiwipiepy:{version('kiwipiepy')}|model:{version('kiwipiepy_model')}"
    return f"unit:morpheme/tag, no punctuation|{made_by}"


def _is_kept(unit: str) -> bool:
    return tag_of(unit) in _KEPT_SYMBOLS


@lru_cache(maxsize=1)
def _kiwi() -> Any:
    # Loaded on first use: the analyser takes seconds and half a gigabyte.
    from kiwipiepy import Kiwi

    return Kiwi()
