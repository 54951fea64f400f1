"""A small causal LM and its tokenizer, trained from scratch on raw legal text.

Documents are cut into windows that never cross from one document to the next
(`lawtune.train.tokens`), and sources of the Q&A's validation and test groups are left out of
training and used to measure it (`lawtune.data.corpus`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from lawtune.config import PretrainConfig
from lawtune.data.encode import Window
from lawtune.data.ngram_filter import FILTER_FILE, write_ngram_filter
from lawtune.errors import StoppedError, UserError
from lawtune.files import atomic_path, full_disk_is_told, require_writable, write_json
from lawtune.model.load import resolve_device
from lawtune.options import to_dict, validate
from lawtune.train.architecture import build_model
from lawtune.train.batches import Step, plan_by_tokens
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)
from lawtune.train.distributed import Alone, joined_team
from lawtune.train.held_out import HeldOut, sample_continuations
from lawtune.train.identity import pretraining_identity, refuse_another
from lawtune.train.inputs import refuse_unfinished
from lawtune.train.interrupt import Interrupt
from lawtune.train.lock import only_run_in
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, StepRecord, TrainingData
from lawtune.train.loss import LossEngine
from lawtune.train.memory import exhaustion_is_told
from lawtune.train.monitor import LOG_FILE, Listener, Row, TrainingLog, closed_after, step_row
from lawtune.train.muon import MuonWithAdamW
from lawtune.train.outcome import versions
from lawtune.train.precision import resolve_precision
from lawtune.train.pretrain_text import Text, hash_tokens, prepare_text, texts_read
from lawtune.train.schedule import trapezoid
from lawtune.train.team_engine import Cut, TeamEngine
from lawtune.train.throughput import measured_peak, training_flops
from lawtune.train.tokens import Windows

PROMPT = 64
"""Tokens of a text, or half of it where it is shorter, that the model goes on from when it is
trained against loops."""

STABLE_FOLDER = "stable"
"""Where the last state before the learning rate's decay is kept, for a longer run to go on from."""


MODEL_FOLDER = "model"

_LESS_MEMORY = (
    "a smaller model, or a shorter train.window or train.micro_batch_tokens, needs less. What was"
    " saved is whole: where other programs held the memory, the same command with --resume goes on"
    " from there"
)


@dataclass(frozen=True)
class Pretrained:
    """What a run yields: the model folder, and bits-per-byte of held-out documents by source. Of
    several processes, one `is_main`: the one that speaks."""

    folder: Path
    parameters: int
    target_tokens: int
    minutes: float
    bits_per_byte: Mapping[str, float]
    is_main: bool = True


def pretrain(
    config: PretrainConfig, resume: bool = False, listener: Listener = lambda row: None
) -> Pretrained:
    """Train tokenizer and model as `config` says and write both to `config.out/model`, with the
    facts of the run in `pretraining.json`; `config.out` also keeps the text as it was read, the log
    and the checkpoints.

    With `resume` the run goes on from its newest valid checkpoint, bit for bit (a run by the
    clock excepted: its learning rate follows the time spent), on the text that it prepared. How
    long it is to be and how it ends may be otherwise than when it began.

    Several processes (`lawtune.train.distributed`) share each step's windows; the first one alone
    reads the sources, writes and is heard.

    Raises:
        UserError: no source is given, the sources hold no text, the windows do not fit into the
            model's context, or `out` cannot be written, holds another run (without `resume`), one
            with other settings (with it) or one at work.
    """
    with (
        exhaustion_is_told(_LESS_MEMORY),
        joined_team(config.train.device) as team,
        full_disk_is_told(Path(config.out)),
    ):
        return _pretrain(config, resume, listener, team)


def _pretrain(config: PretrainConfig, resume: bool, listener: Listener, team: Alone) -> Pretrained:
    validate(PretrainConfig, to_dict(config), "the settings")
    out = require_writable(Path(config.out))
    if config.train.window > config.model.context:
        raise UserError(
            f"train.window ({config.train.window}) must not exceed model.context"
            f" ({config.model.context})"
        )
    with only_run_in(out, team):
        return _train_model(config, resume, listener, team)


def _train_model(
    config: PretrainConfig, resume: bool, listener: Listener, team: Alone
) -> Pretrained:
    text = _prepare(config, resume, listener, team)
    windows = Windows(text.tokens, config.train.window)
    device = resolve_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, text.tokenizer).to(device)
    precision = resolve_precision(config.train.precision, device)
    engine = LossEngine(model, text.tokenizer.pad_token_id, precision)
    held_out = HeldOut(
        text.held_out, text.tokenizer, config.train.window, config.train.evaluate_windows
    )
    shared = TeamEngine(engine, team, Cut(config.train.micro_batch_tokens))
    run = _Run(config, shared, windows, held_out, listener)
    progress = run.run(resume)
    result = Pretrained(
        Path(config.out) / MODEL_FOLDER,
        sum(parameter.numel() for parameter in model.parameters()),
        progress.target_tokens,
        progress.seconds / 60,
        held_out.bits_per_byte(shared),
        team.is_main,
    )
    if team.is_main:
        _write_model(config, model, text, result, run.throughput(progress), len(windows))
    team.wait()
    return result


