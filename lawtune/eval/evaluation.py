"""The report's data: figures, answers and what made them, however the answers came about."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lawtune import __version__
from lawtune.config import EvaluateConfig, ScoreConfig
from lawtune.errors import UserError
from lawtune.eval.answers import list_excluded
from lawtune.eval.citation_index import CitationIndex, load_index
from lawtune.eval.exhibits import exhibit, worst
from lawtune.eval.metrics import METRICS
from lawtune.eval.sample import by_law, spread, type_of
from lawtune.eval.stats import Bootstrap
from lawtune.eval.table import Observed, group_of, tables, tabulate
from lawtune.options import to_dict
from lawtune.records import QAPair, composed, fingerprint
from lawtune.starter import CORPUS

SAMPLES = 10
"""Answers shown in full in the report."""


@dataclass(frozen=True)
class Evaluation:
    """Figures, answers and what made them; the shape of `evaluation_report.json` but for
    `predictions`, which are the lines of `predictions.jsonl`."""

    n: int
    signature: str
    metrics: Mapping[str, Mapping[str, Any]]
    by_question_type: Mapping[str, Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]
    run: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]] = ()
    by_law: Mapping[str, Mapping[str, Any]] | None = None
    calibration: Mapping[str, Any] | None = None
    worst: Sequence[Mapping[str, Any]] | None = None
    contamination: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; a part that was not looked into is absent."""
        names = ("n", "signature", "metrics", "by_question_type", "samples", "run")
        parts = ("by_law", "calibration", "worst", "contamination")
        found = {name: part for name in parts if (part := getattr(self, name))}
        return {name: getattr(self, name) for name in names} | found


@dataclass(frozen=True)
class Answered:
    """What was answered: the cleaned records, the places of those answered in full, and what was
    said, a line of `predictions.jsonl` each; `index` is what citations are checked against."""

    pairs: Sequence[QAPair]
    asked: Sequence[int]
    rows: Sequence[Mapping[str, Any]]
    index: CitationIndex


def assemble(
    answered: Answered,
    observed: Mapping[str, Observed],
    config: ScoreConfig,
    run: Mapping[str, Any],
) -> Evaluation:
    """The evaluation that follows from per-record statistics; `run` says what else made it."""
    pairs, asked, index = answered.pairs, answered.asked, answered.index
    observed = {name: observed[name] for name in METRICS if name in observed}
    bootstrap = Bootstrap(config.bootstrap, config.seed)
    figures, laws = tabulate(observed, pairs, bootstrap), by_law(pairs)
    shown = [
        exhibit(pairs[place], row, index) for place, row in zip(asked, answered.rows, strict=True)
    ]
    about = describe_setting(pairs, config) | {
        "generated": len(asked),
        "excluded": list_excluded(observed, pairs, asked),
        "citation_index_as_of": index.as_of,
    }
    return Evaluation(
        n=len(pairs),
        signature=sign(observed, pairs, config, index),
        metrics=figures[None],
        by_question_type={
            kind: {"n": sum(type_of(pair) == kind for pair in pairs), "metrics": entries}
            for kind, entries in figures.items()
            if kind is not None
        },
        samples=[shown[place] for place in spread([pairs[i] for i in asked], SAMPLES)],
        run=about | run,
        predictions=answered.rows,
        by_law={
            law: {"n": len(laws[law]), "metrics": entries}
            for law, entries in tables(observed, pairs, bootstrap, laws).items()
        },
        worst=worst(shown),
    )


def refuse_ambiguous_ids(pool: Sequence[QAPair]) -> None:
    """An id must name one record; the same one may stand there twice.

    Raises:
        UserError: two different records share one.
    """
    records: dict[str, tuple[str, str | None, str]] = {}
    for pair in pool:
        record = pair.question, pair.context, pair.answer
        if records.setdefault(pair.id, record) != record:
            raise UserError(
                f"two different records have the id {pair.id!r}: their predictions could not be"
                " told apart. Give every record an id of its own"
            )


def law_index(config: ScoreConfig) -> CitationIndex:
    """What citations are checked against: the config's sources, or the law that ships."""
    return _load_index(config.sources or (str(CORPUS),))


@lru_cache(maxsize=1)
def _load_index(sources: tuple[str, ...]) -> CitationIndex:
    return load_index([Path(source) for source in sources])


def sign(
    names: Iterable[str],
    pairs: Sequence[QAPair],
    config: ScoreConfig,
    index: CitationIndex | None = None,
) -> str:
    """What must be equal for two reports to be compared: data, settings, the law that citations
    were checked against, and each metric's own signature."""
    head = f"lawtune:{__version__}|data:{name_data(pairs)}|seed:{config.seed}"
    if isinstance(config, EvaluateConfig):
        generate = "all" if config.generate is None else config.generate
        head += f"|generate:{generate}|max_new_tokens:{config.max_new_tokens}"
    head += f"|bootstrap:{config.bootstrap} by group, studentised"
    if index:
        known = f"{len(index.statutes)} statutes, {len(index.cases)} case numbers"
        head += f"|law:{index.fingerprint}, {known}, as of {index.as_of or 'no date'}"
    return "; ".join([head, *(f"{name} = {METRICS[name].signature()}" for name in names)])


def name_data(pairs: Iterable[QAPair]) -> str:
    """Twelve hex digits that name all that a figure may follow from in these records."""
    return fingerprint(*(text for pair in pairs for text in _what_counts(pair)))


def _what_counts(pair: QAPair) -> tuple[str, ...]:
    """All of a record that a figure may follow from."""
    texts = (pair.question, pair.answer, pair.type, pair.context, pair.group)
    return (*(text or "" for text in texts), *pair.citations, "", *pair.distractors, "")


def describe_setting(pairs: Sequence[QAPair], config: ScoreConfig) -> dict[str, Any]:
    """Settings, number of groups, versions, machine."""
    versions = {"lawtune": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "sacrebleu", "kiwipiepy", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "config": to_dict(config),
        "groups": len({group_of(pair, index) for index, pair in enumerate(pairs)}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def cleaned(pair: QAPair) -> QAPair:
    """The pair as its twins in NFD or with other line ends are read."""
    context = composed(pair.context) if pair.context else None
    return replace(
        pair,
        question=composed(pair.question),
        answer=composed(pair.answer),
        context=context,
        distractors=tuple(map(composed, pair.distractors)),
    )
