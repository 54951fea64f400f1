"""Gradient checkpointing: the same run, dropout and frozen prefix included, with less kept."""

from pathlib import Path

import pytest
import tiny
import torch
from test_interrupt import assert_same_adapter, make_config
from torch import nn

from lawtune.errors import UserError
from lawtune.train import prefix
from lawtune.train.dropout import ExampleMasks
from lawtune.train.prefix import find_layers
from lawtune.train.recompute import recompute_layers
from lawtune.train.run import finetune


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Notes each pass through an attention layer, and whether it is for a gradient."""
    from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

    passes, forward = [], GPT2Attention.forward

    def noted(self, *args, **kwargs):
        passes.append(torch.is_grad_enabled())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(GPT2Attention, "forward", noted)
    return passes


@pytest.mark.parametrize("layers", [None, [1]])
def test_a_run_that_computes_layers_anew_is_the_same_run(
    tmp_path: Path, gpt2_base: Path, monkeypatch, layers: list[int] | None
):
    lora = {"target_modules": ["c_attn", "c_fc"], "layers_to_transform": layers}
    settings = {"precision": "fp32", "epochs": 2, "memory_limit": None}
    # Layers that are computed anew take padded examples; to the bit, others then must too.
    monkeypatch.setattr(prefix, "_packs", lambda *_: False)
    passes = count_passes(monkeypatch)
    kept = finetune(make_config(tmp_path, gpt2_base, "kept", lora, **settings))
    once = sum(passes)
    passes.clear()
    settings["gradient_checkpointing"] = True
    anew = finetune(make_config(tmp_path, gpt2_base, "anew", lora, **settings))
    assert_same_adapter(kept.folder, anew.folder)
    assert sum(passes) == 2 * once > 0


def test_a_layer_keeps_next_to_nothing():
    model = tiny.make_gpt2(tiny.make_tokenizer())

    def kept() -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            hidden = find_layers(model)[0](torch.ones(1, 4, 32, requires_grad=True))
        del hidden
        return sum(sizes)

    before = kept()
    recompute_layers(model, ExampleMasks())
    assert kept() < before / 10


def test_a_model_without_layers_is_refused():
    class Flat(nn.Module):
        base_model = property(lambda self: self)

        def __init__(self):
            super().__init__()
            self.config = tiny.make_gpt2(tiny.make_tokenizer()).config

    with pytest.raises(UserError, match="gradient_checkpointing: this model has no list of layers"):
        recompute_layers(Flat(), ExampleMasks())
