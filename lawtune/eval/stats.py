"""How sure a figure is: bootstrap intervals and permutation tests over groups.

Records of one group (questions drawn from one article or decision) resemble one another, so whole
groups are resampled and flipped, not records; figures that ignored this would look too sure.

Intervals are bootstrap-t (Efron & Tibshirani 1993, ch. 12.5): each resample's distance from the
figure is measured in its own standard error. On skewed groups percentile intervals miss the truth
too often, on the side of the long tail; `tests/eval/test_stats_simulated.py` holds the coverage.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""Summed statistics [..., k] → figure [...], NaN where undefined."""

Interval = tuple[float, float]

CHUNK = 1_000_000
"""Weights (resamples × groups) held at a time: 8 MB."""

LEVEL = 0.05
"""What is called a difference happens by chance in this share of comparisons."""

POWER = 0.8
"""How often a difference of the minimum detectable size is shown."""

SMALLEST_ERROR = 0.25
"""A resample's standard error counts as at least this share of the figure's own. Where few groups
differ at all, many a resample draws none of them, and its error of 0 would make the interval
endless; on data that is merely skewed the floor does not bind."""

ROUNDING = 1e-9
"""Relative difference below which two figures are equal."""

FLIPS = 10
"""Random signs for each resample: a p-value that is corrected over a hundred comparisons must be
able to be small, and a flip costs little."""

STEP = 1e-6
"""Of the central differences that the standard errors are linearised by, relative to each sum."""


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples are drawn (and `FLIPS` times as many signs), and from which seed. The same
    seed and the same groups give the same ones, for whichever metric."""

    resamples: int
    seed: int


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, beside the base's figure with its own, and their paired
    difference (value − base) with its interval, its standard error and the p-value of no
    difference. None wherever a figure is undefined."""

    n: int
    groups: int
    value: float | None = None
    ci95: Interval | None = None
    base: float | None = None
    base_ci95: Interval | None = None
    delta: float | None = None
    delta_ci95: Interval | None = None
    delta_error: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class _Measured:
    """A figure under each row of weights, and its standard error there; [rows] each."""

    figures: Array
    errors: Array


def estimate(
    statistics: Array,
    groups: Sequence[str],
    score: Score,
    bootstrap: Bootstrap,
    base: Array | None = None,
) -> Estimate:
    """Score the records' summed statistics, with intervals and a test over their groups.

    Args:
        statistics: [records, k].
        groups: the group of each record.
        base: statistics of the base model on the same records, [records, k]; each resample draws
            the same groups for both, so that what is common to the two cancels.

    Returns:
        An estimate whose intervals and test are None where there are fewer than two groups or
        where a resample's figure is undefined.

    Raises:
        ValueError: the lengths differ.
    """
    if len(groups) != len(statistics) or (base is not None and base.shape != statistics.shape):
        raise ValueError("statistics, groups and base must describe the same records")
    if len(statistics) == 0:
        return Estimate(n=0, groups=0)
    sides = [sum_by_group(side, groups) for side in (statistics, base) if side is not None]
    count = len(sides[0])
    whole = _measure(np.ones((1, count)), sides, score)
    resampled = _resample(sides, score, bootstrap) if count > 1 else [None] * len(whole)
    figures = [_finite(measured.figures[0]) for measured in whole]
    intervals = [_interval(*both) for both in zip(whole, resampled, strict=True)]
    if base is None:
        return Estimate(len(statistics), count, figures[0], intervals[0])
    tested = count > 1 and figures[2] is not None
    records = sum_by_group(np.ones((len(statistics), 1)), groups)[:, 0]
    return Estimate(
        n=len(statistics),
        groups=count,
        value=figures[0],
        ci95=intervals[0],
        base=figures[1],
        base_ci95=intervals[1],
        delta=figures[2],
        delta_ci95=intervals[2],
        # As if the groups were a sample, not all there are: n ÷ (n − 1).
        delta_error=_finite(whole[2].errors[0] * (count / (count - 1)) ** 0.5) if tested else None,
        p=sign_flip_test(contributions(sides, records, score), bootstrap) if tested else None,
    )


