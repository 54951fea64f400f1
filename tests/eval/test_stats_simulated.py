"""What intervals and tests promise, held on simulated test sets whose truth is known."""

import numpy as np
import pytest

from lawtune.eval.stats import Bootstrap, estimate
from lawtune.eval.summed import per_record, ratio
from lawtune.eval.table import Observed, table
from lawtune.eval.verdict import judge
from lawtune.records import QAPair

pytestmark = pytest.mark.slow

SETS = 1000
GROUPS = 100
NAMES = [f"g{group:03d}" for group in range(GROUPS)]


def skewed_means(generator):
    return per_record(generator.lognormal(0, 1, GROUPS)), np.exp(0.5)


def skewed_sizes(generator):
    # Many small groups and a few large ones, each with an effect of its own; the figure is a ratio.
    sizes = 1.0 + generator.geometric(0.3, GROUPS)
    return np.column_stack([generator.exponential(1, GROUPS) * sizes, sizes]), 1.0


def small_shares(generator):
    # A rate of one in seven, as `citation_absent` may be.
    return per_record(generator.random(GROUPS) < 1 / 7), 1 / 7


@pytest.mark.parametrize("draw", [skewed_means, skewed_sizes, small_shares])
def test_intervals_cover_the_truth_on_skewed_groups(draw):
    generator = np.random.default_rng(0)
    below = above = 0
    for seed in range(SETS):
        statistics, truth = draw(generator)
        low, high = estimate(statistics, NAMES, ratio, Bootstrap(1000, seed)).ci95
        below += truth < low
        above += truth > high
    assert 930 <= SETS - below - above <= 970
    # Neither side is left to the other.
    assert min(below, above) >= 5


def test_intervals_of_differences_cover_the_truth_on_skewed_groups():
    generator = np.random.default_rng(1)
    covered = 0
    for seed in range(SETS):
        common = generator.lognormal(0, 1, GROUPS)
        tuned = per_record(common + generator.lognormal(0, 1, GROUPS))
        base = per_record(common + generator.exponential(1, GROUPS))
        figure = estimate(tuned, NAMES, ratio, Bootstrap(500, seed), base)
        covered += figure.delta_ci95[0] <= np.exp(0.5) - 1 <= figure.delta_ci95[1]
    assert 930 <= covered <= 970


def test_few_groups_are_covered_too():
    generator = np.random.default_rng(2)
    covered = 0
    for seed in range(SETS):
        values = np.repeat(generator.normal(size=20), 5) + generator.normal(size=100)
        names = np.repeat(NAMES[:20], 5)
        low, high = estimate(per_record(values), names, ratio, Bootstrap(500, seed)).ci95
        covered += low <= 0 <= high
    assert 930 <= covered <= 970


FAMILY = ("bits_per_byte", "accuracy", "accuracy_raw", "rougeL")
"""Metrics that are ratios of sums, so that any numbers can stand for them."""


def observe(generator, shift=0.0):
    """Two models equally good but for `shift`, on groups of 1 to 3 questions of their own
    difficulty; the metrics of one answer go together."""
    sizes = generator.integers(1, 4, GROUPS)
    groups = np.repeat(NAMES, sizes)
    difficulty = np.repeat(generator.lognormal(0, 1, GROUPS), sizes)
    count = len(groups)
    answers = [np.repeat(generator.normal(size=GROUPS), sizes) for _ in range(2)]

    def model(answer, better):
        noise = generator.normal(size=(len(FAMILY), count))
        values = difficulty + answer + 0.7 * noise + better
        # One metric is right or wrong, as an accuracy is.
        values[1] = values[1] > 1
        return values

    tuned, base = model(answers[0], shift), model(answers[1], 0.0)
    pairs = [QAPair("물음", "답", id=str(i), group=group) for i, group in enumerate(groups)]
    observed = {
        name: Observed(range(count), per_record(tuned[i]), per_record(base[i]))
        for i, name in enumerate(FAMILY)
    }
    return observed, pairs


def differs(name, entry):
    return judge(name, entry) in ("better", "worse")


def test_equal_models_are_seldom_called_different():
    generator = np.random.default_rng(3)
    single = dict.fromkeys(FAMILY, 0)
    any_of_them = 0
    for seed in range(SETS):
        observed, pairs = observe(generator)
        entries = table(observed, pairs, Bootstrap(200, seed), range(len(pairs)))
        for name, entry in entries.items():
            single[name] += differs(name, entry | {"p_holm": entry["p"]})
        any_of_them += any(differs(name, entry) for name, entry in entries.items())
    for name, called in single.items():
        assert 30 <= called <= 70, name
    assert any_of_them <= 60


def test_a_model_that_cites_more_is_not_taken_to_err_more():
    generator = np.random.default_rng(5)
    called = 0
    for seed in range(SETS):
        rates = generator.beta(1, 4, GROUPS)
        sides = []
        for mean in (4, 1):
            cited = generator.poisson(mean, GROUPS)
            sides.append(np.column_stack([generator.binomial(cited, rates), cited]).astype(float))
        called += estimate(sides[0], NAMES, ratio, Bootstrap(500, seed), sides[1]).p <= 0.05
    assert 30 <= called <= 70


def compare_bits(generator, bootstrap, shift=0.0):
    observed, pairs = observe(generator, shift)
    name = FAMILY[0]
    return table({name: observed[name]}, pairs, bootstrap, range(len(pairs)))[name]


def test_a_difference_of_the_detectable_size_is_shown_as_often_as_is_said():
    generator = np.random.default_rng(4)
    sets = 300
    sizes = []
    for seed in range(sets):
        entry = compare_bits(generator, Bootstrap(100, seed))
        sizes.append(entry["minimum_detectable"])
    shown = 0
    for seed in range(sets):
        entry = compare_bits(generator, Bootstrap(500, seed), shift=np.mean(sizes))
        shown += differs(FAMILY[0], entry)
    assert shown / sets == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize(("rate", "groups"), [(0.02, 50), (0.01, 200), (0.95, 40), (0.98, 50)])
def test_rare_events_are_covered_too(rate: float, groups: int):
    """Most such test sets hold none of them, and their resamples neither."""
    generator, covered = np.random.default_rng(0), 0
    pairs = [QAPair("q", "a", id=str(i), group=f"g{i:03d}") for i in range(groups)]
    for seed in range(400):
        seen = Observed(range(groups), per_record(generator.random(groups) < rate))
        low, high = table({"stopped": seen}, pairs, Bootstrap(400, seed), range(groups))["stopped"][
            "ci95"
        ]
        covered += low <= rate <= high
    assert covered >= 0.93 * 400


def test_accuracy_is_seldom_told_apart_from_word_overlap_that_is_as_good():
    """On 200 questions both are right in two of five, apart or alike."""
    generator = np.random.default_rng(0)
    pairs = [QAPair("q", "a", id=str(i), group=f"g{i:03d}") for i in range(200)]
    for alike in (0.0, 0.6):
        claimed = 0
        for seed in range(300):
            common = generator.random(200)
            luck = [
                np.where(generator.random(200) < alike, common, generator.random(200)) < 0.4
                for _ in range(2)
            ]
            own, overlap = map(per_record, luck)
            seen = Observed(range(200), own, None, {"word_overlap_baseline": overlap})
            entry = table({"accuracy": seen}, pairs, Bootstrap(400, seed), range(200))["accuracy"]
            low, high = entry["word_overlap_baseline_delta_ci95"]
            claimed += not low <= 0 <= high
        assert claimed <= 0.09 * 300  # 5 % expected
