"""Less is computed at once where memory is short, it is said, and a resumed run knows of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from test_interrupt import assert_same_adapter, make_config
from test_run import KilledError, kill_at

from lawtune.errors import UserError
from lawtune.options import to_dict
from lawtune.train import memory
from lawtune.train.checkpoint import load_checkpoint, newest_valid
from lawtune.train.loss import LossEngine
from lawtune.train.memory import MemoryWatch
from lawtune.train.run import finetune
from lawtune.train.team_engine import Cut

CPU = torch.device("cpu")


def notes(out: Path) -> list[dict]:
    rows = map(json.loads, (out / "training_log.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if row["event"] == "note" and "memory nears" in row["text"]]


def test_halving_ends_where_it_would_save_nothing():
    cut = Cut(1024, 512)
    assert cut.halved(1) == Cut(512, 256) and cut.halved(2) == Cut(256, 128)
    assert cut.halved(20) == Cut(64, 64) == cut.halved(20).halved(1)
    assert Cut(40, 512).halved(1) == Cut(40, 256)
    assert cut.evaluation_tokens == 4096 and Cut(8192).evaluation_tokens == 4096
    assert cut.halved(2).evaluation_tokens == 1024


class Scales(MemoryWatch):
    """A process whose memory is 1,000 bytes and 10 for every token in a pass."""

    def __init__(self, limit: float, cost: float = 10):
        self.limit, self.cost, self._peak, self._gpu = limit, cost, 1000.0, None

    def pass_over(self, tokens: int) -> None:
        self._peak = max(self._peak, 1000 + self.cost * tokens)

    def peak(self) -> float:
        return self._peak

    def restart(self) -> None:
        self._peak = 1000.0


def test_a_rehearsal_tells_how_much_fits():
    for limit, times in ((1e6, 0), (13_000, 0), (12_000, 1), (4_000, 2), (1_001, 4)):
        watch = Scales(limit)
        found = watch.halvings_for(Cut(1024), lambda w=watch: w.pass_over(100), 100)
        assert found == times, limit


def test_a_peak_near_the_limit_is_short_once():
    watch = Scales(2_000)
    watch.pass_over(50)
    assert not watch.is_short()
    watch.pass_over(81)
    assert watch.is_short() and not watch.is_short()


def test_the_limit_is_taken_in_megabytes_from_what_is_free_or_not_at_all(monkeypatch):
    assert MemoryWatch(300, CPU).limit == 300e6
    assert MemoryWatch(None, CPU).limit is None and not MemoryWatch(None, CPU).is_short()
    monkeypatch.setattr(MemoryWatch, "_free", lambda self: 8e9)
    here = MemoryWatch("auto", CPU)
    assert here.limit == pytest.approx(here.peak() + 8e9, rel=0.01)
    assert MemoryWatch("auto", CPU, sharers=4).limit < 0.5 * here.limit


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch):
    most, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "_CGROUP", ((most, used),))
    watch = MemoryWatch(None, CPU)
    whole = watch._free()
    most.write_text("300\n")
    used.write_text("100\n")
    assert watch._free() == 200 < whole
    # Files that were read count as used, but nobody needs to do without for them.
    stat = tmp_path / "memory.stat"
    stat.write_text("anon 20\ninactive_file 70\nactive_file 5\n")
    assert watch._free() == 270
    stat.write_text("inactive_file 10\ntotal_inactive_file 80\n")
    assert watch._free() == 280
    most.write_text("max\n")
    assert watch._free() > 200


@pytest.mark.skipif(not memory._CLEAR.exists(), reason="no peak that can be set back")
def test_the_peak_is_found_after_it_is_over():
    watch = MemoryWatch(None, CPU)
    before = watch.peak()
    torch.ones(25_000_000)
    assert watch.peak() > before + 90e6
    watch.restart()
    assert watch.peak() < before + 50e6


def pressed(step: int, monkeypatch):
    """A listener that makes memory short in step `step`, in the step's own terms."""
    short = []
    monkeypatch.setattr(MemoryWatch, "is_short", lambda self: bool(short) and short.pop())

    def listener(row: dict) -> None:
        if row["event"] == "step" and row["step"] == step:
            short.append(True)

    return listener


