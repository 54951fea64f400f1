"""From per-record statistics to the report's entries, overall and by question type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lawtune.config import QUESTION_TYPES
from lawtune.eval.metrics import METRICS, Statistics
from lawtune.eval.sample import UNTYPED, type_of
from lawtune.eval.stats import Bootstrap, Estimate, estimate
from lawtune.records import QAPair


@dataclass(frozen=True)
class Observed:
    """One metric's statistics for the records at `index`: [len(index), k] each. `extra` holds
    further per-record values whose means stand in the metric's entry."""

    index: Sequence[int]
    tuned: Statistics
    base: Statistics | None = None
    extra: Mapping[str, Sequence[float]] = field(default_factory=dict)


def tabulate(
    observed: Mapping[str, Observed], pairs: Sequence[QAPair], bootstrap: Bootstrap
) -> dict[str | None, dict[str, dict[str, Any]]]:
    """Every metric's entry over all records (under None) and over each question type."""
    # A record without a group is its own group; "\x00" keeps its name off any user's.
    groups = [pair.group or f"\x00{index}" for index, pair in enumerate(pairs)]
    present = {type_of(pair) for pair in pairs}
    kinds = [None, *(kind for kind in (*QUESTION_TYPES, UNTYPED) if kind in present)]
    tables: dict[str | None, dict[str, dict[str, Any]]] = {kind: {} for kind in kinds}
    for name, seen in observed.items():
        for kind in kinds:
            rows = [
                row
                for row, index in enumerate(seen.index)
                if kind is None or type_of(pairs[index]) == kind
            ]
            figure = estimate(
                seen.tuned[rows],
                [groups[seen.index[row]] for row in rows],
                METRICS[name].score,
                bootstrap,
                seen.base[rows] if seen.base is not None else None,
            )
            means = {
                key: float(np.mean([values[row] for row in rows])) if rows else None
                for key, values in seen.extra.items()
            }
            tables[kind][name] = entry(figure) | means
    return tables


def entry(figure: Estimate) -> dict[str, Any]:
    """A metric's entry in the report; None where undefined."""
    return {
        "value": figure.value,
        "n": figure.n,
        "ci95": list(figure.ci95) if figure.ci95 else None,
        "base": figure.base,
        "delta": figure.delta,
        "delta_ci95": list(figure.delta_ci95) if figure.delta_ci95 else None,
    }
