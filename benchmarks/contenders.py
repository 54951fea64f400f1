"""The trainings that `train_speed.py` measures, each in a process of its own: the same model,
examples, order and steps for all."""

import math
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

PER_STEP = 8
RANK, ALPHA, DROPOUT = 16, 32, 0.1
LEARNING_RATE, SEED = 1e-4, 42
AS_WAS_LENGTH = 512
LEAN_BUDGET = 50
"""MB: room for the trunk's output of hundreds of examples, and for the logits of five."""
SHAPES = {
    "kogpt2": {"vocab_size": 51_200, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "tiny": {"vocab_size": 20_000, "n_embd": 32, "n_layer": 12, "n_head": 2},
}
RECIPES = {
    "lm_head": {"target_modules": ("lm_head",)},
    "c_attn": {"target_modules": ("c_attn",)},
    "last4": {"layers_to_transform": (8, 9, 10, 11)},
}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One training: seconds to fill the cache, of each epoch, and the process's peak memory."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from lawtune.train.precision import resolve_precision

    if job["contender"] == "peak":
        return matrix_peak()
    as_was = job["contender"] == "trainer-as-was"
    precision = "fp32" if as_was else resolve_precision(job["precision"], torch.device("cpu"))
    windows, model = make_windows(job), make_model(job)
    family, _, micro = job["contender"].partition("-")
    if family == "lawtune":
        budget = LEAN_BUDGET if micro == "lean" else None
        fill, epochs, keeps = train_lawtune(model, windows, job["epochs"], precision, budget)
    else:
        ordered, size = in_order(windows, job["epochs"]), 1 if as_was else int(micro)
        if family == "trl":
            steps = train_trl(model, ordered, size, precision)
        else:
            length = AS_WAS_LENGTH if as_was else None
            steps = train_trainer(model, ordered, size, precision, length)
        fill, epochs, keeps = 0.0, by_epoch(steps, job["epochs"]), False
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, else in KiB
    return {
        "cache_seconds": fill,
        "keeps_logits": keeps,
        "epoch_seconds": epochs,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6,
        "computed_in": precision,
        "lengths": [[window.target_start, window.targets] for window in windows],
    }


def matrix_peak() -> dict[str, Any]:
    """The most that a product of large square matrices reaches here, GFLOP/s, by precision."""
    import torch

    found = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        a = torch.randn(3072, 3072).to(dtype)
        times = []
        for _ in range(8):
            started = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - started)
        found[name] = 2 * 3072**3 / min(times) / 1e9
    return {"gflops": found}


def make_windows(job: dict[str, Any]) -> list[Any]:
    """The starter's Q&A as tokens, cut to the lengths of real legal Q&A under KoGPT-2's tokenizer
    (log-normal, on average 42 of question and 148 of answer), so that the work stays the same
    whatever edition of the Q&A ships."""
    from lawtune.data.encode import Window, encode_pairs
    from lawtune.prompt import make_template
    from lawtune.records import read_qa
    from lawtune.starter import QA

    tokenizer, draw = starter_tokenizer(), random.Random(0)
    pairs = read_qa(QA / "train.jsonl")
    draw.shuffle(pairs)
    template = make_template("lawtune", tokenizer)
    encoded, _ = encode_pairs(pairs[: 2 * job["examples"]], template, tokenizer, AS_WAS_LENGTH)
    questions = [token for window in encoded for token in window.ids[: window.target_start]]
    answers = [token for window in encoded for token in window.ids[window.target_start :]]
    windows = []
    for number in range(job["examples"]):
        question = min(120, max(12, round(draw.lognormvariate(3.6, 0.5))))
        answer = min(360, max(16, round(draw.lognormvariate(4.85, 0.55))))
        ids = take(questions, question) + take(answers, answer)
        windows.append(Window(tuple(ids), question, str(number)))
    return windows


def take(tokens: list[int], count: int) -> list[int]:
    """The next `count` of an endless round of `tokens`."""
    taken = [tokens.pop(0) for _ in range(count)]
    tokens += taken
    return taken


def starter_tokenizer() -> Any:
    from lawtune.model.load import find_tokenizer

    return find_tokenizer("starter")


