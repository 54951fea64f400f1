"""The loop against a hand-written PEFT + AdamW step; a resumed run against one never stopped."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.train.batches import plan_epoch
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, TrainingData
from lawtune.train.loss import LossEngine
from lawtune.train.schedule import learning_rate

COUNT = 13
WINDOWS = [
    Window(tuple(20 + (7 * n + t) % 300 for t in range(6 + n)), 1 + n % 4, f"example-{n}")
    for n in range(COUNT)
]


class KilledError(Exception):
    """Stands for `kill -9`: nothing in the run gets to tidy up."""


class Run:
    """A tiny LoRA run with dropout that checkpoints into a folder, as the real one does."""

    def __init__(self, out: Path, epochs: int = 3, dropout: float = 0.3, **settings):
        torch.manual_seed(11)
        base = tiny.make_gpt2(tiny.make_tokenizer())
        torch.manual_seed(12)
        targets = ["c_attn", "lm_head"]
        config = LoraConfig(r=4, lora_alpha=6, lora_dropout=dropout, target_modules=targets)
        self.model = get_peft_model(base, config)
        self.engine = LossEngine(self.model, pad_id=2)
        self.out = out
        self.kill_at: int | None = None
        self.records, self.evaluations = [], []
        self.data = TrainingData(WINDOWS, lambda epoch: plan_epoch(COUNT, 7, epoch, 2, 2), epochs)
        self.optimizer = torch.optim.AdamW(trainable(self.model).values(), weight_decay=0.01)
        defaults = {"seed": 7, "max_grad_norm": 1.0, "evaluate_every": "epoch", "save_every": 3}
        self.loop = Loop(
            self.engine,
            self.data,
            self.optimizer,
            lambda progress: learning_rate(0.01, progress.step, 12, 2, "cosine"),
            LoopSettings(**defaults | settings),
            Hooks(self.log, self.save, self.evaluate, self.evaluated),
        )

    def log(self, record):
        self.records.append(record)
        if record.step == self.kill_at:
            raise KilledError

    def save(self, progress: Progress):
        checkpoint = Checkpoint(trainable(self.model), self.optimizer.state_dict(), vars(progress))
        save_checkpoint(self.out, progress.step, checkpoint, keep=2)

    def evaluate(self) -> float:
        return self.engine.mean_loss(WINDOWS[:4])

    def evaluated(self, progress: Progress, loss: float, best: bool):
        self.evaluations.append((progress.step, loss, best))

    def go(self, resume: bool = False) -> Progress:
        progress = Progress()
        folder = newest_valid(self.out) if resume else None
        if folder:
            checkpoint = load_checkpoint(folder)
            assign(self.model, checkpoint.parameters)
            self.optimizer.load_state_dict(checkpoint.optimizer)
            progress = Progress(**checkpoint.state)
        return self.loop.run(progress)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in trainable(self.model).items()}


def assert_equal_bits(left: dict, right: dict) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("every", "heard"), [(None, []), (1, range(1, 13)), (4, [4, 8, 12]), (5, [5, 10])]
)
def test_own_answers_are_heard_in_every_nth_step(tmp_path: Path, every: int | None, heard):
    run = Run(tmp_path, unlikelihood_every=every)
    found = []

    def own_answers(windows, progress: Progress) -> list[Window]:
        assert progress.step == len(run.records)
        found.append(progress.step + 1)
        return []

    hooks = replace(run.loop.hooks, own_answers=own_answers)
    replace(run.loop, hooks=hooks).run(Progress())
    assert found == list(heard)


def test_a_run_past_its_last_epoch_ends(tmp_path: Path):
    assert Run(tmp_path, epochs=1).loop.run(Progress(step=8, epoch=2)).stopped == "epochs"


@pytest.mark.parametrize("kill_at", [2, 3, 4, 6, 8, 12])
def test_a_killed_and_resumed_run_equals_one_never_stopped(tmp_path: Path, kill_at: int):
    """Four steps an epoch, a checkpoint every three: the stops lie before the first checkpoint,
    on one, in the middle of an epoch, and at the very end."""
    whole = Run(tmp_path / "whole")
    expected = whole.go()
    killed = Run(tmp_path / "killed")
    killed.kill_at = kill_at
    with pytest.raises(KilledError):
        killed.go()
    resumed = Run(tmp_path / "killed")
    progress = resumed.go(resume=True)
    assert_equal_bits(whole.weights(), resumed.weights())
    timeless = {"seconds": 0.0}
    assert vars(progress) | timeless == vars(expected) | timeless
    later = [(r.step, r.loss, r.grad_norm) for r in resumed.records]
    assert later == [(r.step, r.loss, r.grad_norm) for r in whole.records][-len(later) :]


def test_dropout_masks_differ_from_step_to_step(tmp_path: Path):
    run = Run(tmp_path)
    torch.nn.init.normal_(run.model.get_base_model().lm_head.lora_B["default"].weight)
    same_step = TrainingData(WINDOWS[:4], lambda epoch: [[[0, 1, 2, 3]]], epochs=3)
    run.loop = replace(run.loop, data=same_step, schedule=lambda progress: 0.0)
    run.go()
    assert len({record.loss for record in run.records}) == 3


def test_one_step_equals_a_hand_written_one(tmp_path: Path):
    ours = Run(tmp_path, dropout=0.0, max_steps=1)
    peer = Run(tmp_path / "peer", dropout=0.0)
    assert_equal_bits(ours.weights(), peer.weights())
    before = ours.weights()
    ours.go()
    model = peer.model
    examples = [WINDOWS[i] for batch in plan_epoch(COUNT, 7, 0, 2, 2)[0] for i in batch]
    loss, tokens = 0.0, 0
    for window in examples:
        ids = torch.tensor([window.ids])
        labels = ids.clone()
        labels[:, : window.target_start] = -100
        loss = loss + model(input_ids=ids, labels=labels).loss * window.targets
        tokens += window.targets
    (loss / tokens).backward()
    norm = torch.nn.utils.clip_grad_norm_(trainable(model).values(), 1.0)
    torch.optim.AdamW(trainable(model).values(), lr=0.005, weight_decay=0.01).step()
    record = ours.records[0]
    assert record.learning_rate == 0.005
    assert record.loss == pytest.approx((loss / tokens).item(), rel=1e-6)
    assert record.grad_norm == pytest.approx(norm.item(), rel=1e-5)
    for name, value in peer.weights().items():
        changed = torch.linalg.norm(value - before[name])
        assert changed > 0 or "lora_A" in name  # B starts at zero, so A has no gradient yet
        assert torch.linalg.norm(ours.weights()[name] - value) <= 1e-3 * changed + 1e-9


def test_one_by_four_and_four_by_one_share_a_trajectory(tmp_path: Path):
    trajectories = []
    for batch, accumulation in ((1, 4), (4, 1)):
        run = Run(tmp_path / str(batch), dropout=0.0)
        order = lambda epoch, b=batch, a=accumulation: plan_epoch(COUNT, 7, epoch, b, a)  # noqa: E731
        run.loop = replace(run.loop, data=TrainingData(WINDOWS, order, 3))
        run.go()
        trajectories.append([record.loss for record in run.records])
    assert trajectories[0] == pytest.approx(trajectories[1], rel=1e-4)


def test_training_learns_and_learns_the_end(tmp_path: Path):
    """Memorising the windows drives the loss of the last token down like any other."""
    run = Run(tmp_path, dropout=0.0, epochs=30)
    run.loop = replace(run.loop, schedule=lambda progress: 0.02)
    first = run.engine.mean_loss(WINDOWS)
    last_token = [Window(w.ids, len(w.ids) - 1, w.name) for w in WINDOWS]
    first_end = run.engine.mean_loss(last_token)
    run.go()
    assert run.engine.mean_loss(WINDOWS) < 0.3 * first
    assert run.engine.mean_loss(last_token) < 0.3 * first_end


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_non_finite_step_is_not_taken(tmp_path: Path, kind: str, monkeypatch):
    run = Run(tmp_path)
    states = []
    accumulate = run.engine.accumulate

    def poisoned(micro_batches):
        states.append(run.weights())
        if len(states) == 5 and kind == "loss":
            with torch.no_grad():
                run.model.get_base_model().transformer.wpe.weight.fill_(math.nan)
        loss = accumulate(micro_batches)
        if len(states) == 5:
            next(iter(trainable(run.model).values())).grad.fill_(math.inf)
        return loss

    monkeypatch.setattr(run.engine, "accumulate", poisoned)
    examples = [WINDOWS[i].name for batch in plan_epoch(COUNT, 7, 1, 2, 2)[0] for i in batch]
    with pytest.raises(UserError, match=f"the {kind} is not a finite number in step 5") as caught:
        run.go()
    assert examples[0] in str(caught.value)
    kept = load_checkpoint(newest_valid(tmp_path))
    assert kept.state["step"] == 4
    assert_equal_bits(run.weights(), states[-1])
    assert_equal_bits(dict(kept.parameters), states[-1])


def test_early_stopping_keeps_count_of_the_best(tmp_path: Path):
    losses = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    run = Run(tmp_path, epochs=5, patience=2)
    hooks = Hooks(run.log, run.save, lambda: next(losses), run.evaluated)
    run.loop = replace(run.loop, hooks=hooks)
    progress = run.go()
    assert run.evaluations == [(4, 3.0, True), (8, 2.0, True), (12, 2.5, False), (16, 2.0, False)]
    assert (progress.stopped, progress.best_loss, progress.best_step) == ("early_stopping", 2.0, 8)


def test_limits_end_the_run_with_an_evaluation_and_a_checkpoint(tmp_path: Path):
    run = Run(tmp_path / "steps", max_steps=5, evaluate_every=2)
    assert run.go().stopped == "max_steps"
    assert [step for step, _, _ in run.evaluations] == [2, 4, 5]
    assert newest_valid(run.out).name == "checkpoint-5"
    assert run.data.total_steps(max_steps=5) == 5 and run.data.total_steps() == 12
    timed = Run(tmp_path / "time", max_seconds=0.0)
    assert timed.go().stopped == "time" and len(timed.records) == 1


def test_a_finished_run_does_nothing_more(tmp_path: Path):
    Run(tmp_path, epochs=1).go()
    again = Run(tmp_path, epochs=1)
    assert again.go(resume=True).stopped == "epochs"
    assert again.records == []
