"""Questions and answers of five types, quoted or composed from the sources, never invented.

An answer quotes an article's text only from a source of its own split, so that no text of a test
source is ever learnt by way of a training answer; citing is free.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lawtune.data import phrasing
from lawtune.data.provisions import is_deleted, render_article, render_provisions
from lawtune.data.quality import lacks_promised_items, states_outcome
from lawtune.data.references import (
    ArticleReference,
    law_key,
    parse_article_references,
    parse_case_references,
)
from lawtune.data.sources import Record
from lawtune.data.split import article_group, case_group, interpretation_group
from lawtune.records import Article, Case, Interpretation, QAPair, Source, Statute, fingerprint

MAX_QUOTED_CHARACTERS = 420
"""Of a cited article, at most so much is quoted in an answer on application."""
MAX_LISTED_CASES = 5
_CONSTRUES = re.compile(
    r"제\d+조|규정|조항|의\s*의미|의\s*취지|해석|개념|정의|범위|요건|에\s*해당하는지"
)


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


def make_pairs(
    library: Library, split_of: Callable[[str], str], rejected: Counter[str]
) -> Iterator[QAPair]:
    """Every candidate pair, in a fixed order. `rejected` counts what could not become one."""
    for statute in library.statutes.values():
        yield from _explanations(statute, rejected)
    for case in library.cases.values():
        yield from _case_pairs(case, library, split_of, rejected)
        yield from _impacts(case, library)
    for reply in library.replies:
        yield _reply(reply)


def _pair(kind: str, question: str, answer: str, source: Source, **rest: object) -> QAPair:
    name = f"{kind}-{fingerprint(question, answer)}"
    return QAPair(question, answer, id=name, type=kind, source=source, **rest)


def _explanations(statute: Statute, rejected: Counter[str]) -> Iterator[QAPair]:
    for article in statute.articles:
        if article.deleted:
            rejected["law_explanation: deleted article"] += 1
            continue
        text = render_article(article)
        if not text:
            rejected["law_explanation: article without text"] += 1
            continue
        if lacks_promised_items(text):
            rejected["law_explanation: list lost in the source"] += 1
            continue
        title = f"({article.title})" if article.title else ""
        yield _explanation(statute, article, f"{article.label}", title, text)
        if len(text) <= MAX_QUOTED_CHARACTERS:
            continue
        # A long article is also asked about paragraph by paragraph.
        for provision in article.provisions:
            if provision.level == "항" and not is_deleted(provision):
                text = "\n".join([provision.text, *render_provisions(provision.children)])
                label = f"{article.label} {provision.label}"
                yield _explanation(statute, article, label, "", text)


def _explanation(statute: Statute, article: Article, label: str, title: str, text: str) -> QAPair:
    group = article_group(statute.name, article.label)
    templates = phrasing.EXPLAIN if article.title and title else phrasing.EXPLAIN_PARAGRAPH
    parts = {"law": statute.name, "label": label, "title": title, "topic": article.title}
    question = phrasing.phrase(templates, f"{group}{label}", **parts)
    # An answer that repeats what the question says is chosen by overlap and teaches little; only
    # where the question does not name the article must the answer do so.
    named = label in question
    lead = phrasing.phrase(
        ("{law} {label}{title}{은} 다음과 같이 정하고 있습니다.\n",), "", **parts
    )
    return _pair(
        "law_explanation",
        question,
        text if named else lead + text,
        Source("statute", statute.name, article.label, date=statute.effective or None),
        citations=(f"{statute.name} {label}",),
        group=group,
    )


def _case_pairs(
    case: Case, library: Library, split_of: Callable[[str], str], rejected: Counter[str]
) -> Iterator[QAPair]:
    """Interpretation, analysis and application, one holding at a time."""
    references = parse_article_references(case.cited_articles)
    for number, holding in case.holdings.items():
        if states_outcome(holding):
            rejected["case: the issue states its outcome"] += 1
            continue
        issue = phrasing.issue_of(holding)
        cited = references.get(number, ())
        summary = case.summaries.get(number)
        if summary is None:
            rejected["case: no 판결요지 for the issue"] += 1
        elif cited and not cited[0].former and _CONSTRUES.search(issue):
            yield _interpretation(case, issue, summary, cited)
        else:
            yield _analysis(case, issue, summary, cited)
        if cited:
            application = _application(case, issue, cited, library, split_of)
            if application:
                yield application
            else:
                rejected["law_application: no provision in the sources"] += 1


def _interpretation(
    case: Case, issue: str, summary: str, cited: Sequence[ArticleReference]
) -> QAPair:
    first = cited[0]
    question = phrasing.phrase(
        phrasing.INTERPRET, case.number + issue, provision=first.label, issue=issue
    )
    return _pair(
        "law_interpretation",
        question,
        f"{summary} ({case.citation})",
        Source(
            "case", first.law, first.label.removeprefix(f"{first.law} "), case.number, case.date
        ),
        citations=(case.citation, *(reference.label for reference in cited)),
        group=case_group(case),
    )


def _analysis(case: Case, issue: str, summary: str, cited: Sequence[ArticleReference]) -> QAPair:
    question = phrasing.phrase(
        phrasing.ANALYSE, case.number + issue, case=case.citation, issue=issue
    )
    return _pair(
        "precedent_analysis",
        question,
        summary,
        Source("case", case=case.number, date=case.date),
        citations=(case.citation, *(reference.label for reference in cited)),
        group=case_group(case),
    )


def _application(
    case: Case,
    issue: str,
    cited: Sequence[ArticleReference],
    library: Library,
    split_of: Callable[[str], str],
) -> QAPair | None:
    """The provisions that govern an issue and, where the split allows, what they say today. None
    if the sources know none of them."""
    group = case_group(case)
    lines, known = [], 0
    for reference in cited:
        found = None if reference.former else library.article(reference)
        if found is None:
            lines.append(f"- {reference.label}")
            continue
        statute, article = found
        titled = reference.with_title(article.title)
        text = _quotable(article, reference)
        own = split_of(article_group(statute.name, article.label)) == split_of(group)
        if own and text and len(text) <= MAX_QUOTED_CHARACTERS:
            lines.append(f"- {titled}: {text}")
        else:
            lines.append(f"- {titled}")
        known += 1
    if not known:
        return None
    return _pair(
        "law_application",
        phrasing.phrase(phrasing.APPLY, case.number + issue, issue=issue),
        "이 쟁점에는 다음 조항이 적용됩니다.\n" + "\n".join(lines),
        Source("case", case=case.number, date=case.date),
        citations=tuple(reference.label for reference in cited),
        group=group,
    )


def _quotable(article: Article, reference: ArticleReference) -> str:
    """The cited 항, or the whole article, on one line; empty if its list was lost."""
    lines = render_article(article).split("\n")
    if reference.paragraph:
        chosen = [p for p in article.provisions if p.number == reference.paragraph]
        lines = render_provisions([p for p in chosen if p.level == "항"])
    text = "\n".join(lines)
    return "" if lacks_promised_items(text) else text.replace("\n", " ")


def _impacts(case: Case, library: Library) -> Iterator[QAPair]:
    """What a decision was later cited for: one pair for each of its own issues."""
    by_issue: dict[str, list[tuple[Case, str, bool]]] = defaultdict(list)
    issues = {n: phrasing.issue_of(h) for n, h in case.holdings.items() if not states_outcome(h)}
    for citing, part, changed in library.citers.get(case_group(case), ()):
        topic = citing.holdings.get(part, "")
        if issues and topic:
            nearest = max(issues, key=lambda n: (_shared(issues[n], topic), n))
            by_issue[nearest].append((citing, part, changed))
    for number, citing in by_issue.items():
        yield _impact(case, issues[number], citing)


def _impact(case: Case, issue: str, citing: Sequence[tuple[Case, str, bool]]) -> QAPair:
    lines = []
    for later, part, changed in citing[:MAX_LISTED_CASES]:
        provisions = parse_article_references(later.cited_articles).get(part, ())
        about = ", ".join(reference.label for reference in provisions[:3])
        verb = "이 판례를 변경하였습니다" if changed else "이 판례를 참조하였습니다"
        context = f"{about}에 관한 판단에서 " if about else ""
        lines.append(f"- {later.citation}: {context}{verb}.")
    more = len(citing) - MAX_LISTED_CASES
    lines += [f"- 그 밖에 {more}건의 판결이 있습니다."] if more > 0 else []
    return _pair(
        "precedent_impact",
        phrasing.phrase(phrasing.IMPACT, case.number + issue, case=case.citation, issue=issue),
        "이후의 판결은 다음과 같습니다.\n" + "\n".join(lines),
        Source("case", case=case.number, date=case.date),
        citations=(case.citation, *(later.citation for later, _, _ in citing[:MAX_LISTED_CASES])),
        group=case_group(case),
    )


def _shared(first: str, second: str) -> int:
    """How many character bigrams two texts share: which issue a later decision took up."""
    bigrams = {first[i : i + 2] for i in range(len(first) - 1)}
    return len(bigrams & {second[i : i + 2] for i in range(len(second) - 1)})


def _reply(reply: Interpretation) -> QAPair:
    return _pair(
        "law_interpretation",
        _tidy(reply.question),
        _tidy(reply.answer),
        Source("interpretation", case=reply.number, date=reply.date or None),
        citations=reply.statutes,
        group=interpretation_group(reply),
    )


def _tidy(text: str) -> str:
    """Official replies come with a line break after every word and blanks inside 제 2 조."""
    text = re.sub(r"[□◦○ㅇ▪■▶※]\s*", "", " ".join(text.split()))
    text = re.sub(r"\s+([,.)\]」｣’”])", r"\1", re.sub(r"([(\[「｢‘“])\s+", r"\1", text))
    return re.sub(r"제\s*(\d+)\s*(조|항|호)", r"제\1\2", text).strip(" -")
