"""Calibration against figures worked out by hand and the exact binomial distribution."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from lawtune.eval.calibration import Taken, bins_of, calibration, expected_error, take
from lawtune.eval.stats import Bootstrap

BOOTSTRAP = Bootstrap(resamples=4000, seed=3)


def taken(probability, right):
    return Taken(np.asarray(probability, float), np.asarray(right, float))


def account(side, base=None):
    return calibration(side, base, [f"g{i}" for i in range(len(side.right))], BOOTSTRAP)


def test_scores_become_probabilities_of_what_is_taken():
    scores = [[math.log(6), math.log(3), math.log(1)], [-300.0, -301.0, -300.0 + math.log(2)]]
    found = take(scores, [0, 1])
    assert found.probability == pytest.approx([0.6, 2 / (3 + math.exp(-1))])
    assert list(found.right) == [1, 0]


def test_a_tie_is_wrong_and_not_a_number_is_left_out():
    found = take([[0.0, 0.0], [math.nan, 0.0], [0.0, -1.0]], [0, 0, 0])
    assert list(found.right) == [0, 0, 1]
    assert math.isnan(found.probability[1])
    counted = account(found)
    assert (counted["n"], counted["excluded"]) == (2, 1)
    assert account(take([[math.nan, 0.0]], [0])) is None
    assert account(take([], [])) is None


def test_two_bins_by_hand():
    # 15 taken at 0.4, of which 9 are right, and 15 at 0.9, of which 12 are.
    side = taken([0.4] * 15 + [0.9] * 15, [1] * 9 + [0] * 6 + [1] * 12 + [0] * 3)
    found = account(side)
    assert [(point["n"], point["right"]) for point in found["bins"]] == [(15, 0.6), (15, 0.8)]
    assert [point["probability"] for point in found["bins"]] == pytest.approx([0.4, 0.9])
    assert found["ece"]["value"] == pytest.approx((0.2 + 0.1) / 2)
    assert found["overconfidence"]["value"] == pytest.approx(0.65 - 0.7)
    # Biased upwards, it has no interval that would cover the truth.
    assert found["ece"]["ci95"] is None and found["overconfidence"]["ci95"] is not None


def test_the_base_stands_beside_with_its_own_bins():
    right = [1] * 20 + [0] * 20
    sure, unsure = taken([0.95] * 40, right), taken([0.5] * 40, right)
    found = account(unsure, sure)
    assert found["ece"]["value"] == pytest.approx(0.0)
    assert found["ece"]["base"] == pytest.approx(0.45)
    assert found["overconfidence"]["delta"] == pytest.approx(-0.45)
    assert found["base_bins"][0]["probability"] == pytest.approx(0.95)


def test_what_a_calibrated_model_would_score_is_the_binomials_mean():
    n, p = 60, 0.7
    found = account(taken([p] * n, [1] * 42 + [0] * 18))["ece_if_calibrated"]
    counts = np.arange(n + 1)
    exact = (binom.pmf(counts, n, p) * np.abs(counts / n - p)).sum()
    assert found["mean"] == pytest.approx(exact, rel=0.05)
    assert found["q95"] > found["mean"]


def test_a_calibrated_model_is_seldom_called_otherwise():
    generator = np.random.default_rng(0)
    above = 0
    for seed in range(200):
        probability = generator.uniform(0.2, 1, size=150)
        side = taken(probability, generator.random(150) < probability)
        groups = [str(i) for i in range(150)]
        found = calibration(side, None, groups, Bootstrap(200, seed))
        above += found["ece"]["value"] > found["ece_if_calibrated"]["q95"]
    assert 2 <= above <= 20  # 10 expected


def test_nor_is_one_whose_questions_are_right_and_wrong_together():
    """Five questions a source with one luck in common: drawn singly, more than every fourth such
    model would be called not calibrated."""
    generator = np.random.default_rng(0)
    above = 0
    for seed in range(100):
        probability = generator.uniform(0.3, 0.9, size=200)
        right = np.repeat(generator.random(40), 5) < probability
        groups = [str(i // 5) for i in range(200)]
        found = calibration(taken(probability, right), None, groups, Bootstrap(200, seed))
        above += found["ece"]["value"] > found["ece_if_calibrated"]["q95"]
    assert above <= 14  # 5 expected of right quantiles


def test_bins_hold_equal_numbers_and_keep_ties_together():
    assert np.bincount(bins_of(np.linspace(0.2, 1, 200))).tolist() == [20] * 10
    assert np.bincount(bins_of(np.linspace(0.2, 1, 40))).tolist() == [20, 20]
    assert set(bins_of(np.full(100, 0.5))) == {0}
    tied = bins_of(np.repeat([0.3, 0.6, 0.9], [50, 20, 30]))
    assert len(set(zip(np.repeat([0.3, 0.6, 0.9], [50, 20, 30]), tied, strict=True))) == 3


def test_the_error_of_sums_is_scale_free():
    summed = np.array([[0.5, -0.25, 0.0, 10.0], [1.0, -0.5, 0.0, 20.0]])
    assert expected_error(summed) == pytest.approx([0.075, 0.075])
