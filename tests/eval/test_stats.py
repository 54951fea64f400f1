import numpy as np
import pytest
from scipy.stats import binomtest, nct, permutation_test, t

from lawtune.eval.similarity import bleu_score, bleu_statistics
from lawtune.eval.stats import (
    Bootstrap,
    contributions,
    estimate,
    group_weights,
    holm,
    minimum_detectable,
    sign_flip_test,
    sum_by_group,
)
from lawtune.eval.summed import per_record, ratio
from lawtune.eval.table import make_entry, opened

BOOTSTRAP = Bootstrap(resamples=2000, seed=7)


def names(groups):
    return [f"g{group}" for group in groups]


def test_mean_and_ratio_of_sums_by_hand():
    figure = estimate(per_record([1, 2, 6]), ["a", "b", "c"], ratio, BOOTSTRAP)
    assert (figure.n, figure.value) == (3, 3.0)
    statistics = np.array([[10.0, 4.0], [2.0, 2.0]])
    assert estimate(statistics, ["a", "b"], ratio, BOOTSTRAP).value == 2.0


def test_the_interval_of_two_groups_by_hand():
    # Values 0 and 1: mean 0.5, standard error √(½·¼) = 0.354. A quarter of the resamples draw only
    # the 0: their own error is 0, held to a quarter of that, so they lie 0.5 ÷ 0.0884 = √32 errors
    # below; as many draw only the 1. Each bound is then √32 · 0.354 = 2 away: two groups say
    # nothing.
    figure = estimate(per_record([0, 1]), ["a", "b"], ratio, BOOTSTRAP)
    assert figure.ci95 == pytest.approx((-1.5, 2.5))
    assert figure.groups == 2


def test_the_standard_error_by_linearisation_is_the_textbook_one():
    generator = np.random.default_rng(2)
    bytes_, bits = generator.integers(50, 200, 80).astype(float), generator.normal(100, 20, 80)
    tuned, base = np.column_stack([bits - 9, bytes_]), np.column_stack([bits, bytes_])
    figure = estimate(tuned, names(range(80)), ratio, BOOTSTRAP, base)
    # Cochran 1977, § 6.4: Σ(y − Rx)² ÷ (Σx)², here of the difference of two ratios.
    rests = (bits - 9 - figure.value * bytes_) - (bits - figure.base * bytes_)
    error = (rests**2).sum() ** 0.5 / bytes_.sum() * (80 / 79) ** 0.5
    assert figure.delta_error == pytest.approx(error, rel=1e-6)


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
    assert (figure.delta, figure.delta_ci95, figure.p) == (0.0, (0.0, 0.0), 1.0)


def test_corpus_statistics_are_summed_before_they_are_scored():
    statistics = bleu_statistics(["가나다라마", "가"], ["가나다라바", "가나다라바사아"])
    figure = estimate(statistics, ["a", "b"], bleu_score, BOOTSTRAP)
    assert figure.value == pytest.approx(float(bleu_score(statistics.sum(axis=0))))
    assert figure.value != pytest.approx(float(np.mean([bleu_score(row) for row in statistics])))


def test_one_group_or_no_record_has_no_interval():
    figure = estimate(per_record([1, 2]), ["a", "a"], ratio, BOOTSTRAP, base=per_record([0, 0]))
    assert (figure.value, figure.ci95, figure.delta, figure.delta_ci95) == (1.5, None, 1.5, None)
    assert (figure.p, figure.delta_error) == (None, None)
    nothing = estimate(np.zeros((0, 2)), [], ratio, BOOTSTRAP, base=np.zeros((0, 2)))
    assert nothing.n == 0
    assert (nothing.value, nothing.ci95, nothing.base, nothing.delta) == (None,) * 4


def test_an_undefined_figure_is_none():
    statistics = np.array([[np.nan, 1.0], [1.0, 1.0]])
    figure = estimate(statistics, ["a", "b"], ratio, BOOTSTRAP, base=per_record([1, 1]))
    assert (figure.value, figure.ci95, figure.delta, figure.delta_ci95) == (None,) * 4
    assert figure.base == 1.0


def test_few_groups_that_differ_have_a_bounded_interval():
    # One question of fifty: most resamples draw it once or never.
    tuned, base = per_record([1] + 49 * [0]), per_record(50 * [0])
    figure = estimate(tuned, names(range(50)), ratio, BOOTSTRAP, base)
    low, high = figure.delta_ci95
    assert low < 0 < figure.delta < high < 0.2
    assert figure.p == 1.0


def test_every_sign_of_three_groups_by_hand():
    # Of the eight patterns of 1, 2, 3 only + + + and − − − reach 6.
    assert sign_flip_test(np.array([1.0, 2.0, 3.0]), BOOTSTRAP) == 2 / 8
    # Of 3, −1, 1 all but 3 − 1 − 1 reach 3, in either direction.
    assert sign_flip_test(np.array([3.0, -1.0, 1.0]), BOOTSTRAP) == 6 / 8


