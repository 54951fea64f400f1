"""Questions that a decision answers: how it reads a provision, what it held, whom it followed, and
what came of the facts before it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lawtune.data import phrasing
from lawtune.data.library import LONGEST_ANSWER, Library, case_key, new_pair
from lawtune.data.provisions import one_line
from lawtune.data.quality import (
    LEAST_IN_COMMON,
    incomplete,
    overlap,
    states_outcome,
    unclear,
)
from lawtune.data.references import (
    ArticleReference,
    any_spelling,
    law_key,
    parse_article_references,
    parse_case_references,
)
from lawtune.data.split import case_group
from lawtune.data.superseded import speaks_of_past_law, states_abandoned_doctrine
from lawtune.records import Case, QAPair, Source

LONGEST_ISSUE = 180
"""Characters. A longer issue is three questions in one."""
SHORTEST_ISSUE = 8
"""Characters, provisions left out: 형법 제309조 제1항과 제310조와의 관계 tells nobody what."""
OUTDATED = "case: law of a time gone by"
PROVISIONS = 2
"""Facts that turn on more provisions than these are not one question of application."""
PRECEDENTS = 3
"""Of the precedents that a holding follows, at most so many are asked about."""
LEAST_ALIKE = 0.4
"""Of an issue's character bigrams, at least so many stand in what a precedent held on it."""

_PROVISION = re.compile(
    r"(?:(?<![가-힣])구 )?(?:[가-힣·ㆍ]+법(?:률)?)?(?:\s*시행(?:령|규칙))?"
    r"\s*제\d+(?:조|항|호)(?:의\d+)?(?: ?(?:본문|단서|전단|후단))?"
)
_CONSTRUES = re.compile(
    r"제\d+조|규정|조항|의\s*의미|의\s*취지|해석|개념|정의|범위|요건|에\s*해당하는지"
)
_AMENDED = re.compile(
    r"(?:19|20)\d\d\. \d+\. \d+\. [가-힣 ]{2,12}제\d+호로 "
    r"[가-힣 ]{0,8}(?:개정|폐지)[가-힣 ]{0,6}전의 것(?:을 말한다|이다)?(?:, )?"
)
_ITSELF = re.compile(r"(구 [^()‘’“”]+?)\s*\(이하 [‘“]\1[’”](?:이?라고?) 한다\.?\)")
"""구 관세법(이하 ‘구 관세법’이라 한다): what is left without the date."""
_TERMS = re.compile(r"약관(?!의\s*규제)|면책조항|특약|계약\s?조항|법[률령]?의? ?해석")
_FACTS = re.compile(
    r"(?P<facts>.{30,220}? 사안)(?:에서|에는|에)?, (?P<held>.{4,200}?다)고 (?:한|본) 사례"
)
# What was sought or charged, and what a lower court got wrong: no facts, no conclusion of law.
_PROCEDURE = re.compile(
    r"원심|파기|수긍|위법이|잘못이|법리|위와 같|문제 된 사안"
    r"|(?:기소|구한|신청한|주장한|청구한|제기한|통지를 받은)[가-힣]* 사안"
)


def case_pairs(case: Case, library: Library, rejected: Counter[str]) -> Iterator[QAPair]:
    """The pairs of one decision, an issue at a time. `rejected` counts the issues left out,
    and a decision that has none."""
    if not case.holdings:
        rejected["case: no 판시사항"] += 1
    references = parse_article_references(case.cited_articles)
    overruled = any(changed for _, _, changed in library.citers.get(case_key(case), ()))
    for number, holding in case.holdings.items():
        cited = references.get(number, ())
        if overruled:
            rejected["case: a later decision changed the law laid down"] += 1
            continue
        if states_outcome(holding):
            lost = _lost(case, number, cited, library)
            pair = None if lost else _application(case, holding, cited)
            reason = "case: no facts and conclusion to tell apart"
        else:
            reason = _unfit(case, number, cited)
            if _lost(case, number, cited, library) or _unmarked(case, number, cited):
                reason = OUTDATED
            pair = None
            if reason is None:
                pair = _holding(case, number, cited)
                yield from _impacts(case, number, library)
        if pair:
            yield pair
        else:
            rejected[f"{reason}"] += 1