def contributions(sides: Sequence[Array], records: Array, score: Score) -> Array:
    """What each group adds to the difference of two sides [groups]; the sum is the difference.

    For a mean over records it is the sum of the group's own differences. For other scores it is
    the group's influence and, by its share of the `records` [groups], a part of the difference:
    infinitesimal jackknife pseudo-values (Efron & Tibshirani 1993, ch. 11). So a model that cites
    more often than another, and errs at the same rate, adds nothing anywhere.
    """
    everyone = np.ones((1, len(records)))
    (value, own), (base, other) = (_linearise(everyone, sums, score) for sums in sides)
    influence = (own - other)[0]
    return influence + records / records.sum() * (value - base - influence.sum())


def sign_flip_test(parts: Array, bootstrap: Bootstrap) -> float:
    """The two-sided p-value of no difference: how often the groups' contributions [groups] sum to
    as large a difference when the sign of each is drawn at random.

    All signs are tried where they are no more than would be drawn; else the found ones count among
    the random ones, so that p is never 0.

    Source: Fisher 1935, randomisation of paired differences; Phipson & Smyth 2010 for the added
    one.
    """
    # Sums taken in another order differ in their last digits.
    found = abs(parts.sum()) - ROUNDING * abs(parts).sum()
    exact = 2 ** len(parts) <= FLIPS * bootstrap.resamples
    as_large, total = (0, 0) if exact else (1, 1)
    for signs in _every_sign(len(parts)) if exact else _random_signs(len(parts), bootstrap):
        as_large += int((abs(signs @ parts) >= found).sum())
        total += len(signs)
    return as_large / total


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected so that any of them is ≤ α by chance in at most α of families.

    Source: Holm 1979.
    """
    order = np.argsort(values, kind="stable")
    ranked = np.asarray(values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(ranked), 1)
    return corrected.tolist()


def minimum_detectable(error: float, groups: int, family: int) -> float | None:
    """The true difference that so small a test set would show with probability `POWER`, as the
    first of `family` comparisons under Holm; None where nothing varies.

    Args:
        error: the difference's standard error.
        groups: how many groups it comes from.
        family: how many comparisons are corrected together.

    Source: Bloom 1995.
    """
    # Not at the top: scipy takes longer to import than most commands take to run.
    from scipy.special import stdtrit

    if not error > 0:
        return None
    freedom = groups - 1
    return float(error * (stdtrit(freedom, 1 - LEVEL / family / 2) + stdtrit(freedom, POWER)))


def between_runs(values: Sequence[float], bases: Sequence[float]) -> Interval | None:
    """The 95 % interval of the difference of two recipes' means over runs that differ by seed. A
    side of one run counts as that very model, not as a sample of a recipe; None if both are.

    Source: Welch 1947.
    """
    from scipy.special import stdtrit

    sides = [np.asarray(side, dtype=np.float64) for side in (values, bases)]
    several = [side for side in sides if len(side) > 1]
    if not several:
        return None
    difference = float(sides[0].mean() - sides[1].mean())
    parts = np.array([side.var(ddof=1) / len(side) for side in several])
    if not parts.sum() > 0:
        return difference, difference
    freedom = parts.sum() ** 2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, several, strict=True)
    )
    reach = float(stdtrit(freedom, 1 - LEVEL / 2) * parts.sum() ** 0.5)
    return difference - reach, difference + reach


def sum_by_group(statistics: Array, groups: Sequence[str]) -> Array:
    """[records, k] → [groups, k], in the order of the groups' names."""
    names, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums = np.zeros((len(names), statistics.shape[1]))
    np.add.at(sums, index, statistics)
    return sums