def test_random_signs_agree_with_scipy_and_are_never_impossible():
    generator = np.random.default_rng(4)
    differences = 0.1 + generator.exponential(size=40) - generator.exponential(size=40)
    found = sign_flip_test(differences, Bootstrap(2000, 1))
    peer = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=2
    ).pvalue
    assert found == pytest.approx(peer, abs=0.015)
    assert 0.01 < found < 0.9
    assert sign_flip_test(differences + 100, Bootstrap(100, 1)) == 1 / 1001


def test_contributions_to_a_mean_are_the_groups_differences():
    tuned, base = np.array([5.0, 1.0, 2.0, 7.0]), np.array([1.0, 1.0, 4.0, 6.0])
    groups = ["a", "a", "a", "b"]
    sides = [sum_by_group(per_record(side), groups) for side in (tuned, base)]
    parts = contributions(sides, np.array([3.0, 1.0]), ratio)
    assert parts == pytest.approx([2 / 4, 1 / 4])


def test_contributions_to_a_corpus_score_are_its_jackknife():
    generator = np.random.default_rng(6)
    gold = ["".join(generator.choice(list("가나다라마바사"), 30)) for _ in range(60)]
    said = [text[:20] + text[:5] for text in gold]
    other = [text[5:28] + "아자차" for text in gold]
    sides = [bleu_statistics(texts, gold) for texts in (said, other)]
    whole = [bleu_score(side.sum(axis=0)) for side in sides]
    parts = contributions(sides, np.ones(60), bleu_score)
    assert parts.sum() == pytest.approx(whole[0] - whole[1])
    without = [bleu_score(side.sum(axis=0) - side) for side in sides]
    left_out = (without[0] - without[1]).mean() - (without[0] - without[1])
    assert parts - parts.mean() == pytest.approx(left_out, rel=0.1, abs=1e-3)


def test_groups_are_flipped_whole():
    # Ten copies of each of four questions: no more sure than the four.
    tuned, base = np.repeat([1.0, 2.0, 3.0, 4.0], 10), np.zeros(40)
    groups = names(np.repeat(range(4), 10))
    assert estimate(per_record(tuned), groups, ratio, BOOTSTRAP, per_record(base)).p == 2 / 16


def test_one_error_in_all_shows_nothing():
    # The one model cites twice as often; of all their citations a single one is wrong.
    cites = np.array([[0.0, 2.0]] * 50)
    base = np.array([[1.0, 1.0]] + [[0.0, 1.0]] * 49)
    figure = estimate(cites, names(range(50)), ratio, BOOTSTRAP, base)
    assert figure.delta == -1 / 50
    assert figure.p == 1.0


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, then never less.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_the_minimum_detectable_difference_is_shown_with_the_power_it_says():
    # Of a paired t-test of 30 groups, by scipy's non-central t.
    size = minimum_detectable(1.0, 30, 1)
    beyond = t.ppf(0.975, 29)
    assert 1 - nct.cdf(beyond, 29, size) == pytest.approx(0.8, abs=0.01)
    stricter = minimum_detectable(1.0, 30, 10)
    assert 1 - nct.cdf(t.ppf(0.9975, 29), 29, stricter) == pytest.approx(0.8, abs=0.01)
    assert minimum_detectable(0.0, 30, 1) is None


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


@pytest.mark.parametrize("groups", [2, 10, 57])
def test_where_all_groups_are_alike_the_interval_is_the_exact_one(groups: int):
    exact = binomtest(0, groups).proportion_ci(method="exact")
    assert opened((0.0, 0.0), 0, 1, groups) == pytest.approx((exact.low, exact.high))
    exact = binomtest(groups, groups).proportion_ci(method="exact")
    assert opened((1.0, 1.0), 0, 1, groups) == pytest.approx((exact.low, exact.high))
    # Alike elsewhere, or not alike: as it was.
    assert opened((0.5, 0.5), 0, 1, groups) == (0.5, 0.5)
    assert opened((0.0, 0.1), 0, 1, groups) == (0.0, 0.1)
    assert opened(None, 0, 1, groups) is None


@pytest.mark.parametrize("groups", [2, 10, 57])
def test_where_both_sides_are_all_right_or_all_wrong_their_difference_is_not_certain(groups: int):
    names = [str(n) for n in range(groups)]
    unseen = binomtest(0, groups).proportion_ci(method="exact").high
    right, wrong = per_record([1] * groups), per_record([0] * groups)
    mixed = per_record([n % 2 for n in range(groups)])

    def difference(tuned, base) -> list[float]:
        figure = estimate(tuned, names, ratio, BOOTSTRAP, base)
        return make_entry(figure, 0, 1)["delta_ci95"]

    assert difference(wrong, wrong) == pytest.approx([-unseen, unseen])
    assert difference(right, right) == pytest.approx([-unseen, unseen])
    # A group that is otherwise moves the difference from 1 to -1 at worst.
    assert difference(right, wrong) == pytest.approx([max(1 - 2 * unseen, -1), 1])
    # The same mixed answers on both sides do not stand at an end.
    assert difference(mixed, mixed) == [0, 0]
