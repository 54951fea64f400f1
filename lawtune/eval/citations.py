"""Checking citations: is there such an article, such a decision, and does it say that?

Four states, and never a guess between them: verified, absent (the index has the statute, the
statute has no such article), mismatch (there is one, but its title, paragraph or wording differ, or
a decision's date or court does), unchecked (the index does not cover it).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lawtune.data.references import court_name, law_key
from lawtune.eval.citation_cases import CaseCitation
from lawtune.eval.citation_extract import Found, extract
from lawtune.eval.citation_index import CitationIndex, IndexedArticle
from lawtune.eval.citation_units import ADDENDA, Unit

VERIFIED, ABSENT, MISMATCH, UNCHECKED = STATUSES = ("verified", "absent", "mismatch", "unchecked")

_TEXTS = {
    "ko": {
        "states": dict(zip(STATUSES, ("확인됨", "조문 없음", "불일치", "확인 못 함"), strict=True)),
        "counts": "인용 {n}건: {counts}",
        "coverage": "대조한 비율(coverage): {share} · 색인 기준일: {as_of}",
        "note": "'확인 못 함'은 색인에 없는 법령·판례, 구법, 어느 법인지 알 수 없는 조문입니다.",
        "none": "인용을 찾지 못했습니다. 색인 기준일: {as_of}",
    },
    "en": {
        "states": {status: status for status in STATUSES},
        "counts": "{n} citations: {counts}",
        "coverage": "coverage: {share} · index as of {as_of}",
        "note": "unchecked: a statute or decision not in the index, former law, or an article of"
        " an unknown statute.",
        "none": "No citation found. Index as of {as_of}",
    },
}
_SAME_TITLE = 2 / 3
"""Share of the letters that must be left: 양도 금지 is 양도 등의 금지."""
_SHORTEST_QUOTE = 8
"""Letters; a shorter piece of a quotation could stand anywhere."""
_ELLIPSIS = re.compile(r"…+|\.{3,}|·{3,}|\((?:중략|생략)\)|[①-⑳]|(?<!\d)\d{1,2}\.(?!\d)")
_HANJA = re.compile(r"\([\u3400-\u9fff\uf900-\ufaff]+\)")
_NOT_LETTERS = re.compile(r"[^\w]|[_ㆍ]")


@dataclass(frozen=True)
class Citation:
    """A citation with its status; `start` and `end` are positions in the text as given."""

    text: str
    kind: str
    law: str | None
    article: str | None
    case: str | None
    status: str
    start: int
    end: int

    @property
    def key(self) -> str | None:
        """민법 제750조, 2013다61381; None for an article of a statute that is not named."""
        return _key(self.law, self.article, self.case)


@dataclass(frozen=True)
class CitationReport:
    """What a text cites. `as_of` is the last day (ISO) that the index knows of."""

    citations: tuple[Citation, ...]
    as_of: str

    @property
    def counts(self) -> Counter[str]:
        """How many citations there are of each status."""
        return Counter(citation.status for citation in self.citations)

    @property
    def coverage(self) -> float | None:
        """The share of citations that the index could check; None where there is none."""
        if not self.citations:
            return None
        return 1 - self.counts[UNCHECKED] / len(self.citations)

    def to_json(self) -> dict[str, Any]:
        """{"citations": […], "coverage", "as_of"}."""
        rows = [vars(citation) for citation in self.citations]
        return {"citations": rows, "coverage": self.coverage, "as_of": self.as_of}


def check_text(text: str, index: CitationIndex, as_of: str | None = None) -> CitationReport:
    """Find and check every citation of a text.

    `as_of` is the text's own date (ISO). A statute that the index has only in a later version is
    then unchecked: it may have changed since. Without it the text is taken to speak of the law as
    the index has it.
    """
    citations = tuple(
        _to_citation(text, found, _status(found, index, as_of))
        for found in extract(text, index.names)
    )
    return CitationReport(citations, index.as_of)


def citation_keys(text: str) -> list[str]:
    """The provisions and decisions that a text cites, each once, in order: "민법 제750조",
    "2013다61381". Articles whose statute the text does not name are left out."""
    keys = (_key(*_parts(found)) for found in extract(text))
    return list(dict.fromkeys(key for key in keys if key))


def classify(text: str, index: CitationIndex) -> Counter[str]:
    """How many citations of each status a text has."""
    return check_text(text, index).counts


def format_citations(report: CitationReport, lang: str) -> str:
    """One line a citation with its status and, where it says more, the key it was resolved to;
    then the counts, the coverage and the index's date."""
    words = _TEXTS[lang]
    as_of = report.as_of or "-"
    if report.coverage is None:
        return words["none"].format(as_of=as_of)
    lines = []
    for citation in report.citations:
        written = " ".join(citation.text.split())
        meant = f" → {citation.key}" if citation.key and citation.key not in written else ""
        lines.append(f"{words['states'][citation.status]}\t{written}{meant}")
    counts = " · ".join(
        f"{words['states'][status]} {report.counts[status]}"
        for status in STATUSES
        if report.counts[status]
    )
    lines.append("")
    lines.append(words["counts"].format(n=len(report.citations), counts=counts))
    lines.append(words["coverage"].format(share=f"{report.coverage:.0%}", as_of=as_of))
    if report.counts[UNCHECKED]:
        lines.append(words["note"])
    return "\n".join(lines)


