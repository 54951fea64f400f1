"""Finding citations: one pass over a text, from left to right, remembering what 같은 법 refers to.

What a reference leaves out is taken from what stands before it: 제391조 in `상법 제209조, 제391조`,
같은 법 시행령, 동법, 같은 조, the short names that the text defines (이하 "법"이라 한다). Where
nothing does, the law stays None: a citation that nobody can check is still counted.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from lawtune.data.references import law_key
from lawtune.eval import citation_patterns as p
from lawtune.eval.citation_cases import CaseCitation, read_case
from lawtune.eval.citation_names import (
    LONGEST_NAME,
    SUBORDINATE,
    Names,
    known_names,
    parent,
    subordinate,
)
from lawtune.eval.citation_text import readable
from lawtune.eval.citation_units import (
    ADDENDA,
    Unit,
    articles_between,
    read_articles,
    read_units,
)


@dataclass(frozen=True)
class StatuteCitation:
    """A cited article. `law` is its full name, None where the text does not say; `article` as in
    제14조의2 or 부칙 제3조; `units` are the (항, 호, 목) named, "" where one is not; `former` marks
    a statute as it stood before a change; `title` and `quote` are what the text says of it;
    `inferred` tells that the statute was named farther off, not beside the article or its list."""

    start: int
    end: int
    law: str | None
    article: str
    units: tuple[Unit, ...] = ()
    former: bool = False
    title: str = ""
    quote: str = ""
    inferred: bool = False


Found = StatuteCitation | CaseCitation


@dataclass(frozen=True)
class _Law:
    """A statute that the text has named, and where; `name` None: what it refers to is unknown;
    `far`: named elsewhere than beside the article; `private`: an article of a contract or the like
    was named since, whose bare articles follow."""

    name: str | None
    former: bool = False
    start: int = -1
    end: int = -1
    far: bool = False
    private: bool = False


def extract(given: str, names: Names | None = None) -> list[Found]:
    """Every citation of a text, in order; positions are those of the text as given."""
    source = readable(given)
    reader = _Reader(source.text, names or known_names())
    found = reader.read()
    if source.starts is None:
        return found
    moved = []
    for citation in found:
        start, end = source.span(citation.start, citation.end)
        moved.append(replace(citation, start=start, end=end))
    return moved


class _Reader:
    """The state of one pass: the law last named, open brackets and quotations, short names."""

    def __init__(self, text: str, names: Names):
        self._text = text
        self._names = names
        self._found: list[Found] = []
        self._statute: StatuteCitation | None = None
        self._case: CaseCitation | None = None
        self._last = self._named = _Law(None)
        self._aliases: dict[str, _Law] = {}
        self._open: list[_Law] = []
        self._noted = _Law(None)
        self._quoting: list[_Law] = []
        self._skip = 0
        self._private_end = -1
        self._bounds = [match.end() for match in p.BOUNDARY.finditer(text)]

    def read(self) -> list[Found]:
        """Run over the text once."""
        handlers: dict[str, Callable[[re.Match[str]], None]] = {
            "case": self._on_case,
            "article": self._on_article,
            "bracket": self._on_bracket,
            "same": self._on_same,
            "here": self._on_here,
            "short": self._on_short,
            "law": self._on_law,
            "mark": self._on_mark,
        }
        for match in p.EVENT.finditer(self._text):
            # What a note or a list has taken in is not read a second time.
            if match.start() >= self._skip:
                handlers[match.lastgroup](match)
        return self._found

    def _on_case(self, match: re.Match[str]) -> None:
        for citation in read_case(self._text, match, self._case):
            self._found.append(citation)
            self._case = citation
            self._skip = citation.end

    def _on_mark(self, match: re.Match[str]) -> None:
        mark = match[0]
        if mark == "(":
            self._open.append(self._last)
        elif mark == ")":
            if self._open:
                before = self._open.pop()
                # A note that names no statute of its own leaves the one of the note before it.
                self._noted = self._last if self._last != before else self._noted
                self._last = before if before.name else self._last
        elif mark == "“" or (mark == '"' and not self._quoting):
            self._quoting.append(self._last)
        elif mark in '”"':
            if self._quoting:
                before = self._quoting.pop()
                self._last = before if before.name else self._last
        else:
            self._open, self._quoting, self._noted = [], [], _Law(None)

    def _on_bracket(self, match: re.Match[str]) -> None:
        inner = match[0][1:-1].strip()
        name = re.sub(r"\s*\([^()]*\)", "", inner).strip()
        former = name.startswith("구 ")
        name = name.removeprefix("구 ").strip()
        if not p.LAW_SUFFIX.search(name):
            self._private_end = match.end()
            return
        known = self._look_up(law_key(name))
        law = known.name if known else " ".join(name.split())
        former = former or bool(known and known.former)
        if definition := p.DEFINITION.search(inner):
            # 「… 법률(이하 ‘자본시장법’) 시행령」: the short name is that of the statute.
            self._define(definition, parent(law), former)
        self._name_law(match.start(), match.end(), law, former)

    def _on_same(self, match: re.Match[str]) -> None:
        word = re.sub(r"\s|^(?:같은|동|위|이|본|당해|그)\s*", "", match[0])
        if self._open and self._noted.name and match[0][0] in "같동":
            # … 하여야 하고(민법 제750조), … 한다(같은 법 제751조): that of the note before.
            self._last = self._noted
        base = self._last.name
        self._refer(match, self._relative(base, word) if base else None)

    def _refer(self, match: re.Match[str], law: str | None) -> None:
        """Remember a statute named by a word like 같은 법; unknown, it is only that here."""
        if law:
            self._name_law(match.start(), match.end(), law, self._last.former)
        else:
            self._named = _Law(None, False, match.start(), match.end())

    def _on_short(self, match: re.Match[str]) -> None:
        if self._on_law(match):
            return
        base = self._last.name
        law = self._relative(base, match[0]) if base else None
        if not base and match[0] != "법":
            law = self._only_law_after(match)
        self._refer(match, law)

    def _relative(self, base: str, word: str) -> str | None:
        for suffix, short in (("시행령", ("영", "령")), ("시행규칙", ())):
            if word.endswith(suffix) or word in short:
                return subordinate(base, suffix)
        if word in ("규칙", "규정", "조례"):
            if base.endswith(word):
                return base
            return subordinate(base, "시행규칙") if word == "규칙" else None
        return parent(base)

    def _only_law_after(self, match: re.Match[str]) -> str | None:
        """시행령 제10조 before any statute: that of the statute named in the same sentence."""
        rest = self._text[match.end() : match.end() + 120].split(". ")[0]
        for word in re.findall(r"[가-힣·]+법(?![가-힣]*위반)", rest):
            if law := self._names.find(law_key(word)):
                return self._relative(law, match[0])
        return None

    def _on_law(self, match: re.Match[str]) -> bool:
        end = match.end()
        before = bisect_right(self._bounds, match.start()) - 1
        begin = max(self._bounds[before] if before >= 0 else 0, end - LONGEST_NAME - 20)
        words = self._text[begin:end].replace("·", "").split()
        for index in range(max(0, len(words) - 16), len(words)):
            # 개정 전 상법 is no 전상법.
            if words[index] in p.BEFORE_A_NAME:
                continue
            if known := self._look_up("".join(words[index:])):
                start = begin + self._word_starts(begin, end)[index]
                self._name_law(start, end, known.name, known.former)
                return True
        if "·" in self._text[begin:end]:
            start = self._text.rindex("·", begin, end) + 1
            if known := self._look_up(law_key(self._text[start:end])):
                self._name_law(start, end, known.name, known.former)
                return True
        return self._on_unknown_law(begin, end)

    def _word_starts(self, begin: int, end: int) -> list[int]:
        # A lone middle dot is no word of a key.
        window = self._text[begin:end]
        return [word.start() for word in re.finditer(r"\S+", window) if word[0].strip("·")]

    def _on_unknown_law(self, begin: int, end: int) -> bool:
        """A name that no list has, right before an article: as far left as a name can reach."""
        note = p.NOTE.match(self._text, end)
        if not p.ARTICLE_AHEAD.match(self._text, note.end() if note else end):
            return False
        begin = max(begin, self._text.rfind("\n", begin, end) + 1)
        if self._found and (after := p.AFTER_CITATION.match(self._text, self._found[-1].end)):
            begin = max(begin, after.end())
        starts = self._word_starts(begin, end)
        words = [self._text[begin + start : end].split()[0] for start in starts]
        if words[-1:] == ["시행세칙"]:
            if p.AGENCY_RULE.search("".join(words[-3:-1])):
                words.pop()
        elif len(words) > 1 and words[-1] in SUBORDINATE:
            # 화약류단속법 시행령: the statute before it decides whether that is a name.
            words.pop()
            if not words[-1].endswith(("법", "법률")):
                return False
        first = len(words) - 1
        if len(words) > 1 and words[-2] in ("관한", "위한", "대한"):
            while first and not p.NO_NAME.search(words[first - 1]):
                first -= 1
            if words[first] in ("에", "등에", "등을", "관한", "위한", "대한"):
                # The name's beginning is lost (a quotation mark, a line break): nobody's statute.
                self._named = _Law(None, False, begin + starts[first], end)
                return True
        elif not words or p.NOT_A_LAW.search(words[-1]):
            return False
        elif p.GENERIC.search(words[-1]):
            self._named = _Law(None, False, begin + starts[first], end)
            return True
        elif words[-1].endswith(("규정", "규칙", "고시", "세칙")) and not p.AGENCY_RULE.search(
            words[-1]
        ):
            return False
        elif words[-1] in ("특별법", "특례법", "기본법") and first:
            first -= 1
        start = begin + starts[first]
        self._name_law(start, end, " ".join(self._text[start:end].split()), False)
        return True

    def _look_up(self, key: str) -> _Law | None:
        if key in self._aliases:
            return self._aliases[key]
        if name := self._names.find(key):
            return _Law(name)
        for suffix in SUBORDINATE:
            if key.endswith(suffix) and (law := self._aliases.get(key[: -len(suffix)])):
                return _Law(subordinate(law.name, suffix), law.former)
        return None

    def _name_law(self, start: int, end: int, name: str, former: bool) -> None:
        """Remember a statute just named, with the notes and short names behind it; what is cited
        of another country's (일본 형법 제2조) is nobody's."""
        text = self._text
        before = text[max(0, start - 20) : start]
        if p.FOREIGN.search(before):
            self._private_end = end
            return
        if mark := p.FORMER.search(before):
            start -= len(mark[0])
            former = True
        elif p.IN_FORCE.search(before):
            former = False
        if text[end - 1] == "」" and (sub := p.SUBORDINATE.match(text, end)):
            name, end = subordinate(name, sub[1]), sub.end()
        if note := p.NOTE.match(text, end):
            if not former and p.FORMER_NOTE.search(note[0]):
                former = True
                if p.FROM_HERE_ON.search(note[0]):
                    self._aliases[law_key(name)] = _Law(name, former)
            end = note.end()
            for definition in p.DEFINITION.finditer(note[0]):
                self._define(definition, name, former)
            if sub := p.SUBORDINATE.match(text, end):
                name, end = subordinate(name, sub[1]), sub.end()
        while self._found and self._found[-1].start >= start:
            # 긴급명령제4조의시행에관한규정: that article is a part of the name.
            self._found.pop()
            self._statute = None
        self._named = self._last = _Law(name, former, start, end)
        # Named in the text itself, or in this note: no longer that of the note before.
        self._noted = _Law(None)
        self._skip = max(self._skip, end)

    def _define(self, definition: re.Match[str], law: str, former: bool) -> None:
        short = (definition[1] or definition[2]).strip()
        former = former and (short.startswith("구") or law_key(short) not in self._names.canonical)
        short = law_key(short.removeprefix("구 "))
        if p.LAW_SUFFIX.search(short) or short == "영":
            self._aliases[short] = _Law(law, former)

    def _on_article(self, match: re.Match[str]) -> None:
        start, text = match.start(), self._text
        *others, article = read_articles(match[0])
        title = p.TITLE.match(text, match.end())
        end = title.end() if title else match.end()
        units, end = read_units(text, end)
        spelt = match[0][0] in "제§"
        law, begin = self._law_of(start, spelt)
        if law is None:
            if spelt:
                # Nor is a 같은 조 behind it any statute's.
                self._private_end, self._statute = end, None
                self._last = replace(self._last, private=True)
            return
        previous, prefix = self._statute, ""
        if addendum := p.BARE_ADDENDUM.search(text[max(0, start - 40) : start]):
            prefix = ADDENDA
            begin = min(begin, start - len(addendum[0]))
        elif begin == start and self._goes_on(start) and previous.article.startswith(ADDENDA):
            prefix = ADDENDA
        called, said = title[1] if title else "", _quoted(text, end)
        citation = StatuteCitation(
            begin, end, law.name, prefix + article, units, law.former, called, said, law.far
        )
        for other in others:
            same = replace(citation, article=prefix + other, units=(), title="", quote="")
            self._found.append(same)
        if (
            previous
            and begin == start
            and previous.law == citation.law
            and p.RANGE.match(text[previous.end : start])
            and self._found[-1] == previous
        ):
            self._add_range(previous, citation)
        else:
            self._found.append(citation)
            self._statute = citation
        self._skip = self._statute.end

    def _law_of(self, start: int, spelt: bool) -> tuple[_Law | None, int]:
        """Whose article stands at `start`, and where its citation begins; None: nobody's law."""
        text = self._text
        named = self._named
        beside = 0 <= named.end <= start < named.end + 60
        if beside and p.NEXT_TO.match(text[named.end : start]):
            return named, named.start
        if self._goes_on(start):
            before = self._statute
            return _Law(before.law, before.former, far=before.inferred), start
        if not spelt:
            return None, start
        if p.PRIVATE.search(text[max(0, start - 12) : start]):
            return None, start
        if 0 <= self._private_end <= start and p.LIST.match(text[self._private_end : start]):
            return None, start
        law = self._last
        around = self._quoting[-1] if self._quoting else law
        if around.name and not around.private:
            law = around
        if law.private:
            return _Law(None), start
        if p.IN_FORCE.search(text[max(0, start - 4) : start]):
            law = replace(law, former=False)
        return replace(law, far=True), start

    def _goes_on(self, start: int) -> bool:
        """Whether an article at `start` stands in one list or range with the one before it."""
        if not self._statute or start - self._statute.end >= 20:
            return False
        gap = self._text[self._statute.end : start]
        return bool(p.LIST.match(gap) or p.RANGE.match(gap))

    def _on_here(self, match: re.Match[str]) -> None:
        """같은 조 제2항: the article cited last."""
        if not self._statute:
            return
        units, end = read_units(self._text, match.end())
        before = self._statute
        if "조" not in match[0] and before.units:
            units = tuple((before.units[-1][0], item, sub) for _, item, sub in units)
        quote = _quoted(self._text, end)
        citation = replace(before, start=match.start(), end=end, units=units, title="", quote=quote)
        self._found.append(citation)
        self._statute = citation
        self._skip = end

    def _add_range(self, first: StatuteCitation, last: StatuteCitation) -> None:
        """Replace a range's first article by every article of it; each has the whole span."""
        until = p.UNTIL.match(self._text, last.end)
        end = until.end() if until else last.end
        middle = [
            replace(first, end=end, article=article, units=(), title="", quote="")
            for article in articles_between(first.article, last.article)
        ]
        ends = [replace(first, end=end), *middle, replace(last, start=first.start, end=end)]
        # 제24조~제24조 is one article, of which two paragraphs may be the ends.
        self._found[-1:] = dict.fromkeys(ends)
        self._statute = ends[-1]


def _quoted(text: str, position: int) -> str:
    """What a text says the provision before `position` says, "" if it quotes nothing."""
    quote = p.QUOTE.match(text, position)
    return next(filter(None, quote.groups())) if quote else ""