def _unfit(case: Case, number: str, cited: Sequence[ArticleReference]) -> str | None:
    """Why an issue and its summary make no pair, or None."""
    issue, summary = phrasing.issue_of(case.holdings[number]), _summary(case, number)
    if not summary:
        return "case: no 판결요지 for the issue"
    if len(summary) > LONGEST_ANSWER:
        return "case: 판결요지 too long to be told whole"
    if len(issue) > LONGEST_ISSUE:
        return "case: issue too long to be asked"
    if phrasing.asked_of(issue) is None:
        return "case: issue that asks nothing"
    if _is_little_but_numbers(issue, cited):
        return "case: issue of little but numbers"
    for text in (issue, summary):
        if reason := incomplete(text):
            return f"case: {reason}"
        if speaks_of_past_law(text, case.date):
            return OUTDATED
        if states_abandoned_doctrine(text, case.date):
            return "case: a doctrine given up since"
    if overlap(summary, issue) < LEAST_IN_COMMON:
        return "case: 판결요지 that does not speak to the issue"
    return None


def _is_little_but_numbers(issue: str, cited: Sequence[ArticleReference]) -> bool:
    """Whether an issue names provisions and hardly tells what of them is asked."""
    words = re.sub(any_spelling({law_key(one.law) for one in cited}), "", issue)
    words = _PROVISION.sub("", words).replace(" ", "")
    return words != issue.replace(" ", "") and len(words) < SHORTEST_ISSUE


def _summary(case: Case, number: str) -> str:
    """A 판결요지 without the dates of the amendments that make a statute a former one."""
    text = _AMENDED.sub("", case.summaries.get(number, ""))
    return one_line(_ITSELF.sub(r"\1", re.sub(r"\([\s.,]*(?:이하 같다)?[\s.]*\)", "", text)))


def _lost(case: Case, number: str, cited: Sequence[ArticleReference], library: Library) -> bool:
    """Whether an issue names or cites a provision that the statute of today lacks."""
    texts = [one.label for one in cited if not one.former]
    texts += [case.holdings[number], case.summaries.get(number, "")]
    return any(map(library.has_lost, texts))


def _unmarked(case: Case, number: str, cited: Sequence[ArticleReference]) -> bool:
    """Whether an issue rests on a former statute and calls it by its name alone."""
    text = law_key(f"{case.holdings[number]} {case.summaries.get(number, '')}")
    former = {law_key(one.law) for one in cited if one.former}
    return any(law in text and f"구{law}" not in text for law in former)


def _holding(case: Case, number: str, cited: Sequence[ArticleReference]) -> QAPair:
    """Interpretation where the issue construes a provision that is named, else analysis."""
    issue, summary = phrasing.issue_of(case.holdings[number]), _summary(case, number)
    asked = phrasing.asked_of(issue)
    standing = [one for one in cited if not speaks_of_past_law(one.label, case.date)]
    provision = _construed(issue, summary, standing) if _CONSTRUES.search(issue) else None
    key = case.number + issue
    if provision is None:
        question = phrasing.phrase(
            phrasing.ANALYSE,
            key,
            case=case.citation,
            court="대법원" if case.court == "대법원" else "법원",
            kind="결정" if case.kind.endswith("결정") else "판결",
            year=case.date[:4],
            issue=issue,
            asked=asked,
        )
        source = Source("case", case=case.number, date=case.date)
        return new_pair(
            "precedent_analysis", question, summary, source, (case.citation,), case_group(case)
        )
    told = re.sub(r"[\s·ㆍ]", "", provision.law) in re.sub(r"[\s·ㆍ]", "", issue)
    question = phrasing.phrase(
        phrasing.INTERPRET_NAMED if told else phrasing.INTERPRET,
        key,
        issue=issue,
        asked=asked,
        provision=provision.label,
        year=case.date[:4],
    )
    named = _names(question, provision) or _names(summary, provision)
    return new_pair(
        "law_interpretation",
        question,
        summary if named else f"{summary} ({provision.label})",
        Source(
            "case",
            provision.law,
            provision.label.removeprefix(f"{provision.law} "),
            case.number,
            case.date,
        ),
        (provision.label, case.citation),
        case_group(case),
    )


