"""What pairs of question and answer are made from, and the form that every pair takes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from lawtune.data.provisions import is_deleted
from lawtune.data.references import ArticleReference, law_key, parse_case_references
from lawtune.data.sources import Record
from lawtune.data.split import case_group
from lawtune.records import Article, Case, Interpretation, QAPair, Source, Statute, fingerprint

LONGEST_ANSWER = 550
"""Characters, about 230 tokens of a Korean tokenizer: a longer text is not asked about, since half
of it would be no answer and all of it no lesson in where to stop."""


@dataclass
class Library:
    """Everything that pairs refer to: articles by law and number, decisions, and who cites whom.

    `citers` maps a decision's group to (citing decision, number of its 참조판례 part, whether it
    changed the law laid down).
    """

    statutes: dict[str, Statute] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    citers: dict[str, list[tuple[Case, str, bool]]] = field(
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
                library.cases.setdefault(case_group(record), replace(record, body=""))
            elif isinstance(record, Interpretation):
                library.replies.append(record)
        for key, statute in library.statutes.items():
            library._articles[key] = {a.number: a for a in statute.articles}
        for case in sorted(library.cases.values(), key=lambda case: (case.date, case.number)):
            for part, cited in parse_case_references(case.cited_cases).items():
                for number, changed in cited:
                    if number in library.cases and number != case_group(case):
                        library.citers[number].append((case, part, changed))
        return library

    def article(self, reference: ArticleReference) -> tuple[Statute, Article] | None:
        """The article as it stands today, or None if the library lacks it or it was deleted."""
        key = law_key(reference.law)
        article = self._articles.get(key, {}).get(reference.number)
        return None if article is None or article.deleted else (self.statutes[key], article)

    def has_lost(self, reference: ArticleReference) -> bool:
        """Whether the statute as it stands today has no such article or 항 any more. A statute that
        the library lacks has lost nothing."""
        articles = self._articles.get(law_key(reference.law), {})
        article = articles.get(reference.number)
        if article is None or article.deleted:
            return bool(articles)
        paragraphs = {p.number: p for p in article.provisions if p.level == "항"}
        if reference.paragraph is None or not paragraphs:
            return False
        found = paragraphs.get(reference.paragraph)
        return found is None or is_deleted(found)


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
