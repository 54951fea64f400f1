"""Running prose out of text that was taken from PDF and word-processor files.

Such text comes hard-wrapped, with page numbers and running heads between its lines, tables as
columns of short lines, and now and then in the glyph numbers of a font instead of letters.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from lawtune.data.provisions import clean

REPEATS = 3
"""A short line that occurs this often, page numbers aside, is a running head or foot."""

SHORT = 24
"""Characters below which a line without a sentence's end may be a cell of a table."""

CELLS = 5
"""So many such lines in a row are a table, a form or a table of contents."""

LEGIBLE = 0.6
"""The share of a line's letters that must be Hangul syllables, Latin, Hanja or digits."""

_TAG = re.compile(r"<[/a-zA-Z][^<>]{0,200}>|＜[/a-zA-Z][^＜＞]{0,200}＞")
_PAGE_NUMBER = re.compile(r"[-–|·.\s]*\d{0,4}[-–|·.\s]*")
_FILE_NAME = re.compile(r"\[첨부파일\]|.*\.(?:hwpx?|pdf|docx?|xlsx?|pptx?|zip)\]?", re.IGNORECASE)
_LEADERS = re.compile(r"[.·…‥∙ㆍ]{4,}\s*\d*\s*$")
_LETTER = re.compile(r"[^\W_]")
_LEGIBLE = re.compile(r"[0-9A-Za-z가-힣一-龥㉠-㉻①-⑳ㄱ-ㅣ]")
_SENTENCE_END = re.compile(r"(?:[다함음임됨요까][.?!]?|[.:;?!)\]」』”\"])$")
_NEW_ITEM = re.compile(
    r"[-–•○●◦□■◆◇▪▶☞※*❍ㅇoO](?=\s|[가-힣「])|[①-⑳㉠-㉻(<〈【\[]|\d{1,2}[.)]|[가-하][.)]\s"
    r"|제\d+[조장절편]|Q\d|[IVXⅠ-Ⅻ]+\."
)


def clean_prose(text: str, removed: Counter[str]) -> str:
    """The paragraphs of `text`: without markup, page furniture, tables and illegible lines, and
    with wrapped lines joined again. What was taken out is added to `removed`, in lines by kind."""
    text = _TAG.sub("\n", html.unescape(text.replace("\r\n", "\n").replace("\r", "\n")))
    lines = [line.replace("\t", " ") for line in text.split("\n")]
    lines = _without(_furniture(lines), lines, "page furniture", removed)
    lines = _without(_illegible(lines), lines, "illegible", removed)
    lines = _without(_tables(lines), lines, "table or form", removed)
    return clean("\n".join(_joined(lines)))


def _without(
    places: Iterable[int], lines: Sequence[str], kind: str, removed: Counter[str]
) -> list[str]:
    dropped = set(places)
    removed[kind] += sum(bool(lines[place].strip()) for place in dropped)
    return [line for place, line in enumerate(lines) if place not in dropped]


def _furniture(lines: Sequence[str]) -> Iterable[int]:
    """Page numbers, running heads, names of attached files, entries of a table of contents."""
    keys = [re.sub(r"[\d\s|–-]+", "", line) for line in lines]
    often = Counter(key for key in keys if key)
    for place, (line, key) in enumerate(zip(lines, keys, strict=True)):
        stripped = line.strip()
        if not stripped:
            continue
        # A heading may come twice, in the contents and above its chapter; a sentence may, too.
        runs = often[key] >= REPEATS and len(stripped) < 60 and not _SENTENCE_END.search(stripped)
        named = _PAGE_NUMBER.fullmatch(stripped) or _FILE_NAME.fullmatch(stripped)
        if named or _LEADERS.search(stripped) or (runs and len(key) > 3):
            yield place


def _illegible(lines: Sequence[str]) -> Iterable[int]:
    for place, line in enumerate(lines):
        letters = len(_LETTER.findall(line))
        if letters and len(_LEGIBLE.findall(line)) < LEGIBLE * letters:
            yield place


def _tables(lines: Sequence[str]) -> Iterable[int]:
    """Runs of lines too short for prose. Blank lines neither break a run nor count in it."""
    run: list[int] = []
    for place, line in enumerate([*lines, "문장의 끝이 있는 줄이 표를 닫는다."]):
        stripped = line.strip()
        if stripped and (len(stripped) >= SHORT or _SENTENCE_END.search(stripped)):
            if len(run) >= CELLS:
                yield from run
            run = []
        elif stripped:
            run.append(place)


def _joined(lines: Sequence[str]) -> list[str]:
    """Lines with those that only the page's edge parted put together.

    A file that keeps the blank at which a line was broken tells a break between words from one
    within a word; in one that does not, lines stay as they are.
    """
    tells = sum(line.endswith(" ") for line in lines) * 10 > len(lines)
    joined: list[str] = []
    for line in lines:
        before = joined[-1] if joined else ""
        goes_on = before.strip() and line.strip() and not _NEW_ITEM.match(line.lstrip())
        if tells and goes_on and not _SENTENCE_END.search(before.rstrip()):
            joined[-1] = before + line.lstrip()
        else:
            joined.append(line)
    return joined
