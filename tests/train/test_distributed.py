"""Several processes train as one does, and go down and come back together."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_interrupt import make_config, weights
from test_texts import FRONT, sentence

from lawtune.config import FinetuneConfig, TextsConfig
from lawtune.errors import UserError
from lawtune.options import to_dict
from lawtune.train.checkpoint import newest_valid
from lawtune.train.distributed import Alone, share_by_tokens
from lawtune.train.run import finetune

PATIENCE = 120.0
"""Seconds: longer than any run here."""

# What one of the processes runs: each config file in turn; a "name=value" word before one sends
# this process the signal `value` after step 5, if it is of the rank `name`.
WORKER = """
import os, sys
from pathlib import Path
from lawtune.config import FinetuneConfig
from lawtune.options import load_config
from lawtune.errors import StoppedError, UserError
from lawtune.train import run
from lawtune.train.prefix import find_layers

told, looked = run._Session._log_step, set()
when = {}

def log_step(session, record):
    told(session, record)
    if session.config.train.shard and session.out not in looked:
        looked.add(session.out)
        frozen = [p for p in find_layers(session.subject.model)[0].parameters()
                  if not p.requires_grad]
        held = sum(p.to_local().numel() for p in frozen)
        assert held == sum(p.numel() for p in frozen) / 2, held
        print("half of the frozen layers", file=sys.stderr)
    if record.step == 5 and session.team.rank in when:
        os.kill(os.getpid(), when.pop(session.team.rank))

run._Session._log_step = log_step
for word in sys.argv[1:]:
    rank, equals, number = word.partition("=")
    if equals:
        when[int(rank)] = int(number)
        continue
    try:
        run.finetune(load_config(FinetuneConfig, Path(word)), resume="resume" in word)
    except (UserError, StoppedError) as error:
        print("said elsewhere" if error.said_elsewhere else error, file=sys.stderr)
        sys.exit(getattr(error, "status", 2))
"""


def run_processes(
    size: int, words: list[str], worker: str = WORKER
) -> list[subprocess.CompletedProcess]:
    """`size` processes as torchrun would start them, without its own start-up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", worker, *words],
            env=os.environ | shared | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        errors = [process.communicate(timeout=PATIENCE)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, None, error)
        for process, error in zip(running, errors, strict=True)
    ]


def saved(config: FinetuneConfig, folder: Path, name: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(to_dict(config)), "utf-8")
    return str(path)


def losses(out: Path) -> list[float]:
    rows = map(json.loads, (out / "training_log.jsonl").read_text("utf-8").splitlines())
    names = {"step": "loss", "validation": "validation_loss"}
    return [row[names[row["event"]]] for row in rows if row["event"] in names]


def assert_same_run(one: Path, other: Path) -> None:
    """The same losses to 1e-5 and, up to what that leaves open, the same adapter."""
    assert len(losses(one)) > 10
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    expected, found = weights(one), weights(other)
    for name, value in expected.items():
        assert torch.linalg.norm(found[name] - value) <= 1e-3 * torch.linalg.norm(value)


def test_shares_hold_every_example_once_and_differ_by_no_more_than_one_example():
    lengths = [5, 90, 31, 7, 7, 64, 12, 3, 41]
    for size in (1, 2, 3, 12):
        shares = share_by_tokens(lengths, size)
        assert sorted(sum(shares, [])) == list(range(len(lengths))) and len(shares) == size
        sums = [sum(lengths[index] for index in share) for share in shares]
        assert max(sums) - min(sums) <= max(lengths)


class Three(Alone):
    """What the first of three processes hears, the others' part given."""

    size = 3

    def __init__(self, *others):
        self.others = others

    def each(self, value):
        return [value, *self.others]


