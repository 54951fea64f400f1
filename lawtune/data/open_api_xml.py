"""law.go.kr's XML answers as records: statutes, decisions and official replies.

The element names are those of the Open API's guide; the irregularities that are mended or followed
here were met in its real answers.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lawtune.data.outline import Outline
from lawtune.data.provisions import (
    CIRCLED,
    clean,
    is_deleted,
    one_line,
    split_numbered,
    to_iso_date,
)
from lawtune.records import Article, Case, Interpretation, Provision, Statute

_NAMED_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)[A-Za-z]\w*;")
_ARTICLE_NAME = r"제\d+조(?:의\d+)?"
_ARTICLE_HEAD = re.compile(
    rf"\s*{_ARTICLE_NAME}(?:\s*(?:부터|내지|및|[,ㆍ·])\s*{_ARTICLE_NAME}(?:까지)?)*\s*"
)
_MARKS = {
    "항": re.compile(rf"\s*([{''.join(CIRCLED)}])(?:의(\d+))?\s*"),
    "호": re.compile(r"\s*(\d+)\s*(?:의\s*(\d+))?\s*\.(?!\d)\s*"),
    "목": re.compile(r"\s*([가-힣])\s*(?:의\s*(\d+))?\s*\.\s*"),
}
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_LONE_AMPERSAND = re.compile(r"&(?!#?\w+;)")
_QUOTED_LAW = re.compile(r"「([^「」]+)」")
_ORDER = re.compile(r"【\s*주\s*문\s*】")
_COURT_ABBREVIATION = re.compile(r"(고|지|행)법(?=\s|$)")
_COURT_NAMES = {"고": "고등법원", "지": "지방법원", "행": "행정법원"}

_DANGI_YEARS = range(4200, 4331)
"""Years in which old decisions are dated by 단기, which runs 2,333 years ahead."""


def parse_xml(text: str) -> Element | None:
    """The root element, or None if this is not XML (an HTML page is not).

    Two faults of the real service are mended: HTML's named entities (`&middot;`) and a
    `조문참고자료` that is opened and never closed. So are characters that no XML may hold, and a
    lone `&`.
    """
    # A document type is how HTML begins, and the only way to declare an entity that explodes.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        mended = _NAMED_ENTITY.sub(lambda match: html.unescape(match[0]), text)
        mended = re.sub(r"</?조문참고자료[^<>]*>", "", mended)
        mended = _LONE_AMPERSAND.sub("&amp;", _UNPRINTABLE.sub("", mended))
    try:
        return ElementTree.fromstring(mended)
    except ElementTree.ParseError:
        return None


def parse_statute(root: Element, origin: str) -> Statute | None:
    """A `법령` element as a statute; None if it has neither a name nor an article."""
    effective = to_iso_date(_text(root, "기본정보/시행일자"))
    units = _units(root)
    articles = tuple(_parse_article(unit, units[unit]) for unit in _in_force(units, effective))
    name = one_line(_text(root, "기본정보/법령명_한글").replace("ㆍ", "·"))
    if not name or not articles:
        return None
    return Statute(
        name=name,
        kind=one_line(_text(root, "기본정보/법종구분")),
        promulgated=to_iso_date(_text(root, "기본정보/공포일자")),
        effective=effective,
        articles=articles,
        addenda=clean("\n\n".join(_text(unit, "부칙내용") for unit in root.iter("부칙단위"))),
        origin=origin,
    )


def left_out(root: Element) -> Iterator[tuple[str, str]]:
    """(reason, what) of everything that a document holds and its record does not."""
    for annex in root.iter("별표단위"):
        yield "table or form (별표·서식)", one_line(_text(annex, "별표제목"))
    numbers = [_number(unit, "조문") for unit in _units(root)]
    for number, count in Counter(numbers).items():
        if count > 1:
            yield "wording of an article not in force", Article(number, "", "").label


def parse_case(root: Element, origin: str) -> Case | None:
    """A `PrecService` element as a decision; None if it has no case number or no valid date."""
    number, decided = one_line(_text(root, "사건번호")), _decision_date(_text(root, "선고일자"))
    if not number or not decided:
        return None
    # "판결 : 상고기각" names the outcome after the kind; "전원합의체 판결" is a kind.
    kind = one_line(_text(root, "판결유형").partition(":")[0]) or "판결"
    body = _text(root, "판례내용")
    order = _ORDER.search(body)
    court = one_line(_text(root, "법원명"))
    return Case(
        number=number,
        court=_COURT_ABBREVIATION.sub(lambda match: _COURT_NAMES[match[1]], court),
        date=decided,
        title=one_line(_text(root, "사건명")),
        kind=kind if kind.endswith(("판결", "결정", "명령")) else f"{kind} 판결",
        holdings=split_numbered(_text(root, "판시사항")),
        summaries=split_numbered(_text(root, "판결요지")),
        cited_articles=clean(_text(root, "참조조문")),
        cited_cases=clean(_text(root, "참조판례")),
        body=clean(body[order.start() :] if order else body),
        origin=origin,
    )


def parse_interpretation(root: Element, origin: str) -> Interpretation | None:
    """An `ExpcService` element as an official reply; None if it lacks question or answer.

    The API names no statutes of its own: `statutes` are those that title and question quote
    in 「」.
    """
    title, question = one_line(_text(root, "안건명")), clean(_text(root, "질의요지"))
    answer = clean(_text(root, "회답"))
    if not question or not answer:
        return None
    quoted = _QUOTED_LAW.findall(f"{title} {question}")
    return Interpretation(
        number=one_line(_text(root, "안건번호") or _text(root, "법령해석례일련번호")),
        agency=one_line(_text(root, "해석기관명") or _text(root, "회신기관명")),
        date=to_iso_date(_text(root, "해석일자") or _text(root, "회신일자")),
        title=title,
        question=question,
        answer=answer,
        reason=clean(_text(root, "이유")),
        statutes=tuple(dict.fromkeys(one_line(name).replace("ㆍ", "·") for name in quoted)),
        origin=origin,
    )


def _units(root: Element) -> dict[Element, tuple[str, ...]]:
    """The articles' units, each with the headings that it stands under."""
    outline, units = Outline(), {}
    for unit in root.iter("조문단위"):
        # 전문 marks the headings, which bear the number of the article below them.
        if _text(unit, "조문여부") != "전문":
            units[unit] = outline.headings
            continue
        for line in _text(unit, "조문내용").splitlines():
            outline.enter(one_line(line))
    return units


