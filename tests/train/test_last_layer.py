"""The last layer's feed-forward network for the rows that are read, beside all rows."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import tiny
import torch
from test_prefix_cache import MODELS
from torch import nn

from lawtune.config import LoraConfig
from lawtune.model.lora import attach_lora
from lawtune.train.dropout import ExampleMasks, Rows, install
from lawtune.train.last_layer import LastLayer
from lawtune.train.prefix import find_layers, unwrapped

IDS = torch.randint(372, (2, 6), generator=torch.Generator().manual_seed(2))
ALL = Rows([(5, 0, 6), (8, 0, 4)], padded_to=6)
READ = Rows([(5, 1, 4), (8, 2, 3)])
POSITIONS = torch.tensor([1, 2, 3, 6 + 2])


def trunk(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    return unwrapped(model).base_model(input_ids=ids, use_cache=False).last_hidden_state


def rows_and_gradients(model: nn.Module, masks: ExampleMasks, last: LastLayer | None):
    """The last hidden states at `POSITIONS`, and the adapter's gradient by them; how many rows
    went through the last layer's first projection of its feed-forward network."""
    seen = []
    network = find_layers(model)[-1].mlp
    first = next(module for module in network.modules() if hasattr(module, "lora_A"))
    hook = first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:-1]))
    reading = last.reading(POSITIONS, READ) if last else nullcontext()
    with masks.over(ALL), reading:
        hidden = trunk(model, IDS)
    hook.remove()
    rows = hidden.flatten(0, 1)[POSITIONS]
    (rows * torch.linspace(-1, 1, rows.numel()).view_as(rows)).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"rows": rows.detach()} | found, seen[0].numel()


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_what_is_read_and_its_gradients_are_the_same_with_dropout_too(model: str):
    lora = LoraConfig(r=4, alpha=6, dropout=0.4)
    plain = tiny.randomise(attach_lora(MODELS[model](), lora))
    both = []
    for adapted, reads in ((copy.deepcopy(plain), False), (plain, True)):
        masks = ExampleMasks()
        install(adapted.eval(), masks)
        last = LastLayer(adapted, masks, partial(trunk, adapted))
        both.append(rows_and_gradients(adapted, masks, last if reads else None))
    (whole, all_rows), (part, read_rows) = both
    assert (all_rows, read_rows) == (12, 4)
    assert whole.keys() == part.keys()
    for name, expected in whole.items():
        assert torch.allclose(part[name], expected, rtol=1e-4, atol=1e-6), name


def test_outside_the_context_and_where_nearly_all_is_read_nothing_changes():
    model, masks = MODELS["gpt2"]().eval(), ExampleMasks()
    expected = model(input_ids=IDS).logits
    last = LastLayer(model, masks, partial(trunk, model))
    assert torch.equal(model(input_ids=IDS).logits, expected)
    with last.reading(torch.arange(11), None):
        assert torch.equal(model(input_ids=IDS).logits, expected)


class Mixing(nn.Module):
    """A network whose rows depend on one another."""

    def __init__(self, below: nn.Module):
        super().__init__()
        self.below = below

    def forward(self, x):
        return self.below(x.cumsum(dim=1))


class Told(nn.Module):
    """A network that is told more than the hidden states."""

    def __init__(self, below: nn.Module):
        super().__init__()
        self.below = below

    def forward(self, x, scale):
        return self.below(x) * scale


def mixing(layers: nn.ModuleList) -> None:
    layers[-1].mlp = Mixing(layers[-1].mlp)


def shared(layers: nn.ModuleList) -> None:
    layers[-1].mlp = layers[0].mlp


def without_weights(layers: nn.ModuleList) -> None:
    layers[-1].mlp = nn.Identity()


def told(layers: nn.ModuleList) -> None:
    network = Told(layers[-1].mlp)
    layers[-1].mlp = network
    network.register_forward_pre_hook(
        lambda module, inputs: (*inputs, torch.ones(1)) if len(inputs) == 1 else inputs
    )


@pytest.mark.parametrize("change", [mixing, shared, without_weights, told])
def test_what_is_read_is_right_whatever_the_network(change):
    model, masks = MODELS["gpt2"]().eval(), ExampleMasks()
    change(model.transformer.h)
    expected = trunk(model, IDS).flatten(0, 1)[POSITIONS]
    last = LastLayer(model, masks, partial(trunk, model))
    with last.reading(POSITIONS, None):
        found = trunk(model, IDS).flatten(0, 1)[POSITIONS]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
