"""Test answers that a model has read: in its training data, or in what its base was trained on.

An answer is contaminated if at least half of its 13-word runs stand there. One run shows nothing:
legal texts repeat their phrases, and 88 % of the answers of one public set share a run with its
training half. Runs that stand in a statute do not count: everybody quotes the law. (Half of the
runs is stricter than GPT-3's single run, arXiv:2005.14165, and laxer than Llama 2's four fifths of
the tokens, arXiv:2307.09288.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lawtune.data.ngram_filter import NgramFilter, load_filters, sampled
from lawtune.data.ngrams import RunSet, hash_runs, words_of
from lawtune.data.provisions import render_article
from lawtune.data.sources import ReadReport, read_source
from lawtune.eval.stats import Bootstrap
from lawtune.eval.table import Observed, table
from lawtune.records import QAPair, Statute
from lawtune.starter import CORPUS

SHARE = 0.5
"""Of an answer's runs; from here on it is contaminated."""

FEWEST_RUNS = 3
"""An answer with fewer runs outside statutes, of those that the filters know, is not judged: one or
two may be a set phrase, or a filter's error."""

Filters = Mapping[str, Sequence[NgramFilter]]
"""By the text they are of: "training" or "pretraining"; one that is not known has none."""


@dataclass(frozen=True)
class Contamination:
    """`judged` of `n` answers had runs enough; `shares` has, for each contaminated one, by its
    place among the records, how much of it stands in each text, and in all together."""

    n: int
    judged: int
    shares: Mapping[int, Mapping[str, float]]
    checked: Sequence[str]
    unknown: Sequence[str]

    @property
    def share(self) -> float | None:
        """Contaminated answers among those judged; None if none was."""
        return len(self.shares) / self.judged if self.judged else None

    def to_json(self, pairs: Sequence[QAPair]) -> dict[str, Any]:
        """The report's account, the contaminated answers by id."""
        answers = [{"id": pairs[index].id, **by} for index, by in self.shares.items()]
        facts = {"n": self.n, "judged": self.judged, "contaminated": len(self.shares)}
        facts |= {"share": self.share, "answers": answers}
        return facts | {"checked": list(self.checked), "unknown": list(self.unknown)}


def contamination(
    pairs: Sequence[QAPair],
    filters: Filters,
    observed: Mapping[str, Observed],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """The report's account: what was found, and, where something was, every figure without the
    contaminated answers. Where no text is known, it says no more than that."""
    if not any(filters.values()):
        return {"checked": [], "unknown": list(filters)}
    found = check_answers(pairs, filters, statute_runs())
    account = found.to_json(pairs)
    if found.shares:
        rest = [index for index in range(len(pairs)) if index not in found.shares]
        account["without"] = {"n": len(rest), "metrics": table(observed, pairs, bootstrap, rest)}
    return account


def known_text(folders: Mapping[str, Path]) -> Filters:
    """The filters that lie beside an adapter and beside its base (`LegalModel.folders`).

    Raises:
        UserError: one is damaged.
    """
    texts = {"adapter": "training", "base": "pretraining"}
    return {texts[part]: load_filters(folder) for part, folder in folders.items()}


def statute_runs(sources: Iterable[Path] = (CORPUS / "statutes",)) -> RunSet:
    """The 13-word runs of every article, as the Q&A and the starter's corpus spell it."""
    records = (record for path in sources for record in read_source(path, ReadReport()))
    articles = (a for record in records if isinstance(record, Statute) for a in record.articles)
    return RunSet(hash_runs(words_of(render_article(article))) for article in articles)


def check_answers(pairs: Sequence[QAPair], filters: Filters, statutes: RunSet) -> Contamination:
    """Which gold answers the texts behind `filters`, at least one of which is known, hold."""
    known = {name: found for name, found in filters.items() if found}
    every = max(one.every for found in known.values() for one in found)
    judged, shares = 0, {}
    for index, pair in enumerate(pairs):
        runs = hash_runs(words_of(pair.answer))
        # Only runs that every filter can know of: a sparse one would look clean else.
        runs = runs[sampled(runs, every) & ~statutes.contains(runs)]
        if len(runs) < FEWEST_RUNS:
            continue
        judged += 1
        held = {name: _held(runs, found) for name, found in known.items()}
        whole = float(np.any(list(held.values()), axis=0).mean())
        if whole >= SHARE:
            by = {name: round(float(mask.mean()), 4) for name, mask in held.items()}
            shares[index] = {"share": round(whole, 4), **by}
    unknown = [name for name, found in filters.items() if not found]
    return Contamination(len(pairs), judged, shares, list(known), unknown)


def _held(runs: np.ndarray, filters: Sequence[NgramFilter]) -> np.ndarray:
    return np.any([one.contains(runs) for one in filters], axis=0)
