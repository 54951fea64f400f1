"""bfloat16 projections with their adapters, beside PEFT's own under autocast."""

import copy
from dataclasses import replace

import pytest
import tiny
import torch
from test_loss import gradients
from test_prefix_cache import MODELS
from transformers import JambaConfig, JambaForCausalLM, Llama4ForCausalLM, Llama4TextConfig

from lawtune.config import LoraConfig
from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.model.lora import attach_lora
from lawtune.train.dropout import ExampleMasks, Rows, install
from lawtune.train.loss import LossEngine
from lawtune.train.prefix import unwrapped
from lawtune.train.projections import GELU, fuse_activations, lighten, merged

LORA = LoraConfig(r=4, alpha=6, dropout=0.4)
ROWS = Rows([(5, 0, 6), (8, 0, 4)], padded_to=6)
IDS = torch.randint(372, (2, 6), generator=torch.Generator().manual_seed(2))


def make_pair(model: str, lora: LoraConfig = LORA):
    """(as PEFT has it, lightened), with equal masks."""
    plain = tiny.randomise(attach_lora(MODELS[model](), lora))
    pair = []
    for adapted in (plain, copy.deepcopy(plain)):
        masks = ExampleMasks()
        install(adapted, masks)
        pair.append((adapted.eval(), masks))
    lighten(unwrapped(pair[1][0]).base_model, pair[1][1])
    return pair