def _in_force(units: Iterable[Element], effective: str) -> Iterable[Element]:
    """One unit an article: where an amended wording is listed beside the one in force, the latest
    that is effective by the statute's own date."""
    chosen: dict[str, Element] = {}
    for unit in units:
        number = _number(unit, "조문")
        rival = chosen.get(number)
        if rival is None or _precedence(unit, effective) >= _precedence(rival, effective):
            chosen[number] = unit
    return chosen.values()


def _precedence(unit: Element, effective: str) -> tuple[bool, str]:
    since = to_iso_date(_text(unit, "조문시행일자"))
    return (not effective or since <= effective, since)


def _parse_article(unit: Element, headings: tuple[str, ...]) -> Article:
    title = _text(unit, "조문제목")
    provisions, unnumbered = _parse_paragraphs(unit)
    own = _without_head(_text(unit, "조문내용"), bool(title))
    text = one_line(" ".join([own, *unnumbered]))
    deleted = not provisions and is_deleted(Provision("항", "", text))
    return Article(
        number=_number(unit, "조문"),
        title=one_line(title),
        text="" if deleted else text,
        provisions=provisions,
        deleted=deleted,
        headings=headings,
    )


def _without_head(text: str, titled: bool) -> str:
    """`text` after its 제2조의2(제목). A title may hold brackets of its own."""
    head = _ARTICLE_HEAD.match(text)
    rest = text[head.end() :] if head else text
    if not titled or not rest.startswith("("):
        return rest
    depth = 0
    for place, char in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            return rest[place + 1 :]
    return rest


def _parse_paragraphs(unit: Element) -> tuple[tuple[Provision, ...], list[str]]:
    """The 항 of an article, and the text of those without a number, which is the article's own;
    호 that stand without a numbered 항 are the article's own too."""
    provisions, unnumbered = list(_parse_items(unit)), []
    for paragraph in unit.findall("항"):
        items = tuple(_parse_items(paragraph))
        number, text = _mark_and_text(paragraph, "항")
        if number:
            provisions.append(Provision("항", number, text, items))
        else:
            unnumbered.append(text)
            provisions.extend(items)
    return tuple(provisions), unnumbered


def _parse_items(parent: Element) -> Iterable[Provision]:
    """The 호 of a 항 with their 목, which stand either inside their 호 or after it."""
    groups: list[tuple[Element | None, list[Element]]] = []
    for node in parent:
        if node.tag == "호":
            groups.append((node, node.findall("목")))
        elif node.tag == "목":
            if not groups:
                groups.append((None, []))
            groups[-1][1].append(node)
    for item, subitems in groups:
        children = tuple(Provision("목", *_mark_and_text(node, "목")) for node in subitems)
        if item is None:
            yield from children
        else:
            yield Provision("호", *_mark_and_text(item, "호"), children)


def _mark_and_text(node: Element, level: str) -> tuple[str, str]:
    """Number and text of a 항, 호 or 목. The mark that the text itself begins with is the truth:
    the number's own element often says 2 for 2의2."""
    content = _text(node, f"{level}내용")
    mark = _MARKS[level].match(content)
    if not mark:
        return _number(node, level), one_line(content)
    main = str(CIRCLED.get(mark[1], mark[1]))
    number = main + (f"의{mark[2]}" if mark[2] else "")
    tagged = _number(node, level)
    # 2 in the text and 2의2 in the elements: the text lost its branch.
    number = tagged if not mark[2] and tagged.startswith(f"{main}의") else number
    return number, one_line(content[mark.end() :])


def _number(node: Element, level: str) -> str:
    """ "14의2" from the elements 조문번호 and 조문가지번호, or those of 항, 호 and 목."""
    main = unicodedata.normalize("NFKC", _text(node, f"{level}번호")).strip(" .").lstrip("0")
    branch = _text(node, f"{level}가지번호").strip(" .").lstrip("0")
    return f"{main}의{branch}" if branch and "의" not in main else main


def _decision_date(text: str) -> str:
    digits = re.match(r"\s*(\d{4})(.*)", text)
    if digits and int(digits[1]) in _DANGI_YEARS:
        text = f"{int(digits[1]) - 2333}{digits[2]}"
    decided = to_iso_date(text)
    # 00010101 stands for "unknown".
    return decided if decided > "1800" else ""


def _text(node: Element, path: str) -> str:
    found = node.find(path)
    return "" if found is None else "".join(found.itertext()).strip()
