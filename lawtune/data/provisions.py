"""The text of Korean law: cleaning it, and parsing articles to 항, 호 and 목.

Numbers are spelt out (`제1항` for ①) before any tokenizer sees them: KoGPT-2's normaliser turns ①
into a bare 1, and `제5조 ①미성년자` would read `제5조 1미성년자`.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from lawtune.records import Article, Provision

CIRCLED = {
    char: int(unicodedata.numeric(char))
    for char in map(chr, (*range(0x2460, 0x2474), *range(0x3251, 0x3260), *range(0x32B1, 0x32C0)))
}
"""① to ㊿ and the numbers they stand for."""

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})(?!\d)|(\d{4})\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})(?!\d)")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NOTE_WORDS = "개정|신설|삭제|전문개정|전문신설|본조신설|종전|제목개정|본조|본항|시행일|단서|이동"
_NOTE = re.compile(
    rf"[<〈](?=[^<>〈〉]*(?:{_NOTE_WORDS}|\d{{4}}\s*\.))[^<>〈〉]*[>〉]"
    rf"|\[(?:{_NOTE_WORDS}|제\d+조[^\]]*(?:이동|삭제))[^\[\]]*\]"
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_PARAGRAPH = re.compile(rf"^\s*(?:\*\*)?([{''.join(CIRCLED)}])(?:\*\*)?\s*(.*)$")
_ITEM = re.compile(r"^\s*(\d{1,3}(?:의\d+)?)\\?\.(?!\d)\s*(.*)$")
_SUBITEM = re.compile(
    r"^\s*([가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허])\\?\.\s*(.*)$"
)
_NUMBERED = re.compile(r"(?:^|(?<=[\s/>]))\[(\d{1,2})\]\s*")
_DELETED = re.compile(r"^[<〈‹]?삭\s*제[>〉›]?(?:\s*(?:[<〈\[(][^<>〈〉\[\]()]*[>〉\])])+)?\.?$")
_LEVELS = {"항": 1, "호": 2, "목": 3}


def clean(text: str) -> str:
    """Plain NFC text: breaks become newlines, tags and amendment notes go, circled numbers in
    running text become (1), and every run of blanks is one."""
    text = unicodedata.normalize("NFC", html.unescape(_BREAK.sub("\n", text)))
    text = _TAG.sub("", _NOTE.sub("", text)).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(f"({CIRCLED[char]}) " if char in CIRCLED else char for char in text)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def one_line(text: str) -> str:
    """`clean`, with line breaks as blanks."""
    return " ".join(clean(text).split())


def to_iso_date(value: Any) -> str:
    """An ISO date from 20260317, "2018. 10. 30.", "2018-10-30" or a date; "" if it is none."""
    if isinstance(value, date):
        return value.isoformat()[:10]
    match = _DATE.search(str(value or ""))
    if not match:
        return ""
    try:
        return date(*(int(part) for part in filter(None, match.groups()))).isoformat()
    except ValueError:
        return ""


def split_numbered(text: str) -> dict[str, str]:
    """Split "[1] … [2] …" into {"1": …, "2": …}; text without such marks is {"": text}.

    The first mark must open the text, and only one that continues the count splits: a bracketed
    number inside a sentence does neither. Empty text gives an empty dict.
    """
    starts: list[tuple[str, int, int]] = []
    for match in _NUMBERED.finditer(text):
        opens = starts or not _TAG.sub("", text[: match.start()]).strip()
        if opens and int(match[1]) == len(starts) + 1:
            starts.append((match[1], match.start(), match.end()))
    if not starts:
        whole = one_line(text)
        return {"": whole} if whole else {}
    ends = [start for _, start, _ in starts[1:]] + [len(text)]
    parts = {
        number: one_line(text[begin:end]).rstrip(" /")
        for (number, _, begin), end in zip(starts, ends, strict=True)
    }
    return {number: part for number, part in parts.items() if part}


def parse_article(number: str, title: str, lines: Iterable[str]) -> Article:
    """Parse the lines below an article's heading.

    Args:
        number: "750" or "14의2".
        lines: raw lines; 항 begin with ①, 호 with "1.", 목 with "가."; other lines continue the
            unit above them.
    """
    root = _Unit("조", "", [])
    stack = [root]
    for line in lines:
        level, mark, text = _recognise(line)
        if not text.strip() and not level:
            continue
        if not level:
            stack[-1].lines.append(text)
            continue
        # A 호 may follow the article's own text without any 항 between them.
        while len(stack) > 1 and _LEVELS[stack[-1].level] >= _LEVELS[level]:
            stack.pop()
        unit = _Unit(level, mark, [text])
        stack[-1].children.append(unit)
        stack.append(unit)
    raw = " ".join(root.lines).strip()
    # Some sources put a title's brackets twice: 제1조((목적)).
    title = re.sub(r"^\(([^()]*)\)$", r"\1", one_line(title))
    deleted = bool(_DELETED.match(raw or title)) and not root.children
    provisions = () if deleted else tuple(unit.freeze() for unit in root.children)
    text = "" if deleted else one_line(" ".join(root.lines))
    return Article(number, title, text, provisions, deleted)


def is_deleted(provision: Provision) -> bool:
    """Whether all that is left of a provision is the word 삭제."""
    return bool(_DELETED.match(provision.text)) and not provision.children


def render_article(article: Article) -> str:
    """The article's text with 항, 호 and 목 spelt out, one a line, deleted ones left out."""
    lines = [article.text] if article.text else []
    return "\n".join(lines + render_provisions(article.provisions))


def render_provisions(provisions: Sequence[Provision]) -> list[str]:
    """`제1항 …`, `제1호 …`, `가목 …`, a line each, in order."""
    lines = []
    for provision in provisions:
        if is_deleted(provision):
            continue
        lines.append(f"{provision.label} {provision.text}")
        lines.extend(render_provisions(provision.children))
    return lines


@dataclass
class _Unit:
    level: str
    number: str
    lines: list[str]
    children: list["_Unit"] = field(default_factory=list)

    def freeze(self) -> Provision:
        children = tuple(child.freeze() for child in self.children)
        return Provision(self.level, self.number, one_line(" ".join(self.lines)), children)


def _recognise(line: str) -> tuple[str, str, str]:
    if match := _PARAGRAPH.match(line):
        return "항", str(CIRCLED[match[1]]), match[2]
    if match := _ITEM.match(line):
        return "호", match[1], match[2]
    if match := _SUBITEM.match(line):
        return "목", match[1], match[2]
    return "", "", line
