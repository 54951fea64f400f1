"""From per-record statistics to the report's entries, overall and by question type."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lawtune.config import QUESTION_TYPES
from lawtune.eval.metrics import METRICS
from lawtune.eval.sample import UNTYPED, type_of
from lawtune.eval.stats import (
    LEVEL,
    Bootstrap,
    Estimate,
    Interval,
    Score,
    between_runs,
    estimate,
    holm,
    minimum_detectable,
)
from lawtune.eval.summed import Statistics, ratio
from lawtune.records import QAPair

Kind = TypeVar("Kind")

RIVAL = "word_overlap_baseline"
"""What accuracy is compared with beside the base: a statistic of the same records and scale."""


@dataclass(frozen=True)
class Observed:
    """One metric's statistics for the records at `index`: [len(index), k] each. `extra` holds
    further statistics whose ratios stand in the metric's entry, [len(index), 2] each. Where a side
    is several runs of one recipe, `runs` and `base_runs` are theirs, and the side is their sum."""

    index: Sequence[int]
    tuned: Statistics
    base: Statistics | None = None
    extra: Mapping[str, Statistics] = field(default_factory=dict)
    runs: Sequence[Statistics] = ()
    base_runs: Sequence[Statistics] = ()


def tabulate(
    observed: Mapping[str, Observed], pairs: Sequence[QAPair], bootstrap: Bootstrap
) -> dict[str | None, dict[str, dict[str, Any]]]:
    """Every metric's entry over all records (under None) and over each question type.

    p-values are corrected over the metrics and, apart from those, over all metrics of all types.
    """
    present = {type_of(pair) for pair in pairs}
    members = {
        kind: [index for index, pair in enumerate(pairs) if type_of(pair) == kind]
        for kind in (*QUESTION_TYPES, UNTYPED)
        if kind in present
    }
    whole = table(observed, pairs, bootstrap, range(len(pairs)))
    return {None: whole, **tables(observed, pairs, bootstrap, members)}


def table(
    observed: Mapping[str, Observed],
    pairs: Sequence[QAPair],
    bootstrap: Bootstrap,
    members: Collection[int],
) -> dict[str, dict[str, Any]]:
    """Every metric's entry over the records at `members`."""
    return tables(observed, pairs, bootstrap, {None: members})[None]


def tables(
    observed: Mapping[str, Observed],
    pairs: Sequence[QAPair],
    bootstrap: Bootstrap,
    parts: Mapping[Kind, Collection[int]],
) -> dict[Kind, dict[str, dict[str, Any]]]:
    """The entries of each part of the records; all their comparisons are corrected together."""
    groups = [group_of(pair, index) for index, pair in enumerate(pairs)]
    figures, beside = {}, {}
    for part, members in parts.items():
        inside = frozenset(members)
        for name, seen in observed.items():
            rows = [row for row, index in enumerate(seen.index) if index in inside]
            owners = [groups[seen.index[row]] for row in rows]
            figures[part, name] = estimate(
                seen.tuned[rows],
                owners,
                METRICS[name].score,
                bootstrap,
                seen.base[rows] if seen.base is not None else None,
            )
            beside[part, name] = {
                key: _ratio(statistics[rows]) for key, statistics in seen.extra.items()
            }
            if RIVAL in seen.extra:
                # On the same questions: what is easy for both, or hard, cancels.
                against = estimate(
                    seen.tuned[rows],
                    owners,
                    METRICS[name].score,
                    bootstrap,
                    seen.extra[RIVAL][rows],
                )
                beside[part, name][f"{RIVAL}_delta_ci95"] = _within(against.delta_ci95, -1, 1)
                beside[part, name][f"{RIVAL}_p"] = against.p
            if seen.runs or seen.base_runs:
                beside[part, name]["seeds"] = _by_seed(METRICS[name].score, seen, rows)
    # Nobody judges a metric without a direction, so it costs the others nothing.
    family = [
        key for key, figure in figures.items() if figure.p is not None and METRICS[key[1]].better
    ]
    corrected = dict(zip(family, holm([figures[key].p for key in family]), strict=True))
    found: dict[Kind, dict[str, dict[str, Any]]] = {part: {} for part in parts}
    for (part, name), figure in figures.items():
        metric, p_holm = METRICS[name], corrected.get((part, name))
        entry = make_entry(figure, metric.low, metric.high, p_holm, len(family))
        found[part][name] = entry | beside[part, name]
    return found


