"""LoRA fine-tuning from a config to a finished model folder."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lawtune.config import FinetuneConfig
from lawtune.data.encode import Window
from lawtune.errors import StoppedError, UserError
from lawtune.files import full_disk_is_told, read_json_object
from lawtune.model.load import resolve_device
from lawtune.model.lora import count_parameters, describe_lora
from lawtune.train.caches import fill_caches, logits_fit
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)
from lawtune.train.distributed import Alone, joined_team
from lawtune.train.identity import asked_identity, finished_identity, refuse_another, run_identity
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
from lawtune.train.lock import only_run_in
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, StepRecord
from lawtune.train.loss import LossEngine
from lawtune.train.memory import MemoryGuard, MemoryWatch, exhaustion_is_told, give_back
from lawtune.train.monitor import (
    LOG_FILE,
    Listener,
    Row,
    TensorBoardLog,
    TrainingLog,
    closed_after,
    require_tensorboard,
    step_row,
)
from lawtune.train.order import resolve_micro_batch_tokens, training_data
from lawtune.train.outcome import Outcome
from lawtune.train.precision import resolve_precision
from lawtune.train.prepare import Subject, prepare
from lawtune.train.schedule import learning_rate, resolve_warmup
from lawtune.train.shard import shard_layers
from lawtune.train.team_engine import Cut, TeamEngine
from lawtune.train.texts import Texts, find_sources, read_texts

TENSORBOARD_FOLDER = "tensorboard"
SPILL_FOLDER = "prefix_cache"
"""Where the frozen layers' output goes for the time of a run if memory has no room for it."""


