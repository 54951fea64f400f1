"""The training curve as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lawtune.files import atomic_path

_SMOOTHING = 0.9


def draw_curve(rows: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Draw the rows of `training_log.jsonl` as a PNG: the training loss of each step and its
    running mean, the validation losses with the best one marked, and the learning rate below.

    The labels are English: matplotlib brings no font with Hangul.
    """
    # Not pyplot: its global figure list and its choice of a display are no business of ours.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [row for row in rows if row["event"] == "step"]
    validations = [row for row in rows if row["event"] == "validation"]
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    numbers, losses = [row["step"] for row in steps], [row["loss"] for row in steps]
    upper.plot(numbers, losses, color="#9db8d9", linewidth=0.8, label="training, each step")
    upper.plot(numbers, running_mean(losses), color="#1f4e9c", label="training, running mean")
    if validations:
        at = [row["step"] for row in validations]
        values = [row["validation_loss"] for row in validations]
        upper.plot(at, values, "o-", color="#c8501e", label="validation")
        best = min(range(len(values)), key=values.__getitem__)
        upper.plot(
            at[best],
            values[best],
            "*",
            color="#c8501e",
            markersize=15,
            label=f"best, {values[best]:.3f}",
        )
    upper.set_ylabel("loss per target token (nats)")
    upper.legend(frameon=False)
    lower.plot(numbers, [row["learning_rate"] for row in steps], color="#555555")
    lower.set_ylabel("learning rate")
    lower.set_xlabel("optimiser step")
    lower.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def running_mean(values: Sequence[float]) -> list[float]:
    """An exponential mean that is not drawn to zero at its start (bias-corrected as in Adam)."""
    means, mean = [], 0.0
    for number, value in enumerate(values, start=1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        means.append(mean / (1 - _SMOOTHING**number))
    return means
