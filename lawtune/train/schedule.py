"""The learning rate as a pure function of how far a run has come."""

import math
from typing import Literal

from lawtune.errors import UserError

Scheduler = Literal["cosine", "linear", "constant"]


def learning_rate(
    peak: float, done: float, total: float, warmup: float, scheduler: Scheduler
) -> float:
    """Linear warm-up to `peak`, then constant or a decay that ends at zero.

    The first step already moves (peak / warmup) and the last one is not wasted on a rate of
    zero: with `done` steps behind it, step `done` + 1 has peak · (done + 1) / warmup while
    warming up, and then peak · decay((done − warmup) / (total − warmup)).

    Args:
        done, total, warmup: in steps; or in seconds, for a run that ends by the clock.
    """
    if done < warmup:
        return peak * min(1.0, (done + 1) / warmup)
    if scheduler == "constant":
        return peak
    share = min(1.0, (done - warmup) / max(total - warmup, 1e-9))
    return peak * (1 - share if scheduler == "linear" else (1 + math.cos(math.pi * share)) / 2)


def trapezoid(peak: float, done: float, total: float, warmup: float, decay: float) -> float:
    """Linear warm-up to `peak`, a stable phase, and a linear decay to zero over the last `decay`
    (Hägele et al. 2024, arXiv:2405.18392). Training can go on from the stable phase, whatever
    `total` it began with. Arguments as for `learning_rate`."""
    if done < warmup:
        return peak * min(1.0, (done + 1) / warmup)
    return peak * min(1.0, max(0.0, total - done) / decay) if decay else peak


def resolve_warmup(warmup_steps: int | Literal["auto"], total: int) -> int:
    """The warm-up in steps for a run of `total` steps; `auto` is a tenth of it.

    Raises:
        UserError: a fixed warm-up is negative or longer than the run, so that the learning rate
            would never arrive.
    """
    if warmup_steps == "auto":
        return total // 10
    if not 0 <= warmup_steps <= total:
        raise UserError(
            f"train.warmup_steps is {warmup_steps}, but the run has only {total} steps, so the"
            f" learning rate would never arrive; the longest that fits is {total}"
            f" (`auto` would take {total // 10})"
        )
    return warmup_steps
