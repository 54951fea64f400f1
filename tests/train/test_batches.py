"""Plans are pure, cover everything once, and collating labels the right positions."""

import pytest

from lawtune.data.encode import Window
from lawtune.train.batches import IGNORED, collate, cut_by_tokens, plan_by_tokens, plan_epoch


def test_an_epoch_covers_every_example_once_with_a_ragged_end():
    steps = plan_epoch(count=19, seed=1, epoch=0, batch_size=2, gradient_accumulation=3)
    sizes = [[len(batch) for batch in step] for step in steps]
    assert sizes == [[2, 2, 2], [2, 2, 2], [2, 2, 2], [1]]
    assert sorted(i for step in steps for batch in step for i in batch) == list(range(19))


def test_the_order_depends_on_seed_and_epoch_alone():
    first = plan_epoch(50, 1, 0, 1, 8)
    assert first == plan_epoch(50, 1, 0, 1, 8)
    assert first != plan_epoch(50, 1, 1, 1, 8)
    assert first != plan_epoch(50, 2, 0, 1, 8)


def test_cutting_a_step_otherwise_keeps_its_examples():
    fine, coarse = plan_epoch(21, 3, 0, 1, 8), plan_epoch(21, 3, 0, 8, 1)
    assert [sum(step, []) for step in fine] == [sum(step, []) for step in coarse]


def test_token_plan_fills_steps_and_bounds_padded_micro_batches():
    lengths = [5 + (index * 7) % 60 for index in range(200)]
    steps = plan_by_tokens(lengths, seed=4, epoch=2, step_tokens=600, micro_tokens=256)
    assert steps == plan_by_tokens(lengths, seed=4, epoch=2, step_tokens=600, micro_tokens=256)
    assert sorted(i for step in steps for batch in step for i in batch) == list(range(200))
    for step in steps[:-1]:
        assert 600 <= sum(lengths[i] for batch in step for i in batch) < 600 + 64
    for step in steps:
        for batch in step:
            assert len(batch) * max(lengths[i] for i in batch) <= 256


def test_an_example_above_the_budget_stands_alone():
    assert cut_by_tokens([0, 1, 2], [10, 300, 10], micro_tokens=100) == [[1], [0, 2]]


def test_labels_are_shifted_and_end_with_eos_even_where_pad_is_eos():
    eos = 1
    batch = collate([Window((7, 8, 9, eos), 2), Window((5, 6), 1)], pad_id=eos)
    assert batch.ids.tolist() == [[7, 8, 9, eos], [5, 6, eos, eos]]
    assert batch.labels.tolist() == [
        [IGNORED, 9, eos, IGNORED],
        [6, IGNORED, IGNORED, IGNORED],
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_small_counts(count: int):
    assert sum(len(step) for step in plan_epoch(count, 0, 0, 4, 8)) == count
