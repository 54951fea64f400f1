"""What a decision relies on: its 참조조문 and 참조판례, parsed to names that can be looked up."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lawtune.data.provisions import one_line

_ISSUES = re.compile(r"(?:^|(?<=[\s/]))(?:\[\d{1,2}\][\s,·]*)+")
_PARENTHESES = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_ARTICLE = re.compile(r"^(?P<law>.*?)\s*제(?P<main>\d+)조(?:의\s*(?P<branch>\d+))?(?P<rest>.*)$")
_SAME_LAW = re.compile(r"^(?:같은|동)\s*법(?:률)?(?=\s|시행|$)\s*")
_PARAGRAPH = re.compile(r"제(\d+)항")
COURT = (
    r"대법원|헌법재판소|헌재|당원|대판|대결"
    r"|[가-힣]{2,6}(?:지방법원|고등법원|가정법원|행정법원|회생법원|군사법원|지법|고법|가법|행법)"
    r"(?:\s*[가-힣]{2,4}지원)?|특허법원"
)
"""A pattern of the courts, as a text names them."""
_COURT_OR_NUMBER = re.compile(
    rf"(?P<court>{COURT})|(?P<number>(?<!\d)\d{{2,4}}[가-힣]{{1,3}}\d+(?!\d))"
)


@dataclass(frozen=True)
class ArticleReference:
    """A cited article. `number` as in `Article.number`; `paragraph` is its cited 항, if just one;
    `former` marks a statute as it stood before a change (구 …)."""

    law: str
    number: str
    paragraph: str | None = None
    former: bool = False

    @property
    def article(self) -> str:
        """제355조."""
        main, _, branch = self.number.partition("의")
        return f"제{main}조" + (f"의{branch}" if branch else "")

    @property
    def label(self) -> str:
        """형법 제355조 제2항, as a lawyer writes it."""
        return self.with_title("")

    def with_title(self, title: str) -> str:
        """형법 제355조(횡령, 배임) 제2항."""
        titled = f"{self.article}({title})" if title else self.article
        paragraph = f" 제{self.paragraph}항" if self.paragraph else ""
        return f"{'구 ' if self.former else ''}{self.law} {titled}{paragraph}"


@dataclass(frozen=True)
class CaseReference:
    """A cited decision. `court` as `court_name` has it, "" where the text names none; `changed`: it
    is marked as no longer the law (변경, 폐기)."""

    number: str
    court: str = ""
    changed: bool = False


def court_name(text: str) -> str:
    """One spelling a court: 서울고법 → 서울고등법원, 부산고등법원(창원) → 부산고등법원. This court
    (당원) is nobody's name: ""."""
    name = re.sub(r"\([^()]*\)|\s", "", text)
    name = {"대판": "대법원", "대결": "대법원", "헌재": "헌법재판소", "당원": ""}.get(name, name)
    for short, long in (("지법", "지방법원"), ("고법", "고등법원"), ("가법", "가정법원")):
        name = re.sub(rf"{short}(?=\Z|[가-힣]+지원\Z)", long, name)
    return re.sub(r"행법\Z", "행정법원", name)


def law_key(name: str) -> str:
    """A statute's name as a key: spaces and the kind of middle dot make no difference."""
    return re.sub(r"[\s·ㆍ․‧・]", "", name)


def any_spelling(keys: Iterable[str]) -> str:
    """A pattern of the statutes that `keys` (`law_key`) stand for, with blanks and middle dots
    wherever a text puts them; it finds the longest name."""
    longest_first = sorted(keys, key=len, reverse=True)
    return "|".join(r"[\s·ㆍ]?".join(map(re.escape, key)) for key in longest_first)


def parse_article_references(text: str) -> dict[str, tuple[ArticleReference, ...]]:
    """The articles of each issue of a 참조조문 ("" where it has no numbers)."""
    found: dict[str, dict[ArticleReference, None]] = {}
    for number, part in _by_issue(text):
        found.setdefault(number, {}).update(dict.fromkeys(_articles(part)))
    return {number: tuple(articles) for number, articles in found.items()}


def parse_case_references(text: str) -> dict[str, tuple[CaseReference, ...]]:
    """The decisions of each issue of a 참조판례 ("" where it has no numbers). A list names its
    court only once."""
    found: dict[str, dict[tuple[str, str], bool]] = {}
    for number, part in _by_issue(text):
        cases, court = found.setdefault(number, {}), ""
        for item in re.split(r",\s*(?=[가-힣]{2,}\s*\d{4}\.)|\s/\s", part):
            changed = "(변경)" in item or "(폐기)" in item
            for match in _COURT_OR_NUMBER.finditer(item):
                if match["court"]:
                    court = court_name(match["court"])
                else:
                    case = match["number"], court
                    cases[case] = cases.get(case, False) or changed
    return {
        number: tuple(CaseReference(*case, changed) for case, changed in cases.items())
        for number, cases in found.items()
    }


def _by_issue(text: str) -> Iterator[tuple[str, str]]:
    """(number of an issue, what is referred to for it). Unlike the issues themselves, references
    leave numbers out ([1] … / [3] …), share them ([1][2] …) and come back to them."""
    text = one_line(text)
    marks = list(_ISSUES.finditer(text))
    if not marks or marks[0].start() > 0:
        if text:
            yield "", text
        return
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        part = text[mark.end() : end].strip(" /")
        for number in re.findall(r"\d+", mark[0]):
            yield number, part


def _articles(part: str) -> list[ArticleReference]:
    text = part
    while _PARENTHESES.search(text):
        text = _PARENTHESES.sub("", text)
    references, law, former = [], "", False
    for item in text.split(","):
        match = _ARTICLE.match(item.strip())
        if not match:
            if references and law == references[-1].law and item.strip().startswith("제"):
                # 제389조 제1항, 제3항: a further 항 of the article before it.
                references += [
                    replace(references[-1], paragraph=number)
                    for number in _PARAGRAPH.findall(item)[:1]
                ]
            continue
        name = match["law"].strip()
        if same := _SAME_LAW.match(name):
            parent = re.sub(r"\s*시행(?:령|규칙)$", "", law)
            law = f"{parent} {name[same.end() :]}".strip()
        elif name:
            former = name.startswith("구 ")
            law = name.removeprefix("구 ").strip()
        if not law or law.endswith(("부칙", "규칙안")):
            continue
        number = match["main"] + (f"의{match['branch']}" if match["branch"] else "")
        paragraphs = _PARAGRAPH.findall(match["rest"])
        one = paragraphs[0] if len(paragraphs) == 1 else None
        references.append(ArticleReference(law, number, one, former))
    return references
