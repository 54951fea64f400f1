"""From per-record statistics to the report's entries, overall and by question type."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lawtune.config import QUESTION_TYPES
from lawtune.eval.metrics import METRICS
from lawtune.eval.sample import UNTYPED, type_of
from lawtune.eval.stats import Bootstrap, Estimate, estimate
from lawtune.eval.summed import Statistics, ratio
from lawtune.records import QAPair


@dataclass(frozen=True)
class Observed:
    """One metric's statistics for the records at `index`: [len(index), k] each. `extra` holds
    further statistics whose ratios stand in the metric's entry, [len(index), 2] each."""

    index: Sequence[int]
    tuned: Statistics
    base: Statistics | None = None
    extra: Mapping[str, Statistics] = field(default_factory=dict)


def tabulate(
    observed: Mapping[str, Observed], pairs: Sequence[QAPair], bootstrap: Bootstrap
) -> dict[str | None, dict[str, dict[str, Any]]]:
    """Every metric's entry over all records (under None) and over each question type."""
    present = {type_of(pair) for pair in pairs}
    kinds = [kind for kind in (*QUESTION_TYPES, UNTYPED) if kind in present]
    tables: dict[str | None, dict[str, dict[str, Any]]]
    tables = {None: table(observed, pairs, bootstrap, range(len(pairs)))}
    for kind in kinds:
        members = [index for index, pair in enumerate(pairs) if type_of(pair) == kind]
        tables[kind] = table(observed, pairs, bootstrap, members)
    return tables


def table(
    observed: Mapping[str, Observed],
    pairs: Sequence[QAPair],
    bootstrap: Bootstrap,
    members: Collection[int],
) -> dict[str, dict[str, Any]]:
    """Every metric's entry over the records at `members`."""
    groups = [group_of(pair, index) for index, pair in enumerate(pairs)]
    inside = frozenset(members)
    entries = {}
    for name, seen in observed.items():
        rows = [row for row, index in enumerate(seen.index) if index in inside]
        figure = estimate(
            seen.tuned[rows],
            [groups[seen.index[row]] for row in rows],
            METRICS[name].score,
            bootstrap,
            seen.base[rows] if seen.base is not None else None,
        )
        beside = {key: _ratio(statistics[rows]) for key, statistics in seen.extra.items()}
        entries[name] = entry(figure) | beside
    return entries


def group_of(pair: QAPair, index: int) -> str:
    """The group that a record is resampled with; one without is its own. "\x00" keeps that name
    off any user's."""
    return pair.group or f"\x00{index}"


def entry(figure: Estimate) -> dict[str, Any]:
    """A metric's entry in the report; None where undefined."""
    return {
        "value": figure.value,
        "n": figure.n,
        "ci95": list(figure.ci95) if figure.ci95 else None,
        "base": figure.base,
        "base_ci95": list(figure.base_ci95) if figure.base_ci95 else None,
        "delta": figure.delta,
        "delta_ci95": list(figure.delta_ci95) if figure.delta_ci95 else None,
    }


def _ratio(statistics: Statistics) -> float | None:
    value = float(ratio(statistics.sum(axis=0)))
    return value if math.isfinite(value) else None
