"""What a model's choice probabilities are worth: of what it is 70 % sure of, is 70 % right?

The scores of a question's choices, log p(choice | question) − log p(choice | no question), become
probabilities by soft-max. By Bayes' rule that is what the model holds likely if each choice was as
likely as the others beforehand. The expected calibration error is the mean distance between the
probability of the choice taken and how often such choices are right, over bins of equal size
(Guo et al. 2017, arXiv:1706.04599; bins by number: Nixon et al. 2019, arXiv:1904.01685). Even a
perfectly calibrated model scores above 0 on a finite set, so what it would score is simulated
(consistency resampling: Bröcker and Smith 2007; by groups, the wild cluster bootstrap: Cameron,
Gelbach and Miller 2008).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lawtune.eval.choice import pick
from lawtune.eval.stats import Array, Bootstrap, Estimate, estimate, sum_by_group
from lawtune.eval.summed import per_record, ratio
from lawtune.eval.table import make_entry

MOST_BINS = 10
FEWEST_IN_A_BIN = 15
"""Fewer questions tell nothing of a share; a small test gets fewer bins."""


@dataclass(frozen=True)
class Taken:
    """What a model took for each question: the probability it gives it, and whether it is right;
    both float [n]."""

    probability: Array
    right: Array


def take(scores: Sequence[Sequence[float]], answers: Sequence[int]) -> Taken:
    """What is taken by `scores`, one list a question, where `answers` are the right places. A tie
    with the right choice is wrong; a score that is not a number makes the probability one, too."""
    probability, right = [], []
    for row, answer in zip(scores, answers, strict=True):
        taken = pick(row, answer)
        with np.errstate(invalid="ignore"):
            weights = np.exp(np.asarray(row) - np.max(row))
        probability.append(weights[taken] / weights.sum())
        right.append(taken == answer)
    return Taken(np.asarray(probability, float), np.asarray(right, float))


def calibration(
    tuned: Taken, base: Taken | None, groups: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any] | None:
    """The report's account of both models; None where no question has finite probabilities.

    Returns:
        `ece` and `overconfidence` (mean probability − share right) are entries like a metric's,
        `bins` and `base_bins` the points of the reliability plot with Wilson intervals, and
        `ece_if_calibrated` the mean and the 95 % quantile of what the tuned model would score if
        its probabilities were right. `ece` has no interval and no test: it is biased upwards, and
        resamples, with a bias of their own, would cover the truth in half of calibrated models.
    """
    sides = [side for side in (tuned, base) if side is not None]
    rows = np.flatnonzero(np.all([np.isfinite(side.probability) for side in sides], axis=0))
    if not len(rows):
        return None
    kept = [Taken(side.probability[rows], side.right[rows]) for side in sides]
    names = [groups[row] for row in rows]
    places = [bins_of(side.probability) for side in kept]
    gaps = [_gaps(side, place) for side, place in zip(kept, places, strict=True)]
    excess = [per_record(side.probability - side.right) for side in kept]

    second = excess[1] if base is not None else None
    errors = [float(expected_error(gap.sum(axis=0))) for gap in gaps]
    error = Estimate(len(rows), len(set(names)), errors[0], base=errors[1] if base else None)

    return {
        "n": len(rows),
        "excluded": len(groups) - len(rows),
        "ece": make_entry(error, 0, 1),
        "overconfidence": make_entry(estimate(excess[0], names, ratio, bootstrap, second), -1, 1),
        "ece_if_calibrated": _if_calibrated(kept[0], places[0], names, bootstrap),
        "bins": _points(kept[0], places[0]),
        "base_bins": _points(kept[1], places[1]) if base is not None else None,
    }


def bins_of(probability: Array) -> NDArray[np.int64]:
    """The bin of each question, counted from 0: as many in each, equal probabilities together."""
    count = min(MOST_BINS, max(1, len(probability) // FEWEST_IN_A_BIN))
    edges = np.quantile(probability, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(np.unique(edges), probability, side="left")


def expected_error(summed: Array) -> Array:
    """Summed statistics (probability − right by bin, then 1) [..., bins + 1] → the mean distance
    [...], from 0 to 1."""
    return np.abs(summed[..., :-1]).sum(axis=-1) / summed[..., -1]


def _gaps(side: Taken, places: NDArray[np.int64]) -> Array:
    gaps = np.zeros((len(places), MOST_BINS + 1))
    gaps[np.arange(len(places)), places] = side.probability - side.right
    gaps[:, -1] = 1
    return gaps


def _points(side: Taken, places: NDArray[np.int64]) -> list[dict[str, Any]]:
    from scipy.stats import binomtest

    points = []
    for place in np.unique(places):
        inside = places == place
        right, n = int(side.right[inside].sum()), int(inside.sum())
        interval = binomtest(right, n).proportion_ci(method="wilson")
        points.append(
            {
                "n": n,
                "probability": float(side.probability[inside].mean()),
                "right": right / n,
                "ci95": [float(interval.low), float(interval.high)],
            }
        )
    return points


def _if_calibrated(
    side: Taken, places: NDArray[np.int64], names: Sequence[str], bootstrap: Bootstrap
) -> dict[str, float]:
    """The error of right probabilities, drawn in two ways: each question right by its probability,
    and the signs of whole groups' gaps, since questions of one group are right and wrong together.
    The first knows nothing of groups, the second nothing of what has not happened: the larger
    counts."""
    sums = sum_by_group(_gaps(side, places), names)[:, :-1]
    generator, alone, together = np.random.default_rng(bootstrap.seed), [], []
    for _ in range(bootstrap.resamples):
        right = generator.random(len(places)) < side.probability
        alone.append(np.abs(np.bincount(places, side.probability - right)).sum() / len(places))
        drawn = generator.choice((-1.0, 1.0), len(sums)) @ sums
        together.append(np.abs(drawn).sum() / len(places))
    highest = max(np.quantile(found, 0.95) for found in (alone, together))
    return {"mean": float(np.mean(alone)), "q95": float(highest)}
