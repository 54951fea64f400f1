"""Gradient checkpointing: of each layer only the input is kept, the rest computed again when the
gradient comes by. Memory for time, the same result."""

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lawtune.errors import UserError
from lawtune.train.dropout import ExampleMasks
from lawtune.train.prefix import find_layers


def recompute_layers(model: nn.Module, masks: ExampleMasks) -> None:
    """Have every layer of `model` computed anew in the backward pass.

    transformers has a switch for it, too, but one that only acts in training mode, and whose second
    pass would not know which examples the dropout masks are for.

    Raises:
        UserError: the model's layers are not where a transformer has them.
    """
    layers = find_layers(model)
    if not layers:
        raise UserError(
            "train.gradient_checkpointing: this model has no list of layers to compute anew"
        )
    for layer in layers:
        layer.forward = partial(_recomputed, layer.forward, masks)


def _recomputed(forward: Any, masks: ExampleMasks, *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    rows = masks.rows
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # masks have generators of their own, and nothing else is random
        context_fn=lambda: (nullcontext(), masks.over(rows)),
        **named,
    )