def test_a_resumed_run_computes_as_little_at_once_as_the_one_that_stopped(
    tmp_path: Path, gpt2_base: Path, monkeypatch
):
    lora = {"target_modules": ["c_attn", "lm_head"]}
    settings = {"precision": "fp32", "micro_batch_tokens": 200, "gradient_accumulation": 4}
    plain = finetune(make_config(tmp_path, gpt2_base, "plain", lora, **settings))
    config = make_config(tmp_path, gpt2_base, "whole", lora, **settings)
    whole = finetune(config, listener=pressed(5, monkeypatch))
    row = notes(whole.folder)
    assert [(r["step"], r["micro_batch_tokens"], r["projected_tokens"]) for r in row] == [
        (5, 100, 256)
    ]
    record = json.loads((whole.folder / "training_config.json").read_text("utf-8"))
    assert record["resolved"]["micro_batch_tokens"] == 100
    with pytest.raises(AssertionError):  # by rounding: so what follows can fail
        assert_same_adapter(plain.folder, whole.folder)

    killed = make_config(tmp_path, gpt2_base, "killed", lora, **settings)
    press, kill = pressed(5, monkeypatch), kill_at(6)
    with pytest.raises(KilledError):
        finetune(killed, listener=lambda row: (press(row), kill(row)))
    newest = newest_valid(Path(killed.out))
    assert newest.name == "checkpoint-5"
    assert load_checkpoint(newest).state["cut"]["micro_batch_tokens"] == 100
    resumed = finetune(killed, resume=True, listener=pressed(0, monkeypatch))
    assert_same_adapter(whole.folder, resumed.folder)


def test_memory_that_runs_out_is_a_message(tmp_path: Path, gpt2_base: Path, monkeypatch):
    def greedy(*_: object) -> None:
        torch.empty(1 << 50)

    monkeypatch.setattr(LossEngine, "accumulate", greedy)
    with pytest.raises(UserError, match=r"memory ran out \(.*allocate.*--resume"):
        finetune(make_config(tmp_path, gpt2_base, "out"))
    monkeypatch.setattr(LossEngine, "accumulate", lambda *_: {}["other"])
    with pytest.raises(KeyError):
        finetune(make_config(tmp_path, gpt2_base, "other"))


# A process of its own: what the other tests have left in this one's memory would be in the way.
MEASURED = """
import gc, json, sys
from dataclasses import replace
from pathlib import Path
import torch
from lawtune.config import FinetuneConfig
from lawtune.options import load_config
from lawtune.train.memory import FILLED, MemoryWatch
from lawtune.train.run import finetune

peaks, told = [], MemoryWatch.is_short

def noted(watch):
    peaks.append(watch.peak())
    return told(watch)

def run(out, limit):
    train = replace(config.train, memory_limit=limit)
    finetune(replace(config, out=out, train=train))
    peak = max(peaks)
    peaks.clear()
    return peak

MemoryWatch.is_short = noted
config = load_config(FinetuneConfig, Path(sys.argv[1]))
free = run(config.out + "/free", None)
gc.collect()
watch = MemoryWatch(None, torch.device("cpu"))
watch.give_back()
limit = round((watch.peak() + 0.6 * (free - watch.peak())) / FILLED / 1e6)
held = run(config.out + "/held", limit)
print(json.dumps({"free": free, "limit": limit, "held": held}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not memory._CLEAR.exists(), reason="no peak that can be set back")
def test_a_run_stays_within_its_limit(tmp_path: Path):
    """The logits of a micro-batch of five examples take 150 MB each time they are written."""
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_llama(tokenizer, layers=1, width=8)
    model.resize_token_embeddings(200_000, mean_resizing=False)
    base = tiny.save_base(tmp_path / "base", model, tokenizer)
    settings = {"precision": "fp32", "epochs": 1, "gradient_accumulation": 5}
    config = make_config(tmp_path, base, "runs", {"target_modules": ["q_proj"]}, **settings)
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(to_dict(config)), "utf-8")
    command = [sys.executable, "-c", MEASURED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["held"] < found["limit"] * 1e6 < found["free"] / memory.FILLED
    first = notes(tmp_path / "runs" / "held")[0]
    assert f"memory nears {found['limit']} MB" in first["text"] and first["step"] == 0
