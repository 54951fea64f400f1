"""From answers to metrics: the one path for those of a model and for those made elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lawtune.data.references import law_key
from lawtune.eval import form, legal, morphemes, similarity
from lawtune.eval.citation_index import CitationIndex
from lawtune.eval.citations import STATUSES, CitationReport, check_text
from lawtune.eval.summed import Statistics, per_record, shares
from lawtune.eval.table import Observed
from lawtune.eval.text import comparable
from lawtune.records import QAPair


@dataclass(frozen=True)
class Answers:
    """One model's answers, in the order of the records asked; `stopped` says of each whether the
    model ended it itself, None where nobody knows."""

    texts: Sequence[str]
    stopped: Sequence[bool] | None = None


@dataclass(frozen=True)
class _Read:
    """Every text's morphemes and citations, found once for all metrics."""

    analyses: morphemes.Analyses
    checked: Mapping[str, CitationReport]

    def words(self, text: str) -> list[str]:
        return morphemes.words(self.analyses[text])

    def content(self, text: str) -> frozenset[str]:
        return legal.content(self.analyses[text])

    def cited(self, *texts: str, kind: str = "") -> frozenset[str]:
        """Articles and decisions; one key for a statute's name with spaces and without."""
        citations = (citation for text in texts for citation in self.checked[text].citations)
        return frozenset(
            law_key(one.key) for one in citations if one.key and kind in ("", one.kind)
        )

    def citation_f1(self, pair: QAPair, said: str, kind: str) -> float | None:
        """Of the `kind` of citation (statute or case; "" both) against the record's. What the gold
        answer cites beyond those is neither right nor wrong."""
        wanted = self.cited(*pair.citations, kind=kind)
        free = self.cited(_asked(pair)) | (self.cited(pair.answer) - wanted)
        return legal.set_f1(self.cited(said, kind=kind), wanted, free)

    def items(self, text: str) -> frozenset[str]:
        """Provisions, decisions and legal terms."""
        terms = legal.find_terms(self.analyses[text], legal.lexicon().terms)
        return self.cited(text) | frozenset(terms)

    def term_share(self, text: str) -> tuple[int, int]:
        return legal.term_share(self.analyses[text], legal.lexicon().terms)

    def status_share(self, text: str, status: str) -> tuple[int, int]:
        report = self.checked[text]
        return report.counts[status], len(report.citations)


Score = Callable[[_Read, QAPair, str], float | None]
"""An answer to a record → its figure, None where the gold set is empty."""

AGAINST_GOLD: Mapping[str, Score] = {
    "rouge1": lambda read, pair, said: similarity.rouge_n(
        read.words(said), read.words(pair.answer), 1
    ),
    "rouge2": lambda read, pair, said: similarity.rouge_n(
        read.words(said), read.words(pair.answer), 2
    ),
    "rougeL": lambda read, pair, said: similarity.rouge_l(
        read.words(said), read.words(pair.answer)
    ),
    "keyword_coverage": lambda read, pair, said: legal.keyword_coverage(
        read.content(said), read.content(pair.answer), read.content(_asked(pair)), legal.lexicon()
    ),
    "legal_relevance": lambda read, pair, said: legal.set_f1(
        read.items(said), read.items(pair.answer), read.items(_asked(pair))
    ),
    "citation_f1": lambda read, pair, said: read.citation_f1(pair, said, ""),
}
"""Means over the records whose gold set is not empty."""

NEEDS_ANALYSER = ("keyword_coverage", "legal_relevance", "legal_term_rate")
"""Not defined over characters."""

Part = Callable[[_Read, str], tuple[int, int]]
"""An answer → (how many, of how many)."""

SHARES: Mapping[str, Part] = {
    "legal_term_rate": lambda read, said: read.term_share(said),
    **{
        f"citation_{status}": lambda read, said, status=status: read.status_share(said, status)
        for status in STATUSES
    },
    "repetition": lambda read, said: form.repeated(form.pieces(said)),
}
"""Shares of all that the answers hold; the gold answer has no part in them."""


