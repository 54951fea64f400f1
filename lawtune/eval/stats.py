"""How sure a figure is: bootstrap intervals over groups, and paired differences.

Records of one group (questions drawn from one article or decision) resemble one another, so whole
groups are resampled, not records; intervals that ignored this would be too narrow.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""Summed statistics [..., k] → figure [...], NaN where undefined."""

Interval = tuple[float, float]

CHUNK = 4_000_000
"""Weights (resamples × groups) held at a time: 32 MB."""


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples are drawn, and from which seed. The same seed and the same groups give
    the same resamples, for whichever metric."""

    resamples: int
    seed: int


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, beside the base's figure with its own and their paired
    difference (value − base). None wherever a figure is undefined."""

    n: int
    value: float | None
    ci95: Interval | None
    base: float | None = None
    base_ci95: Interval | None = None
    delta: float | None = None
    delta_ci95: Interval | None = None


def estimate(
    statistics: Array,
    groups: Sequence[str],
    score: Score,
    bootstrap: Bootstrap,
    base: Array | None = None,
) -> Estimate:
    """Score the records' summed statistics, with percentile intervals over resampled groups.

    Args:
        statistics: [records, k].
        groups: the group of each record.
        base: statistics of the base model on the same records, [records, k]; each resample draws
            the same groups for both, so that what is common to the two cancels.

    Returns:
        An estimate whose intervals are None where there are fewer than two groups or where a
        resample's figure is undefined.

    Raises:
        ValueError: the lengths differ.
    """
    if len(groups) != len(statistics) or (base is not None and base.shape != statistics.shape):
        raise ValueError("statistics, groups and base must describe the same records")
    n = len(statistics)
    if n == 0:
        return Estimate(n=0, value=None, ci95=None)
    sums, base_sums = sum_by_group(statistics, groups), None
    if base is not None:
        base_sums = sum_by_group(base, groups)
    value = _finite(score(statistics.sum(axis=0)))
    base_value = None if base is None else _finite(score(base.sum(axis=0)))
    delta = None if value is None or base_value is None else value - base_value
    values, base_values = _resample(sums, base_sums, score, bootstrap)
    return Estimate(
        n=n,
        value=value,
        ci95=_interval(values) if value is not None else None,
        base=base_value,
        base_ci95=_interval(base_values) if base_value is not None else None,
        delta=delta,
        delta_ci95=_interval(values - base_values) if delta is not None else None,
    )


def sum_by_group(statistics: Array, groups: Sequence[str]) -> Array:
    """[records, k] → [groups, k], in the order of the groups' names."""
    names, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums = np.zeros((len(names), statistics.shape[1]))
    np.add.at(sums, index, statistics)
    return sums


def group_weights(groups: int, bootstrap: Bootstrap) -> Iterator[Array]:
    """How often each group is drawn in each resample, in chunks of shape [resamples, groups]."""
    generator = np.random.default_rng(bootstrap.seed)
    rows = max(1, CHUNK // groups)
    for start in range(0, bootstrap.resamples, rows):
        size = min(rows, bootstrap.resamples - start)
        drawn = generator.integers(groups, size=(size, groups))
        # Each row gets its own range of bins, so that one bincount serves them all.
        bins = drawn + groups * np.arange(size)[:, None]
        counts = np.bincount(bins.ravel(), minlength=size * groups)
        yield counts.reshape(size, groups).astype(np.float64)


def _resample(
    sums: Array, base_sums: Array | None, score: Score, bootstrap: Bootstrap
) -> tuple[Array, Array]:
    if len(sums) < 2:
        return np.empty(0), np.empty(0)
    values, base_values = [], []
    for weights in group_weights(len(sums), bootstrap):
        values.append(score(weights @ sums))
        if base_sums is not None:
            base_values.append(score(weights @ base_sums))
    return _joined(values), _joined(base_values)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.empty(0)


def _interval(values: Array) -> Interval | None:
    if values.size == 0 or not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _finite(value: Array) -> float | None:
    return float(value) if np.isfinite(value) else None