def test_what_fails_in_one_process_fails_in_all_with_its_words():
    others_fail, all_fail = Three(None, "no such file"), Three("bad", "bad")
    with pytest.raises(UserError, match="^process 2 of 3: no such file$"), others_fail.together():
        pass
    with pytest.raises(UserError, match="^bad$"), all_fail.together():
        raise UserError("bad")
    with pytest.raises(UserError, match="do not agree: rate is 1 in process 0, but 2 in process 2"):
        Three({"rate": 1}, {"rate": 2}).agree({"rate": 1})


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path, gpt2_base: Path):
    """With dropout; steps of 2 and 1 examples (one process then has none); adapters above frozen
    layers, whose output is filled together, in memory and on disk; the projection alone. All but
    one kind read raw law beside the pairs."""
    settings = {"precision": "fp32", "evaluate_every": 3}
    kinds = {
        "attention": (
            {"target_modules": ["c_attn", "lm_head"]},
            settings | {"unlikelihood_every": 2},
        ),
        "last": ({"target_modules": ["c_attn"], "layers_to_transform": [1]}, settings),
        "head": ({}, settings | {"cache_budget": 0, "gradient_accumulation": 3}),
    }
    # Layers spread over both (FSDP2), which then must take as many micro-batches as one another.
    sharded = settings | {"gradient_accumulation": 5, "micro_batch_tokens": 100, "shard": True}
    kinds["spread"] = (kinds["attention"][0], sharded)
    kinds["spread-last"] = (kinds["last"][0], sharded | {"cache_budget": 0})
    law = tmp_path / "law.md"
    articles = "".join(f"### 제{n}조(제목{n})\n\n{sentence(n)}\n\n" for n in range(1, 9))
    law.write_text(FRONT + articles, "utf-8")
    texts = TextsConfig(sources=(str(law),), per_step=3, tokens=40)

    def made(kind: str, size: str) -> FinetuneConfig:
        lora, train = kinds[kind]
        config = make_config(tmp_path, gpt2_base, f"{kind}-{size}", lora, **train)
        return config if kind == "last" else replace(config, texts=texts)

    words = []
    for kind in kinds:
        two = made(kind, "two")
        words.append(saved(two, tmp_path, f"{kind}-two"))
    for done in run_processes(2, words):
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("half of the frozen layers") == 2
    for kind, (_, train) in kinds.items():
        train.pop("shard", None)
        one = finetune(made(kind, "one"))
        assert_same_run(one.folder, tmp_path / f"{kind}-two")
        record = json.loads((tmp_path / f"{kind}-two/training_config.json").read_text("utf-8"))
        assert record["resolved"]["processes"] == 2


@pytest.mark.slow
def test_a_signal_to_one_stops_all_and_another_number_goes_on(tmp_path: Path, gpt2_base: Path):
    config = make_config(tmp_path, gpt2_base, "stopped", precision="fp32")
    path = saved(config, tmp_path, "stopped")
    done = run_processes(2, [f"1={int(signal.SIGTERM)}", path])
    assert [process.returncode for process in done] == [143, 143], done
    assert "stopped after step 5; the same command with --resume goes on" in done[0].stderr
    assert "said elsewhere" in done[1].stderr and "stopped" not in done[1].stderr
    assert newest_valid(Path(config.out)).name == "checkpoint-5"
    resumed = finetune(config, resume=True)
    assert resumed.resumed_from == 5
    whole = finetune(make_config(tmp_path, gpt2_base, "whole", precision="fp32"))
    assert_same_run(whole.folder, resumed.folder)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_with_a_message(tmp_path: Path, gpt2_base: Path):
    config = make_config(tmp_path, gpt2_base, "out", precision="fp32", save_every=2)
    path = saved(config, tmp_path, "out")
    done = run_processes(2, [f"1={int(signal.SIGKILL)}", path])
    assert [process.returncode for process in done] == [2, -signal.SIGKILL], done
    assert "process 0 of 2: another process of this run has ended" in done[0].stderr
    assert "Traceback" not in done[0].stderr
    assert newest_valid(Path(config.out)).name == "checkpoint-4"
