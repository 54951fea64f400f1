"""Finding citations: one pass over a text, from left to right, remembering what 같은 법 refers to.

What a reference leaves out is taken from what stands before it: 제391조 in `상법 제209조, 제391조`,
같은 법 시행령, 동법, 같은 조, the short names that the text defines (이하 "법"이라 한다). Where nothing
does, the law stays None: a citation that nobody can check is still counted.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from lawtune.data.references import law_key
from lawtune.eval.citation_cases import NUMBER, CaseCitation, read_case
from lawtune.eval.citation_names import LONGEST_NAME, Names, known_names, parent, subordinate
from lawtune.eval.citation_text import readable

LONGEST_RANGE = 30
"""Articles; of a longer range (제1조부터 제1118조까지) only the two ends are cited."""

_UNIT = (
    r"(?:제\s*)?\d+(?:의\s*\d+)?\s*[항호](?:의\s*\d+(?!\d|\s*[항호]))?"
    r"|[가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허]목(?![적록표차격])"
)
_JOIN = r"(?:\s*(?:본문|단서|전단|후단|전문|후문))?\s*(?:,|·|및|또는|이나|와|과|내지|부터|~|-)\s*"
_UNITS = re.compile(
    rf"\s*(?:의\s*)?(?:{_UNIT})(?:\s*(?:의\s*)?(?:{_UNIT}))*"
    rf"(?:{_JOIN}(?:{_UNIT})(?:\s*(?:{_UNIT}))*(?:\s*까지)?)*"
)
_ONE_UNIT = re.compile(r"(\d+)(?:의\s*(\d+))?\s*([항호])(?:의\s*(\d+))?|(.)목")
_TITLE = re.compile(
    r"\s*\((?!각 |이하|현행|다만|단,|위 |구 |같은 |동 |즉|예컨대|판시|피고)([^()\"'“”‘’\d]{1,40})"
    r"(?<!선택)(?<!참조)(?<!의 점)(?<!가중)(?<!준용)(?<!적용)(?<!한다)\)"
)
_NOTE = re.compile(
    r"\s*\((?=[^()]*(?:\d{4}\s*\.|[‘'’]\d\d\.|법률\s*제|령\s*제\d|이하\s*[\"'“‘「]|약칭|같다|개정|폐지"
    r"|이하[^()]*(?:한다|함|칭)))[^()]*(?:\([^()]*\)[^()]*)*\)"
)
_DEFINITION = re.compile(
    r"(?:이하|약칭)[\s:,]*(?:각각\s*|에서는\s*|단순히\s*)?"
    r"(?:[\"'“‘「]\s*([^\"'“”‘’「」()]{1,30}?)\s*[\"'”’」]|([가-힣 ]{1,20}?)\s*(?:이라|라)\s*(?:고\s*)?(?:만\s*)?한다)"
)
_FORMER_NOTE = re.compile(r"전의\s*것|개정\s*전|폐지(?:되기|\))")
_FORMER = re.compile(r"(?<![가-힣])구\s*\Z")
_IN_FORCE = re.compile(r"현행\s*\Z")
_LAW_SUFFIX = re.compile(r"(?:법|법률|령|규칙|규정|조례|고시|세칙|훈령|예규|협약|조약)\Z")
_SUBORDINATE = re.compile(r"\s*(시행령|시행규칙)(?![가-힣])")
_ARTICLE = (
    r"(?:제\s*\d+(?:-\d+)?\s*조(?:의\s*\d+(?!\d|\s*(?:항|호|개|가지|명|차|년|인)))?"
    r"|제\s*\d+의\s*\d+\s*조|§\s*\d+(?:조(?:의\s*\d+)?)?"
    r"|(?<![\d제.,-])\d{1,4}(?:-\d+)?\s*조(?:의\s*\d+(?!\d|\s*(?:항|호|개|가지|명|차|년|인)))?)"
    r"(?![합직사치선정건원])"
)
_ARTICLE_AHEAD = re.compile(rf"」?\s*(?:의\s*)?(?:부칙\s*)?{_ARTICLE}")
_ARTICLE_NUMBER = re.compile(r"(\d+(?:-\d+)?)\s*(?:조)?(?:의\s*(\d+))?")
_NEXT_TO = re.compile(r"」?\s*(?:상\s*)?(?:의\s*)?(부칙\s*(?:\([^()]*\)\s*)?)?\Z")
_BARE_ADDENDUM = re.compile(r"부칙\s*(?:\([^()]*\)\s*|<[^<>]*>\s*)?\Z")
_LIST = re.compile(
    r"\s*(?:본문|단서|전단|후단|전문|후문|각\s*호|각\s*항)?\s*"
    r"(?:,|·|및|또는|이나|와|과|나|/)*\s*(?:\[\d+\]\s*)?\Z"
)
_RANGE = re.compile(r"\s*(?:내지|부터|에서|~|-)\s*\Z")
_UNTIL = re.compile(r"\s*까지")
_PRIVATE = re.compile(
    r"(?:약관|계약|계약서|정관|규약|협약|협정|합의서|취업규칙|규준|기준|가이드라인|지침|내규|사규|세칙"
    r"|규정|규칙|조례안|개정안|법률안|약정|설명서|약정서|헌장|강령)(?:상|의|은|는|에|인)?\s*\Z"
)
_NOT_A_LAW = re.compile(
    r"(?:\A|[가-힣])(?:방|위|불|적|합|편|입|용|문|해|기|수|요|치료|공|화|어|필|검)법\Z"
    r"|\A(?:실정|관습|특별|일반|성문|판례|현행|관련|해당|개별|모|신|구|본|동|같은|위|이|각)?(?:법|법률|법령)\Z"
)
_AGENCY_RULE = re.compile(r"(?:감독|업|업무|시행|소송|집행|등기|조정|비송|공탁|등록|임용|복무)(?:규정|규칙|세칙)\Z")
_NO_NAME = re.compile(
    r"(?:[은는을를]|으로|에서|라고|하여|하고|되어|되는|하는|하면|한다|따라|따른|의하여|경우)\Z"
    r"|\A(?:한편|그리고|또한|다만|결국|위|이|그|각|구|본|현행|따라서|그런데|즉|특히|이는|먼저|및|그러나)\Z"
)
_QUOTE = re.compile(
    r"(?:\s*(?:본문|단서|전단|후단|전문|후문))?\s*(?:은|는|이|가|에서는|에서|에는|에)?\s*,?\s*"
    r"(?:\"([^\"]{10,800})\"|“([^”]{10,800})”|‘([^’]{10,800})’)\s*(?:이?라?고|와 같이|이라는)\s*[가-힣]"
)
_EVENT = re.compile(
    rf"(?P<case>(?<![\d])(?:{NUMBER})(?!\d))"
    rf"|(?P<article>{_ARTICLE})"
    r"|(?P<bracket>「[^「」\n]{1,90}」)"
    r"|(?P<same>(?<![가-힣])(?:같은|동|위|이|본|당해)\s*(?:시행령|시행규칙|법률|법|영|령|규칙|규정|조례)"
    r"(?:\s*(?:시행령|시행규칙))?(?=\s*(?:부칙|제\s*\d|§|\d+조)))"
    r"|(?P<here>(?<![가-힣])(?:같은|동|위)\s*[조항호](?:의)?\s*(?=제?\s*\d+\s*[항호]))"
    r"|(?P<short>(?<![가-힣])(?:법|영|령|시행령|시행규칙|규칙|규정)(?=\s*(?:부칙\s*)?제\s*\d))"
    r"|(?P<law>(?:법률?|령|규칙|규정|조례|고시|세칙)"
    r"(?=[^가-힣]|제\s*\d|상|에|의|은|이|을|과|와|및|소정|\Z))"
    r"|(?P<mark>[()“”\"]|\n\s*\n)"
)
_BOUNDARY = re.compile(r"[\n.,;:()\[\]「」\"“”‘’'/※○□◦☐<>?!①-⑳-]")


@dataclass(frozen=True)
class StatuteCitation:
    """A cited article. `law` is its full name, None where the text does not say; `article` as in
    제14조의2 or 부칙 제3조; `units` are the (항, 호, 목) named, "" where one is not; `former` marks
    a statute as it stood before a change; `title` and `quote` are what the text says of it."""

    start: int
    end: int
    law: str | None
    article: str
    units: tuple[tuple[str, str, str], ...] = ()
    former: bool = False
    title: str = ""
    quote: str = ""


Found = StatuteCitation | CaseCitation


@dataclass(frozen=True)
class _Law:
    """A statute that the text has named, and where; `name` None: what it refers to is unknown."""

    name: str | None
    former: bool = False
    start: int = -1
    end: int = -1


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
        self._quoting: list[_Law] = []
        self._skip = 0
        self._private_end = -1
        self._bounds = [match.end() for match in _BOUNDARY.finditer(text)]

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
        for match in _EVENT.finditer(self._text):
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
                self._last = before if before.name else self._last
        elif mark == "“" or (mark == '"' and not self._quoting):
            self._quoting.append(self._last)
        elif mark in '”"':
            if self._quoting:
                before = self._quoting.pop()
                self._last = before if before.name else self._last
        else:
            self._open, self._quoting = [], []

    def _on_bracket(self, match: re.Match[str]) -> None:
        inner = match[0][1:-1].strip()
        name = re.sub(r"\s*\([^()]*\)", "", inner).strip()
        former = name.startswith("구 ")
        name = name.removeprefix("구 ").strip()
        if not _LAW_SUFFIX.search(name):
            self._private_end = match.end()
            return
        known = self._look_up(law_key(name))
        law = known.name if known else " ".join(name.split())
        former = former or bool(known and known.former)
        if definition := _DEFINITION.search(inner):
            # 「… 법률(이하 ‘자본시장법’) 시행령」: the short name is that of the statute.
            self._define(definition, parent(law), former)
        self._name_law(match.start(), match.end(), law, former)

    def _on_same(self, match: re.Match[str]) -> None:
        word = re.sub(r"\s|^(?:같은|동|위|이|본|당해)\s*", "", match[0])
        base = self._last.name
        law = self._relative(base, word) if base else None
        self._named = _Law(law, self._last.former, match.start(), match.end())
        if law:
            self._last = self._named

    def _on_short(self, match: re.Match[str]) -> None:
        if self._on_law(match):
            return
        base = self._last.name
        law = self._relative(base, match[0]) if base else None
        if not law and match[0] != "법" and not base:
            law = self._only_law_after(match)
        self._named = _Law(law, self._last.former, match.start(), match.end())
        if law:
            self._last = self._named

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
            if known := self._look_up("".join(words[index:])):
                start = begin + self._word_starts(begin, end)[index]
                self._name_law(start, end, known.name, known.former)
                return True
        if "·" in self._text[begin:end]:
            start = self._text.rindex("·", begin, end) + 1
            if known := self._look_up(law_key(self._text[start:end])):
                self._name_law(start, end, known.name, known.former)
                return True
        return match.lastgroup == "law" and self._on_unknown_law(begin, end)

    def _word_starts(self, begin: int, end: int) -> list[int]:
        # A lone middle dot is no word of a key.
        window = self._text[begin:end]
        return [word.start() for word in re.finditer(r"\S+", window) if word[0].strip("·")]

    def _on_unknown_law(self, begin: int, end: int) -> bool:
        """A name that no list has, right before an article: as far left as a name can reach."""
        note = _NOTE.match(self._text, end)
        if not _ARTICLE_AHEAD.match(self._text, note.end() if note else end):
            return False
        starts = self._word_starts(begin, end)
        words = [self._text[begin + start : end].split()[0] for start in starts]
        if not words or _NOT_A_LAW.search(words[-1]):
            return False
        first = len(words) - 1
        if len(words) > 1 and words[-2] in ("관한", "위한", "대한"):
            while first and not _NO_NAME.search(words[first - 1]):
                first -= 1
        elif words[-1].endswith(("규정", "규칙", "고시", "세칙")) and not _AGENCY_RULE.search(
            words[-1]
        ):
            return False
        elif words[-1] in ("시행령", "시행규칙", "특별법", "특례법", "기본법") and first:
            first -= 1
        start = begin + starts[first]
        self._name_law(start, end, " ".join(self._text[start:end].split()), False)
        return True

    def _look_up(self, key: str) -> _Law | None:
        if key in self._aliases:
            return self._aliases[key]
        if name := self._names.find(key):
            return _Law(name)
        for suffix in ("시행령", "시행규칙"):
            if key.endswith(suffix) and (law := self._aliases.get(key[: -len(suffix)])):
                return _Law(subordinate(law.name, suffix), law.former)
        return None

    def _name_law(self, start: int, end: int, name: str, former: bool) -> None:
        """Remember a statute just named, with the notes and short names behind it."""
        text = self._text
        if mark := _FORMER.search(text[max(0, start - 4) : start]):
            start -= len(mark[0])
            former = True
        if text[end - 1] == "」" and (sub := _SUBORDINATE.match(text, end)):
            name, end = subordinate(name, sub[1]), sub.end()
        if note := _NOTE.match(text, end):
            former = former or bool(_FORMER_NOTE.search(note[0]))
            end = note.end()
            for definition in _DEFINITION.finditer(note[0]):
                self._define(definition, name, former)
            if sub := _SUBORDINATE.match(text, end):
                name, end = subordinate(name, sub[1]), sub.end()
        self._named = self._last = _Law(name, former, start, end)
        self._skip = max(self._skip, end)

    def _define(self, definition: re.Match[str], law: str, former: bool) -> None:
        short = (definition[1] or definition[2]).strip()
        former = former and (short.startswith("구") or law_key(short) not in self._names.canonical)
        short = law_key(short.removeprefix("구 "))
        if _LAW_SUFFIX.search(short) or short == "영":
            self._aliases[short] = _Law(law, former)

    def _on_article(self, match: re.Match[str]) -> None:
        start, text = match.start(), self._text
        number = _ARTICLE_NUMBER.search(match[0])
        if "의" in match[0] and match[0].rstrip().endswith("조"):
            number = re.search(r"(\d+)의\s*(\d+)", match[0])
        article = f"제{number[1]}조" + (f"의{number[2]}" if number[2] else "")
        title = _TITLE.match(text, match.end())
        end = title.end() if title else match.end()
        units, end = self._units(end)
        spelt = match[0][0] in "제§"
        law, begin = self._law_of(start, spelt)
        if law is None:
            if spelt:
                self._private_end = end
            return
        previous = self._statute
        if addendum := _BARE_ADDENDUM.search(text[max(0, start - 40) : start]):
            article = f"부칙 {article}"
            begin = min(begin, start - len(addendum[0]))
        quote = _QUOTE.match(text, end)
        said = next(filter(None, quote.groups())) if quote else ""
        citation = StatuteCitation(
            begin, end, law.name, article, units, law.former, title[1] if title else "", said
        )
        if (
            previous
            and begin == start
            and previous.law == citation.law
            and _RANGE.match(text[previous.end : start])
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
        if named.end >= 0 and named.end <= start and start - named.end < 60:
            if _NEXT_TO.match(text[named.end : start]):
                return named, named.start
        previous = self._statute
        if previous and start - previous.end < 20:
            gap = text[previous.end : start]
            if _LIST.match(gap) or _RANGE.match(gap):
                return _Law(previous.law, previous.former), start
        if not spelt:
            return None, start
        if _PRIVATE.search(text[max(0, start - 12) : start]):
            return None, start
        if 0 <= self._private_end <= start and _LIST.match(text[self._private_end : start]):
            return None, start
        law = self._last
        if self._quoting and self._quoting[-1].name:
            law = self._quoting[-1]
        if _IN_FORCE.search(text[max(0, start - 4) : start]):
            law = replace(law, former=False)
        return law, start

    def _units(self, position: int) -> tuple[tuple[tuple[str, str, str], ...], int]:
        """The 항, 호 and 목 from `position` on, and where they end."""
        match = _UNITS.match(self._text, position)
        if not match:
            return (), position
        found: list[tuple[str, str, str]] = []
        deepest = ("", "", "")
        for unit in _ONE_UNIT.finditer(match[0]):
            above = deepest
            if unit[5]:
                deepest = (above[0], above[1], unit[5])
            else:
                number = unit[1] + (f"의{unit[2] or unit[4]}" if unit[2] or unit[4] else "")
                deepest = (number, "", "") if unit[3] == "항" else (above[0], number, "")
            # 제1항 제2호 is one place: the 항 alone was only its beginning.
            if found and found[-1] == above and sum(map(bool, deepest)) > sum(map(bool, above)):
                found.pop()
            found.append(deepest)
        return tuple(found), match.end()

    def _on_here(self, match: re.Match[str]) -> None:
        """같은 조 제2항: the article cited last."""
        if not self._statute:
            return
        units, end = self._units(match.end())
        before = self._statute
        if "조" not in match[0] and before.units:
            units = tuple((before.units[-1][0], item, sub) for _, item, sub in units)
        citation = StatuteCitation(
            match.start(), end, before.law, before.article, units, before.former
        )
        self._found.append(citation)
        self._statute = citation
        self._skip = end

    def _add_range(self, first: StatuteCitation, last: StatuteCitation) -> None:
        """Replace a range's first article by every article of it; each has the whole span."""
        until = _UNTIL.match(self._text, last.end)
        end = until.end() if until else last.end
        low, high = (int(re.search(r"\d+", c.article)[0]) for c in (first, last))
        between = range(low + 1, high + (1 if "의" in last.article else 0))
        if len(between) > LONGEST_RANGE or "-" in first.article:
            between = range(0)
        middle = [
            StatuteCitation(first.start, end, first.law, f"제{number}조", (), first.former)
            for number in between
        ]
        ends = [replace(first, end=end), *middle, replace(last, start=first.start, end=end)]
        self._found[-1:] = ends
        self._statute = ends[-1]
