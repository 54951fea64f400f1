"""LoRA fine-tuning from a config to a finished model folder."""

import math
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lawtune import __version__
from lawtune.config import FinetuneConfig, to_dict
from lawtune.data.ngram_filter import FILTER_FILE, carry_filters, write_ngram_filter
from lawtune.errors import StoppedError, UserError
from lawtune.files import full_disk_is_told, read_json, write_json
from lawtune.model.adapter import save_adapter, write_manifest
from lawtune.model.lora import count_parameters
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)
from lawtune.train.curve import draw_curve
from lawtune.train.inputs import (
    TRAINING_CONFIG_FILE,
    EncodedSplit,
    check_out,
    check_settings,
    encode_split,
    is_finished,
    read_splits,
)
from lawtune.train.interrupt import Interrupt
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, StepRecord
from lawtune.train.loss import LossEngine, resolve_precision
from lawtune.train.monitor import (
    LOG_FILE,
    Listener,
    Row,
    TensorBoardLog,
    TrainingLog,
    require_tensorboard,
    step_row,
)
from lawtune.train.order import resolve_micro_batch_tokens, training_data
from lawtune.train.prefix_cache import choose_folder, open_cache
from lawtune.train.prepare import Subject, prepare
from lawtune.train.schedule import learning_rate, resolve_warmup

CURVE_FILE = "training_curve.png"
TENSORBOARD_FOLDER = "tensorboard"
SPILL_FOLDER = "prefix_cache"
"""Where the frozen layers' output goes for the time of a run if memory has no room for it."""

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")

_FREE_TO_CHANGE = ("out", "data.train", "data.validation", "train.device", "train.save_every")
_FREE_TO_CHANGE += ("train.keep_checkpoints", "train.tensorboard")
_FREE_TO_CHANGE += ("train.cache_dir", "train.cache_budget")
"""Keys that a resumed run may have otherwise: they do not bear on the result (a data file is
known by its content)."""


@dataclass(frozen=True)
class FinetuneResult:
    """A finished run. `metrics` and `parameters` are as in `training_config.json`; `resumed_from`
    is the step that the run went on from (the last one where nothing was left to do), or None."""

    folder: Path
    metrics: dict[str, Any]
    parameters: dict[str, int]
    resumed_from: int | None


def finetune(
    config: FinetuneConfig,
    resume: bool = False,
    adapter: str | None = None,
    listener: Listener = lambda row: None,
) -> FinetuneResult:
    """Tune an adapter and write the model folder `config.out`.

    Everything is checked before training begins, and nothing is written until then. The adapter
    with the best validation loss is kept, or the last one where there is no validation file.

    Args:
        resume: go on from the newest valid checkpoint in `out`; with none, start afresh.
        adapter: a model folder whose adapter to go on from, on the same base; its own LoRA
            settings and prompt templates then stand in for the config's.
        listener: hears every row of the training log, for a progress bar or the like.

    Raises:
        UserError: anything that the user can mend (see `lawtune.train.inputs`), or a loss or
            gradient that is not finite.
    """
    out = Path(config.out)
    if resume and is_finished(out):
        listener({"event": "note", "text": f"{out} holds a finished run: nothing left to do"})
        saved = read_json(out / TRAINING_CONFIG_FILE)
        metrics = saved["metrics"]
        return FinetuneResult(out, metrics, saved["parameters"], metrics["steps"])
    check_settings(config)
    check_out(out, resume)
    if config.train.tensorboard:
        require_tensorboard()
    splits = read_splits(config)
    subject = prepare(config, adapter)
    encoded = [
        split and encode_split(split, subject.template, subject.tokenizer, config.data.max_length)
        for split in splits
    ]
    return _Session(config, subject, encoded[0], encoded[1], listener).run(resume)