def group_weights(groups: int, bootstrap: Bootstrap) -> Iterator[Array]:
    """How often each group is drawn in each resample, in chunks of shape [resamples, groups]."""
    generator = np.random.default_rng(bootstrap.seed)
    for size in _chunks(groups, bootstrap.resamples):
        drawn = generator.integers(groups, size=(size, groups))
        # Each row gets its own range of bins, so that one bincount serves them all.
        bins = drawn + groups * np.arange(size)[:, None]
        counts = np.bincount(bins.ravel(), minlength=size * groups)
        yield counts.reshape(size, groups).astype(np.float64)


def _chunks(groups: int, total: int) -> Iterator[int]:
    rows = max(1, CHUNK // groups)
    for start in range(0, total, rows):
        yield min(rows, total - start)


def _random_signs(groups: int, bootstrap: Bootstrap) -> Iterator[Array]:
    # A stream of its own: signs must not follow the resamples' draws.
    generator = np.random.default_rng([bootstrap.seed, 1])
    for size in _chunks(groups, FLIPS * bootstrap.resamples):
        yield 1.0 - 2.0 * generator.integers(2, size=(size, groups))


def _every_sign(groups: int) -> Iterator[Array]:
    yield np.array(list(product((1.0, -1.0), repeat=groups)))


def _resample(sides: Sequence[Array], score: Score, bootstrap: Bootstrap) -> list[_Measured]:
    chunks = [
        _measure(weights, sides, score) for weights in group_weights(len(sides[0]), bootstrap)
    ]
    return [
        _Measured(
            np.concatenate([part.figures for part in parts]),
            np.concatenate([part.errors for part in parts]),
        )
        for parts in zip(*chunks, strict=True)
    ]


def _measure(weights: Array, sides: Sequence[Array], score: Score) -> list[_Measured]:
    """Each side under each row of weights [rows, groups], then the difference of the first two."""
    linear = [_linearise(weights, sums, score) for sums in sides]
    if len(linear) == 2:
        (value, influence), (base, base_influence) = linear
        linear.append((value - base, influence - base_influence))
    return [
        _Measured(figures, _standard_errors(weights, influence)) for figures, influence in linear
    ]


def _linearise(weights: Array, sums: Array, score: Score) -> tuple[Array, Array]:
    """The figure under each row of weights [rows], and what each group adds to it there to first
    order [rows, groups]."""
    totals = weights @ sums
    return score(totals), _slopes(totals, weights @ abs(sums), score) @ sums.T


def _slopes(totals: Array, sizes: Array, score: Score) -> Array:
    """The derivative of the score of sums [..., k] by each of them, [..., k].

    Args:
        sizes: sums of magnitudes, [..., k], that the steps are relative to. A sum that nothing
            adds to does not vary: its slope is 0.
    """
    slopes = np.zeros_like(totals)
    for column in range(totals.shape[-1]):
        step = np.zeros_like(totals)
        step[..., column] = STEP * sizes[..., column]
        rise, run = score(totals + step) - score(totals - step), 2 * step[..., column]
        slopes[..., column] = np.divide(rise, run, out=np.zeros_like(run), where=run > 0)
    return slopes


def _standard_errors(weights: Array, influence: Array) -> Array:
    """Of a sum of independently drawn groups: √(Σ w·(x − mean)²), [rows]."""
    mean = (weights * influence).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    return np.sqrt((weights * (influence - mean) ** 2).sum(axis=1))


def _interval(whole: _Measured, resampled: _Measured | None) -> Interval | None:
    if resampled is None or not np.isfinite(whole.figures[0]):
        return None
    figure, error = float(whole.figures[0]), float(whole.errors[0])
    errors = np.maximum(resampled.errors, SMALLEST_ERROR * error)
    if not (np.isfinite(resampled.figures).all() and np.isfinite(errors).all()):
        return None
    distances = np.zeros_like(errors)
    np.divide(resampled.figures - figure, errors, out=distances, where=errors > 0)
    ordered = np.sort(distances)
    place = max(1, int((len(ordered) + 1) * LEVEL / 2))
    return figure - float(ordered[-place]) * error, figure - float(ordered[place - 1]) * error


def _finite(value: Array) -> float | None:
    return float(value) if np.isfinite(value) else None
