"""Citations of decisions: 대법원 2018. 10. 30. 선고 2013다61381 전원합의체 판결, and its kin."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lawtune.data.provisions import to_iso_date
from lawtune.data.references import COURT, court_name

_CODES = (
    "가합|가단|가소|가기|나|다카|다|라|마카|마|그|바|카합|카단|카기|카경|카담|카명|카확|카공|카불|카정"
    "|고합|고단|고정|고약전|고약|노|도|로|모|보|오|초기|초재|초적|초사|초보|초|감고|감노|감도|감오"
    "|전고|전노|전도|전초|전오|보고|보노|보도|보오|치고|치노|치도|재가합|재가단|재고합|재고단|재나|재다"
    "|재노|재도|재누|재두|재구합|재구단|재허|구합|구단|구|누|두|루|무카|무|부|사|아|추|후|허|흐|히"
    "|타경|타기|타채|타배|타인|회합|회단|회확|하합|하단|하면|하확|개회|개확|간합|간단|간회합|간회단"
    "|느합|느단|느|드합|드단|드|르|므|브|스|으|즈합|즈단|즈기|즈|호파|호명|너|머|비합|비단|차전|차"
    "|과|파|수|우|인|푸|준재다|준재나|민상|민공|민재|민신|형상|형공|형재|형신|행상|행공|선상|특"
    "|헌가|헌나|헌다|헌라|헌마|헌바|헌사|헌아"
)
NUMBER = rf"(?:(?:42|19|20)?\d\d(?:{_CODES})|(?:19|20)\d\d (?:{_CODES}) )\d{{1,7}}(?:-\d{{1,3}})?"
NUMBER += r"(?![\d분초])"  # 북위 37도30분
"""A case number: year, kind of case, serial number, now and then a branch."""

_PARTS = re.compile(r"(.*?[가-힣]+)(\d+(?:-\d+)?)\Z")
_DATE = r"\d{4}\s*(?:[.\-]|년)\s*\d{1,2}\s*(?:[.\-]|월)\s*\d{1,2}\s*(?:\.|일)?"
_BEFORE = re.compile(
    rf"(?:(?P<court>{COURT})(?:\([가-힣]+\))?\s*)?"
    rf"(?:(?P<date>{_DATE})\s*(?:자|선고|고지)?\s*,?\s*)?\Z"
)
_JOINED = (
    r"\s*\((?:병합|분리|본소|반소|참가|재심|독립당사자참가|공동소송참가|중간확인)[^()]{0,12}\)"
)
_KIND = r"\s*(?:등\s*)?(?:전원합의체|전원재판부)?\s*(?:판결|결정|명령)"
_AFTER = re.compile(rf"(?:{_JOINED})?(?:{_KIND})?")
_MORE = re.compile(
    rf"\s*[,·]\s*(?P<serial>\d{{1,7}}(?:-\d{{1,3}})?)"
    rf"(?![\d.가-힣]|\s*[년월일조항호명원개회쪽면])(?P<after>(?:{_JOINED})?(?:{_KIND})?)"
    rf"|\s*[,·]\s*(?P<last>\d{{1,7}}(?:-\d{{1,3}})?)(?P<kind>{_KIND})"
)
_LIST = re.compile(r"\s*(?:[,·/]|및|와|과|또는)?\s*\Z")
_LOOKBACK = 60


@dataclass(frozen=True)
class CaseCitation:
    """A cited decision. `number` is whole even where the text gives but the serial number of a
    joined case; `court` and `date` (ISO) are "" where the text has none."""

    start: int
    end: int
    number: str
    court: str = ""
    date: str = ""


def joined_numbers(text: str) -> list[str]:
    """The numbers of joined cases: "2015다19117, 19124" → 2015다19117, 2015다19124."""
    numbers: list[str] = []
    for part in re.split(r"[,·]", re.sub(r"\([^()]*\)|\s", "", text)):
        match = _PARTS.match(numbers[-1]) if numbers else None
        if part.isdigit() and match:
            numbers.append(match[1] + part)
        elif part:
            numbers.append(part)
    return numbers


def read_case(text: str, found: re.Match[str], last: CaseCitation | None) -> Iterator[CaseCitation]:
    """The citation whose number was found, and the joined cases that follow it.

    `last` is the citation before it: a list names its court only once. 위 2006도1813 판결 is one
    named earlier, with a court and date of its own.
    """
    begin = max(0, found.start() - _LOOKBACK)
    before = _BEFORE.search(text[begin : found.start()])
    court, date = court_name(before["court"] or ""), to_iso_date(before["date"])
    start = begin + before.start() if before["court"] or before["date"] else found.start()
    if last and not before["court"] and _LIST.match(text[last.end : start]):
        court = last.court
        date = date or last.date
    number = found[0].replace(" ", "")
    first = _PARTS.match(number)
    end = _AFTER.match(text, found.end()).end()
    yield CaseCitation(start, end, number, court, date)
    while more := _MORE.match(text, end):
        serial = more["serial"] or more["last"]
        end = more.end()
        yield CaseCitation(
            more.start("serial" if more["serial"] else "last"), end, first[1] + serial, court, date
        )
