"""Signals, kills and full disks, on real processes: what is saved is never lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from test_run import write_pairs

from lawtune.config import FinetuneConfig
from lawtune.errors import UserError
from lawtune.files import full_disk_is_told
from lawtune.options import to_dict, validate
from lawtune.train import checkpoint, monitor
from lawtune.train.checkpoint import newest_valid
from lawtune.train.distributed import Alone
from lawtune.train.interrupt import Interrupt
from lawtune.train.monitor import closed_after
from lawtune.train.run import SPILL_FOLDER, finetune

LET_GO = 3600.0
"""Seconds: longer than any run here."""
KILL_POINTS = 20


def make_config(folder: Path, base: Path, out: str, lora: dict | None = None, **train):
    for name, numbers in (("train", range(10)), ("validation", range(10, 14))):
        if not (folder / f"{name}.jsonl").exists():
            write_pairs(folder / f"{name}.jsonl", numbers)
    data = {name: str(folder / f"{name}.jsonl") for name in ("train", "validation")}
    tree = {"base": str(base), "data": data | {"max_length": 96}, "out": str(folder / out)}
    tree["lora"] = {"r": 4, "alpha": 6, "dropout": 0.2, "target_modules": ["lm_head"]}
    tree["lora"] |= lora or {}
    tree["train"] = {"epochs": 4, "gradient_accumulation": 2, "learning_rate": 0.02} | train
    return validate(FinetuneConfig, tree, "test")


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter_model.safetensors")


def assert_same_adapter(left: Path, right: Path) -> None:
    expected, found = weights(left), weights(right)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def notes(out: Path) -> list[str]:
    lines = (out / "training_log.jsonl").read_text("utf-8").splitlines()
    return [row["text"] for row in map(json.loads, lines) if row["event"] == "note"]


# Runs the command line's own `main`; at given steps the process sends itself signals.
SIGNALLED = """
import os, signal, sys
from lawtune.train import run

signals = [int(number) for number in sys.argv.pop(1).split(",")]
told = run._Session._log_step

def log_step(session, record):
    told(session, record)
    if record.step == 5:
        for number in signals:
            os.kill(os.getpid(), number)

