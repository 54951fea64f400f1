"""What pairs of question and answer are made from, and the form that every pair takes."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from lawtune.data.provisions import is_deleted
from lawtune.data.references import (
    CaseReference,
    any_spelling,
    court_name,
    law_key,
    parse_case_references,
)
from lawtune.data.sources import Record
from lawtune.data.split import case_group
from lawtune.records import Article, Case, Interpretation, QAPair, Source, Statute, fingerprint

LONGEST_ANSWER = 550
"""Characters, about 230 tokens of a Korean tokenizer: a longer text is not asked about, since half
of it would be no answer and all of it no lesson in where to stop."""

_SEAT = re.compile(r"\s*(\([^()]*\))")


@dataclass
class Library:
    """Everything that pairs refer to: articles by law and number, decisions, and who cites whom.

    `citers` maps a decision's `case_key` to (citing decision, number of its 참조판례 part, whether
    it changed the law laid down).
    """

    statutes: dict[str, Statute] = field(default_factory=dict)
    cases: dict[tuple[str, str], Case] = field(default_factory=dict)
    citers: dict[tuple[str, str], list[tuple[Case, str, bool]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    replies: list[Interpretation] = field(default_factory=list)
    _articles: dict[str, dict[str, Article]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Library":
        """Collect the records; decisions' bodies are let go, so that memory stays small."""
        library = cls()
        for record in records:
            if isinstance(record, Statute):
                library.statutes.setdefault(law_key(record.name), record)
            elif isinstance(record, Case):
                library.cases.setdefault(case_key(record), replace(record, body=""))
            elif isinstance(record, Interpretation):
                library.replies.append(record)
        for key, statute in library.statutes.items():
            library._articles[key] = {a.number: a for a in statute.articles}
        for case in sorted(library.cases.values(), key=lambda case: (case.date, case.number)):
            for part, references in parse_case_references(case.cited_cases).items():
                for reference in references:
                    cited = library.find(reference)
                    if cited and cited is not case:
                        citer = (case, part, reference.changed)
                        library.citers[case_key(cited)].append(citer)
        return library

    def find(self, reference: CaseReference) -> Case | None:
        """The decision that is meant: of its court, if one is named. None where the library lacks
        it, or where several courts' decisions bear the number and it may be any of them."""
        found = [
            case
            for case in self._by_number.get(reference.number, ())
            if not (reference.court and case.court) or court_name(case.court) == reference.court
        ]
        return found[0] if len(found) == 1 else None

    @cached_property
    def _by_number(self) -> dict[str, list[Case]]:
        by_number: dict[str, list[Case]] = defaultdict(list)
        for case in self.cases.values():
            by_number[case_group(case)].append(case)
        return by_number

    def has_lost(self, text: str) -> bool:
        """Whether `text` names, without 구, an article, 항 or 호 that its statute as it stands
        today has no more. A statute that the library lacks has lost nothing."""
        for match in self._provisions.finditer(text):
            former, law, *numbers = match.groups(default="")
            number, branch, paragraph, item, item_branch = numbers
            article = self._articles[law_key(law)].get(number + (branch and f"의{branch}"))
            item += item_branch and f"의{item_branch}"
            if not former and _lacks(article, paragraph, item):
                return True
        return False

    @cached_property
    def _provisions(self) -> re.Pattern[str]:
        """A provision of one of the statutes: (구), name, article, 항, 호."""
        names = any_spelling(self._articles)
        branch = r"(?:의\s*(\d+))?"
        return re.compile(
            rf"(?<![가-힣])(구\s*)?({names or '(?!)'})(?:\s*\((?![^()]*전의 것)[^()]*\))?"
            rf"\s*제(\d+)조{branch}(?:\s*제(\d+)항)?(?:\s*제(\d+)호{branch})?"
        )


def case_key(case: Case) -> tuple[str, str]:
    """What makes a decision another one: its number, which lower courts each count for themselves,
    and its court, with the seat that counts for itself, too. 부산고등법원(창원) 2011노5 is
    부산고등법원 (창원)2011노5."""
    seat = _SEAT.search(case.court) or _SEAT.match(case.number)
    return case_group(case), court_name(case.court) + (seat[1] if seat else "")


def _lacks(article: Article | None, paragraph: str, item: str) -> bool:
    """Whether an article has no such 항 or 호 ("": none is named)."""
    if article is None or article.deleted:
        return True
    units = {unit.number: unit for unit in article.provisions if unit.level == "항"}
    if paragraph and units:
        if paragraph not in units or is_deleted(units[paragraph]):
            return True
        below = units[paragraph].children
    else:
        below = article.provisions
    items = {unit.number: unit for unit in below if unit.level == "호"}
    if not item or not (items or units):
        return False
    return item not in items or is_deleted(items[item])


def new_pair(
    kind: str, question: str, answer: str, source: Source, citations: Sequence[str], group: str
) -> QAPair:
    """A pair of type `kind`, named after what it says."""
    return QAPair(
        question,
        answer,
        id=f"{kind}-{fingerprint(question, answer)}",
        type=kind,
        source=source,
        citations=tuple(dict.fromkeys(citations)),
        group=group,
    )
