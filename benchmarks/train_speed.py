"""How fast lawtune trains, beside transformers' Trainer with PEFT, on the same examples and steps.

    python benchmarks/train_speed.py --tokenizer FOLDER --data train.jsonl --out train_speed.json

measures KoGPT-2's shape with random weights. Without --data, examples of random tokens with the
lengths of legal Q&A (42 tokens of question, 148 of answer on average) stand in. Every measurement
is a process of its own; the contestants take turns, and medians over --runs are shown.

What is the same for all: examples, their order, 8 a step, r 16, alpha 32, adapter dropout 0.1,
trunk dropout off, AdamW, clipping at 1. Time is training plus filling lawtune's cache, without
start-up. Contestants:

    lawtune            as `lawtune finetune` trains
    trainer-as-was     Trainer + PEFT as the original system ran it: float32, padded to 512, 1 × 8
    trainer-N          Trainer + PEFT with dynamic padding, in --precision, micro-batches of N
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

PER_STEP = 8
SHAPES = {
    "kogpt2": {"vocab_size": 51_200, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "tiny": {"vocab_size": 500, "n_embd": 32, "n_layer": 12, "n_head": 2},
}
RECIPES = {
    "lm_head": {"target_modules": ("lm_head",)},
    "c_attn": {"target_modules": ("c_attn",)},
    "last4": {"layers_to_transform": (8, 9, 10, 11)},
}
CONTESTANTS = ("lawtune", "trainer-as-was", "trainer-1", "trainer-4", "trainer-8")
AS_WAS_LENGTH = 512
LEARNING_RATE = 1e-4


def main() -> None:
    options = parse()
    if options.worker:
        print(json.dumps(measure(json.loads(options.worker))))
        return
    jobs = [
        {"recipe": recipe, "epochs": epochs, "contestant": contestant, "run": run}
        for run in range(options.runs)
        for recipe in options.recipes
        for epochs in options.epochs
        for contestant in options.contestants
    ]
    shared = {name: getattr(options, name) for name in ("shape", "examples", "precision")}
    shared |= {"data": options.data, "tokenizer": options.tokenizer}
    results = []
    for number, job in enumerate(jobs, start=1):
        done = run_worker(job | shared)
        results.append(job | done)
        print(
            f"[{number}/{len(jobs)}] {job['recipe']} {job['epochs']} epochs {job['contestant']}:"
            f" {done['seconds']:.2f} s, {done['peak_rss_mb']:,.0f} MB",
            file=sys.stderr,
        )
    table = tabulate(results)
    print(table)
    record = {"command": " ".join(sys.argv), "machine": machine(), "settings": shared}
    record |= {"results": results}
    if options.out:
        Path(options.out).write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="kogpt2")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["lm_head"])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3, 5])
    parser.add_argument("--examples", type=int, default=48)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--data", help="Q&A in JSON Lines, as `lawtune data build` makes it")
    parser.add_argument("--tokenizer", help="a folder with the tokenizer for --data")
    parser.add_argument("--out", help="where the JSON goes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_worker(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{job} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One training: seconds, those of each epoch, peak memory, target tokens a second."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from lawtune.train.loss import resolve_precision

    precision = resolve_precision(job["precision"], torch.device("cpu"))
    windows = make_windows(job)
    model = make_model(job)
    if job["contestant"] == "lawtune":
        fill, epochs = train_lawtune(model, windows, job["epochs"], precision)
    else:
        fill, epochs = 0.0, train_peer(model, windows, job, precision)
    seconds = fill + sum(epochs)
    targets = sum(window.targets for window in windows) * job["epochs"]
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, else in KiB
    return {
        "seconds": seconds,
        "cache_seconds": fill,
        "epoch_seconds": epochs,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6,
        "target_tokens_per_second": targets / seconds,
        "precision": "fp32" if job["contestant"] == "trainer-as-was" else precision,
    }


def make_windows(job: dict[str, Any]) -> list[Any]:
    from lawtune.data.encode import Window, encode_pairs

    if job["data"]:
        from lawtune.model.load import load_tokenizer
        from lawtune.prompt import make_template
        from lawtune.records import read_qa

        tokenizer = load_tokenizer(Path(job["tokenizer"]))
        template = make_template("lawtune", tokenizer)
        pairs = read_qa(Path(job["data"]))
        random.Random(0).shuffle(pairs)
        windows, _ = encode_pairs(pairs[: job["examples"]], template, tokenizer, AS_WAS_LENGTH)
        return windows
    draw, vocabulary = random.Random(0), SHAPES[job["shape"]]["vocab_size"]
    windows = []
    for number in range(job["examples"]):
        question = min(120, max(15, round(draw.lognormvariate(3.6, 0.5))))
        answer = min(360, max(12, round(draw.lognormvariate(4.85, 0.55))))
        ids = tuple(draw.randrange(vocabulary) for _ in range(question + answer))
        windows.append(Window(ids, question, str(number)))
    return windows


def make_model(job: dict[str, Any]) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lawtune.config import LoraConfig
    from lawtune.model.lora import attach_lora

    torch.manual_seed(0)
    shape = SHAPES[job["shape"]]
    config = GPT2Config(**shape, n_positions=1024, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    lora = LoraConfig(r=16, alpha=32, dropout=0.1, **RECIPES[job["recipe"]])
    return attach_lora(GPT2LMHeadModel(config), lora)


def train_lawtune(
    model: Any, windows: Sequence[Any], epochs: int, precision: str
) -> tuple[float, list[float]]:
    """(seconds to fill the cache, seconds of each epoch)."""
    import torch

    from lawtune.config import TrainConfig
    from lawtune.train.checkpoint import trainable
    from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress
    from lawtune.train.loss import LossEngine
    from lawtune.train.order import resolve_micro_batch_tokens, training_data
    from lawtune.train.prefix_cache import open_cache

    engine = LossEngine(model, pad_id=0, precision=precision)
    settings = TrainConfig(epochs=epochs, batch_size=1, gradient_accumulation=PER_STEP)
    tokens = resolve_micro_batch_tokens(settings.micro_batch_tokens, torch.device("cpu"))
    plan, filled = engine.cache_plan(windows), 0.0
    if plan:
        cache = open_cache(plan, engine.lower, None)
        engine.use(cache)
        filled = cache.seconds
    records: list[Any] = []
    Loop(
        engine,
        training_data(windows, settings, tokens),
        torch.optim.AdamW(trainable(model).values(), weight_decay=0.0),
        lambda progress: LEARNING_RATE,
        LoopSettings(settings.seed, 1.0, "epoch", 10**9),
        Hooks(log=records.append, save=lambda progress: None),
    ).run(Progress())
    steps = len(records) // epochs
    starts = range(0, len(records), steps)
    return filled, [sum(r.seconds for r in records[start : start + steps]) for start in starts]


def train_peer(
    model: Any, windows: Sequence[Any], job: dict[str, Any], precision: str
) -> list[float]:
    """Seconds of each epoch."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    as_was = job["contestant"] == "trainer-as-was"
    micro = 1 if as_was else int(job["contestant"].split("-")[1])
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=PER_STEP // micro,
            num_train_epochs=job["epochs"],
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            bf16=precision == "bf16" and not as_was,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            remove_unused_columns=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=[{"window": window} for window in windows],
            data_collator=lambda rows: pad([r["window"] for r in rows], as_was),
            callbacks=[Clock()],
        ).train()
    return [end - start for start, end in zip(marks[::2], marks[1::2], strict=True)]


