"""Products with a frozen matrix in bfloat16, on a CPU in oneDNN's order.

oneDNN multiplies by a matrix in an order of its own. Given one in rows or columns, it puts it in
that order at every product: a tenth of the time that 800 rows take, half of what 8 take. A matrix
that never changes is put in order once.
"""

from functools import cache, cached_property

import torch
from torch import nn


class FrozenMatrix:
    """A matrix [outputs, inputs] that never changes, in bfloat16.

    `ordered` holds it, in oneDNN's order where torch can (then `to_dense` gives it back).
    """

    def __init__(self, weight: torch.Tensor):
        self.ordered = _ordered(weight.to(torch.bfloat16))

    @cached_property
    def _turned(self) -> torch.Tensor:
        return _ordered(self.ordered.to_dense().T)

    def product(self, rows: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """rows·matrixᵀ + bias: [rows, inputs] → [rows, outputs], without a graph."""
        return _product(rows, self.ordered, bias)

    def product_gelu(self, rows: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """GELU (its tanh form) of `product`, applied as that is written."""
        return _product(rows, self.ordered, bias, gelu=True)

    def gradient(self, grad: torch.Tensor) -> torch.Tensor:
        """grad·matrix: from the gradient of `product`, [rows, outputs], that of its rows."""
        return _product(grad, self._turned) if self.ordered.is_mkldnn else grad @ self.ordered


def _ordered(weight: torch.Tensor) -> torch.Tensor:
    if weight.device.type != "cpu" or not _can_order():
        return weight.contiguous()
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())


def _product(
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    gelu: bool = False,
) -> torch.Tensor:
    if weight.is_mkldnn:
        name, form = ("gelu", "tanh") if gelu else ("none", "")
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, name, [], form)
    product = nn.functional.linear(rows, weight, bias)
    return nn.functional.gelu(product, approximate="tanh") if gelu else product


@cache
@torch.autocast("cpu", enabled=False)
def _can_order() -> bool:
    """Whether this torch, on this processor, has the operations that torch.compile uses for frozen
    matrices, and they do what they should."""
    rows = torch.linspace(-2, 2, 64).to(torch.bfloat16).view(4, 16)
    weight, bias = rows.repeat(2, 1), rows[0, :8]
    try:
        ordered = torch.ops.mkldnn._reorder_linear_weight(weight)
        found = [_product(rows, ordered, bias, gelu) for gelu in (False, True)]
    except (AttributeError, RuntimeError):
        return False
    exact = [_product(rows.float(), weight.float(), bias.float(), gelu) for gelu in (False, True)]
    return (
        ordered.is_mkldnn
        and torch.equal(ordered.to_dense(), weight)
        and all(
            torch.allclose(ours.float(), expected, rtol=0.02, atol=0.02)
            for ours, expected in zip(found, exact, strict=True)
        )
    )