def _parts(found: Found) -> tuple[str | None, str | None, str | None]:
    if isinstance(found, CaseCitation):
        return None, None, found.number
    return found.law, found.article, None


def _key(law: str | None, article: str | None, case: str | None) -> str | None:
    return case or (f"{law} {article}" if law else None)


def _to_citation(text: str, found: Found, status: str) -> Citation:
    law, article, case = _parts(found)
    kind = "case" if case else "statute"
    written = text[found.start : found.end]
    return Citation(written, kind, law, article, case, status, found.start, found.end)


def _status(found: Found, index: CitationIndex, as_of: str | None) -> str:
    if isinstance(found, CaseCitation):
        return _case_status(found, index)
    statute = index.statutes.get(law_key(found.law)) if found.law else None
    if statute is None or found.former or found.article.startswith(ADDENDA):
        return UNCHECKED
    if as_of and statute.effective > as_of:
        return UNCHECKED
    article = statute.articles.get(found.article)
    if article is None or article.deleted:
        return ABSENT
    if not (_same_title(found.title, article.title) or _is_offence(found.title, article)):
        # 제5조(목적) far from any statute's name: another title only shows a wrong guess at whose.
        return UNCHECKED if found.inferred else MISMATCH
    there = [_has_place(article, unit) for unit in found.units]
    # Of a list that the source left out, neither a number nor a word can be missed.
    agrees = None in there or _says(f"{article.title} {article.text}", found.quote)
    return VERIFIED if agrees and False not in there else MISMATCH


def _case_status(found: CaseCitation, index: CitationIndex) -> str:
    cases = index.cases.get(found.number)
    if not cases:
        return UNCHECKED
    agree = (
        found.date in ("", case.date) and found.court in ("", court_name(case.court))
        for case in cases
    )
    return VERIFIED if any(agree) else MISMATCH


def _same_title(cited: str, title: str) -> bool:
    """Whether a title is meant: 불법행위 for 불법행위의 내용 will do, 부당이득 will not. Letters
    may be left out, none may be another: 합병의 무효 is not 합병의 효과."""
    mine, its = _letters(cited), _letters(title)
    if not mine or not its or mine in its or its in mine:
        return True
    shorter, longer = sorted((mine, its), key=len)
    return len(shorter) >= _SAME_TITLE * len(longer) and _in_order(shorter, longer)


def _in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _is_offence(cited: str, article: IndexedArticle) -> bool:
    """Whether a name like 사문서위조죄 is the article's offence: its letters stand in the title
    (사문서등의 위조·변조), or its words in the text (뇌물수수죄: 뇌물을 수수, 요구 또는 약속)."""
    offence = _letters(cited)
    if not offence.endswith("죄"):
        return False
    offence, text = offence.removesuffix("죄"), _letters(article.text)
    words = (offence[i : i + 2] for i in range(0, len(offence), 2))
    return _in_order(offence, _letters(article.title)) or all(word in text for word in words)


def _has_place(article: IndexedArticle, unit: Unit) -> bool | None:
    """Whether an article has the 항, 호 and 목 cited; None if they are of a list that the article
    announces and the source left out, which shows nothing."""
    paragraph, item, subitem = unit
    if paragraph not in article.places:
        return False
    # 제2조 제1호, where the article has several 항, may stand in any of them.
    above = [paragraph] if paragraph else [p for p in article.places if "/" not in p]
    for number in filter(None, (item, subitem)):
        below = [f"{place}/{number}" for place in above]
        found = [place for place in below if place in article.places]
        if not found:
            return None if any(place in article.lists for place in above) else False
        above = found
    return True


def _says(text: str, quote: str) -> bool:
    """Whether an article's text has every piece of a quotation, spaces and marks aside."""
    whole = _letters(text)
    pieces: Sequence[str] = [_letters(piece) for piece in _ELLIPSIS.split(quote)]
    return all(piece in whole for piece in pieces if len(piece) >= _SHORTEST_QUOTE)


def _letters(text: str) -> str:
    return _NOT_LETTERS.sub("", _HANJA.sub("", text))