def pad(windows: Sequence[Any], to_full_length: bool) -> dict[str, Any]:
    import torch

    longest = max(len(window.ids) for window in windows)
    length = AS_WAS_LENGTH if to_full_length else longest
    shape = (len(windows), length)
    ids, labels = torch.zeros(shape, dtype=torch.int64), torch.full(shape, -100)
    mask = torch.zeros(shape, dtype=torch.int64)
    for row, window in enumerate(windows):
        tokens, start = torch.tensor(window.ids), window.target_start
        ids[row, : len(tokens)] = tokens
        labels[row, start : len(tokens)] = tokens[start:]
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def tabulate(results: Sequence[dict[str, Any]]) -> str:
    """Medians, as a Markdown table; "slower" is against lawtune."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in results:
        key = (row["recipe"], row["epochs"], row["contestant"])
        groups.setdefault(key, []).append(row)

    def median(key: tuple[str, int, str], name: str) -> float:
        return statistics.median(row[name] for row in groups[key])

    lines = [
        "| recipe | epochs | contestant | s | slower | later epochs, s | peak MB | target tok/s |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for recipe, epochs, contestant in groups:
        key, ours = (recipe, epochs, contestant), (recipe, epochs, "lawtune")
        seconds = median(key, "seconds")
        ratio = f"{seconds / median(ours, 'seconds'):.2f} ×" if ours in groups else "—"
        later = [s for row in groups[key] for s in row["epoch_seconds"][1:]]
        after = f"{statistics.median(later):.2f}" if later else "—"
        lines.append(
            f"| {recipe} | {epochs} | {contestant} | {seconds:.2f} | {ratio} | {after} |"
            f" {median(key, 'peak_rss_mb'):,.0f} |"
            f" {median(key, 'target_tokens_per_second'):,.0f} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    names = ("lawtune", "torch", "transformers", "peft")
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    versions = {name: version(name) for name in names}
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()} | versions


if __name__ == "__main__":
    main()
