"""Masks belong to examples: no cut of a step, no padding and no neighbour changes one."""

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from test_loss import assert_close_norms, gradients, make_windows

from lawtune.data.encode import Window
from lawtune.train import loss as loss_module
from lawtune.train.dropout import ExampleMasks, Rows, example_seeds
from lawtune.train.loss import LossEngine

TARGETS = {
    "lm_head": ["lm_head"],
    "attention": ["c_attn"],
    "both": ["c_attn", "lm_head"],
}


def with_dropout(targets: list[str], rate: float = 0.4):
    config = LoraConfig(r=4, lora_alpha=6, lora_dropout=rate, target_modules=targets)
    model = get_peft_model(tiny.make_gpt2(tiny.make_tokenizer()), config)
    return tiny.randomise(model)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("count", [8, 5])
def test_one_by_eight_equals_eight_by_one_with_dropout(kind: str, count: int, monkeypatch):
    monkeypatch.setattr(loss_module, "PROJECTED_TOKENS", 7)
    engine = LossEngine(with_dropout(TARGETS[kind]), pad_id=2)
    windows = make_windows(count, seed=count)
    cuts = [[[w] for w in windows], [windows], [windows[:2], windows[:1:-1]]]
    found = []
    for cut in cuts:
        torch.manual_seed(4)
        step = engine.accumulate(cut)
        found.append((step.loss, gradients(engine.model)))
    torch.manual_seed(5)
    other = engine.accumulate(cuts[0]).loss
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-6)
        assert_close_norms(gradient, found[0][1])
    assert other != pytest.approx(found[0][0], rel=1e-4)


def test_the_mean_over_many_masks_is_the_input():
    masks, total = ExampleMasks(), torch.zeros(5, 8)
    for seed in range(4000):
        with masks.over(Rows([(seed, 0, 5)])):
            dropped = masks.apply(torch.ones(5, 8), 0.25, 0)
        assert set(dropped.unique().tolist()) <= {0.0, torch.tensor(4 / 3).item()}
        total += dropped
    assert torch.allclose(total / 4000, torch.ones(5, 8), atol=0.05)


def test_a_mask_depends_on_example_and_module_and_not_on_where_its_rows_lie():
    masks, width = ExampleMasks(), 16

    def drawn(rows: Rows, shape: tuple[int, ...], module: int = 0) -> torch.Tensor:
        with masks.over(rows):
            return masks.apply(torch.ones(*shape, width), 0.5, module)

    whole = drawn(Rows([(7, 0, 6)]), (6,))
    padded = drawn(Rows([(9, 0, 4), (7, 0, 6)], padded_to=8), (2, 8))
    assert torch.equal(padded[1, :6], whole)
    assert torch.equal(drawn(Rows([(9, 1, 3), (7, 2, 5)]), (5,))[2:], whole[2:5])
    assert not torch.equal(drawn(Rows([(7, 0, 6)]), (6,), module=1), whole)
    assert not torch.equal(drawn(Rows([(8, 0, 6)]), (6,)), whole)


def test_seeds_follow_the_step_the_example_and_its_twins():
    twin, other = Window((5, 6, 7), 1, "a"), Window((5, 6, 8), 1, "a")
    torch.manual_seed(1)
    flat = example_seeds([[twin, other, twin]])[0]
    torch.manual_seed(1)
    cut = example_seeds([[other], [twin, twin]])
    assert len(set(flat)) == 3
    assert cut == [[flat[1]], [flat[0], flat[2]]]
    assert example_seeds([[other]])[0] != cut[0]


def test_evaluation_and_the_saved_adapter_know_nothing_of_it():
    model = with_dropout(["c_attn", "lm_head"])
    names = list(model.state_dict())
    windows = make_windows(4)
    engine = LossEngine(model, pad_id=2)
    assert list(model.state_dict()) == names
    plain = LossEngine(with_dropout(["c_attn", "lm_head"], rate=0.0), pad_id=2)
    assert engine.mean_loss(windows) == plain.mean_loss(windows)