def _construed(
    issue: str, summary: str, cited: Sequence[ArticleReference]
) -> ArticleReference | None:
    """The cited provision that an issue is about: one that it names, else one that the summary
    does, else the only one. None where the issue is what a contract's terms (약관) mean, or how law
    is construed at all."""
    if _TERMS.search(issue) and not any(_names(issue, reference) for reference in cited):
        return None
    for text in (issue, summary):
        for reference in cited:
            if _names(text, reference):
                return reference
    return cited[0] if len(cited) == 1 else None


def _names(text: str, reference: ArticleReference) -> bool:
    """Whether a text names the article, whatever the blanks and middle dots."""
    bare = re.sub(r"[\s·ㆍ]", "", text)
    law = re.sub(r"[\s·ㆍ]", "", reference.law)
    return bool(re.search(rf"{re.escape(law + reference.article)}(?!의\d)", bare))


def _application(case: Case, holding: str, cited: Sequence[ArticleReference]) -> QAPair | None:
    """The facts of a 사례 as the question; the provisions that it turned on and what was held."""
    match = _FACTS.fullmatch(holding.rstrip(" ."))
    if not match or not 1 <= len(cited) <= PROVISIONS:
        return None
    # 위 행위, 이는 and 甲 may stand in the conclusion: the question tells what they are.
    if unclear(match["facts"]) or unclear(match["held"]):
        return None
    labels = list(dict.fromkeys(reference.label for reference in cited))
    # What the conclusion names need not be said before it.
    named = all(_names(match["held"], reference) for reference in cited)
    lead = "" if named else f"{', '.join(labels)}에 따라 판단하면 "
    answer = f"{lead}{match['held']}."
    told = f"{match['facts']}. {answer}"
    if _PROCEDURE.search(holding) or speaks_of_past_law(told, case.date):
        return None
    if states_abandoned_doctrine(told, case.date):
        return None
    return new_pair(
        "law_application",
        phrasing.phrase(phrasing.APPLY_FACTS, case.number + holding, facts=match["facts"]),
        answer,
        Source("case", case=case.number, date=case.date),
        labels,
        case_group(case),
    )


def _impacts(case: Case, number: str, library: Library) -> Iterator[QAPair]:
    """What a decision made, on one issue, of the precedents that it cites for it."""
    issue = phrasing.issue_of(case.holdings[number])
    cited = parse_case_references(case.cited_cases).get(number, ())
    found = 0
    for reference in cited:
        earlier = library.find(reference)
        if earlier is None or earlier.date >= case.date or found == PRECEDENTS:
            continue
        if not _speaks_to(earlier, issue):
            continue
        found += 1
        question = phrasing.phrase(
            phrasing.IMPACT,
            case.number + earlier.number + issue,
            case=earlier.citation,
            later=case.citation,
            issue=issue,
            asked=phrasing.asked_of(issue),
        )
        verb = "변경하여" if reference.changed else "참조하여"
        yield new_pair(
            "precedent_impact",
            question,
            f"이 판례를 {verb} 다음과 같이 판단하였습니다. {_summary(case, number)}",
            Source("case", case=case.number, date=case.date),
            (earlier.citation, case.citation),
            case_group(case),
        )


def _speaks_to(earlier: Case, issue: str) -> bool:
    """Whether one of a precedent's holdings is on the issue; a list of 참조판례 may also hold those
    on a question beside it."""
    return any(
        overlap(f"{holding} {earlier.summaries.get(number, '')}", issue) >= LEAST_ALIKE
        for number, holding in earlier.holdings.items()
    )
