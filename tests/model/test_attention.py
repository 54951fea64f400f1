"""Attention of the newest token in float32: the same answers, nearer the exact logits."""

import pytest
import tiny
import torch

from lawtune.model.attention import newest_in_float32
from lawtune.model.cache import new_cache, pad_left, with_cache
from lawtune.model.decode import continue_prompts, greedy

PROMPTS = [list(range(20, 50)), list(range(30, 35))]
MODELS = {"gpt2": tiny.make_gpt2, "grouped queries": tiny.make_llama}


def make(name):
    return tiny.randomise(MODELS[name](tiny.make_tokenizer())).eval()


def decode(model, prompts):
    made = [[] for _ in prompts]
    for step in continue_prompts(model, prompts, [12] * len(prompts), frozenset(), greedy):
        for row, token in step:
            made[row].append(token)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_without_it(name):
    model = make(name)
    alone = decode(model, PROMPTS)
    with newest_in_float32(model):
        assert decode(model, PROMPTS) == alone
    assert model.config._attn_implementation == "sdpa"
    assert decode(model, PROMPTS) == alone


@pytest.mark.parametrize("name", MODELS)
def test_in_bfloat16_a_new_token_attends_in_float32(name):
    model, exact = make(name).bfloat16(), make(name)
    ids, attention = pad_left(PROMPTS)
    token = torch.tensor([[21], [22]])
    longer = torch.cat([attention, torch.ones(2, 1, dtype=torch.long)], dim=1)

    def newest(model):
        cache = new_cache(model, room=ids.shape[1] + 1)
        with torch.no_grad():
            model(**with_cache(model.forward, ids, attention, cache))
            logits = model(**with_cache(model.forward, token, longer, cache)).logits[:, -1]
        return logits.float(), cache.layers[0].keys.dtype

    expected, _ = newest(exact)
    with newest_in_float32(model):
        found, dtype = newest(model)
    usual, usual_dtype = newest(model)
    assert (dtype, usual_dtype) == (torch.float32, torch.bfloat16)
    scale = expected.abs().max()
    assert (usual - expected).abs().max() / scale < 0.05 > (found - expected).abs().max() / scale


def test_another_attention_is_left_alone():
    model = make("gpt2")
    model.set_attn_implementation("eager")
    alone = decode(model, PROMPTS)
    with newest_in_float32(model):
        assert model.config._attn_implementation == "eager"
        assert decode(model, PROMPTS) == alone
