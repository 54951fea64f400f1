"""A trunk's projections on a CPU in bfloat16: frozen weights kept in it and in oneDNN's order, and
an adapter's product added to its layer's in place.

Autocast would cast every frozen weight anew at every call, and PEFT would take the adapter's
product through several passes over the output. What is computed, and in what precision, is the
same. Modules and parameters keep their names; only `forward` is another, and a frozen weight
another kind of tensor (`lawtune.train.frozen`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.pytorch_utils import Conv1D

from lawtune.train.dropout import ExampleMasks, scale
from lawtune.train.frozen import FrozenMatrix
from lawtune.train.head import LoraPart, plain_lora


def lighten(trunk: nn.Module, masks: ExampleMasks) -> "list[_Projection]":
    """Let the frozen projections of `trunk`, bare or with plain LoRA of PEFT's on them, compute in
    bfloat16, with dropout from `masks`; they are returned. All others, and those that train, stay
    as they are."""
    wrapped, made = set(), {}
    for module in list(trunk.modules()):
        base, lora = plain_lora(module)
        if base is None and isinstance(module, BaseTunerLayer):
            # Another kind of adapter may look into the layer below it.
            wrapped.add(module.get_base_layer())
            continue
        base = module if base is None else base
        if type(base) not in (nn.Linear, Conv1D) or module in wrapped:
            continue
        wrapped.add(base)
        trains = any(parameter.requires_grad for parameter in base.parameters())
        # A weight that is spread over processes is another kind of tensor.
        if not trains and type(base.weight.data) is torch.Tensor:
            made[module] = _Projection(base, lora, masks)
            module.forward = made[module].forward
    for module in trunk.modules():
        if type(module) is GPT2MLP and type(module.act) is GELU:
            first = made.get(module.c_fc)
            if first and first.lora is None:
                module.forward = partial(_two_layers, module, first)
    return list(made.values())


@contextmanager
def merged(projections: "Iterable[_Projection]") -> Iterator[None]:
    """Within the context, projections with an adapter are one product each, as their adapters now
    stand and without dropout: for many passes over few rows, decoding. No gradient is taken."""
    adapted = [projection for projection in projections if projection.lora]
    for projection in adapted:
        projection.merge()
    try:
        yield
    finally:
        for projection in adapted:
            projection.merged = None


class GELU(nn.Module):
    """The same function as transformers' `gelu_new`, in one pass instead of eight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return nn.functional.gelu(x, approximate="tanh")


def fuse_activations(trunk: nn.Module) -> None:
    """Put a `GELU` in the place of every `gelu_new`."""
    for module in list(trunk.modules()):
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, GELU())


class _Projection:
    """What a frozen layer computes, with what there is of an adapter. Its weight is held in
    bfloat16 from now on."""

    def __init__(self, base: nn.Module, lora: LoraPart | None, masks: ExampleMasks):
        self.lora, self.masks = lora, masks
        weight = base.weight.data
        self.matrix = FrozenMatrix(weight.T if type(base) is Conv1D else weight)
        self.width = self.matrix.ordered.shape[1]
        base.weight = nn.Parameter(self.matrix.ordered, requires_grad=False)
        if base.bias is not None:
            base.bias.data = base.bias.data.to(torch.bfloat16)
        self.bias = base.bias
        self.merged: FrozenMatrix | None = None

    @torch.autocast("cpu", enabled=False)
    def merge(self) -> None:
        """Take the adapter into a copy of the weight, which `forward` uses until it is gone."""
        lora = self.lora
        change = (lora.b.detach() @ lora.a.detach()).mul_(lora.scaling)
        self.merged = FrozenMatrix(change.add_(self.matrix.ordered.to_dense()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, width] → […, outputs] in bfloat16."""
        rows = x.reshape(-1, self.width).to(torch.bfloat16)
        if self.merged:
            y = self.merged.product(rows, self.bias)
        elif self.lora is None:
            y = _Frozen.apply(rows, self)
        else:
            kept = self.masks.kept(x, self.lora.dropout, self.lora.number, torch.bfloat16)
            kept = None if kept is None else kept.view(rows.shape)
            y = _Adapted.apply(rows, self.lora.a, self.lora.b, kept, self)
        return y.view(*x.shape[:-1], -1)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """`GELU` of `forward`, applied as the product is written; not to be differentiated."""
        rows = x.reshape(-1, self.width).to(torch.bfloat16)
        return self.matrix.product_gelu(rows, self.bias).view(*x.shape[:-1], -1)


class _Frozen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: _Projection) -> torch.Tensor:
        ctx.layer = layer
        return layer.matrix.product(x, layer.bias)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.layer.matrix.gradient(grad), None


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        kept: torch.Tensor | None,
        layer: _Projection,
    ) -> torch.Tensor:
        a, b = a.to(x.dtype), b.to(x.dtype)
        dropped = x if kept is None else x * kept
        # `kept` is of ones and zeros: their scale, no bfloat16 number, is taken in here.
        ctx.factor = layer.lora.scaling * (1.0 if kept is None else scale(layer.lora.dropout))
        low = (dropped @ a.T).mul_(ctx.factor)
        ctx.save_for_backward(dropped, low, a, b, kept)
        ctx.layer = layer
        return layer.matrix.product(x, layer.bias).addmm_(low, b.T)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dropped, low, a, b, kept = ctx.saved_tensors
        grad_low, grad_x = (grad @ b).mul_(ctx.factor), None
        if ctx.needs_input_grad[0]:
            grad_x = ctx.layer.matrix.gradient(grad)
            if kept is None:
                grad_x.addmm_(grad_low, a)
            else:
                grad_x.addcmul_(grad_low @ a, kept)
        exact = ctx.layer.lora.a.dtype
        # Either product is faster with the few rows on the left.
        grad_b = (low.T @ grad).T
        return grad_x, (grad_low.T @ dropped).to(exact), grad_b.to(exact), None, None


def _two_layers(mlp: GPT2MLP, first: _Projection, x: torch.Tensor) -> torch.Tensor:
    """What `mlp` computes, its dropout off. Apart, GELU takes a tenth of a layer's time."""
    is_differentiated = torch.is_grad_enabled() and x.requires_grad
    return mlp.c_proj(mlp.act(mlp.c_fc(x)) if is_differentiated else first.activated(x))
