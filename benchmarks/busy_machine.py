"""How fast lawtune is while other programs use the processor, by how its threads wait.

    python benchmarks/busy_machine.py --out busy_machine.jsonl

A product of matrices is shared out among threads that wait for one another at its end. torch's
OpenMP library lets them wait busily at first: quickest where every thread has a core to itself, but
where another program has taken one, the waiting thread keeps the late one from running.

Tunes the starter model and answers with it, with and without other programs that compute all the
time (`--busy`), each in a process of its own, the ways of waiting in turn; medians over `--runs`,
as ratios to the library's own way on the idle machine. Each result is a line of --out at once.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import page
from train_speed import machine

from lawtune.cli import SPINS

Row = dict[str, Any]

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
WAYS = {
    "library": {},
    "lawtune": {"GOMP_SPINCOUNT": str(SPINS)},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
"""What the environment says about waiting: nothing; what `lawtune` sets; not to spin at all."""

WORK = ("train", "answer")


def main() -> None:
    options = parse()
    if options.worker:
        print(json.dumps(work(options.steps, options.questions)))
        return
    out = Path(options.out)
    for run in range(options.runs):
        for busy in options.busy:
            for way in options.ways:
                with programs(busy):
                    row = {"way": way, "busy": busy, "run": run, **once(way, options), **machine()}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print({key: row[key] for key in ("way", "busy", *WORK)}, file=sys.stderr)
    rendered = table([json.loads(line) for line in out.read_text("utf-8").splitlines()])
    print(rendered)
    if options.docs:
        page.put(Path(options.docs), "busy_machine", rendered)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="other programs")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=40, help="of training, 8 examples each")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", default="busy_machine.jsonl", help="where the results are kept")
    parser.add_argument("--docs", help="a Markdown page whose table to renew")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextlib.contextmanager
def programs(count: int) -> Iterator[None]:
    """So many other programs, each with a core's worth of work."""
    command = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def once(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of each kind of work, in a process that waits so."""
    command = [sys.executable, __file__, "--worker", "--steps", str(options.steps)]
    command += ["--questions", str(options.questions)]
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    done = subprocess.run(
        command, env=environment | WAYS[way], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def work(steps: int, questions: int) -> dict[str, float]:
    """Tune and answer; seconds of each, loading excluded."""
    from lawtune.config import DataConfig, EvaluateConfig, FinetuneConfig, LoraConfig, TrainConfig
    from lawtune.model.legal_model import LegalModel
    from lawtune.records import read_qa
    from lawtune.starter import QA
    from lawtune.train.run import finetune

    with tempfile.TemporaryDirectory() as folder:
        made = finetune(
            FinetuneConfig(
                data=DataConfig(str(QA / "train.jsonl")),
                lora=LoraConfig(target_modules="all-linear"),
                train=TrainConfig(batch_size=8, gradient_accumulation=1, max_steps=steps),
                out=folder,
            )
        )
        model = LegalModel.load(str(made.folder))
    pairs = read_qa(QA / "test.jsonl")[:questions]
    prompts = [model.render(pair.question, pair.type, pair.context) for pair in pairs]
    started = time.perf_counter()
    model.generate(prompts, 64, EvaluateConfig().batch_size)
    answering = time.perf_counter() - started
    return {"train": made.metrics["training_seconds"], "answer": answering}


def table(rows: Sequence[Row]) -> str:
    """Medians as ratios to the library's way on the idle machine: 2 is twice as long."""

    def median(way: str, busy: int, kind: str) -> float:
        return statistics.median(
            row[kind] for row in rows if row["way"] == way and row["busy"] == busy
        )

    cells = [
        (
            busy,
            way,
            *(f"{median(way, busy, kind) / median('library', 0, kind):.2f}" for kind in WORK),
        )
        for busy, way in sorted({(row["busy"], row["way"]) for row in rows})
    ]
    one, runs = rows[0], len({row["run"] for row in rows})
    where = f"{one['cpu']}, {one['cores']} cores; torch {one['torch']}; medians of {runs} runs."
    return f"{where}\n\n{page.table(('other programs', 'threads wait as', *WORK), cells)}"


if __name__ == "__main__":
    main()
