"""The training loop: optimiser steps, evaluations, checkpoints and early stopping, in that order.

It knows neither models nor files. Gradients come from an `Engine`, everything else it needs is
passed in as data or as a function, and all that a resumed run must know is in `Progress`.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.train.batches import Step
from lawtune.train.loss import NonFiniteError, StepLoss

NAMED_EXAMPLES = 8
"""How many examples an error message lists."""


class Engine(Protocol):
    """Where the loop gets its gradients from (`lawtune.train.loss.LossEngine`)."""

    def accumulate(
        self, micro_batches: Sequence[Sequence[Window]], weight: float = 1.0
    ) -> StepLoss:
        """Add `weight` times the gradient of these examples' mean loss to the parameters' `.grad`.

        Raises:
            NonFiniteError: the loss is not a number.
        """


@dataclass
class Progress:
    """How far a run has come: all that must survive a restart, beside parameters and optimiser.

    `epoch` counts the epochs done, `step_in_epoch` the steps done in the one after them.
    `seconds` is the time spent in steps (not in evaluations). `stopped` says why the run ended.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int | None = None
    since_best: int = 0
    stopped: Literal["epochs", "max_steps", "time", "early_stopping"] | None = None


@dataclass(frozen=True)
class TrainingData:
    """The examples, and `order`: epoch (from 0) → its steps, as indices into `windows`."""

    windows: Sequence[Window]
    order: Callable[[int], list[Step]]
    epochs: int

    def total_steps(self, max_steps: int | None = None) -> int:
        """How many steps all epochs have, or `max_steps` if that is fewer."""
        total = sum(len(self.order(epoch)) for epoch in range(self.epochs))
        return total if max_steps is None else min(total, max_steps)


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs. `evaluate_every` and `save_every` count steps; an evaluation and a
    checkpoint also end every run. `patience` is how many evaluations in a row may fail to improve
    before the run stops; 0 never stops. `max_seconds` counts the time in steps. Every
    `unlikelihood_every`-th step also makes less likely what `Hooks.own_answers` gives; None: no
    step does. What `Hooks.texts` gives counts `text_weight` times as much as the examples."""

    seed: int
    max_grad_norm: float
    evaluate_every: int | Literal["epoch"]
    save_every: int
    patience: int = 0
    max_steps: int | None = None
    max_seconds: float | None = None
    unlikelihood_every: int | None = None
    text_weight: float = 1.0


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step, for logs. `loss` is the mean per target token (nats) before the step, of
    the examples alone, as `target_tokens` are; `text_loss` that of `Hooks.texts`, if any;
    `grad_norm` the norm before clipping, `epoch` the share of the data seen so far."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    target_tokens: int
    seconds: float
    text_loss: float | None = None


OwnAnswers = Callable[[Sequence[Window], Progress], Sequence[Window]]


@dataclass(frozen=True)
class Hooks:
    """What the loop calls.

    `evaluate` returns the validation loss, or is None where there is nothing to validate on;
    `evaluated` hears of each one and whether it is the best so far, before any checkpoint.
    `adapt` is asked after every step, too: whether it has changed something that bears on the next
    ones and must be saved at once.
    `own_answers` gives, for examples, those answers of the model's own that repeat themselves
    (`lawtune.train.unlikelihood`), or nothing while the run is not far enough.
    `texts` gives what the next step reads beside its examples.
    `stop` is asked after every step: whether to save and leave the rest for later. `clock` turns
    the seconds that a step took here into those that it counts for: of several processes, all must
    count the same where time decides.
    """

    log: Callable[[StepRecord], None]
    save: Callable[[Progress], None]
    evaluate: Callable[[], float] | None = None
    evaluated: Callable[[Progress, float, bool], None] = lambda progress, loss, best: None
    adapt: Callable[[Progress], bool] = lambda progress: False
    own_answers: OwnAnswers = lambda windows, progress: ()
    texts: Callable[[Progress], Sequence[Window]] = lambda progress: ()
    stop: Callable[[], bool] = lambda: False
    clock: Callable[[float], float] = lambda seconds: seconds


Schedule = Callable[[Progress], float]
"""The learning rate of the step that follows `Progress`."""


@dataclass(frozen=True)
class Loop:
    """One training run. `optimizer`'s groups hold all parameters that train; `schedule` sets the
    learning rate of every group."""

    engine: Engine
    data: TrainingData
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    settings: LoopSettings
    hooks: Hooks

    def run(self, progress: Progress) -> Progress:
        """Train from `progress`, which is updated in place, to the end of the run, or until
        `hooks.stop`; then a checkpoint is written and `progress.stopped` stays None.

        Before every step the random generators are seeded from (seed, step), so dropout does not
        depend on where a run was interrupted: `progress`, the parameters and the optimiser's
        state are all that a resumed run needs to equal, bit for bit, one that never stopped.

        Raises:
            UserError: a loss or gradient is not finite. The step is not taken, a checkpoint of
                the state before it is written, and the message names the examples. Or the
                validation loss is not finite.
        """
        epoch, steps = -1, []
        while progress.stopped is None:
            if epoch != progress.epoch:
                epoch, steps = progress.epoch, self.data.order(progress.epoch)
            step = steps[progress.step_in_epoch]
            micro_batches = [[self.data.windows[index] for index in batch] for batch in step]
            try:
                record = self._take_step(micro_batches, progress, len(steps))
            except NonFiniteError as error:
                self.optimizer.zero_grad(set_to_none=True)
                self.hooks.save(progress)
                raise UserError(_non_finite(error, progress)) from None
            self._advance(progress, record, len(steps))
            self.hooks.log(record)
            if self._evaluation_due(progress):
                self._evaluate(progress)
            due = progress.step % self.settings.save_every == 0
            due |= progress.stopped is None and self.hooks.adapt(progress)
            leaving = progress.stopped is None and self.hooks.stop()
            if progress.stopped or leaving or due:
                self.hooks.save(progress)
            if leaving:
                break
        return progress

    def _take_step(
        self, micro_batches: list[list[Window]], progress: Progress, steps_in_epoch: int
    ) -> StepRecord:
        started = time.perf_counter()
        rate = self.schedule(progress)
        torch.manual_seed(_step_seed(self.settings.seed, progress.step))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.engine.accumulate(micro_batches)
        windows = [window for batch in micro_batches for window in batch]
        every = self.settings.unlikelihood_every
        due = every is not None and (progress.step + 1) % every == 0
        if due and (own := self.hooks.own_answers(windows, progress)):
            self.engine.accumulate([own])
        texts = self.hooks.texts(progress)
        beside = texts and self.engine.accumulate([texts], self.settings.text_weight)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm).item()
        if not math.isfinite(norm):
            raise NonFiniteError("gradient", [window.name for window in [*windows, *texts]])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return StepRecord(
            step=progress.step + 1,
            epoch=progress.epoch + (progress.step_in_epoch + 1) / steps_in_epoch,
            loss=loss.loss,
            text_loss=beside.loss if beside else None,
            learning_rate=rate,
            grad_norm=norm,
            target_tokens=loss.tokens,
            seconds=self.hooks.clock(time.perf_counter() - started),
        )

    def _advance(self, progress: Progress, record: StepRecord, steps_in_epoch: int) -> None:
        settings = self.settings
        progress.step += 1
        progress.step_in_epoch += 1
        progress.target_tokens += record.target_tokens
        progress.seconds += record.seconds
        if progress.step_in_epoch == steps_in_epoch:
            progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
        if progress.epoch >= self.data.epochs:
            progress.stopped = "epochs"
        elif settings.max_steps is not None and progress.step >= settings.max_steps:
            progress.stopped = "max_steps"
        elif settings.max_seconds is not None and progress.seconds >= settings.max_seconds:
            progress.stopped = "time"

    def _evaluation_due(self, progress: Progress) -> bool:
        if self.hooks.evaluate is None:
            return False
        every = self.settings.evaluate_every
        due = progress.step_in_epoch == 0 if every == "epoch" else progress.step % every == 0
        return due or progress.stopped is not None

    def _evaluate(self, progress: Progress) -> None:
        loss = self.hooks.evaluate()
        if not math.isfinite(loss):
            raise UserError(
                f"the validation loss is not a finite number after step {progress.step}; the run"
                " stopped and its last checkpoint was left as it is"
            )
        best = progress.best_loss is None or loss < progress.best_loss
        if best:
            progress.best_loss, progress.best_step, progress.since_best = loss, progress.step, 0
        else:
            progress.since_best += 1
        if progress.stopped is None and 0 < self.settings.patience <= progress.since_best:
            progress.stopped = "early_stopping"
        self.hooks.evaluated(progress, loss, best)


def _step_seed(seed: int, step: int) -> int:
    """63 bits that depend on both: neighbouring seeds must not share a run's masks."""
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _non_finite(error: NonFiniteError, progress: Progress) -> str:
    names = ", ".join(error.names[:NAMED_EXAMPLES])
    more = len(error.names) - NAMED_EXAMPLES
    return (
        f"the {error.quantity} is not a finite number in step {progress.step + 1}, so the run"
        f" stopped before it and the state after step {progress.step} was kept; the examples:"
        f" {names}{f' and {more} more' if more > 0 else ''}. A lower learning rate, or fp32 in"
        " place of bf16, often helps; check these examples too"
    )
