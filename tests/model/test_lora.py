"""LoRA: the original's parameter counts to the digit, and targets that exist."""

import re
from pathlib import Path

import pytest
import tiny
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from lawtune.config import LoraConfig
from lawtune.errors import UserError
from lawtune.model.lora import attach_lora, count_parameters, target_names

SMALL = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
LM_HEAD = LoraConfig(r=16, alpha=32, dropout=0.1, target_modules=("lm_head",))


@pytest.mark.parametrize(
    ("rows", "trainable", "total"), [(51_212, 831_680, 126_004_928), (51_200, 831_488, 125_995_520)]
)
def test_counts_on_kogpt2s_shape(rows: int, trainable: int, total: int):
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(vocab_size=rows, n_embd=768, n_layer=12, n_head=12))
    adapted = attach_lora(model, LM_HEAD)
    assert count_parameters(adapted) == (trainable, total)
    assert adapted.get_nb_trainable_parameters() == (trainable, total)
    # 16 × (768 + rows), by hand.
    assert trainable == 16 * (768 + rows)


def test_only_the_adapter_is_trainable_and_in_float32():
    model = tiny.make_gpt2(tiny.make_tokenizer()).to(torch.bfloat16)
    adapted = attach_lora(model, LoraConfig(target_modules=("c_attn", "lm_head")))
    trainable = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    assert all(p.dtype == torch.float32 for p in trainable.values())
    assert adapted.get_base_model().transformer.wte.weight.dtype == torch.bfloat16


def test_a_fresh_adapter_changes_nothing_and_lm_head_stays_tied():
    model = tiny.make_gpt2(tiny.make_tokenizer())
    ids = torch.tensor([[5, 6, 7]])
    before = model(ids).logits
    adapted = attach_lora(model, LM_HEAD).eval()
    assert torch.equal(adapted(ids).logits, before)
    base = adapted.get_base_model()
    assert base.lm_head.base_layer.weight is base.transformer.wte.weight


@pytest.mark.parametrize("build", [tiny.make_gpt2, tiny.make_llama])
def test_all_linear_is_every_linear_layer_but_the_vocabularys(build):
    model = build(tiny.make_tokenizer())
    names = target_names(model, LoraConfig(target_modules="all-linear"))
    assert "lm_head" not in names
    per_layer = 4 if build is tiny.make_gpt2 else 7
    assert len(names) == 2 * per_layer
    adapted = attach_lora(model, LoraConfig(r=4, target_modules="all-linear"))
    assert len([n for n, _ in adapted.named_parameters() if "lora_A" in n]) == 2 * per_layer


def test_layers_to_transform_keeps_lm_head():
    model = tiny.make_gpt2(tiny.make_tokenizer())
    config = LoraConfig(r=4, target_modules=("c_attn", "lm_head"), layers_to_transform=(1,))
    adapted = attach_lora(model, config)
    found = {n.split(".lora_")[0] for n, p in adapted.named_parameters() if p.requires_grad}
    prefix = "base_model.model."
    assert found == {f"{prefix}transformer.h.1.attn.c_attn", f"{prefix}lm_head"}
    with pytest.raises(UserError, match=r"no layer 7 .* layers 0 to 1"):
        model = tiny.make_gpt2(tiny.make_tokenizer())
        target_names(model, LoraConfig(target_modules=("c_attn",), layers_to_transform=(7,)))


def test_a_mixtures_fused_experts_are_left_alone():
    """PEFT's own `all-linear` would take them in, and refuse dropout there."""
    shape = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SMALL, **shape))
    adapted = attach_lora(model, LoraConfig(r=4, alpha=8, dropout=0.1, target_modules="all-linear"))
    found = {n.split(".lora_")[0] for n, p in adapted.named_parameters() if p.requires_grad}
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    expected = {f"model.layers.{i}.self_attn.{name}" for i in (0, 1) for name in attention}
    assert found == {f"base_model.model.{name}" for name in expected}


def test_an_eye_beside_the_text_is_left_alone():
    text = Gemma3TextConfig(**SMALL)
    eye = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    eye |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=eye, mm_tokens_per_image=4)
    model = Gemma3ForConditionalGeneration(config)
    names = target_names(model, LoraConfig(target_modules="all-linear"))
    assert len(names) == 2 * 7 and not any("vision" in name for name in names)


def test_what_peft_refuses_is_the_users_to_know():
    model = MambaForCausalLM(MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2))
    with pytest.raises(UserError, match="PEFT cannot put LoRA on this model: .*out_proj"):
        attach_lora(model, LoraConfig(target_modules="all-linear"))


def test_layers_to_transform_must_leave_something():
    model = tiny.make_gpt2(tiny.make_tokenizer())
    with pytest.raises(UserError, match="leaves no layer"):
        attach_lora(model, LoraConfig(target_modules=("c_attn",), layers_to_transform=()))


def test_all_linear_may_stand_in_a_list():
    model = tiny.make_gpt2(tiny.make_tokenizer())
    adapted = attach_lora(model, LoraConfig(r=4, target_modules=("all-linear",)))
    assert len([n for n, _ in adapted.named_parameters() if "lora_A" in n]) == 8
    model = tiny.make_gpt2(tiny.make_tokenizer())
    both = target_names(model, LoraConfig(target_modules=("all-linear", "lm_head")))
    assert both == [*target_names(model, LoraConfig()), "lm_head"]


@pytest.mark.parametrize("target", ["q_proj", "attn", "wte"])
def test_a_target_that_the_model_lacks_lists_what_it_has(target: str):
    model = tiny.make_gpt2(tiny.make_tokenizer())
    message = f"no linear layer '{target}'; it has c_attn, c_proj, c_fc, lm_head (or all-linear"
    with pytest.raises(UserError, match=re.escape(message)):
        attach_lora(model, LoraConfig(target_modules=("c_attn", target)))


def test_a_bare_name_is_a_name_and_no_regular_expression():
    model = tiny.make_llama(tiny.make_tokenizer())
    adapted = attach_lora(model, LoraConfig(r=4, target_modules="q_proj"))
    assert len([n for n, _ in adapted.named_parameters() if "lora_A" in n]) == 2


def test_no_warning_reaches_the_user(gpt2_base: Path, recwarn: pytest.WarningsRecorder):
    attach_lora(tiny.make_gpt2(tiny.make_tokenizer()), LM_HEAD)
    attach_lora(tiny.make_gpt2(tiny.make_tokenizer()), LoraConfig(target_modules=("c_attn",)))
    both = LoraConfig(target_modules=("c_attn", "lm_head"))
    attach_lora(tiny.make_gpt2(tiny.make_tokenizer()), both)
    assert [str(w.message) for w in recwarn if "peft" in str(w.filename)] == []
