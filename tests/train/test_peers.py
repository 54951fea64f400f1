"""The engine against transformers' Trainer with PEFT: the same steps, the same adapter."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny
import torch
from test_loss import make_windows
from transformers import Trainer, TrainerCallback, TrainingArguments

from lawtune.config import LoraConfig, TrainConfig
from lawtune.data.encode import Window
from lawtune.model.lora import attach_lora
from lawtune.train.caches import fill_caches
from lawtune.train.checkpoint import trainable
from lawtune.train.distributed import Alone
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress
from lawtune.train.loss import LossEngine
from lawtune.train.order import training_data
from lawtune.train.schedule import learning_rate

STEPS, WARMUP, RATE, CLIP, DECAY = 30, 5, 5e-3, 0.5, 0.01
SETTINGS = TrainConfig(epochs=10, batch_size=2, gradient_accumulation=2, seed=3)
WINDOWS = make_windows(12)
TARGETS = {
    "lm_head": LoraConfig(r=4, alpha=6, dropout=0.0, target_modules=("lm_head",)),
    "c_attn": LoraConfig(r=4, alpha=6, dropout=0.0, target_modules=("c_attn",)),
    "last two of four layers": LoraConfig(r=4, alpha=6, dropout=0.0, layers_to_transform=(2, 3)),
}
CACHES = {"lm_head": 2, "c_attn": 0, "last two of four layers": 1}


def make_model(lora: LoraConfig):
    base = tiny.make_gpt2(tiny.make_tokenizer(), layers=4)
    torch.manual_seed(9)
    return attach_lora(base, lora)


class Losses(TrainerCallback):
    def __init__(self):
        self.values: list[float] = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.values.append(logs["loss"])


class InOrder(Trainer):
    """Takes the examples as they come, as lawtune's plan has put them, unrounded losses logged."""

    def _get_train_sampler(self, *_: object):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def pad(rows: Sequence[dict]) -> dict[str, torch.Tensor]:
    longest = max(len(row["ids"]) for row in rows)
    batch = {"input_ids": [], "labels": [], "attention_mask": []}
    for row in rows:
        ids, start = list(row["ids"]), row["start"]
        blank = longest - len(ids)
        batch["input_ids"].append(ids + [2] * blank)
        batch["labels"].append([-100] * start + ids[start:] + [-100] * blank)
        batch["attention_mask"].append([1] * len(ids) + [0] * blank)
    return {name: torch.tensor(values) for name, values in batch.items()}


def train_peer(model, windows: Sequence[Window], folder: Path) -> list[float]:
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=SETTINGS.batch_size,
        gradient_accumulation_steps=SETTINGS.gradient_accumulation,
        max_steps=STEPS,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=DECAY,
        max_grad_norm=CLIP,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the trunk's own, which the Trainer would switch on
    losses = Losses()
    rows = [{"ids": window.ids, "start": window.target_start} for window in windows]
    trainer = InOrder(
        model=model, args=arguments, train_dataset=rows, data_collator=pad, callbacks=[losses]
    )
    names = {id(p): n for n, p in model.named_parameters()}
    decayed = set(trainer.get_decay_parameter_names(model))
    assert {names[id(p)] for p in trainable(model).values()} <= decayed
    trainer.train()
    return losses.values


def train_ours(model, caches: int, spill: Path) -> list[float]:
    engine = LossEngine(model, pad_id=2)
    splits, keep_logits = {"training": WINDOWS}, caches == 2
    filled = fill_caches(engine, splits, SETTINGS, spill, Alone(), keep_logits)
    assert len(list(filled)) == caches
    data = training_data(WINDOWS, SETTINGS, micro_batch_tokens=40)
    optimizer = torch.optim.AdamW(trainable(model).values(), weight_decay=DECAY)
    records = []
    Loop(
        engine,
        data,
        optimizer,
        lambda progress: learning_rate(RATE, progress.step, STEPS, 0, "constant"),
        LoopSettings(3, CLIP, "epoch", 1000, max_steps=STEPS),
        Hooks(log=records.append, save=lambda progress: None),
    ).run(Progress())
    return [record.loss for record in records]


@pytest.mark.parametrize("kind", TARGETS)
def test_thirty_steps_equal_those_of_trainer_and_peft(kind: str, tmp_path: Path):
    lora = TARGETS[kind]
    ours, theirs, start = make_model(lora), make_model(lora), make_model(lora)
    data = training_data(WINDOWS, SETTINGS, micro_batch_tokens=40)
    order = [i for epoch in range(10) for step in data.order(epoch) for b in step for i in b]
    assert len(order) == STEPS * 4
    losses = train_ours(ours, CACHES[kind], tmp_path)
    expected = train_peer(theirs, [WINDOWS[index] for index in order], tmp_path)
    assert len(losses) == len(expected) == STEPS
    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < 0.95 * losses[0]
    before, reference = trainable(start), trainable(theirs)
    for name, value in trainable(ours).items():
        change = torch.linalg.norm(reference[name] - before[name])
        difference = torch.linalg.norm(value - reference[name])
        assert change > 0
        assert difference <= 1e-4 * torch.linalg.norm(reference[name])
        assert difference <= 1e-3 * change
