"""Unlikelihood by its definition, and loops that go away."""

import pytest
import tiny
import torch
from transformers import MptConfig, MptForCausalLM

from lawtune.data.encode import Window
from lawtune.train.distributed import Alone
from lawtune.train.head import Head, HeadCrossEntropy
from lawtune.train.loss import LossEngine
from lawtune.train.team_engine import Cut, TeamEngine
from lawtune.train.unlikelihood import LEAST, own_answers, repeats, unlikelihood

PAD, END = 2, 1
MARKS = (False, True, True, False, True)


def test_the_loss_and_its_derivative_by_definition():
    p = torch.tensor([1e-6, 0.1, 0.5, 0.9, 0.99], dtype=torch.float64)
    minus_log_p = (-p.log()).requires_grad_()
    loss, factor = unlikelihood(minus_log_p.detach())
    assert loss.tolist() == pytest.approx((-torch.log(1 - p)).tolist(), rel=1e-9)
    (-torch.log(1 - torch.exp(-minus_log_p))).sum().backward()
    assert factor.tolist() == pytest.approx(minus_log_p.grad.tolist(), rel=1e-9)


def test_a_certain_token_weighs_no_more_than_the_cap():
    loss, factor = unlikelihood(torch.zeros(1))
    assert factor.item() == pytest.approx(-1 / LEAST)
    assert loss.isfinite().all()


def test_repeats_by_hand():
    assert repeats([1, 2, 3, 9, 1, 2, 3, 4], run=3) == (False,) * 4 + (True,) * 3 + (False,)
    # 1 2 1 2 1: from the third token on, every run of two stood before.
    assert repeats([1, 2, 1, 2, 1], run=2) == (False, False, True, True, True)
    assert repeats([1, 2], run=3) == (False, False)


def make_model(targets):
    return tiny.with_lora(tiny.make_gpt2(tiny.make_tokenizer()), targets)


@pytest.mark.parametrize("spared", [None, END])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("targets", [["lm_head"], ["c_attn"], ["c_attn", "lm_head"]])
def test_an_own_answers_gradient_is_that_of_the_definition(targets, fused, spared):
    model = make_model(targets)
    ids = (7, 8, 9, 20, 21, 22, 20, 21)
    engine = LossEngine(model, PAD, spared=spared)
    if not fused:
        engine._fused = None  # as for a projection that is more than a linear layer
    engine.accumulate([[Window(ids, 3, "", MARKS)]])
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    logits = model(torch.tensor([ids])).logits[0, 2:-1]
    if spared is not None:  # what is left shares all the probability
        kept = torch.arange(logits.shape[-1]) != spared
        logits = torch.where(kept, logits, -torch.inf)
    p = logits.softmax(-1).gather(1, torch.tensor(ids[3:])[:, None]).squeeze(1)
    (-torch.log1p(-p)[list(MARKS)].sum() / len(MARKS)).backward()
    theirs = {n: q.grad for n, q in model.named_parameters() if q.grad is not None}
    assert ours.keys() == theirs.keys() and ours
    for name, expected in theirs.items():
        assert torch.linalg.norm(ours[name] - expected) <= 1e-5 * torch.linalg.norm(expected)


def test_the_end_of_an_answer_is_neither_pushed_nor_pulled():
    torch.manual_seed(0)
    weight = torch.randn(40, 6, dtype=torch.float64, requires_grad=True)
    hidden, labels = torch.randn(5, 6, dtype=torch.float64), torch.tensor([3, 4, 3, 4, END])
    fused = HeadCrossEntropy(Head(weight), torch.float64, chunk=2, spared=END)
    fused.loss_sum(hidden, hidden, labels, torch.tensor([True] * 4 + [False]))[0].backward()
    assert weight.grad[END].abs().max() == 0 and weight.grad.isfinite().all()
    assert (weight.grad.abs().sum(1) > 0).sum() == 39


def test_gradcheck_of_the_hidden_states():
    torch.manual_seed(0)
    hidden = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(40, 6, dtype=torch.float64)
    labels, marks = torch.randint(40, (5,)), torch.tensor(MARKS)
    head = HeadCrossEntropy(Head(weight), torch.float64, chunk=2)

    def loss_of(hidden: torch.Tensor) -> torch.Tensor:
        return head.loss_sum(hidden, hidden, labels, marks)[0]

    assert torch.autograd.gradcheck(loss_of, (hidden,))


def test_a_second_call_adds_to_the_first():
    model = make_model(["c_attn"])
    engine = TeamEngine(LossEngine(model, PAD), Alone(), Cut(1024))
    gold, own = Window((7, 8, 9, 10), 1), Window((7, 8, 9, 20, 21, 22, 20, 21), 3, "", MARKS)
    found = []
    for calls in ([gold], [own], [gold, own]):
        model.zero_grad(set_to_none=True)
        for window in calls:
            engine.accumulate([[window]])
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, other, both in zip(*found, strict=True):
        assert torch.allclose(one + other, both, atol=1e-7)


@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "lm_head"]])
def test_own_answers_are_greedy_and_only_those_that_repeat(targets):
    model = make_model(targets)
    engine = LossEngine(model, PAD)
    windows = [Window((7, 8, 9, *range(40, 70)), 3, "one"), Window((11, 12, 13), 2, "two")]
    own = engine.own_answers(windows, END)
    # A gold answer of one token leaves room for two: they cannot repeat a run.
    assert [window.name for window in own] == ["one"]
    ids, start = own[0].ids, own[0].target_start
    assert ids[:start] == (7, 8, 9) and len(own[0].repeats) == own[0].targets <= 60
    chosen = model(torch.tensor([ids])).logits[0].argmax(-1).tolist()
    assert chosen[start - 1 : -1] == list(ids[start:])


def test_a_short_prompt_beside_a_long_one_stays_within_the_context():
    config = MptConfig(vocab_size=80, d_model=16, n_heads=2, n_layers=1, max_seq_len=32)
    windows = [Window((7,) * 20 + (40,) * 9, 20), Window((7, 8, *range(40, 60)), 2)]
    for window in own_answers(MptForCausalLM(config).eval(), windows, end_id=-1):
        assert window.targets == 12


def test_training_against_loops_ends_them():
    model = make_model(["c_attn", "lm_head"])
    engine = LossEngine(model, PAD)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    windows = [Window((7 + n, 8, 9, *range(40, 60)), 3, str(n)) for n in range(4)]

    def repeated() -> int:
        return sum(sum(window.repeats) for window in engine.own_answers(windows, END))

    before = repeated()
    for _ in range(40):
        own = engine.own_answers(windows, END)
        if not own:
            break
        optimizer.zero_grad()
        engine.accumulate([own])
        optimizer.step()
    assert before > 40 and repeated() < before / 4
