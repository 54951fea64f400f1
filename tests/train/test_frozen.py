"""Products with frozen matrices, beside the same in float32."""

import pytest
import torch

from lawtune.train import frozen
from lawtune.train.frozen import FrozenMatrix

SHAPES = [(8, 4), (37, 19), (96, 64)]


@pytest.fixture(params=[True, False], ids=["in order", "plain"])
def can_order(request, monkeypatch) -> bool:
    if request.param and not frozen._can_order():
        pytest.skip("this torch does not order matrices on this processor")
    monkeypatch.setattr(frozen, "_can_order", lambda: request.param)
    return request.param


def make(shape: tuple[int, int], rows: int = 7):
    """(matrix, the same plain, rows, bias); the plain ones in float32, of bfloat16's values."""
    draw = torch.Generator().manual_seed(1)
    drawn = [torch.randn(s, generator=draw) for s in (shape, (rows, shape[1]), (shape[0],))]
    weight, x, bias = (tensor.bfloat16().float() for tensor in drawn)
    return FrozenMatrix(weight), weight, x, bias


def close(found: torch.Tensor, exact: torch.Tensor) -> bool:
    """To bfloat16's rounding of the result alone: sums are float32."""
    return torch.allclose(found.float(), exact, rtol=2**-7, atol=2**-9 * exact.abs().max().item())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_products_are_those_of_the_matrix(shape, rows, can_order):
    matrix, weight, x, bias = make(shape, rows)
    assert matrix.ordered.is_mkldnn == can_order
    expected = x @ weight.T + bias
    assert close(matrix.product(x.bfloat16(), bias.bfloat16()), expected)
    assert close(matrix.product(x.bfloat16()), x @ weight.T)
    gelu = torch.nn.functional.gelu(expected, approximate="tanh")
    assert torch.allclose(
        matrix.product_gelu(x.bfloat16(), bias.bfloat16()).float(), gelu, rtol=2e-2, atol=2e-2
    )
    grad = expected.bfloat16()
    assert close(matrix.gradient(grad), grad.float() @ weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_strides_are_taken_and_the_matrix_can_be_had_back(shape, can_order):
    matrix, weight, x, _ = make(shape)
    turned = FrozenMatrix(weight.T.contiguous().T)
    assert torch.equal(turned.product(x.bfloat16()), matrix.product(x.bfloat16()))
    values = matrix.ordered.to_dense() if can_order else matrix.ordered
    assert torch.equal(values, weight.bfloat16())