def observe_answers(
    pairs: Sequence[QAPair],
    asked: Sequence[int],
    answers: Sequence[Answers],
    index: CitationIndex,
) -> dict[str, Observed]:
    """Every metric of whole answers to the records `asked`.

    Args:
        answers: the tuned model's and, where there is one, its base's.
        index: what citations are checked against.
    """
    records = [pairs[place] for place in asked]
    gold = [record.answer for record in records]
    read = _read(records, answers, index)

    def whole(statistics: Callable[[Sequence[str]], Statistics]) -> Observed:
        return Observed(asked, *(statistics(said.texts) for said in answers))

    def lengths(texts: Sequence[str]) -> Statistics:
        return per_record([form.length(text) for text in texts])

    found = {
        "chrf": whole(lambda texts: similarity.chrf_statistics(texts, gold)),
        "bleu": whole(lambda texts: similarity.bleu_statistics(texts, gold)),
        "bleu_morpheme": whole(
            lambda texts: similarity.morpheme_bleu_statistics(texts, gold, read.analyses)
        ),
        "response_length": replace(whole(lengths), extra={"gold": lengths(gold)}),
        "stopped": _observe_stops(asked, answers),
    }
    for name, score in AGAINST_GOLD.items():
        figures = [
            [score(read, *one) for one in zip(records, said.texts, strict=True)] for said in answers
        ]
        found[name] = _where_defined(asked, figures, per_record)
    for name, part in SHARES.items():
        counts = [[part(read, text) for text in said.texts] for said in answers]
        # Where no answer holds anything of the kind, the record has no part in the figure.
        some = [any(whole for _, whole in row) for row in zip(*counts, strict=True)]
        kept = [[c if keep else None for c, keep in zip(row, some, strict=True)] for row in counts]
        found[name] = _where_defined(asked, kept, shares)
        counts_of_gold = shares([part(read, text) for text in gold])
        found[name] = _beside(found[name], asked, {"gold": counts_of_gold})
    found["citation_f1"] = _beside(found["citation_f1"], asked, _by_kind(read, records, answers[0]))
    if not morphemes.has_analyser():
        undefined = _where_defined(asked, [[None] * len(asked)] * len(answers), per_record)
        found |= dict.fromkeys(NEEDS_ANALYSER, undefined)
    return found


def list_excluded(
    observed: Mapping[str, Observed], pairs: Sequence[QAPair], asked: Sequence[int]
) -> dict[str, list[str]]:
    """The records on which a metric against the gold answer is not defined, by metric."""
    excluded = {}
    for name in AGAINST_GOLD:
        kept = frozenset(observed[name].index)
        if names := [pairs[place].id for place in asked if place not in kept]:
            excluded[name] = names
    return excluded


def _read(records: Sequence[QAPair], answers: Sequence[Answers], index: CitationIndex) -> _Read:
    said = [text for one in answers for text in one.texts]
    texts = dict.fromkeys([*said, *(r.answer for r in records), *map(_asked, records)])
    cited = dict.fromkeys([*texts, *(text for r in records for text in r.citations)])
    checked = {text: check_text(comparable(text), index) for text in cited}
    return _Read(morphemes.analyse(texts), checked)


def _asked(pair: QAPair) -> str:
    """All that an answer may repeat without knowing anything."""
    return f"{pair.question}\n{pair.context}" if pair.context else pair.question


def _observe_stops(asked: Sequence[int], answers: Sequence[Answers]) -> Observed:
    stops = [said.stopped if said.stopped else [None] * len(asked) for said in answers]
    return _where_defined(asked, stops, per_record)


def _by_kind(read: _Read, records: Sequence[QAPair], tuned: Answers) -> dict[str, Statistics]:
    """F1 of articles and of decisions alone, and what the gold answers would score."""

    def means(texts: Sequence[str], kind: str) -> Statistics:
        figures = [
            read.citation_f1(pair, text, kind) for pair, text in zip(records, texts, strict=True)
        ]
        return shares([(0, 0) if one is None else (one, 1) for one in figures])

    return {
        "articles": means(tuned.texts, "statute"),
        "decisions": means(tuned.texts, "case"),
        "gold": means([pair.answer for pair in records], ""),
    }


def _beside(observed: Observed, asked: Sequence[int], extra: Mapping[str, Statistics]) -> Observed:
    """With further statistics of all that was asked, of which the observed records are kept."""
    kept = frozenset(observed.index)
    rows = [row for row, place in enumerate(asked) if place in kept]
    return replace(observed, extra={name: values[rows] for name, values in extra.items()})


def _where_defined(
    asked: Sequence[int], figures: Sequence[Sequence], to_statistics: Callable[..., Statistics]
) -> Observed:
    """The records for which every model has a figure."""
    rows = [
        (place, row)
        for place, row in zip(asked, zip(*figures, strict=True), strict=True)
        if None not in row
    ]
    columns = [[row[model] for _, row in rows] for model in range(len(figures))]
    return Observed([place for place, _ in rows], *map(to_statistics, columns))
