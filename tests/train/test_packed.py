"""Examples in one row come out as they do alone, and none sees another."""

import pytest
import tiny
import torch
from test_loss import make_windows
from test_prefix_cache import MODELS
from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

from lawtune.train import packed as packed_module
from lawtune.train.loss import LossEngine
from lawtune.train.packed import packed
from lawtune.train.prefix import split_model, unwrapped

LENGTHS = (5, 1, 9, 3)
PACKING = [name for name in MODELS if name != "gemma2"]


def make_row(seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(372, (1, sum(LENGTHS)), generator=draw)


@pytest.mark.parametrize("longest_plain", [512, 0])
@pytest.mark.parametrize("model", PACKING)
def test_outputs_and_gradients_equal_those_of_each_alone(model: str, longest_plain, monkeypatch):
    monkeypatch.setattr(packed_module, "LONGEST_PLAIN", longest_plain)
    whole = MODELS[model]()
    parts, embedding = split_model(whole), whole.get_input_embeddings().weight
    assert parts.packs
    row = make_row()
    together = parts.trunk(row, LENGTHS)
    alone = torch.cat([parts.trunk(ids, None) for ids in row.split(LENGTHS, dim=1)], dim=1)
    assert torch.linalg.norm(together - alone) <= 1e-6 * torch.linalg.norm(alone)
    weight = torch.linspace(-1, 1, alone.numel()).view_as(alone)
    ours, theirs = (
        torch.autograd.grad((x * weight).sum(), embedding)[0] for x in (together, alone)
    )
    assert torch.linalg.norm(ours - theirs) <= 1e-5 * torch.linalg.norm(theirs) > 0


def test_changing_one_example_changes_no_other_bit():
    parts = split_model(MODELS["gpt2"]())
    row, other = make_row(), make_row()
    other[:, :5] = (other[:, :5] + 7) % 372
    before, after = (parts.trunk(ids, LENGTHS).split(LENGTHS, dim=1) for ids in (row, other))
    assert not torch.equal(before[0], after[0])
    assert all(torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True))


def test_gradcheck_of_the_plain_attention():
    draw = torch.Generator().manual_seed(1)
    shape = (2, 4, 3)
    inputs = [
        torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(3)
    ]
    assert torch.autograd.gradcheck(lambda *x: packed_module._Plain.apply(*x, 0.7), inputs)


def test_a_model_that_asks_more_of_attention_is_not_packed():
    assert not split_model(MODELS["gemma2"]()).packs


@pytest.mark.parametrize("window", [4, None])
def test_a_window_that_only_the_mask_knows_is_kept(window: int | None):
    """Qwen2-MoE says nothing of its sliding window to its attention."""
    torch.manual_seed(0)
    config = Qwen2MoeConfig(
        vocab_size=372,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        initializer_range=0.3,
        sliding_window=window,
        use_sliding_window=window is not None,
        max_window_layers=3,
    )
    model = Qwen2MoeForCausalLM(config).eval()
    windows = make_windows(5)
    total = sum(
        model(ids, labels=labels).loss.item() * window.targets
        for window in windows
        for ids, labels in [_labelled(window)]
    )
    expected = total / sum(window.targets for window in windows)
    assert LossEngine(model, pad_id=2).mean_loss(windows) == pytest.approx(expected, rel=1e-5)
    assert split_model(model).packs is (window is None)


def _labelled(window):
    ids = torch.tensor([window.ids])
    labels = ids.clone()
    labels[:, : window.target_start] = -100
    return ids, labels


def test_the_model_is_left_as_it_was_even_after_an_error():
    model = unwrapped(tiny.make_gpt2(tiny.make_tokenizer())).base_model
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError), packed(model, (2, 1)):
        assert model.config._attn_implementation != before
        raise RuntimeError
    assert model.config._attn_implementation == before
