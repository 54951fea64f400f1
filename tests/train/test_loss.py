"""The loss and its gradient against transformers' own, on whole models."""

import random

import pytest
import tiny
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from lawtune.data.encode import Window
from lawtune.train import head as head_module
from lawtune.train import loss as loss_module
from lawtune.train.loss import LossEngine, NonFiniteError

VOCABULARY = 372


def make_windows(count: int, seed: int = 0) -> list[Window]:
    draw = random.Random(seed)
    windows = []
    for number in range(count):
        length = draw.randint(6, 24)
        ids = tuple(draw.randrange(VOCABULARY) for _ in range(length))
        windows.append(Window(ids, draw.randint(1, length - 2), f"example-{number}"))
    return windows


def make_gemma2():
    """A model that caps its logits after the projection."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=2.0,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    return Gemma2ForCausalLM(config)


MODELS = {
    "gpt2": lambda: tiny.make_gpt2(tiny.make_tokenizer()),
    "gpt2 lora on lm_head": lambda: tiny.with_lora(
        tiny.make_gpt2(tiny.make_tokenizer()), ["lm_head"]
    ),
    "gpt2 lora on c_attn": lambda: tiny.with_lora(
        tiny.make_gpt2(tiny.make_tokenizer()), ["c_attn"]
    ),
    "llama lora on both": lambda: tiny.with_lora(
        tiny.make_llama(tiny.make_tokenizer()), ["q_proj", "lm_head"]
    ),
    "capped logits": make_gemma2,
}


def plain_loss(model, windows: list[Window]) -> torch.Tensor:
    """Mean per target token by transformers' own loss, one unpadded example at a time."""
    total, tokens = 0.0, 0
    for window in windows:
        ids = torch.tensor([window.ids])
        labels = ids.clone()
        labels[:, : window.target_start] = -100
        total = total + model(input_ids=ids, labels=labels).loss * window.targets
        tokens += window.targets
    return total / tokens


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_close_norms(ours: dict, theirs: dict, tolerance: float = 1e-5) -> None:
    assert ours.keys() == theirs.keys() and ours
    for name, expected in theirs.items():
        assert torch.linalg.norm(ours[name] - expected) <= tolerance * torch.linalg.norm(expected)


@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_gradient_equal_transformers(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loss_module, "PROJECTED_TOKENS", 7)
    model = MODELS[kind]()
    engine = LossEngine(model, pad_id=2)
    windows = make_windows(7)
    step = engine.accumulate([windows[:3], windows[3:]])
    ours = gradients(model)
    expected = plain_loss(model, windows)
    expected.backward()
    assert step.tokens == sum(w.targets for w in windows)
    assert step.loss == pytest.approx(expected.item(), rel=1e-6)
    assert engine.mean_loss(windows) == pytest.approx(expected.item(), rel=1e-6)
    assert_close_norms(ours, gradients(model))


def test_capped_logits_take_the_whole_model_and_others_the_fast_path():
    assert isinstance(LossEngine(make_gemma2(), 0)._head, torch.nn.Identity)
    for kind in ("gpt2", "gpt2 lora on lm_head", "llama lora on both"):
        assert not isinstance(LossEngine(MODELS[kind](), 0)._head, torch.nn.Identity)


def test_only_target_positions_reach_the_projection(monkeypatch: pytest.MonkeyPatch):
    seen, original = [], head_module.exponentiate

    def noted(logits: torch.Tensor, *rest):
        seen.append(len(logits))
        return original(logits, *rest)

    monkeypatch.setattr(head_module, "exponentiate", noted)
    windows = make_windows(5)
    LossEngine(MODELS["gpt2 lora on c_attn"](), pad_id=2).accumulate([windows])
    assert sum(seen) == sum(w.targets for w in windows)


def test_one_by_eight_equals_eight_by_one_and_a_ragged_step_too():
    model = MODELS["gpt2 lora on c_attn"]()
    engine = LossEngine(model, pad_id=2)
    for count in (8, 5):
        windows = make_windows(count, seed=count)
        fine = engine.accumulate([[w] for w in windows])
        fine_gradients = gradients(model)
        coarse = engine.accumulate([windows])
        assert fine.loss == pytest.approx(coarse.loss, rel=1e-6)
        assert_close_norms(fine_gradients, gradients(model))


def test_prompt_tokens_are_not_targets():
    engine = LossEngine(MODELS["gpt2"](), pad_id=2)
    ids = (20, 21, 22, 23, 24, 1)
    logits = engine.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    answer = -sum(logits[t - 1, ids[t]].item() for t in (3, 4, 5)) / 3
    assert engine.mean_loss([Window(ids, 3)]) == pytest.approx(answer, rel=1e-6)


def test_dropout_acts_in_training_only_and_on_the_adapter_only():
    model = tiny.with_lora(tiny.make_gpt2(tiny.make_tokenizer()), ["c_attn"], dropout=0.5)
    engine = LossEngine(model, pad_id=2)
    windows = make_windows(4)
    torch.manual_seed(0)
    first = engine.accumulate([windows]).loss
    torch.manual_seed(0)
    assert engine.accumulate([windows]).loss == first
    assert engine.accumulate([windows]).loss != first
    assert engine.mean_loss(windows) == engine.mean_loss(windows)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()  # silences the adapter: what still varied would be the trunk's
    assert engine.accumulate([windows]).loss == engine.accumulate([windows]).loss


def test_a_loss_that_is_no_number_names_its_micro_batch():
    model = MODELS["gpt2"]()
    with torch.no_grad():
        model.transformer.wpe.weight[20] = float("nan")
    engine = LossEngine(model, pad_id=2)
    short = Window((5, 6, 7), 1, "short")
    long = Window(tuple(range(5, 30)), 1, "long")
    with pytest.raises(NonFiniteError) as caught:
        engine.accumulate([[short], [long]])
    assert caught.value.names == ["long"]


def test_the_fused_loss_names_the_very_examples():
    model = tiny.with_lora(tiny.make_llama(tiny.make_tokenizer()), ["lm_head"])
    with torch.no_grad():
        model.get_input_embeddings().weight[20] = float("nan")
    engine = LossEngine(model, pad_id=2)
    windows = [Window(tuple(range(5, 5 + n)), 1, f"{n} tokens") for n in (9, 30, 8, 25)]
    with pytest.raises(NonFiniteError) as caught:
        engine.accumulate([windows])
    assert caught.value.names == ["30 tokens", "25 tokens"]
    assert not gradients(model)


def test_bf16_stays_near_fp32_and_sums_in_float32():
    windows = make_windows(3)
    model = MODELS["gpt2 lora on lm_head"]()
    exact = LossEngine(model, 2, "fp32").accumulate([windows])
    exact_gradients = gradients(model)
    rounded = LossEngine(model, 2, "bf16").accumulate([windows])
    assert rounded.loss == pytest.approx(exact.loss, rel=0.02)
    assert rounded.loss != exact.loss
    assert_close_norms(gradients(model), exact_gradients, tolerance=0.1)
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_padding_without_a_mask_is_no_cause_for_a_warning(capfd: pytest.CaptureFixture):
    model = MODELS["gpt2"]()
    LossEngine(model, pad_id=model.config.pad_token_id).mean_loss(make_windows(3))
    assert "attention_mask" not in capfd.readouterr().err