@dataclass(frozen=True)
class FinetuneResult:
    """A finished run. `metrics` and `parameters` are as in `training_config.json`; `resumed_from`
    is the step that the run went on from (the last one where nothing was left to do), or None.
    Of several processes, one `is_main`: the one that speaks."""

    folder: Path
    metrics: dict[str, Any]
    parameters: dict[str, int]
    resumed_from: int | None
    is_main: bool = True


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
        listener: hears every row of the training log, for a progress bar or the like; of several
            processes (`lawtune.train.distributed`), in the first one alone.

    Raises:
        UserError: anything that the user can mend (see `lawtune.train.inputs`), another run at
            work in `out`, or a loss or gradient that is not finite.
    """
    try:
        with exhaustion_is_told(), joined_team(config.train.device) as team:
            heard = listener if team.is_main else _unheard
            with full_disk_is_told(Path(config.out)):
                return _finetune(config, resume, adapter, heard, team)
    finally:
        give_back()


def _unheard(row: Row) -> None:
    pass


def _finetune(
    config: FinetuneConfig, resume: bool, adapter: str | None, listener: Listener, team: Alone
) -> FinetuneResult:
    out = Path(config.out)
    if team.each(resume and is_finished(out))[0]:
        saved = read_json_object(out / TRAINING_CONFIG_FILE)
        if "averaged" in saved:
            raise UserError(f"{out} is an average of adapters, not a run; choose another --out")
        refuse_another(finished_identity(saved), asked_identity(config, adapter), str(out))
        listener({"event": "note", "text": f"{out} holds a finished run: nothing left to do"})
        metrics = saved["metrics"]
        steps = metrics["steps"]
        return FinetuneResult(out, metrics, saved["parameters"], steps, team.is_main)
    with team.together():
        check_settings(config)
    with only_run_in(out, team):
        return _prepared(config, resume, adapter, team).run(resume, listener)


def _prepared(config: FinetuneConfig, resume: bool, adapter: str | None, team: Alone) -> "_Session":
    with team.together():
        check_out(Path(config.out), resume)
        if config.train.tensorboard:
            require_tensorboard()
        splits = read_splits(config)
        find_sources(config.texts)
        subject = prepare(config, adapter)
        if config.train.shard:
            shard_layers(subject.model, resolve_device(config.train.device), team)
        encoded = [
            split
            and encode_split(split, subject.template, subject.tokenizer, config.data.max_length)
            for split in splits
        ]
        measured = [pair.group for pair in splits[1].pairs] if splits[1] else []
        texts = read_texts(config.texts, subject.tokenizer, measured, config.train.seed)
        return _Session(config, subject, encoded[0], encoded[1], texts, team)


class _Session:
    """One run over prepared inputs: it restores, trains, listens and writes."""

    def __init__(
        self,
        config: FinetuneConfig,
        subject: Subject,
        train: EncodedSplit,
        validation: EncodedSplit | None,
        texts: Texts | None,
        team: Alone,
    ):
        self.config, self.subject = config, subject
        self.train, self.validation, self.texts, self.team = train, validation, texts, team
        self.out = Path(config.out)
        self.listeners: list[Listener] = []
        settings, tokenizer = config.train, subject.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        device = next(subject.model.parameters()).device
        precision = resolve_precision(settings.precision, device)
        engine = LossEngine(subject.model, pad, precision, tokenizer.eos_token_id)
        if settings.gradient_checkpointing:
            engine.recompute_layers()
        cut = Cut(resolve_micro_batch_tokens(settings.micro_batch_tokens, device))
        self.engine = TeamEngine(engine, team, cut, lockstep=settings.shard)
        watch = MemoryWatch(settings.memory_limit, device, team.on_this_machine)
        self.memory = MemoryGuard(self.engine, watch, self._tell)
        self.optimizer = torch.optim.AdamW(
            trainable(subject.model).values(), lr=0.0, weight_decay=settings.weight_decay
        )
        self.data = training_data(train.windows, settings, cut.micro_batch_tokens)
        self.total_steps = self.data.total_steps(settings.max_steps)
        self.warmup = resolve_warmup(settings.warmup_steps, self.total_steps)
        trainable_count, total = count_parameters(subject.model)
        self.parameters = {"trainable": trainable_count, "total": total}
        self.initial_loss: float | None = None
        self.best: dict[str, torch.Tensor] = {}
        self.keep_logits: bool | None = None
        self.interrupt = Interrupt(lambda text: self._note(0, text), team)

    def run(self, resume: bool, listener: Listener) -> FinetuneResult:
        """Train to the end and write the model folder."""
        self.team.agree(self._identity())
        for parameter in trainable(self.subject.model).values():
            # Drawn by seed, but not every GPU draws the same.
            self.team.send(parameter.data, 0)
        folder = self._newest() if resume else None
        with self.team.together():
            progress = self._restore(folder) if folder else Progress()
        begin = progress.step if folder else None
        closing = self._logs(begin) if self.team.is_main else []
        self.listeners = [listener, *closing]
        with closed_after(closing):
            if resume:
                how = f"going on from {folder}" if folder else "no checkpoint, starting afresh"
                self._note(progress.step, f"--resume: {how}")
            self._introduce(progress)
            with self.interrupt:
                self._loop().run(progress)
                self.engine.engine.rest()
            self._conclude(progress)
        outcome = self._outcome(progress)
        if self.team.is_main:
            shutil.rmtree(self.out / SPILL_FOLDER, ignore_errors=True)
            outcome.write(self.out, closing[0].rows)
        self.team.wait()
        is_main = self.team.is_main
        return FinetuneResult(self.out, outcome.metrics, self.parameters, begin, is_main)

    def _logs(self, begin: int | None) -> list[Any]:
        """What writes the rows down, `training_log.jsonl` first."""
        logs: list[Any] = [TrainingLog(self.out / LOG_FILE, begin)]
        if self.config.train.tensorboard:
            logs.append(TensorBoardLog(self.out / TENSORBOARD_FOLDER, begin))
        return logs

    def _newest(self) -> Path | None:
        """The checkpoint to go on from, as the first process sees it."""
        newest = newest_valid(self.out)
        name = self.team.each(newest and newest.name)[0]
        return self.out / name if name else None

    def _loop(self) -> Loop:
        settings = self.config.train
        validation = self.validation
        evaluate = validation and partial(self.engine.mean_loss, validation.windows)
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
                unlikelihood_every=settings.unlikelihood_every,
                text_weight=self.config.texts.weight,
            ),
            Hooks(
                log=self._log_step,
                save=self._save,
                evaluate=evaluate,
                evaluated=self._evaluated,
                adapt=lambda progress: self.memory.adapt(progress.step),
                own_answers=self._own_answers,
                texts=lambda progress: self.texts.at(progress.step) if self.texts else (),
                stop=self.interrupt.asked,
            ),
        )

    def _own_answers(self, windows: Sequence[Window], progress: Progress) -> Sequence[Window]:
        begin = round(self.config.train.unlikelihood_after * self.total_steps)
        if progress.step < begin:
            return ()
        return self.engine.own_answers(windows, self.subject.tokenizer.eos_token_id)

    def _introduce(self, progress: Progress) -> None:
        """Say what this run is, and how good the model is before it."""
        start = {"step": progress.step, "total_steps": self.total_steps}
        self._tell({"event": "start", **start, **self.parameters})
        if progress.stopped is None:
            self._cache_prefix(progress)
            self.memory.fit(self.train.windows, progress.step)
        if progress.step:
            return
        for split in filter(None, (self.train, self.validation)):
            for text in split.remarks():
                self._note(0, text)
        for text in self.texts.remarks() if self.texts else ():
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
        splits = {"training": [self.train.windows[index] for index in sorted(used)]}
        if self.validation:
            splits["validation"] = self.validation.windows
        settings, engine, team = self.config.train, self.engine.engine, self.team
        if self.keep_logits is not False:
            epochs = self.total_steps / len(self.data.order(0))
            # What this run has kept before is kept again, however much memory is free now.
            spare = math.inf if self.keep_logits else self.memory.watch.spare()
            self.keep_logits = logits_fit(engine, splits, settings, team, epochs, spare)
        spill, keep = self.out / SPILL_FOLDER, self.keep_logits
        for text, kept in fill_caches(engine, splits, settings, spill, team, keep):
            row = {"step": progress.step, "text": text, "seconds": round(kept.seconds, 3)}
            self._tell({"event": "note", **row})

    def _log_step(self, record: StepRecord) -> None:
        self._tell(step_row(record, self.engine.engine.device))
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
        if not self.team.is_main:
            return
        state = {"progress": asdict(progress), "initial_loss": self.initial_loss}
        state |= {"run": self._identity(), "cut": asdict(self.engine.cut)}
        state["keep_logits"] = self.keep_logits
        checkpoint = Checkpoint(
            trainable(self.subject.model), self.optimizer.state_dict(), state, self.best
        )
        save_checkpoint(self.out, progress.step, checkpoint, self.config.train.keep_checkpoints)

    def _restore(self, folder: Path) -> Progress:
        checkpoint = load_checkpoint(folder)
        refuse_another(checkpoint.state["run"], self._identity(), str(folder))
        assign(self.subject.model, checkpoint.parameters)
        self.optimizer.load_state_dict(dict(checkpoint.optimizer))
        self.engine.cut_to(Cut(**checkpoint.state["cut"]))
        self.keep_logits = checkpoint.state["keep_logits"]
        self.initial_loss, self.best = checkpoint.state["initial_loss"], dict(checkpoint.best)
        return Progress(**checkpoint.state["progress"])

    def _identity(self) -> dict[str, Any]:
        precision = self.engine.engine.precision
        return run_identity(
            self.config, self.subject, precision, self.train, self.validation, self.texts
        )

    def _outcome(self, progress: Progress) -> Outcome:
        """The result, with the best adapter put on the model."""
        if self.best:
            assign(self.subject.model, self.best)
        metrics = {
            "initial_validation_loss": self.initial_loss,
            "best_validation_loss": progress.best_loss,
            "best_step": progress.best_step,
            "steps": progress.step,
            "stopped": progress.stopped,
            "target_tokens": progress.target_tokens,
            "training_seconds": round(progress.seconds, 1),
        }
        resolved = {
            "precision": self.engine.engine.precision,
            "device": str(self.engine.engine.device),
            "processes": self.team.size,
            "warmup_steps": self.warmup,
            "total_steps": self.total_steps,
            # With an adapter to go on from, its own, not the config's.
            "lora": describe_lora(self.subject.model),
            **asdict(self.engine.cut),
        }
        return Outcome(
            self.config,
            self.subject,
            self.train,
            self.validation,
            self.texts,
            resolved,
            self.parameters,
            metrics,
        )

    def _tell(self, row: Row) -> None:
        for listener in self.listeners:
            listener(row)

    def _note(self, step: int, text: str) -> None:
        self._tell({"event": "note", "step": step, "text": text})
