"""Training in the terminal: a progress bar with the figures of the last step."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lawtune.train.monitor import Row


class TrainingBar:
    """A listener for `finetune`; use it as a context manager.

    Shows loss, learning rate, gradient norm, target tokens a second and memory; validations and
    notes are printed above the bar and stay. The bar appears when training begins.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
        )
        self._task = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def __call__(self, row: Row) -> None:
        """Show a row."""
        match row["event"]:
            case "start":
                self._bar.start()
                self._task = self._bar.add_task(
                    "training", total=row["total_steps"], completed=row["step"], figures=""
                )
            case "step":
                self._bar.update(self._task, completed=row["step"], figures=figures(row))
            case "validation":
                when = f"step {row['step']}" if row["step"] else "before training"
                best = " (best so far)" if row["best"] else ""
                self.console.print(
                    f"{when}: validation loss {row['validation_loss']:.4f}{best}",
                    highlight=False,
                )
            case "note":
                self.console.print(row["text"], highlight=False, markup=False)


def figures(row: Row) -> str:
    """The figures of a step in one line."""
    gpu = f" gpu {row['gpu_mb']:,.0f} MB" if "gpu_mb" in row else ""
    return (
        f"loss {row['loss']:.3f} lr {row['learning_rate']:.2e} grad {row['grad_norm']:.2f}"
        f" {row['target_tokens_per_second']:,.0f} tok/s mem {row['rss_mb']:,.0f} MB{gpu}"
    )
