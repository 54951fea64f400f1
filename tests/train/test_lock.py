"""A folder has one run at a time, and is free again however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_interrupt import assert_same_adapter, make_config

from lawtune.errors import UserError
from lawtune.train.distributed import Alone
from lawtune.train.lock import only_run_in
from lawtune.train.run import finetune


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path):
    out = tmp_path / "deep" / "out"
    told = pytest.raises(UserError, match=f"another run is at work in {out}")
    with only_run_in(out, Alone()), only_run_in(tmp_path / "other", Alone()), told:
        only_run_in(out, Alone()).__enter__()
    with pytest.raises(ZeroDivisionError), only_run_in(out, Alone()):
        raise ZeroDivisionError
    with only_run_in(out, Alone()):
        assert list(out.iterdir()) == []
    # What was made for it, and is empty, is gone.
    assert sorted(path.name for path in tmp_path.iterdir()) == []
    with only_run_in(out, Alone()):
        (out / "made").touch()
    assert (out / "made").exists()


HOLD = """
import sys, time
from pathlib import Path
from lawtune.train.distributed import Alone
from lawtune.train.lock import only_run_in
with only_run_in(Path(sys.argv[1]), Alone()):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_kill_sets_the_folder_free(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="at work"), only_run_in(tmp_path, Alone()):
            pass
        holder.send_signal(signal.SIGKILL)
    with only_run_in(tmp_path, Alone()):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_is_at_work_is_not_disturbed(tmp_path: Path, gpt2_base: Path, resume: bool):
    whole = finetune(make_config(tmp_path, gpt2_base, "whole", epochs=1))
    config = make_config(tmp_path, gpt2_base, "out", epochs=1)
    refused = []

    def meanwhile(row: dict) -> None:
        if row["event"] == "step" and row["step"] == 2:
            with pytest.raises(UserError, match="another run is at work") as error:
                finetune(config, resume)
            refused.append(error)

    result = finetune(config, listener=meanwhile)
    assert len(refused) == 1
    assert_same_adapter(whole.folder, result.folder)
    log = (result.folder / "training_log.jsonl").read_text("utf-8")
    assert log.count('"event": "step"') == result.metrics["steps"]
