import numpy as np
import pytest

from lawtune.eval.similarity import bleu_score, bleu_statistics
from lawtune.eval.stats import Bootstrap, estimate, group_weights, sum_by_group
from lawtune.eval.summed import per_record, ratio

BOOTSTRAP = Bootstrap(resamples=2000, seed=7)


def names(groups):
    return [f"g{group}" for group in groups]


def test_mean_and_ratio_of_sums_by_hand():
    figure = estimate(per_record([1, 2, 6]), ["a", "b", "c"], ratio, BOOTSTRAP)
    assert (figure.n, figure.value) == (3, 3.0)
    statistics = np.array([[10.0, 4.0], [2.0, 2.0]])
    assert estimate(statistics, ["a", "b"], ratio, BOOTSTRAP).value == 2.0


def test_the_interval_of_two_groups_by_hand():
    # Two groups drawn twice: both extremes have probability 1/4, so they bound the 95 %.
    figure = estimate(per_record([0, 1]), ["a", "b"], ratio, BOOTSTRAP)
    assert figure.ci95 == (0.0, 1.0)


def test_a_large_sample_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    low, high = estimate(per_record(values), names(range(400)), ratio, BOOTSTRAP).ci95
    error = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - error, abs=0.05)
    assert high == pytest.approx(values.mean() + error, abs=0.05)


def test_clusters_widen_the_interval():
    generator = np.random.default_rng(3)
    effects = np.repeat(generator.normal(size=40), 10)
    statistics = per_record(effects + 0.1 * generator.normal(size=400))
    clustered = estimate(statistics, names(np.repeat(range(40), 10)), ratio, BOOTSTRAP).ci95
    naive = estimate(statistics, names(range(400)), ratio, BOOTSTRAP).ci95
    # Ten near-copies a group: the true error is about √10 times the naive one.
    assert (clustered[1] - clustered[0]) / (naive[1] - naive[0]) == pytest.approx(10**0.5, rel=0.2)


def test_coverage_is_near_nominal_on_clustered_data():
    generator = np.random.default_rng(11)
    groups = names(np.repeat(range(40), 5))
    covered = 0
    for seed in range(300):
        values = np.repeat(generator.normal(size=40), 5) + generator.normal(size=200)
        low, high = estimate(per_record(values), groups, ratio, Bootstrap(1000, seed)).ci95
        covered += low <= 0 <= high
    # Nominal 285 of 300; percentile intervals of 40 groups fall a little short.
    assert 270 <= covered <= 298


def test_the_base_has_the_interval_that_it_would_have_alone():
    values = np.random.default_rng(1).normal(size=(2, 60))
    tuned, base = per_record(values[0]), per_record(values[1])
    groups = names(np.repeat(range(20), 3))
    beside = estimate(tuned, groups, ratio, BOOTSTRAP, base)
    alone = estimate(base, groups, ratio, BOOTSTRAP)
    assert beside.base_ci95 == alone.ci95
    assert beside.ci95 == estimate(tuned, groups, ratio, BOOTSTRAP).ci95
    assert estimate(tuned, groups, ratio, BOOTSTRAP).base_ci95 is None


def test_paired_differences_cancel_what_is_common():
    generator = np.random.default_rng(5)
    base = generator.normal(0, 10, size=100)
    tuned = base - 0.5 + generator.normal(0, 0.1, size=100)
    figure = estimate(per_record(tuned), names(range(100)), ratio, BOOTSTRAP, base=per_record(base))
    assert figure.delta == pytest.approx(figure.value - figure.base)
    low, high = figure.delta_ci95
    assert -0.55 < low < figure.delta < high < -0.45
    assert figure.ci95[1] - figure.ci95[0] > 20 * (high - low)


def test_equal_models_differ_by_exactly_nothing():
    statistics = bleu_statistics(["가나다라마", "바사아자차"], ["가나다라바", "바사아자카"])
    figure = estimate(statistics, ["a", "b"], bleu_score, BOOTSTRAP, base=statistics)
    assert (figure.delta, figure.delta_ci95) == (0.0, (0.0, 0.0))


def test_corpus_statistics_are_summed_before_they_are_scored():
    statistics = bleu_statistics(["가나다라마", "가"], ["가나다라바", "가나다라바사아"])
    figure = estimate(statistics, ["a", "b"], bleu_score, BOOTSTRAP)
    assert figure.value == pytest.approx(float(bleu_score(statistics.sum(axis=0))))
    assert figure.value != pytest.approx(float(np.mean([bleu_score(row) for row in statistics])))


def test_one_group_or_no_record_has_no_interval():
    figure = estimate(per_record([1, 2]), ["a", "a"], ratio, BOOTSTRAP, base=per_record([0, 0]))
    assert (figure.value, figure.ci95, figure.delta, figure.delta_ci95) == (1.5, None, 1.5, None)
    nothing = estimate(np.zeros((0, 2)), [], ratio, BOOTSTRAP, base=np.zeros((0, 2)))
    assert nothing.n == 0
    assert (nothing.value, nothing.ci95, nothing.base, nothing.delta) == (None,) * 4


def test_an_undefined_figure_is_none():
    statistics = np.array([[np.nan, 1.0], [1.0, 1.0]])
    figure = estimate(statistics, ["a", "b"], ratio, BOOTSTRAP, base=per_record([1, 1]))
    assert (figure.value, figure.ci95, figure.delta, figure.delta_ci95) == (None,) * 4
    assert figure.base == 1.0


def test_seed_fixes_the_interval_and_order_of_records_does_not_matter():
    values, groups = [31, 17, 42, 13, 59, 94, 26], ["a", "b", "c", "a", "d", "e", "f"]
    first = estimate(per_record(values), groups, ratio, BOOTSTRAP)
    again = estimate(per_record(values[::-1]), groups[::-1], ratio, BOOTSTRAP)
    other = estimate(per_record(values), groups, ratio, Bootstrap(2000, seed=8))
    assert first == again
    assert first.ci95 != other.ci95


def test_each_resample_draws_as_many_groups_as_there_are(monkeypatch):
    whole = np.concatenate(list(group_weights(6, Bootstrap(resamples=50, seed=0))))
    assert whole.shape == (50, 6)
    assert (whole.sum(axis=1) == 6).all()
    monkeypatch.setattr("lawtune.eval.stats.CHUNK", 60)
    chunks = list(group_weights(6, Bootstrap(resamples=50, seed=0)))
    assert len(chunks) == 5
    assert (np.concatenate(chunks) == whole).all()


def test_sum_by_group():
    sums = sum_by_group(np.array([[1.0, 1.0], [2.0, 1.0], [5.0, 1.0]]), ["b", "a", "b"])
    assert sums.tolist() == [[2, 1], [6, 2]]


def test_misfitting_arguments_are_refused():
    with pytest.raises(ValueError):
        estimate(per_record([1, 2]), ["a"], ratio, BOOTSTRAP)
    with pytest.raises(ValueError):
        estimate(per_record([1, 2]), ["a", "b"], ratio, BOOTSTRAP, base=per_record([1]))
