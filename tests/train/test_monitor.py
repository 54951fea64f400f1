"""The log survives a torn end, the bar shows its figures, TensorBoard is asked for or missed."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lawtune.errors import UserError
from lawtune.train.console import TrainingBar
from lawtune.train.curve import draw_curve, running_mean
from lawtune.train.monitor import TensorBoardLog, TrainingLog, require_tensorboard


def step_row(step: int) -> dict:
    return {
        "event": "step",
        "step": step,
        "epoch": step / 4,
        "loss": 5.0 / step,
        "learning_rate": 1e-3,
        "grad_norm": 0.25,
        "target_tokens": 100,
        "target_tokens_per_second": 1234.5,
        "rss_mb": 456.0,
    }


def validation_row(step: int, loss: float) -> dict:
    return {"event": "validation", "step": step, "validation_loss": loss, "best": True}


def test_a_resumed_log_drops_later_rows_and_a_torn_line(tmp_path: Path):
    path = tmp_path / "training_log.jsonl"
    log = TrainingLog(path, keep_until=None)
    for step in (1, 2, 3):
        log(step_row(step))
    log.close()
    with open(path, "a") as file:
        file.write('{"event": "step", "step": 2, "lo')
    resumed = TrainingLog(path, keep_until=2)
    resumed(step_row(3))
    resumed.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
    assert [row["step"] for row in resumed.rows] == [1, 2, 3]


def test_a_fresh_log_forgets_the_old_one(tmp_path: Path):
    path = tmp_path / "training_log.jsonl"
    path.write_text('{"step": 1}\n')
    TrainingLog(path, keep_until=None).close()
    assert path.read_text() == ""


def test_the_bar_shows_the_figures():
    console = Console(width=140, force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with TrainingBar(console) as bar:
        bar({"event": "start", "step": 0, "total_steps": 4})
        bar({"event": "note", "text": "a [note]"})
        bar(step_row(2))
        bar(validation_row(2, 1.5))
    text = console.export_text()
    for part in ("2/4", "loss 2.500", "lr 1.00e-03", "grad 0.25", "1,234 tok/s", "456 MB"):
        assert part in text
    assert "a [note]" in text and "validation loss 1.5000" in text


def test_running_mean_starts_at_the_first_value():
    assert running_mean([4.0]) == pytest.approx([4.0])
    assert running_mean([4.0, 2.0])[1] == pytest.approx((0.09 * 4 + 0.1 * 2) / 0.19)


@pytest.mark.parametrize("validations", [[], [validation_row(2, 3.0), validation_row(3, 2.0)]])
def test_the_curve_is_a_picture(tmp_path: Path, validations: list[dict]):
    rows = [step_row(step) for step in range(1, 5)] + validations
    draw_curve(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


def test_tensorboard_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        require_tensorboard()


def test_tensorboard_gets_the_same_figures(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path, keep_until=None)
    log(step_row(1))
    log(validation_row(1, 2.5))
    log.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Scalars("step/loss")[0].value == pytest.approx(5.0)
    assert events.Scalars("validation/validation_loss")[0].value == pytest.approx(2.5)