run._Session._log_step = log_step
from lawtune.cli import main
sys.exit(main())
"""


def run_signalled(config: FinetuneConfig, folder: Path, signals: list[int]):
    (folder / "config.yaml").write_text(json.dumps(to_dict(config)), "utf-8")
    numbers = ",".join(str(int(number)) for number in signals)
    command = [sys.executable, "-c", SIGNALLED, numbers, "finetune"]
    command += ["--config", str(folder / "config.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_tells_by_the_exit_status(
    tmp_path: Path, gpt2_base: Path, number: int
):
    whole = finetune(make_config(tmp_path, gpt2_base, "whole"))
    config = make_config(tmp_path, gpt2_base, "stopped")
    done = run_signalled(config, tmp_path, [number])
    assert done.returncode == 128 + number, done.stderr
    assert "stopped after step 5; the same command with --resume goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert newest_valid(Path(config.out)).name == "checkpoint-5"
    resumed = finetune(config, resume=True)
    assert resumed.resumed_from == 5
    assert_same_adapter(whole.folder, resumed.folder)


def test_a_second_interrupt_stops_at_once_and_loses_nothing_saved(tmp_path: Path, gpt2_base: Path):
    whole = finetune(make_config(tmp_path, gpt2_base, "whole", save_every=2))
    config = make_config(tmp_path, gpt2_base, "stopped", save_every=2)
    done = run_signalled(config, tmp_path, [signal.SIGINT, signal.SIGINT])
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert newest_valid(Path(config.out)).name == "checkpoint-4"
    assert_same_adapter(whole.folder, finetune(config, resume=True).folder)


def test_handlers_are_put_back_and_other_threads_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    said = []
    with Interrupt(said.append, Alone()) as interrupt:
        assert signal.getsignal(signal.SIGTERM) != before and not interrupt.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked() and interrupt.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(said) == 1 and "SIGTERM" in said[0]


FULL = {
    "system": OSError(28, "No space left on device"),
    "safetensors": SafetensorError("I/O error: No space left on device (os error 28)"),
}
"""A full disk as Python tells it, and as safetensors does."""


@pytest.mark.parametrize("kind", FULL)
def test_a_full_disk_is_told_and_the_last_good_state_kept(
    tmp_path: Path, gpt2_base: Path, monkeypatch, kind: str
):
    whole = finetune(make_config(tmp_path, gpt2_base, "whole", save_every=2))
    config = make_config(tmp_path, gpt2_base, "out", save_every=2)
    save = checkpoint.save_file

    def fill_up(tensors, path: Path):
        if "checkpoint-4" in str(path) and path.name == "optimizer.safetensors":
            raise FULL[kind]
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fill_up)
        with pytest.raises(UserError, match="no space left on the disk of .*--resume"):
            finetune(config)
    assert newest_valid(Path(config.out)).name == "checkpoint-2"
    assert not list(Path(config.out).glob(".checkpoint-*"))
    assert_same_adapter(whole.folder, finetune(config, resume=True).folder)


FULL_DEVICE = Path("/dev/full")


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="no device that is always full")
def test_a_disk_that_is_full_for_the_log_is_told(tmp_path: Path, gpt2_base: Path, monkeypatch):
    def full(path: Path, *how, **given):
        return open(FULL_DEVICE, *how, **given)

    monkeypatch.setattr(monitor, "open", full, raising=False)
    with pytest.raises(UserError, match="no space left on the disk of .*--resume"):
        finetune(make_config(tmp_path, gpt2_base, "out"))


def test_a_disk_that_is_full_for_the_model_is_told(tmp_path: Path, gpt2_base: Path, monkeypatch):
    def fill_up(*_: object, **__: object):
        raise FULL["system"]

    monkeypatch.setattr("lawtune.train.outcome.draw_curve", fill_up)
    with pytest.raises(UserError, match="no space left on the disk of .*--resume"):
        finetune(make_config(tmp_path, gpt2_base, "out"))


def test_a_log_that_cannot_be_closed_does_not_hide_why_a_run_ended():
    closed = []

    class Full:
        def close(self):
            closed.append(self)
            raise FULL["system"]

    with pytest.raises(UserError, match="the reason"), closed_after([Full(), Full()]):
        raise UserError("the reason")
    assert len(closed) == 2
    with pytest.raises(OSError, match="No space"), closed_after([Full()]):
        pass


def test_other_errors_pass():
    with pytest.raises(OSError, match="other"), full_disk_is_told(Path()):
        raise OSError(5, "other")


@pytest.mark.parametrize("targets", [["lm_head"], ["c_attn"]])
def test_a_run_on_disk_or_in_memory_whole_or_resumed_is_the_same(
    tmp_path: Path, gpt2_base: Path, targets: list[str]
):
    lora = {"target_modules": targets}
    if targets == ["c_attn"]:
        lora["layers_to_transform"] = [1]
    memory = finetune(make_config(tmp_path, gpt2_base, "memory", lora))
    kept = {"cache_dir": str(tmp_path / "kept")}
    on_disk = finetune(make_config(tmp_path, gpt2_base, "disk", lora, **kept))
    spilt = finetune(make_config(tmp_path, gpt2_base, "spilt", lora, cache_budget=0))
    assert_same_adapter(memory.folder, on_disk.folder)
    if targets == ["c_attn"]:
        assert_same_adapter(memory.folder, spilt.folder)
    else:  # without room, logits are not kept: they are computed in other company
        for name, value in weights(memory.folder).items():
            assert (weights(spilt.folder)[name] - value).norm() <= 2e-3 * value.norm()
    assert not (spilt.folder / SPILL_FOLDER).exists()
    config = make_config(tmp_path, gpt2_base, "stopped", lora, cache_budget=0)
    assert run_signalled(config, tmp_path, [signal.SIGTERM]).returncode == 143
    resumed = finetune(config, resume=True)
    assert_same_adapter(spilt.folder, resumed.folder)
    assert any("read from" in text for text in notes(resumed.folder))
    layers = "2 of 2" if targets == ["lm_head"] else "1 of 2"
    assert any(f"frozen {layers} layers computed" in text for text in notes(memory.folder))


def test_another_seed_rank_and_rate_take_the_same_cache_and_say_so(tmp_path: Path, gpt2_base: Path):
    kept = {"cache_dir": str(tmp_path / "kept")}
    finetune(make_config(tmp_path, gpt2_base, "first", **kept))
    lora, train = {"r": 2, "alpha": 3}, {"seed": 7, "learning_rate": 1e-3, "epochs": 1}
    other = finetune(make_config(tmp_path, gpt2_base, "second", lora, **train, **kept))
    assert sum("read from" in text for text in notes(other.folder)) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_short_run_computes_only_what_it_uses(tmp_path: Path, gpt2_base: Path):
    kept = {"cache_dir": str(tmp_path / "kept")}
    finetune(make_config(tmp_path, gpt2_base, "out", max_steps=1, **kept))
    sizes = [load_file(p)["hidden"].shape[0] for p in (tmp_path / "kept").glob("*/hidden*")]
    finetune(make_config(tmp_path, gpt2_base, "long", max_steps=5, **kept))
    longer = [load_file(p)["hidden"].shape[0] for p in (tmp_path / "kept").glob("*/hidden*")]
    assert len(sizes) == 2 and len(longer) == 3
    assert max(longer) > max(sizes)


def test_no_layer_trains_from_the_cache_where_the_first_one_is_adapted(
    tmp_path: Path, gpt2_base: Path
):
    result = finetune(make_config(tmp_path, gpt2_base, "out", {"target_modules": ["c_attn"]}))
    assert not any("frozen" in text for text in notes(result.folder))


# Killed from within, at a moment that a clock picks: in a step, a validation, or while saving.
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from lawtune.config import FinetuneConfig
from lawtune.options import load_config
from lawtune.train import run

delay = float(sys.argv[2])
introduce = run._Session._introduce

def started(session, progress):
    introduce(session, progress)
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

run._Session._introduce = started
begun = time.perf_counter()
run.finetune(load_config(FinetuneConfig, Path(sys.argv[1])), resume=True)
os._exit(0)
"""


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed_equals_never_killed(
    tmp_path: Path, gpt2_base: Path
):
    """Every process is killed some time after it has begun to train, until one gets to the end;
    then again, until there were twenty kills. A checkpoint every step: many kills hit one."""
    settings = {"save_every": 1, "evaluate_every": 3, "cache_dir": str(tmp_path / "kept")}
    settings["epochs"] = 6
    lora = {"target_modules": ["c_attn", "lm_head"], "layers_to_transform": [1]}
    started = time.perf_counter()
    whole = finetune(make_config(tmp_path, gpt2_base, "whole", lora, **settings))
    span = time.perf_counter() - started
    draw, kills, run = random.Random(1), 0, 0
    while kills < KILL_POINTS:
        config = make_config(tmp_path, gpt2_base, f"run-{run}", lora, **settings)
        path = tmp_path / f"run-{run}.yaml"
        path.write_text(json.dumps(to_dict(config)), "utf-8")
        while True:
            # After the last kill the run is let go on: on a slow machine it might never end.
            delay = draw.uniform(0, span / 2) if kills < KILL_POINTS else LET_GO
            command = [sys.executable, "-c", KILLED, str(path), str(delay)]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr.decode()
            kills += 1
        assert_same_adapter(whole.folder, Path(config.out))
        run += 1