class _Session:
    """One run over prepared inputs: it restores, trains, listens and writes."""

    def __init__(
        self,
        config: FinetuneConfig,
        subject: Subject,
        train: EncodedSplit,
        validation: EncodedSplit | None,
        listener: Listener,
    ):
        self.config, self.subject = config, subject
        self.train, self.validation = train, validation
        self.out = Path(config.out)
        self.listeners = [listener]
        settings, tokenizer = config.train, subject.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        device = next(subject.model.parameters()).device
        self.engine = LossEngine(subject.model, pad, resolve_precision(settings.precision, device))
        self.optimizer = torch.optim.AdamW(
            trainable(subject.model).values(), lr=0.0, weight_decay=settings.weight_decay
        )
        self.micro_batch_tokens = resolve_micro_batch_tokens(settings.micro_batch_tokens, device)
        self.data = training_data(train.windows, settings, self.micro_batch_tokens)
        self.total_steps = self.data.total_steps(settings.max_steps)
        self.warmup = resolve_warmup(settings.warmup_steps, self.total_steps)
        trainable_count, total = count_parameters(subject.model)
        self.parameters = {"trainable": trainable_count, "total": total}
        self.initial_loss: float | None = None
        self.best: dict[str, torch.Tensor] = {}
        self.interrupt = Interrupt(lambda text: self._note(0, text))

    def run(self, resume: bool) -> FinetuneResult:
        """Train to the end and write the model folder."""
        folder = newest_valid(self.out) if resume else None
        progress = self._restore(folder) if folder else Progress()
        begin = progress.step if folder else None
        log = TrainingLog(self.out / LOG_FILE, begin)
        closing: list[TrainingLog | TensorBoardLog] = [log]
        if self.config.train.tensorboard:
            closing.append(TensorBoardLog(self.out / TENSORBOARD_FOLDER, begin))
        self.listeners += closing
        try:
            if resume:
                how = (
                    f"going on from {folder}" if folder else "no valid checkpoint, starting afresh"
                )
                self._note(progress.step, f"--resume: {how}")
            self._introduce(progress)
            with full_disk_is_told(self.out), self.interrupt:
                self._loop().run(progress)
            self._conclude(progress)
        finally:
            for listener in closing:
                listener.close()
        with full_disk_is_told(self.out):
            metrics = self._write(progress, log.rows)
        return FinetuneResult(self.out, metrics, self.parameters, begin)

    def _loop(self) -> Loop:
        settings = self.config.train
        validation = self.validation

        def evaluate() -> float:
            return self.engine.mean_loss(validation.windows)

        return Loop(
            self.engine,
            self.data,
            self.optimizer,
            lambda progress: learning_rate(
                settings.learning_rate,
                progress.step,
                self.total_steps,
                self.warmup,
                settings.scheduler,
            ),
            LoopSettings(
                seed=settings.seed,
                max_grad_norm=settings.max_grad_norm,
                evaluate_every=settings.evaluate_every,
                save_every=settings.save_every,
                patience=settings.early_stopping_patience,
                max_steps=settings.max_steps,
            ),
            Hooks(
                log=self._log_step,
                save=self._save,
                evaluate=None if validation is None else evaluate,
                evaluated=self._evaluated,
                stop=self.interrupt.requested,
            ),
        )

    def _introduce(self, progress: Progress) -> None:
        """Say what this run is, and how good the model is before it."""
        start = {"step": progress.step, "total_steps": self.total_steps}
        self._tell({"event": "start", **start, **self.parameters})
        if progress.stopped is None:
            self._cache_prefix(progress)
        if progress.step:
            return
        for split in filter(None, (self.train, self.validation)):
            for text in split.remarks():
                self._note(0, text)
        if self.subject.adapter:
            self._note(0, "going on from an adapter: its LoRA settings and templates are kept")
        if self.validation is None:
            text = "no data.validation: no early stopping, no selection, the last adapter is kept"
            self._note(0, text)
        elif progress.stopped is None:
            self.initial_loss = self.engine.mean_loss(self.validation.windows)
            if not math.isfinite(self.initial_loss):
                raise UserError(
                    f"the validation loss of {self.config.base} is not a finite number even before"
                    " training: are its weights whole, and made for this precision?"
                )
            row = {"step": 0, "epoch": 0.0, "validation_loss": self.initial_loss, "best": False}
            self._tell({"event": "validation", **row})

    def _cache_prefix(self, progress: Progress) -> None:
        """Compute what the frozen layers make of all examples that the run will use, resumed or
        not, or read it from where an earlier run has left it."""
        steps = (step for epoch in range(self.data.epochs) for step in self.data.order(epoch))
        used = {i for step in islice(steps, self.total_steps) for batch in step for i in batch}
        splits = [[self.train.windows[index] for index in sorted(used)]]
        splits += [self.validation.windows] if self.validation else []
        plans = [plan for windows in splits if (plan := self.engine.cache_plan(windows))]
        settings = self.config.train
        spill = self.out / SPILL_FOLDER
        folder = choose_folder(plans, settings.cache_dir, settings.cache_budget, spill)
        for plan, name in zip(plans, ("training", "validation"), strict=False):
            cache = open_cache(plan, self.engine.lower, folder)
            self.engine.use(cache)
            text = f"{name}: output of the frozen {self.engine.frozen_part()} {cache.note}"
            row = {"step": progress.step, "text": text, "seconds": round(cache.seconds, 3)}
            self._tell({"event": "note", **row})

    def _log_step(self, record: StepRecord) -> None:
        self._tell(step_row(record, self.engine.device))
        uniform = math.log(self.subject.base.model.get_input_embeddings().weight.shape[0])
        if record.step == 1 and record.loss > uniform + 0.5:
            self._note(
                1,
                f"warning: the first loss is {record.loss:.2f}, above the {uniform:.2f} of a"
                " uniform guess over the vocabulary; do tokenizer and model belong together?",
            )

    def _evaluated(self, progress: Progress, loss: float, best: bool) -> None:
        if best:
            values = trainable(self.subject.model).items()
            self.best = {name: value.detach().cpu().clone() for name, value in values}
        epoch = round(progress.epoch + progress.step_in_epoch / len(self.data.order(0)), 4)
        row = {"step": progress.step, "epoch": epoch, "validation_loss": loss, "best": best}
        self._tell({"event": "validation", **row})

    def _conclude(self, progress: Progress) -> None:
        if progress.stopped == "early_stopping":
            text = f"early stopping: no better validation loss since step {progress.best_step}"
            self._note(progress.step, text)
        elif progress.stopped is None:
            text = f"stopped after step {progress.step}; the same command with --resume goes on"
            raise StoppedError(text, self.interrupt.signal)
        before, after = self.initial_loss, progress.best_loss
        if before is not None and after is not None and after >= before:
            self._note(
                progress.step,
                f"warning: the best validation loss, {after:.4f}, is no better than the"
                f" {before:.4f} before training",
            )

    def _save(self, progress: Progress) -> None:
        state = {"progress": asdict(progress), "initial_loss": self.initial_loss}
        state["run"] = self._identity()
        checkpoint = Checkpoint(
            trainable(self.subject.model), self.optimizer.state_dict(), state, self.best
        )
        save_checkpoint(self.out, progress.step, checkpoint, self.config.train.keep_checkpoints)

    def _restore(self, folder: Path) -> Progress:
        checkpoint = load_checkpoint(folder)
        saved, current = checkpoint.state["run"], self._identity()
        differing = [key for key in current if saved.get(key) != current[key]]
        if differing:
            changes = "; ".join(f"{k} was {saved.get(k)}, is {current[k]}" for k in differing)
            raise UserError(
                f"{folder} is of a run with other settings ({changes}); resume with those it began"
                " with, or choose another --out"
            )
        assign(self.subject.model, checkpoint.parameters)
        self.optimizer.load_state_dict(dict(checkpoint.optimizer))
        self.initial_loss, self.best = checkpoint.state["initial_loss"], dict(checkpoint.best)
        return Progress(**checkpoint.state["progress"])

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        settings = _flatten(to_dict(self.config))
        kept = {key: value for key, value in settings.items() if key not in _FREE_TO_CHANGE}
        return kept | {
            "base": self.subject.base.identity.sha256,
            "adapter": self.subject.adapter,
            "precision": self.engine.precision,
            "training data": self.train.split.sha256,
            "validation data": self.validation and self.validation.split.sha256,
        }

    def _write(self, progress: Progress, rows: list[Row]) -> dict[str, Any]:
        """Fill the model folder, its manifest last; return the metrics."""
        subject = self.subject
        if self.best:
            assign(subject.model, self.best)
        shutil.rmtree(self.out / SPILL_FOLDER, ignore_errors=True)
        metrics = {
            "initial_validation_loss": self.initial_loss,
            "best_validation_loss": progress.best_loss,
            "best_step": progress.best_step,
            "steps": progress.step,
            "stopped": progress.stopped,
            "target_tokens": progress.target_tokens,
            "training_seconds": round(progress.seconds, 1),
        }
        data = {"train": self.train.to_json()}
        data["validation"] = self.validation and self.validation.to_json()
        save_adapter(
            self.out, subject.model, subject.tokenizer, subject.template, subject.added_tokens
        )
        self._record_text()
        draw_curve(rows, self.out / CURVE_FILE)
        record = {
            "config": to_dict(self.config),
            "resolved": {
                "precision": self.engine.precision,
                "device": str(self.engine.device),
                "warmup_steps": self.warmup,
                "total_steps": self.total_steps,
                "micro_batch_tokens": self.micro_batch_tokens,
            },
            "base": subject.base.identity.to_json(),
            "adapter": subject.adapter,
            "data": data,
            "parameters": self.parameters,
            "metrics": metrics,
            "versions": versions(),
        }
        write_json(self.out / TRAINING_CONFIG_FILE, record)
        write_manifest(self.out)
        return metrics

    def _record_text(self) -> None:
        """Leave word of what was learnt, for evaluations to find what the adapter has read."""
        earlier = self.subject.earlier
        if earlier and not carry_filters([earlier], self.out):
            return  # What that adapter had read is unknown, and so is what this one has.
        pairs = self.train.split.pairs
        texts = (text for pair in pairs for text in (pair.question, pair.context, pair.answer))
        write_ngram_filter(filter(None, texts), self.out / FILTER_FILE)

    def _tell(self, row: Row) -> None:
        for listener in self.listeners:
            listener(row)

    def _note(self, step: int, text: str) -> None:
        self._tell({"event": "note", "step": step, "text": text})


def versions() -> dict[str, str]:
    """What computed the result."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"lawtune": __version__, "python": platform.python_version(), **libraries}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
