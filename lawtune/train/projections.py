"""A trunk's projections on a CPU in bfloat16: frozen weights kept in it, adapters folded in.

Autocast would cast every frozen weight anew at every call, and PEFT would take an adapter's product
apart from its layer's, in several passes over the output. Here both are one product,
[x, s·dropped(x)·Aᵀ]·[W, Bᵀ], and on the way back one too. What is computed, and in what precision,
is the same. Modules keep their names; only their `forward` is another, and frozen weights another
type.
"""

from functools import cache, partial
from typing import Any

import torch
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.pytorch_utils import Conv1D

from lawtune.train.dropout import ExampleMasks, scale
from lawtune.train.head import LoraPart, plain_lora


def lighten(trunk: nn.Module, masks: ExampleMasks) -> None:
    """Let the frozen projections of `trunk`, bare or with plain LoRA of PEFT's on them, compute in
    bfloat16, with dropout from `masks`. All others, and those that train, stay as they are."""
    wrapped, made = set(), {}
    for module in list(trunk.modules()):
        base, lora = plain_lora(module)
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
        if type(module) is GPT2MLP and type(module.act) is GELU and _gelu_joins_a_product():
            first = made.get(module.c_fc)
            if first and first.lora is None:
                module.forward = partial(_two_layers, module, first)


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
    """`weight` is [width, outputs] in bfloat16, with B's columns as rows below where there is
    `lora`; the layer's own parameters are views of it from now on."""

    def __init__(self, base: nn.Module, lora: LoraPart | None, masks: ExampleMasks):
        self.lora, self.masks = lora, masks
        upright = type(base) is Conv1D
        weight = base.weight.data if upright else base.weight.data.T
        self.width, outputs = weight.shape
        rows = self.width + (lora.a.shape[0] if lora else 0)
        shape = (rows, outputs) if upright else (outputs, rows)
        joined = torch.empty(shape, dtype=torch.bfloat16, device=weight.device)
        self.weight = joined if upright else joined.T
        self.weight[: self.width].copy_(weight)
        base.weight.data = joined[: self.width] if upright else joined[:, : self.width]
        if base.bias is not None:
            base.bias.data = base.bias.data.to(torch.bfloat16)
        self.bias = base.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, width] → […, outputs] in bfloat16."""
        rows = x.reshape(-1, self.width).to(torch.bfloat16)
        if self.lora is None:
            y = self.product(rows)
        else:
            kept = self.masks.kept(x, self.lora.dropout, self.lora.number, torch.bfloat16)
            kept = None if kept is None else kept.view(rows.shape)
            y = _Folded.apply(rows, self.lora.a, self.lora.b, kept, self)
        return y.view(*x.shape[:-1], -1)

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """rows·weight + bias."""
        if self.bias is None:
            return rows @ self.weight
        return torch.addmm(self.bias, rows, self.weight)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """`GELU` of `forward`, applied as the product is written; not to be differentiated."""
        rows = x.reshape(-1, self.width).to(torch.bfloat16)
        return _product_gelu(rows, self.weight.T, self.bias).view(*x.shape[:-1], -1)


class _Folded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        kept: torch.Tensor | None,
        layer: _Projection,
    ) -> torch.Tensor:
        dropped = x if kept is None else x * kept
        # `kept` is of ones and zeros: their scale, no bfloat16 number, is taken in here.
        ctx.factor = layer.lora.scaling * (1.0 if kept is None else scale(layer.lora.dropout))
        low = (dropped @ a.to(x.dtype).T).mul_(ctx.factor)
        layer.weight[layer.width :].copy_(b.T)
        ctx.save_for_backward(dropped, low, a, kept)
        ctx.layer = layer
        return layer.product(torch.cat([x, low], dim=1))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dropped, low, a, kept = ctx.saved_tensors
        layer, grad_x = ctx.layer, None
        if ctx.needs_input_grad[0]:
            both = grad @ layer.weight.T
            grad_low = both[:, layer.width :] * ctx.factor
            through = grad_low @ a.to(grad.dtype)
            grad_x = both[:, : layer.width].add_(through if kept is None else through.mul_(kept))
        else:
            grad_low = (grad @ layer.weight[layer.width :].T).mul_(ctx.factor)
        # Either product is faster with the few rows on the left.
        grad_b = (low.T @ grad).T
        return grad_x, (grad_low.T @ dropped).to(a.dtype), grad_b.to(a.dtype), None, None


def _two_layers(mlp: GPT2MLP, first: _Projection, x: torch.Tensor) -> torch.Tensor:
    """What `mlp` computes, its dropout off. Apart, GELU takes a tenth of a layer's time."""
    is_differentiated = torch.is_grad_enabled() and x.requires_grad
    return mlp.c_proj(mlp.act(mlp.c_fc(x)) if is_differentiated else first.activated(x))


def _product_gelu(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """GELU(rows·weightᵀ + bias): what torch.compile makes of the two on a CPU."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "gelu", [], "tanh")


@cache
def _gelu_joins_a_product() -> bool:
    """Whether this torch, on this processor, has that operation and it does what it should."""
    rows = torch.linspace(-2, 2, 64).to(torch.bfloat16).view(4, 16)
    weight, bias = rows.repeat(2, 1), rows[0, :8]
    try:
        found = _product_gelu(rows, weight, bias)
    except (AttributeError, RuntimeError):
        return False
    expected = GELU()(nn.functional.linear(rows.float(), weight.float(), bias.float()))
    return torch.allclose(found.float(), expected, rtol=0.02, atol=0.02)
