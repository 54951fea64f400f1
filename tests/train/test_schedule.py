"""Learning rates against values worked out by hand."""

import math

import pytest

from lawtune.errors import UserError
from lawtune.train.schedule import learning_rate, resolve_warmup


def rates(scheduler: str, total: int = 6, warmup: int = 2) -> list[float]:
    return [learning_rate(1.0, step, total, warmup, scheduler) for step in range(total)]


def test_linear_by_hand():
    assert rates("linear") == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])


def test_cosine_by_hand():
    half = math.sqrt(0.5) / 2
    assert rates("cosine") == pytest.approx([0.5, 1.0, 1.0, 0.5 + half, 0.5, 0.5 - half])


def test_constant_by_hand():
    assert rates("constant") == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0])


def test_no_warmup_starts_at_the_peak_and_nothing_is_wasted_on_zero():
    assert rates("linear", total=4, warmup=0) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_run_past_its_end_stays_at_zero():
    assert learning_rate(1.0, 12.5, 10.0, 1.0, "cosine") == pytest.approx(0.0)


def test_auto_is_a_tenth():
    assert [resolve_warmup("auto", total) for total in (5, 30, 1000)] == [0, 3, 100]


def test_the_original_fault_is_refused_and_the_longest_named():
    with pytest.raises(UserError, match=r"100.*30 steps.*longest that fits is 30"):
        resolve_warmup(100, 30)
    assert resolve_warmup(30, 30) == 30
    assert learning_rate(1.0, 29, 30, 30, "cosine") == 1.0