def make_model(job: dict[str, Any]) -> Any:
    """A model of the shape with random weights, its own dropout off, and an adapter on it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lawtune.config import LoraConfig
    from lawtune.model.lora import attach_lora

    torch.manual_seed(0)
    shape = SHAPES[job["shape"]]
    config = GPT2Config(**shape, n_positions=1024, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    lora = LoraConfig(r=RANK, alpha=ALPHA, dropout=DROPOUT, **RECIPES[job["recipe"]])
    return attach_lora(GPT2LMHeadModel(config), lora)


def in_order(windows: Sequence[Any], epochs: int) -> list[Any]:
    """The examples of all epochs in lawtune's order; those of a step by length, so that
    micro-batches of several have little padding."""
    from lawtune.train.batches import plan_epoch

    ordered = []
    for epoch in range(epochs):
        for step in plan_epoch(len(windows), SEED, epoch, PER_STEP, 1):
            ordered += sorted((windows[i] for i in sum(step, [])), key=lambda w: -len(w.ids))
    return ordered


def train_lawtune(
    model: Any, windows: Sequence[Any], epochs: int, precision: str, budget: int | None
) -> tuple[float, list[float], bool]:
    """(seconds to fill the caches, seconds of each epoch, whether logits are kept), as `lawtune
    finetune` trains with a `cache_budget` of so many MB (None: its default)."""
    import torch

    from lawtune.config import TrainConfig
    from lawtune.train.caches import fill_caches, logits_fit
    from lawtune.train.checkpoint import trainable
    from lawtune.train.distributed import Alone
    from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress
    from lawtune.train.loss import LossEngine
    from lawtune.train.order import resolve_micro_batch_tokens, training_data

    engine = LossEngine(model, pad_id=0, precision=precision)
    settings = TrainConfig(epochs=epochs, batch_size=1, gradient_accumulation=PER_STEP, seed=SEED)
    if budget is not None:
        settings = replace(settings, cache_budget=budget)
    tokens = resolve_micro_batch_tokens(settings.micro_batch_tokens, torch.device("cpu"))
    splits, alone = {"training": windows}, Alone()
    keeps = logits_fit(engine, splits, settings, alone, epochs, spare=math.inf)
    with tempfile.TemporaryDirectory() as spill:
        caches = fill_caches(engine, splits, settings, Path(spill), alone, keeps)
        filled = sum(kept.seconds for _, kept in caches)
    records: list[Any] = []
    Loop(
        engine,
        training_data(windows, settings, tokens),
        torch.optim.AdamW(trainable(model).values(), weight_decay=0.0),
        lambda progress: LEARNING_RATE,
        LoopSettings(settings.seed, 1.0, "epoch", 10**9),
        Hooks(log=records.append, save=lambda progress: None),
    ).run(Progress())
    return filled, by_epoch([record.seconds for record in records], epochs), keeps


def by_epoch(steps: Sequence[float], epochs: int) -> list[float]:
    """Sums over the steps of each epoch."""
    size = len(steps) // epochs
    return [sum(steps[start : start + size]) for start in range(0, len(steps), size)]


def arguments(micro: int, precision: str, folder: str) -> dict[str, Any]:
    """What both peers are told."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": PER_STEP // micro,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": precision == "bf16",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "gradient_checkpointing": False,
    }


def train_trainer(
    model: Any, ordered: Sequence[Any], micro: int, precision: str, length: int | None
) -> list[float]:
    """Seconds of each step of transformers' Trainer, every example padded to `length` or every
    micro-batch to its longest."""
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        told = arguments(micro, precision, folder) | {"remove_unused_columns": False}
        return timed(
            Trainer,
            model=model,
            args=TrainingArguments(**told),
            train_dataset=[{"window": window} for window in ordered],
            data_collator=lambda rows: pad([row["window"] for row in rows], length),
        )


def train_trl(model: Any, ordered: Sequence[Any], micro: int, precision: str) -> list[float]:
    """Seconds of each step of TRL's SFTTrainer. Its packing and padding-free modes need a GPU."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "input_ids": list(w.ids),
            "labels": [-100] * w.target_start + list(w.ids[w.target_start :]),
        }
        for w in ordered
    ]
    with tempfile.TemporaryDirectory() as folder:
        told = arguments(micro, precision, folder) | {"max_length": None}
        return timed(
            SFTTrainer,
            model=model,
            args=SFTConfig(**told, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=Dataset.from_list(rows),
            processing_class=starter_tokenizer(),
        )


def timed(trainer: Any, **named: Any) -> list[float]:
    """Train on the examples as they come; seconds of each step, what lies between two included."""
    import torch
    from transformers import TrainerCallback

    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not marks:
                marks.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    class InOrder(trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    InOrder(**named, callbacks=[Clock()]).train()
    return [after - before for before, after in zip(marks, marks[1:], strict=False)]


def pad(windows: Sequence[Any], length: int | None) -> dict[str, Any]:
    """A batch for the Trainer, padded to `length` or to its longest example."""
    import torch

    shape = (len(windows), length or max(len(window.ids) for window in windows))
    ids, labels = torch.zeros(shape, dtype=torch.int64), torch.full(shape, -100)
    mask = torch.zeros(shape, dtype=torch.int64)
    for row, window in enumerate(windows):
        tokens, start = torch.tensor(window.ids), window.target_start
        ids[row, : len(tokens)] = tokens
        labels[row, start : len(tokens)] = tokens[start:]
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}
