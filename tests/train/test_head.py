"""The written-out gradients of the fused loss against finite differences and autograd."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lawtune.train import head as head_module
from lawtune.train.head import Head, HeadCrossEntropy, LoraPart

ROWS, WIDTH, RANK, VOCABULARY = 11, 6, 3, 40
SCALING = 1.7


def make(dtype: torch.dtype, bias: bool = False, spread: float = 1.0):
    """(head, hidden, dropped, labels), all random."""
    draw = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    a = normal(RANK, WIDTH).requires_grad_()
    b = normal(VOCABULARY, RANK).requires_grad_()
    weight, constant = normal(VOCABULARY, WIDTH) * spread, normal(VOCABULARY) if bias else None
    hidden = normal(ROWS, WIDTH)
    dropped = hidden * torch.bernoulli(torch.full((ROWS, WIDTH), 0.8), generator=draw) / 0.8
    labels = torch.randint(VOCABULARY, (ROWS,), generator=draw)
    head = Head(weight, constant, LoraPart(a, b, SCALING, 0.2, 0))
    return head, hidden, dropped.to(dtype), labels


def plain(head: Head, hidden, dropped, labels) -> torch.Tensor:
    logits = hidden @ head.weight.T + SCALING * (dropped @ head.lora.a.T) @ head.lora.b.T
    if head.bias is not None:
        logits = logits + head.bias
    return cross_entropy(logits, labels, reduction="sum")


def gradients(loss: torch.Tensor, head: Head) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [head.lora.a, head.lora.b]))


@pytest.mark.parametrize("bias", [False, True])
def test_gradcheck(bias: bool):
    head, hidden, dropped, labels = make(torch.float64, bias)

    def loss_of(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        part = Head(head.weight, head.bias, LoraPart(a, b, SCALING, 0.2, 0))
        return HeadCrossEntropy(part, torch.float64, chunk=4).loss_sum(hidden, dropped, labels)[0]

    assert torch.autograd.gradcheck(loss_of, (head.lora.a, head.lora.b))


@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_equals_the_plain_loss_whatever_the_chunk(chunk: int):
    head, *data = make(torch.float32)
    ours, rows = HeadCrossEntropy(head, torch.float32, chunk).loss_sum(*data)
    expected = plain(head, *data)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)
    assert rows.sum().item() == pytest.approx(expected.item(), rel=1e-6)
    for mine, theirs in zip(gradients(ours / 7, head), gradients(expected / 7, head), strict=True):
        assert torch.linalg.norm(mine - theirs) <= 1e-6 * torch.linalg.norm(theirs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_logits_that_are_known_in_pieces_give_the_same(dtype: torch.dtype):
    """Pieces that end where no chunk does, a bias, and rows of the model's own answers."""
    head, hidden, *data = make(
        torch.float64 if dtype == torch.float64 else torch.float32, bias=True
    )
    fused = HeadCrossEntropy(head, dtype, chunk=4)
    known = torch.empty(ROWS, VOCABULARY, dtype=dtype)
    fused.frozen_logits(hidden.to(dtype), known)
    tolerance = 1e-12 if dtype == torch.float64 else 0.06
    for repeats in (None, torch.arange(ROWS) % 3 == 0):
        anew, _ = fused.loss_sum(hidden, *data, repeats)
        ours, _ = fused.loss_sum(hidden, *data, repeats, known.split([3, 6, 2]))
        assert ours.item() == pytest.approx(anew.item(), rel=tolerance)
        for mine, theirs in zip(gradients(ours, head), gradients(anew, head), strict=True):
            assert torch.linalg.norm(mine - theirs) <= tolerance * torch.linalg.norm(theirs)


def test_without_gradient_it_is_the_loss_of_each_row():
    head, hidden, _, labels = make(torch.float32)
    rows = HeadCrossEntropy(head, torch.float32, 4).losses(hidden, labels)
    assert rows.sum().item() == pytest.approx(plain(head, hidden, hidden, labels).item(), rel=1e-6)
    assert not rows.requires_grad


def test_certain_and_hopeless_targets_keep_their_loss_and_gradient():
    """Logits hundreds apart: probabilities of 0 and 1 in float32, losses far from either."""
    head, *data = make(torch.float32, spread=200.0)
    ours, _ = HeadCrossEntropy(head, torch.float32, 4).loss_sum(*data)
    expected = plain(head, *data)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6) and expected > 1000
    for mine, theirs in zip(gradients(ours, head), gradients(expected, head), strict=True):
        assert torch.linalg.norm(mine - theirs) <= 1e-5 * torch.linalg.norm(theirs)


def test_bf16_is_near_float32_and_follows_b():
    head, *data = make(torch.float32)
    fused = HeadCrossEntropy(head, torch.bfloat16, 4)
    for _ in range(2):
        ours, _ = fused.loss_sum(*data)
        expected = plain(head, *data)
        assert ours.item() == pytest.approx(expected.item(), rel=0.01)
        for mine, theirs in zip(gradients(ours, head), gradients(expected, head), strict=True):
            assert mine.dtype == torch.float32
            assert torch.linalg.norm(mine - theirs) <= 0.03 * torch.linalg.norm(theirs)
        with torch.no_grad():
            head.lora.b.mul_(-1)  # an optimiser's step, as large as they come


def test_a_chunk_of_a_large_vocabulary_holds_fewer_rows(monkeypatch):
    head, *data = make(torch.float32)
    fused = HeadCrossEntropy(head, torch.bfloat16, 6)
    whole, _ = fused.loss_sum(*data)
    assert fused.rows_at_once() == 6
    monkeypatch.setattr(head_module, "LOGITS", 4 * len(head.weight) * 2)
    monkeypatch.setattr(head_module, "FEWEST", 1)
    assert fused.rows_at_once() == 4
    assert fused.loss_sum(*data)[0].item() == pytest.approx(whole.item(), rel=1e-5)
    assert HeadCrossEntropy(head, torch.float32, 6).rows_at_once() == 6


def test_gradcheck_of_a_projection_that_trains_and_of_what_lies_below():
    head, hidden, _, labels = make(torch.float64, bias=True)
    weight = head.weight.clone().requires_grad_()

    def loss_of(weight: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        bare = Head(weight, head.bias)
        return HeadCrossEntropy(bare, torch.float64, chunk=4).loss_sum(hidden, hidden, labels)[0]

    assert torch.autograd.gradcheck(loss_of, (weight, hidden.requires_grad_()))


def test_gradcheck_through_the_adapter_and_past_it():
    head, hidden, dropped, labels = make(torch.float64)

    def loss_of(hidden: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
        return HeadCrossEntropy(head, torch.float64, chunk=4).loss_sum(hidden, dropped, labels)[0]

    assert torch.autograd.gradcheck(loss_of, (hidden.requires_grad_(), dropped.requires_grad_()))


def test_no_more_than_a_chunk_of_logits_is_ever_alive(monkeypatch):
    head, *data = make(torch.float32)
    shapes, original = [], head_module.exponentiate

    def noted(logits: torch.Tensor, *rest):
        shapes.append(len(logits))
        return original(logits, *rest)

    monkeypatch.setattr(head_module, "exponentiate", noted)
    HeadCrossEntropy(head, torch.float32, 4).loss_sum(*data)
    assert shapes == [4, 4, 3]