def _prepare(config: PretrainConfig, resume: bool, listener: Listener, team: Alone) -> Text:
    """The text, made by the first process and read by all."""

    def say(text: str) -> None:
        listener({"event": "note", "text": text})

    with team.together():
        if team.is_main and not resume:
            _refuse_another_run(Path(config.out))
        text = prepare_text(config, resume, say) if team.is_main else None
    with team.together():
        return text or prepare_text(config, resume=True)


def _refuse_another_run(out: Path) -> None:
    if (out / MODEL_FOLDER).exists():
        raise UserError(
            f"{out} already holds a model; choose another --out, remove it first, or let it learn"
            " for longer with --resume"
        )
    refuse_unfinished(out)


def _write_model(
    config: PretrainConfig,
    model: torch.nn.Module,
    text: Text,
    result: Pretrained,
    throughput: dict[str, float],
    windows: int,
) -> None:
    facts = {"config": to_dict(config), "corpus": text.facts, "windows": windows}
    facts |= {"tokens_sha256": hash_tokens(config), "versions": versions()}
    facts |= {k: v for k, v in asdict(result).items() if k not in ("folder", "is_main")}
    facts["throughput"] = throughput
    facts["samples"] = sample_continuations(
        model, text.tokenizer, text.held_out, config.train.samples, config.train.seed
    )
    with atomic_path(result.folder) as temporary:
        model.to(torch.bfloat16).save_pretrained(temporary)
        text.tokenizer.save_pretrained(temporary)
        write_json(temporary / "pretraining.json", facts)
        write_ngram_filter(texts_read(text), temporary / FILTER_FILE)


