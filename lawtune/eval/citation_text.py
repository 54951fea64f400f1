"""Text as the extractor reads it, with the way back to the text that was given."""

import re
import unicodedata
from dataclasses import dataclass

_ALIKE = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "\u3000\xa0\u2002\u2003\u2009\u200b\ufeff"), " "),
    **dict.fromkeys(map(ord, "ㆍ․‧・･∙•"), "·"),
    **dict.fromkeys(map(ord, "｢『《"), "「"),
    **dict.fromkeys(map(ord, "｣』》"), "」"),
    **dict.fromkeys(map(ord, "∼〜～"), "~"),
    **dict.fromkeys(map(ord, "–—―−"), "-"),
}
# Markdown's emphasis and code, **민법** 제2조: a name begins at the opening marks, and reaches over
# the closing ones to its article.
_EMPHASIS = re.compile(r"(\*{1,3}|__?|`{1,2}|~~)(?=[^\s*_`~])([^\n*_`~]{1,200})(?<=\S)\1")
_BEGINS, _ENDS = "◦", " "
# Conjoining jamo make one syllable; any other character takes the combining marks behind it.
_CLUSTER = re.compile(
    r"[\u1100-\u115f][\u1160-\u11a7][\u11a8-\u11ff]?|.[\u0300-\u036f\u3099\u309a]*", re.DOTALL
)


@dataclass(frozen=True)
class ReadableText:
    """`text` is NFC with look-alikes unified; `_starts` maps its positions to those of the text
    given, None where they are the same."""

    text: str
    starts: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The given text's positions of a stretch of `text`."""
        if self.starts is None:
            return start, end
        return self.starts[start], self.starts[end]


def readable(given: str) -> ReadableText:
    """NFC, half-width, one kind of bracket and of middle dot, no emphasis; every position can be
    traced back."""
    if unicodedata.is_normalized("NFC", given):
        return ReadableText(_plain(given.translate(_ALIKE)))
    pieces: list[str] = []
    starts: list[int] = []
    for match in _CLUSTER.finditer(given):
        composed = unicodedata.normalize("NFC", match[0])
        pieces.append(composed)
        starts += [match.start()] * len(composed)
    starts.append(len(given))
    return ReadableText(_plain("".join(pieces).translate(_ALIKE)), tuple(starts))


def _plain(text: str) -> str:
    def unmarked(found: re.Match[str]) -> str:
        length = len(found[1])
        return _BEGINS * length + found[2] + _ENDS * length

    return _EMPHASIS.sub(unmarked, text)
