"""How fast lawtune trains, beside transformers' Trainer and TRL, on the same examples and steps.

    python benchmarks/train_speed.py --out benchmarks/train_speed.jsonl --docs docs/benchmarks.md

measures KoGPT-2's shape with random weights on the starter's Q&A, cut to realistic lengths. Every
training is a process of its own; the contenders take turns, and medians over --runs are shown.
Each finished training is a line of --out at once: killed, the same command goes on where it was.

What is the same for all: examples, their order, 8 a step, r 16, alpha 32, adapter dropout 0.1,
trunk dropout off, AdamW, clipping at 1. Time is training plus filling lawtune's cache, without
start-up; one training of several epochs gives the figures of fewer. Contenders:

    lawtune         as `lawtune finetune` trains
    lawtune-lean    the same with a `train.cache_budget` that has no room for logits
    trainer-as-was  Trainer + PEFT as the original system ran it: float32, padded to 512, 1 × 8
    trainer-N       Trainer + PEFT, micro-batches of N (1, 4, 8) padded to their longest, grouped by
                    length, in --precision
    trl-N           the same with TRL's SFTTrainer

Of trainer-N and trl-N, every N is first tried for one epoch, and only the fastest is measured on.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import page
import speed_table
from contenders import RECIPES, SHAPES, measure

Row = dict[str, Any]

FAMILIES = ("lawtune", "lawtune-lean", "trainer", "trl", "trainer-as-was")
SIZES = (1, 4, 8)
LM_HEAD_ONLY = ("lawtune-lean", "trainer-as-was")
SETTINGS = ("shape", "examples", "precision")


def main() -> None:
    options = parse()
    if options.worker:
        print(json.dumps(measure(json.loads(options.worker))))
        return
    out = Path(options.out)
    rows = read(out)
    here = {name: getattr(options, name) for name in SETTINGS} | machine()
    settings = {name: rows[-1][name] for name in here} if options.render and rows else here
    rows = [row for row in rows if {name: row[name] for name in settings} == settings]
    if not options.render:
        for job in jobs(options, rows):
            row, is_new = once(job | settings, rows, out)
            rows += [row] if is_new else []
    print(speed_table.render(rows))
    if options.docs:
        page.put(Path(options.docs), "train_speed", speed_table.render(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="kogpt2")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--contenders", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="N to try")
    parser.add_argument("--epochs", type=int, default=5, help="of lm_head; others: 3 at most")
    parser.add_argument("--examples", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--out", default="train_speed.jsonl", help="where the results are kept")
    parser.add_argument("--docs", help="a Markdown file whose table to renew")
    parser.add_argument("--render", action="store_true", help="only render what --out holds")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def jobs(options: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    """What is to be measured, in turn; `rows` grows meanwhile and decides which sizes are best."""
    peers = [family for family in options.contenders if family in ("trainer", "trl")]
    for recipe in options.recipes:
        for family in peers:
            for size in options.sizes:
                yield job(recipe, f"{family}-{size}", 1, "trial", 0)
    for run in range(options.runs):
        yield job("", "peak", 0, "run", run)
        for recipe in options.recipes:
            for family in options.contenders:
                contender = best(family, recipe, rows) if family in peers else family
                if contender and (recipe == "lm_head" or family not in LM_HEAD_ONLY):
                    several = 3 if family == "trainer-as-was" or recipe != "lm_head" else 5
                    yield job(recipe, contender, min(options.epochs, several), "run", run)


def job(recipe: str, contender: str, epochs: int, stage: str, run: int) -> Row:
    named = {"recipe": recipe, "contender": contender, "epochs": epochs}
    return named | {"stage": stage, "run": run}


def best(family: str, recipe: str, rows: Sequence[Row]) -> str | None:
    """The fastest size that was tried; None where all were refused."""
    tried = [
        (row["epoch_seconds"][0], row["contender"])
        for row in rows
        if row["stage"] == "trial" and row["recipe"] == recipe and "epoch_seconds" in row
        if row["contender"].startswith(f"{family}-")
    ]
    return min(tried)[1] if tried else None


def once(job: Row, rows: Sequence[Row], out: Path) -> tuple[Row, bool]:
    """(the result of a job, whether it is new: then it is kept)."""
    for row in rows:
        if {name: row.get(name) for name in job} == job:
            return row, False
    row = job | run_worker(job)
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    seconds = sum(row.get("epoch_seconds", ())) + row.get("cache_seconds", 0.0)
    said = row.get("refused") or f"{seconds:.2f} s"
    print(
        f"{job['stage']} {job['run']} {job['recipe']} {job['contender']}: {said}", file=sys.stderr
    )
    return row, True


def run_worker(job: Row) -> Row:
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    last = done.stderr.strip().splitlines()[-1]
    if job["contender"].startswith("trl") and "not supported" in last:
        return {"refused": last}
    return sys.exit(f"{job} failed:\n{done.stderr[-3000:]}")


def read(out: Path) -> list[Row]:
    """What was measured so far; a line that a kill cut short is left out."""
    rows = []
    for line in out.read_text("utf-8").splitlines() if out.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{out}: a line is cut short and is left out", file=sys.stderr)
    return rows


def machine() -> Row:
    """Processor, cores and versions; results of another are not mixed with these."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = found[0].split(":")[1].strip() if found else cpu
    versions = {}
    for name in ("lawtune", "torch", "transformers", "peft", "trl"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()} | versions


if __name__ == "__main__":
    main()