class _Run:
    """The training of one model: it restores, trains, measures and saves."""

    def __init__(
        self,
        config: PretrainConfig,
        engine: TeamEngine,
        windows: Windows,
        held_out: HeldOut,
        listener: Listener,
    ):
        self.settings, self.out = config.train, Path(config.out)
        self.identity = pretraining_identity(config, engine.engine.precision)
        self.engine, self.held_out, self.team = engine, held_out, engine.team
        self.model, self.device = engine.engine.model, engine.engine.device
        self.optimizer = MuonWithAdamW(self.model, config.train.weight_decay)
        self.listeners = [listener] if self.team.is_main else []
        settings = config.train
        lengths = windows.lengths.tolist()
        targets = sum(lengths) - len(lengths)
        vocabulary = self.model.config.vocab_size
        self.flops_per_target = training_flops(config.model, vocabulary, lengths) / targets
        # Every process brings the machine's power, or its own GPU's, to the work.
        peak = measured_peak(self.device, engine.engine.precision)
        self.peak = sum(self.team.each(peak))

        @lru_cache(maxsize=1)
        def order(epoch: int) -> list[Step]:
            return plan_by_tokens(
                lengths, settings.seed, epoch, settings.batch_tokens, settings.micro_batch_tokens
            )

        self.data = TrainingData(windows, order, settings.epochs)
        self.total_steps = self.data.total_steps()
        self.seconds = settings.max_minutes * 60 if settings.max_minutes else None
        self.interrupt = Interrupt(
            lambda text: self._tell({"event": "note", "text": text}), self.team
        )

    def run(self, resume: bool) -> Progress:
        """Train from the newest valid checkpoint, if asked and there is one, to the end.

        Raises:
            StoppedError: a signal asked to stop; the state is saved.
        """
        with self.team.together():
            restored = self._restore() if resume else None
        self.team.agree({"step": restored and restored.step, "settings": to_dict(self.settings)})
        progress = restored or Progress()
        is_main, begin = self.team.is_main, restored and restored.step
        logs = [TrainingLog(self.out / LOG_FILE, begin)] if is_main else []
        self.listeners = [*logs, *self.listeners]
        # A run by the clock ends when it ends: it has no number of steps to count up to.
        total = None if self.seconds else self.total_steps
        start = {"step": progress.step, "total_steps": total}
        with closed_after(logs):
            self._tell({"event": "start", **start, "windows": len(self.data.windows)})
            with self.interrupt:
                self._loop().run(progress)
        if progress.stopped is None:
            text = f"stopped after step {progress.step}; the same command with --resume goes on"
            raise StoppedError(text, self.interrupt.signal)
        return progress

    def _loop(self) -> Loop:
        settings = self.settings
        return Loop(
            self.engine,
            self.data,
            self.optimizer,
            self._learning_rate,
            LoopSettings(
                seed=settings.seed,
                max_grad_norm=settings.max_grad_norm,
                evaluate_every=settings.evaluate_every,
                save_every=settings.save_every,
                max_seconds=self.seconds,
                unlikelihood_every=settings.unlikelihood_every,
            ),
            Hooks(
                log=self._step,
                save=self._save,
                evaluate=self._evaluate if self.held_out else None,
                evaluated=self._evaluated,
                own_answers=self._own_texts,
                stop=self.interrupt.asked,
                clock=lambda seconds: self.team.each(seconds)[0],
            ),
        )

    def _own_texts(self, windows: Sequence[Window], progress: Progress) -> Sequence[Window]:
        if not self._decays(progress):
            # What the model says before its rate falls is soon unlearnt: time better spent reading.
            return ()
        begun = [replace(w, target_start=min(PROMPT, len(w.ids) // 2)) for w in windows]
        return self.engine.own_answers(begun, self.model.config.eos_token_id)

    def throughput(self, progress: Progress) -> dict[str, float]:
        """Target tokens a second over the whole run, and the share of the measured peak that its
        matrix products took."""
        return self._throughput(progress.target_tokens, progress.seconds)

    def _throughput(self, targets: int, seconds: float) -> dict[str, float]:
        share = targets * self.flops_per_target / seconds / self.peak
        return {"target_tokens_per_second": targets / seconds, "peak_share": share}

    def _step(self, record: StepRecord) -> None:
        share = self._throughput(record.target_tokens, record.seconds)["peak_share"]
        self._tell({**step_row(record, self.device), "peak_share": round(share, 4)})

    def _learning_rate(self, progress: Progress) -> float:
        settings = self.settings
        # Counted in steps, also by the clock: the first of them moves the model already.
        done = self._share(progress) * self.total_steps
        warmup, decay = (
            share * self.total_steps for share in (settings.warmup_share, settings.decay_share)
        )
        return trapezoid(settings.learning_rate, done, self.total_steps, warmup, decay)

    def _share(self, progress: Progress) -> float:
        """How much of the run is done, by its steps or by the clock, whichever will end it."""
        by_clock = progress.seconds / self.seconds if self.seconds else 0.0
        return max(progress.step / self.total_steps, by_clock)

    def _decays(self, progress: Progress) -> bool:
        return self._share(progress) > 1 - self.settings.decay_share

    def _save(self, progress: Progress) -> None:
        """Save a checkpoint; the last one before the decay is also kept apart."""
        if not self.team.is_main:
            return
        parameters = trainable(self.model)
        decays = self._decays(progress)
        state = {"run": self.identity, "progress": asdict(progress), "decays": decays}
        checkpoint = Checkpoint(parameters, self.optimizer.state_dict(), state)
        save_checkpoint(self.out, progress.step, checkpoint, keep=2)
        if not decays:
            save_checkpoint(self.out / STABLE_FOLDER, progress.step, checkpoint, keep=1)

    def _restore(self) -> Progress | None:
        """Go on from the newest checkpoint; of a run that is to be longer than when it began to
        decay, from the last one before that.

        Raises:
            UserError: that one was not kept, one of the two is of another run, or it is past the
                end that the run is to have now; or only the finished model is left.
        """
        found = newest_valid(self.out)
        if found is None:
            if (self.out / MODEL_FOLDER).exists():
                raise UserError(
                    f"{self.out} holds a model, but no checkpoint to go on from; choose another"
                    " --out, or remove the model to start afresh"
                )
            return None
        saved = load_checkpoint(found)
        refuse_another(saved.state["run"], self.identity, str(found))
        if saved.state["decays"] and not self._decays(Progress(**saved.state["progress"])):
            stable = newest_valid(self.out / STABLE_FOLDER)
            if stable is None:
                raise UserError(
                    f"{found} is of a run whose learning rate had begun to fall, and no state from"
                    " before that was kept (train.save_every is longer than its stable phase): it"
                    " cannot become a longer run"
                )
            saved = load_checkpoint(stable)
            # One may be left of a run given up, whose checkpoints were removed without it.
            refuse_another(saved.state["run"], self.identity, str(stable))
        assign(self.model, saved.parameters)
        self.optimizer.load_state_dict(dict(saved.optimizer))
        progress = Progress(**saved.state["progress"])
        share = self._share(progress)
        if share < 1:
            progress.stopped = None  # It may have been the end of a shorter run.
        elif progress.stopped is None or progress.step > self.total_steps:
            raise UserError(
                f"{found} is past the end that these settings give the run: it comes after"
                f" {progress.step} steps of {self.total_steps} and {progress.seconds / 60:.1f}"
                " minutes. Resume with more train.epochs or train.max_minutes, or choose another"
                " --out"
            )
        return progress

    def _evaluate(self) -> float:
        return self.held_out.loss(self.engine)

    def _evaluated(self, progress: Progress, loss: float, best: bool) -> None:
        row = {"step": progress.step, "seconds": progress.seconds, "validation_loss": loss}
        scores = {source: round(value, 4) for source, value in self.held_out.scores.items()}
        self._tell({"event": "validation", **row, "best": best, "bits_per_byte": scores})

    def _tell(self, row: Row) -> None:
        for listener in self.listeners:
            listener(row)