def run(model, masks, ids: torch.Tensor, precision: torch.dtype | None) -> dict:
    """The trunk's output, and the gradients of a weighted sum of it."""
    autocast = torch.autocast(
        "cpu", dtype=precision or torch.bfloat16, enabled=precision is not None
    )
    with autocast, masks.over(ROWS):
        hidden = unwrapped(model).base_model(input_ids=ids, use_cache=False).last_hidden_state
    (hidden.float() * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
    found = gradients(model)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    return {"output": hidden.detach().float()} | found


def error(found: dict, reference: dict) -> float:
    """The median over output and parameters of the relative error in Frobenius norm."""
    assert found.keys() == reference.keys()
    norms = [
        torch.linalg.norm(found[name] - exact) / torch.linalg.norm(exact)
        for name, exact in reference.items()
    ]
    return torch.stack(norms).median().item()


@pytest.mark.parametrize("layers", [None, (2, 3)])
@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_no_farther_from_float32_than_autocast_is(model: str, layers):
    plain, light = make_pair(model, replace(LORA, layers_to_transform=layers))
    ours, theirs = [], []
    for seed in range(4):
        ids = torch.randint(372, (2, 6), generator=torch.Generator().manual_seed(seed))
        exact = run(*plain, ids, None)
        ours.append(error(run(*light, ids, torch.bfloat16), exact))
        theirs.append(error(run(*plain, ids, torch.bfloat16), exact))
    assert max(ours) < 0.1
    assert sum(ours) <= 1.3 * sum(theirs)


def test_the_adapter_as_it_stands_is_used_and_dropout_follows_the_masks():
    (_, _), (model, masks) = make_pair("gpt2")
    first, again = (run(model, masks, IDS, torch.bfloat16)["output"] for _ in range(2))
    assert torch.equal(first, again)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    silent = run(model, masks, IDS, torch.bfloat16)["output"]
    assert not torch.equal(silent, first)
    # Nothing is left of the adapter then, nor of its dropout.
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = unwrapped(model).base_model(input_ids=IDS, use_cache=False).last_hidden_state
    assert torch.equal(hidden.float(), silent)


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_names_and_what_trains_stay_and_frozen_projections_halve(model: str):
    (plain, _), (light, _) = make_pair(model)
    before, after = plain.state_dict(), light.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        values = tensor.to_dense() if tensor.is_mkldnn else tensor
        # In order, a matrix is [outputs, inputs], which GPT-2's is not.
        turned = tensor.is_mkldnn and model == "gpt2"
        expected = before[name].T if turned else before[name]
        assert torch.equal(values, expected.to(tensor.dtype))
        halved = ".h." in name or ".layers." in name
        halved &= "lora" not in name and "ln_" not in name and "norm" not in name
        assert tensor.dtype == (torch.bfloat16 if halved else torch.float32)


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_what_lies_below_another_kind_of_adapter_is_left_alone(model: str):
    from peft import LoraConfig as Peft
    from peft import get_peft_model

    torch.manual_seed(3)
    targets = ["c_attn"] if model == "gpt2" else ["q_proj"]
    adapted = get_peft_model(MODELS[model](), Peft(r=4, target_modules=targets, use_dora=True))
    expected = adapted(input_ids=IDS).logits
    lighten(unwrapped(adapted).base_model, ExampleMasks())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = adapted(input_ids=IDS).logits.float()
    assert torch.linalg.norm(found - expected) <= 0.02 * torch.linalg.norm(expected)
    found.sum().backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_merged_is_the_adapter_as_it_stands_without_dropout(model: str):
    plain = tiny.randomise(attach_lora(MODELS[model](), LORA)).eval()
    light = copy.deepcopy(plain)
    projections = lighten(unwrapped(light).base_model, ExampleMasks())
    assert any(projection.lora for projection in projections)

    def output(adapted, dtype=torch.bfloat16) -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            return unwrapped(adapted).base_model(input_ids=IDS, use_cache=False)[0].float()

    for scale in (1.0, -2.0):
        for adapted in (plain, light):
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.data.mul_(scale)
        exact, alone = output(plain, None), output(light)
        with merged(projections):
            found = output(light)
        assert torch.equal(output(light), alone)
        size = torch.linalg.norm(exact)
        assert torch.linalg.norm(found - exact) < 0.03 * size
        assert torch.linalg.norm(found - exact) < 1.5 * torch.linalg.norm(alone - exact)


def test_a_projection_that_trains_is_left_alone():
    model = MODELS["gpt2"]()
    model.transformer.h[1].mlp.requires_grad_(False)
    lighten(model.transformer, ExampleMasks())
    assert model.transformer.h[1].mlp.c_fc.weight.dtype == torch.bfloat16
    assert model.transformer.h[0].mlp.c_fc.weight.dtype == torch.float32


def test_the_activation_joins_the_product_where_nothing_is_differentiated():
    model = MODELS["gpt2"]().requires_grad_(False)
    exact = copy.deepcopy(model).transformer.h[0].mlp
    fuse_activations(model)
    lighten(model.transformer, ExampleMasks())
    mlp, x = model.transformer.h[0].mlp, torch.randn(3, 5, 32).requires_grad_()
    differentiated = mlp(x)
    (differentiated.float() ** 2).sum().backward()
    ours, expected = x.grad.clone(), torch.autograd.grad((exact(x) ** 2).sum(), x)[0]
    assert torch.linalg.norm(ours - expected) <= 0.02 * torch.linalg.norm(expected)
    with torch.no_grad():
        joined, reference = mlp(x), exact(x)
    for found in (differentiated, joined):
        assert torch.linalg.norm(found - reference) <= 0.01 * torch.linalg.norm(reference)


def test_the_fused_activation_is_the_same_function():
    model = MODELS["gpt2"]()
    before = model.transformer.h[0].mlp.act
    fuse_activations(model)
    after = model.transformer.h[0].mlp.act
    x = torch.linspace(-9, 9, 2001)
    assert isinstance(after, GELU)
    assert torch.allclose(after(x), before(x), rtol=1e-5, atol=1e-6)


def test_a_model_that_reads_weights_in_its_own_way_is_told_to_use_float32():
    shape = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 2}
    shape |= {"mamba_d_state": 4, "mamba_d_conv": 2, "attn_layer_period": 2, "attn_layer_offset": 1}

    def adapted():
        return attach_lora(JambaForCausalLM(JambaConfig(**shape)).eval(), LoraConfig(r=4))

    with pytest.raises(UserError, match="precision fp32"):
        LossEngine(adapted(), pad_id=0, precision="bf16")
    LossEngine(adapted(), pad_id=0, precision="fp32")


def test_a_model_that_names_no_trunk_is_trained_as_a_whole():
    shape = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    config = Llama4TextConfig(**shape, intermediate_size_mlp=32, num_local_experts=2)
    model = Llama4ForCausalLM(config).eval()
    window = Window((5, 6, 7, 8, 9), 2)
    ids = torch.tensor([window.ids])
    labels = ids.clone()
    labels[:, :2] = -100
    expected = model(ids, labels=labels).loss.item()
    assert LossEngine(model, pad_id=0).mean_loss([window]) == pytest.approx(expected, rel=1e-5)
