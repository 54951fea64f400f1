"""The training loop: optimiser steps, evaluations, checkpoints and early stopping, in that order.

It knows neither models nor files. Gradients come from an `Engine`, everything else it needs is
passed in as data or as a function, and all that a resumed run must know is in `Progress`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
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

    def accumulate(self, micro_batches: Sequence[Sequence[Window]]) -> StepLoss:
        """Add the gradient of one optimiser step to the parameters' `.grad`.

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
    before the run stops; 0 never stops. `max_seconds` counts the time in steps."""

    seed: int
    max_grad_norm: float
    evaluate_every: int | Literal["epoch"]
    save_every: int
    patience: int = 0
    max_steps: int | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step, for logs. `loss` is the mean per target token (nats) before the step,
    `grad_norm` the norm before clipping, `epoch` the share of the data seen so far."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    target_tokens: int
    seconds: float


@dataclass(frozen=True)
class Hooks:
    """What the loop calls.

    `evaluate` returns the validation loss, or is None where there is nothing to validate on;
    `evaluated` hears of each one and whether it is the best so far, before any checkpoint.
    """

    log: Callable[[StepRecord], None]
    save: Callable[[Progress], None]
    evaluate: Callable[[], float] | None = None
    evaluated: Callable[[Progress, float, bool], None] = lambda progress, loss, best: None


Schedule = Callable[[Progress], float]
"""The learning rate of the step after `Progress`."""


def train(
    engine: Engine,
    data: TrainingData,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    settings: LoopSettings,
    hooks: Hooks,
    progress: Progress,
) -> Progress:
    """Train from `progress` to the end of the run and return it.

    Before every step the random generators are seeded from (seed, step), so dropout does not
    depend on where a run was interrupted; `progress`, the parameters and the optimiser's state
    are all that a resumed run needs to be equal, bit for bit, to one that never stopped.

    Args:
        optimizer: its groups hold the parameters that train; the schedule sets every group's rate.

    Raises:
        UserError: a loss or gradient is not finite. The step is not taken; a checkpoint of the
            state before it is written, and the message names the examples.
    """
    for micro_batches, steps_in_epoch in _remaining(data, progress):
        try:
            record = _take_step(engine, micro_batches, optimizer, schedule, settings, progress)
        except NonFiniteError as error:
            optimizer.zero_grad(set_to_none=True)
            hooks.save(progress)
            raise UserError(_non_finite(error, progress)) from None
        _advance(progress, record, steps_in_epoch)
        hooks.log(
            StepRecord(**vars(record) | {"epoch": progress.epoch + progress.step_in_epoch / steps_in_epoch})
        )
        progress.stopped = _limit_reached(progress, data, settings)
        if hooks.evaluate is not None and _evaluation_due(progress, settings):
            _evaluate(progress, settings, hooks)
        if progress.stopped or progress.step % settings.save_every == 0:
            hooks.save(progress)
        if progress.stopped:
            break
    return progress