def group_of(pair: QAPair, index: int) -> str:
    """The group that a record is resampled with; one without is its own. "\x00" keeps that name
    off any user's."""
    return pair.group or f"\x00{index}"


def opened(bounds: Interval | None, low: float, high: float, groups: int) -> Interval | None:
    """An interval of a figure within [low, high]. Where every group stands at one end of the range,
    resamples cannot differ and the interval would be that point; then it reaches as far as groups
    that are all right, or all wrong, leave open.

    Source: Clopper & Pearson 1934, for 0 or n of n.
    """
    if bounds is None or bounds[0] != bounds[1]:
        return bounds
    reach = (high - low) * _share_unseen(groups)
    if bounds[0] <= low:
        return low, low + reach
    return (high - reach, high) if bounds[0] >= high else bounds


def _opened_difference(bounds: Interval, width: float, groups: int) -> Interval:
    """The same of a difference within ± `width` of two figures that both stand at an end: groups
    that are otherwise, as many as may be, would lie `width` to the other side at most."""
    reach = (width + abs(bounds[0])) * _share_unseen(groups)
    return bounds[0] - reach, bounds[1] + reach


def _share_unseen(groups: int) -> float:
    """How many may be otherwise where none of `groups` is."""
    return 1 - (LEVEL / 2) ** (1 / groups)


def make_entry(
    figure: Estimate,
    low: float | None,
    high: float | None,
    p_holm: float | None = None,
    family: int = 1,
) -> dict[str, Any]:
    """A figure's entry in the report; None where undefined.

    Args:
        low, high: the figure's range, which its intervals are kept within; None where unbounded.
        p_holm: the p-value corrected over the `family` of comparisons that are judged together.
    """
    # The difference of two figures within [low, high] lies within ± (high − low).
    width = None if low is None or high is None else high - low
    levels, difference = (figure.ci95, figure.base_ci95), figure.delta_ci95
    if width is not None:
        levels = tuple(opened(bounds, low, high, figure.groups) for bounds in levels)
        if difference and levels[0] != figure.ci95 and levels[1] != figure.base_ci95:
            difference = _opened_difference(difference, width, figure.groups)
    detectable = None
    if figure.delta_error is not None:
        judged = family if p_holm is not None else 1
        detectable = minimum_detectable(figure.delta_error, figure.groups, judged)
        if detectable and width and detectable > width:
            detectable = None  # no difference that there can be would be shown
    return {
        "value": figure.value,
        "n": figure.n,
        "groups": figure.groups,
        "ci95": _within(levels[0], low, high),
        "base": figure.base,
        "base_ci95": _within(levels[1], low, high),
        "delta": figure.delta,
        "delta_ci95": _within(difference, None if width is None else -width, width),
        "p": figure.p,
        "p_holm": p_holm,
        "minimum_detectable": detectable,
    }


def _by_seed(score: Score, seen: Observed, rows: Sequence[int]) -> dict[str, Any]:
    """Each run's own figure, and what the differences between runs make of the difference between
    the sides."""
    sides = [
        [_finite(score(run[rows].sum(axis=0))) for run in runs]
        for runs in (seen.runs, seen.base_runs)
    ]
    known = all(figure is not None for side in sides for figure in side)
    bounds = between_runs(*sides) if known else None
    return {
        "value": sides[0],
        "base": sides[1],
        "delta_ci95": list(bounds) if bounds else None,
    }


def _ratio(statistics: Statistics) -> float | None:
    return _finite(ratio(statistics.sum(axis=0)))


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _within(bounds: Interval | None, low: float | None, high: float | None) -> list[float] | None:
    """The part of an interval that a figure can take."""
    if bounds is None:
        return None
    floor, ceiling = -math.inf if low is None else low, math.inf if high is None else high
    return [min(max(bound, floor), ceiling) for bound in bounds]
