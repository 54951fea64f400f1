"""How often three bootstrap intervals cover the truth on simulated test sets of 100 groups, and how
often equal models are called different: the tables in docs/evaluation.md.

    python tools/simulate_intervals.py [SETS]
"""

import sys
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from lawtune.eval.stats import Bootstrap, estimate, group_weights, holm, sum_by_group
from lawtune.eval.summed import per_record, ratio

GROUPS = 100
NAMES = [f"g{group:03d}" for group in range(GROUPS)]
RESAMPLES = 2000
METRICS = 10

Draw = Callable[[np.random.Generator], tuple[np.ndarray, float]]

SETS: dict[str, Draw] = {
    "normal": lambda g: (per_record(g.normal(0, 1, GROUPS)), 0.0),
    "exponential": lambda g: (per_record(g.exponential(1, GROUPS)), 1.0),
    "log-normal": lambda g: (per_record(g.lognormal(0, 1, GROUPS)), np.exp(0.5)),
    "ratio, skewed sizes": lambda g: skewed_sizes(g),
    "rate of 1 in 7": lambda g: (per_record(g.random(GROUPS) < 1 / 7), 1 / 7),
}


def skewed_sizes(generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Many small groups and a few large ones, each with an exponential effect."""
    sizes = 1.0 + generator.geometric(0.3, GROUPS)
    return np.column_stack([generator.exponential(1, GROUPS) * sizes, sizes]), 1.0


def other_intervals(statistics: np.ndarray, seed: int) -> dict[str, tuple[float, float]]:
    """The percentile interval and BCa's, of the same resamples as lawtune's."""
    sums = sum_by_group(statistics, NAMES)
    weights = np.concatenate(list(group_weights(GROUPS, Bootstrap(RESAMPLES, seed))))
    figure, figures = ratio(sums.sum(axis=0)), ratio(weights @ sums)
    left_out = ratio(sums.sum(axis=0) - sums)
    apart = left_out.mean() - left_out
    skew = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    shift = norm.ppf((figures < figure).mean() + (figures == figure).mean() / 2)
    ends = shift + norm.ppf([0.025, 0.975])
    levels = norm.cdf(shift + ends / (1 - skew * ends))
    return {
        "percentile": tuple(np.quantile(figures, [0.025, 0.975])),
        "BCa": tuple(np.quantile(figures, levels)),
    }


def coverage(draw: Draw, sets: int) -> dict[str, float]:
    """The share of `sets` whose truth each interval covers."""
    generator, covered = np.random.default_rng(0), {}
    for seed in range(sets):
        statistics, truth = draw(generator)
        found = other_intervals(statistics, seed)
        found["studentised"] = estimate(statistics, NAMES, ratio, Bootstrap(RESAMPLES, seed)).ci95
        for name, (low, high) in found.items():
            covered[name] = covered.get(name, 0) + (low <= truth <= high)
    return {name: count / sets for name, count in covered.items()}


def false_alarms(sets: int) -> tuple[float, float]:
    """How often equal models are called different, by one metric and by any of ten after Holm."""
    generator, single, any_of_them = np.random.default_rng(1), 0, 0
    for seed in range(sets):
        common = generator.lognormal(0, 1, GROUPS)
        skill = generator.normal(size=(2, GROUPS))
        values = common + skill + generator.normal(size=(METRICS, 2, GROUPS))
        figures = [
            estimate(per_record(tuned), NAMES, ratio, Bootstrap(500, seed), per_record(base))
            for tuned, base in values
        ]
        apart = [not figure.delta_ci95[0] <= 0 <= figure.delta_ci95[1] for figure in figures]
        single += apart[0] and figures[0].p <= 0.05
        corrected = holm([figure.p for figure in figures])
        any_of_them += any(p <= 0.05 and off for p, off in zip(corrected, apart, strict=True))
    return single / sets, any_of_them / sets


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for kind, drawn in SETS.items():
        print(kind, {name: f"{share:.3f}" for name, share in coverage(drawn, count).items()})
    one, any_one = false_alarms(count)
    print(f"equal models called different: {one:.3f}; by any of {METRICS} metrics: {any_one:.3f}")
