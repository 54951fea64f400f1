"""The cache with room against transformers' own, and models whose layers keep their past in other
ways against a whole pass."""

from typing import Any

import pytest
import tiny
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    DynamicCache,
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)
from transformers.cache_utils import DynamicLayer

from lawtune.errors import UserError
from lawtune.model.cache import RoomyLayer, copy_rows, new_cache
from lawtune.model.decode import continue_prompts, greedy
from lawtune.model.likelihood import log_likelihoods


@pytest.mark.parametrize("room", [4, 8, 100])
def test_like_transformers_layer_token_by_token(room: int):
    torch.manual_seed(0)
    ours, theirs, rows = RoomyLayer(room), DynamicLayer(), 6
    # New tokens, and the rows that stay after them.
    for tokens, stay in ((3, [0, 5, 2, 4]), (1, [0, 1, 2, 3]), (1, [3, 2]), (4, [0, 1]), (1, [1])):
        states = torch.randn(2, rows, 3, tokens, 5)
        for mine, known in zip(ours.update(*states), theirs.update(*states), strict=True):
            assert torch.equal(mine, known)
        for layer in (ours, theirs):
            layer.batch_select_indices(torch.tensor(stay))
        rows = len(stay)
        assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_within_its_room_nothing_is_copied():
    layer = RoomyLayer(10)
    layer.update(torch.randn(4, 1, 3, 2), torch.randn(4, 1, 3, 2))
    before = layer.keys.data_ptr()
    layer.update(torch.randn(4, 1, 1, 2), torch.randn(4, 1, 1, 2))
    layer.batch_select_indices(torch.tensor([0, 3, 2]))
    assert layer.keys.data_ptr() == before and layer.keys.shape == (3, 1, 4, 2)


def test_a_row_is_never_lost_in_a_move():
    layer = RoomyLayer(4)
    layer.update(torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2))
    with pytest.raises(AssertionError):
        layer.batch_select_indices(torch.tensor([2, 0]))


def test_copied_rows_leave_the_original_as_it_was():
    model = tiny.make_gpt2(tiny.make_tokenizer())
    cache = new_cache(model)
    assert isinstance(cache, DynamicCache)
    model(torch.tensor([[5, 6, 7], [8, 9, 10]]), cache=cache, use_cache=True)
    keys = cache.layers[0].keys.clone()
    copied = copy_rows(cache, torch.tensor([1, 1, 0]))
    copied.update(torch.ones(3, 2, 1, 16), torch.ones(3, 2, 1, 16), 0)
    assert torch.equal(cache.layers[0].keys, keys)
    assert torch.equal(copied.layers[0].keys[:, :, :3], keys[[1, 1, 0]])


COMMON: dict[str, Any] = {"hidden_size": 32}
LLAMA_LIKE = COMMON | {"intermediate_size": 64, "num_hidden_layers": 2, "initializer_range": 0.3}
OTHERS = {
    # Sliding windows of 8 tokens, in every layer and in every other; logits capped at the end.
    "mistral": lambda shape: MistralForCausalLM(
        MistralConfig(
            num_attention_heads=4, num_key_value_heads=2, sliding_window=8, **LLAMA_LIKE, **shape
        )
    ),
    "gemma2": lambda shape: Gemma2ForCausalLM(
        Gemma2Config(
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            final_logit_softcapping=3.0,
            sliding_window=8,
            **LLAMA_LIKE,
            **shape,
        )
    ),
    # States of fixed size: in one layer of two, and beside the keys in every layer.
    "lfm2": lambda shape: Lfm2ForCausalLM(
        Lfm2Config(
            num_attention_heads=4,
            num_key_value_heads=2,
            full_attn_idxs=[1],
            block_multiple_of=8,
            **LLAMA_LIKE,
            **shape,
        )
    ),
    "falcon_h1": lambda shape: FalconH1ForCausalLM(
        FalconH1Config(
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            mamba_d_ssm=32,
            mamba_n_heads=4,
            mamba_d_head=8,
            mamba_d_state=4,
            mamba_n_groups=1,
            mamba_chunk_size=8,
            **LLAMA_LIKE,
            **shape,
        )
    ),
    # Positions from the mask alone: biases by distance; positions learnt.
    "bloom": lambda shape: BloomForCausalLM(
        BloomConfig(n_layer=2, n_head=4, initializer_range=0.3, **COMMON, **shape)
    ),
    "opt": lambda shape: OPTForCausalLM(
        OPTConfig(
            ffn_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            init_std=0.3,
            word_embed_proj_dim=32,
            **COMMON,
            **shape,
        )
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures(name: str):
    tokenizer = tiny.make_tokenizer()
    torch.manual_seed(0)
    model = OTHERS[name]({"vocab_size": len(tokenizer)}).eval()

    def draw(length: int) -> list[int]:
        return torch.randint(20, len(tokenizer), (length,)).tolist()

    prompts = [draw(30), draw(19), draw(5), draw(1)]
    requests = [(prompt, draw(length)) for prompt in prompts for length in (1, 7, 12)]
    with torch.no_grad():
        for (prompt, answer), found in zip(
            requests, log_likelihoods(model, requests, 100, first_token=1), strict=True
        ):
            chances = model(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
            expected = sum(float(chances[p, t]) for p, t in zip(places, answer, strict=True))
            assert found == pytest.approx(expected, rel=1e-5)
    made: list[list[int]] = [[] for _ in prompts]
    for step in continue_prompts(model, prompts, [16, 3, 14, 10], frozenset(), greedy):
        for row, token in step:
            made[row].append(token)
    for prompt, tokens in zip(prompts, made, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + tokens])).logits[0]
        assert logits[len(prompt) - 1 : -1].argmax(dim=-1).tolist() == tokens


def test_a_past_of_another_kind_is_refused_rather_than_forgotten():
    config = RwkvConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, context_length=32)
    model = RwkvForCausalLM(config).eval()
    with pytest.raises(UserError, match="cannot answer"):
        next(continue_prompts(model, [[5, 6]], [4], frozenset(), greedy))
