"""What a run says while it runs: rows for the log file, for TensorBoard and for the terminal.

A row is plain JSON data with an `event`: `start`, `step`, `validation` or `note`. Everything that
listens gets the same rows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lawtune.errors import UserError
from lawtune.files import make_folder, write_jsonl
from lawtune.train.loop import StepRecord

LOG_FILE = "training_log.jsonl"

Row = dict[str, Any]
Listener = Callable[[Row], None]


class TrainingLog:
    """`training_log.jsonl`, a row a line, complete after every line.

    A resumed run first drops the rows after the checkpoint it goes on from, and a last line that
    was torn when the run was killed.

    Args:
        keep_until: the step of that checkpoint; None starts the log anew.
    """

    def __init__(self, path: Path, keep_until: int | None):
        make_folder(path.parent)
        self.rows: list[Row] = []
        if keep_until is not None and path.is_file():
            self.rows = [row for row in _whole_rows(path) if row.get("step", 0) <= keep_until]
        write_jsonl(path, self.rows)
        # Appended to, not replaced: rewriting the file for every step would cost more than a step.
        self._file = open(path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115

    def __call__(self, row: Row) -> None:
        """Add a row."""
        self.rows.append(row)
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLog:
    """The same figures for TensorBoard, in `folder`.

    Raises:
        UserError: the tensorboard package is not installed.
    """

    def __init__(self, folder: Path, keep_until: int | None):
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        purge = None if keep_until is None else keep_until + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge)

    def __call__(self, row: Row) -> None:
        """Add a row's figures at its step."""
        if row["event"] in ("step", "validation"):
            for name, value in row.items():
                if name not in ("event", "step") and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{row['event']}/{name}", value, row["step"])

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


@contextmanager
def closed_after(logs: Sequence[TrainingLog | TensorBoardLog]) -> Iterator[None]:
    """Close the logs behind the context. Where that was left by an error, it is the error that is
    raised: on a full disk, closing would write what could not be written once more, and fail."""
    try:
        yield
    except BaseException:
        for log in logs:
            with suppress(OSError):
                log.close()
        raise
    for log in logs:
        log.close()


def require_tensorboard() -> None:
    """Fail before the run rather than in it.

    Raises:
        UserError: the package is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UserError(
            "train.tensorboard is on, but the tensorboard package is not installed:"
            " pip install tensorboard"
        ) from None


def step_row(record: StepRecord, device: torch.device) -> Row:
    """The row of an optimiser step: its record, target tokens a second, and memory in use."""
    rate = round(record.target_tokens / record.seconds, 1)
    return {
        "event": "step",
        **{name: value for name, value in asdict(record).items() if value is not None},
        "target_tokens_per_second": rate,
        **memory(device),
    }


def memory(device: torch.device) -> dict[str, float]:
    """Memory in use, in MB (10⁶ bytes): the process's, and the GPU's where one is used."""
    import psutil

    used = {"rss_mb": round(psutil.Process().memory_info().rss / 1e6, 1)}
    if device.type == "cuda":
        used["gpu_mb"] = round(torch.cuda.memory_allocated(device) / 1e6, 1)
    return used


def _whole_rows(path: Path) -> Iterable[Row]:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            yield row
