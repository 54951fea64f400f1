"""A small causal LM and its tokenizer, trained from scratch on raw legal text.

Documents are cut into windows that never cross from one document to the next, so no attention
mask is needed to keep them apart. Sources of the Q&A's validation and test groups are left out of
training and used to measure it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lawtune.config import ArchitectureConfig, PretrainConfig, to_dict
from lawtune.data.corpus import CorpusReport, Document, build_documents
from lawtune.data.encode import Window
from lawtune.data.ngram_filter import FILTER_FILE, write_ngram_filter
from lawtune.data.sources import ReadReport, read_source
from lawtune.errors import StoppedError, UserError
from lawtune.files import atomic_path, full_disk_is_told, require_writable, write_json
from lawtune.model.load import load_tokenizer
from lawtune.train.batches import Step, plan_by_tokens
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)
from lawtune.train.held_out import HeldOut
from lawtune.train.interrupt import Interrupt
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, TrainingData
from lawtune.train.loss import LossEngine, resolve_device, resolve_precision
from lawtune.train.monitor import LOG_FILE, Listener, Row, TrainingLog, step_row
from lawtune.train.muon import MuonWithAdamW
from lawtune.train.schedule import trapezoid
from lawtune.train.tokenizer import train_tokenizer

STABLE_FOLDER = "stable"
"""Where the last state before the learning rate's decay is kept, for a longer run to go on from."""


@dataclass(frozen=True)
class Pretrained:
    """What a run yields: the model folder, and bits-per-byte of held-out documents by source."""

    folder: Path
    parameters: int
    target_tokens: int
    minutes: float
    bits_per_byte: Mapping[str, float]


def pretrain(
    config: PretrainConfig, resume: bool = False, listener: Listener = lambda row: None
) -> Pretrained:
    """Train tokenizer and model as `config` says and write both to `config.out/model`, with the
    facts of the run in `pretraining.json`; `config.out` also keeps the log and the checkpoints.

    With `resume` the run goes on from its newest valid checkpoint, bit for bit (a run by the
    clock excepted: its learning rate follows the time spent).

    Raises:
        UserError: no source is given, the sources hold no text, or `out` cannot be written.
    """
    out = require_writable(Path(config.out))
    documents, report = _read_documents(config)
    training = [document for document in documents if document.split == "train"]
    tokenizer = _tokenizer(config, out, training)
    limit = config.corpus.max_document_tokens
    windows = cut_windows(training, tokenizer, config.train.window, limit)

    device = resolve_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, tokenizer).to(device)
    engine = LossEngine(
        model, tokenizer.pad_token_id, resolve_precision(config.train.precision, device)
    )
    held_out = HeldOut(
        [document for document in documents if document.split != "train"],
        tokenizer,
        config.train.window,
        config.train.evaluate_windows,
    )
    progress = _Run(config, engine, windows, held_out, listener).run(resume)
    folder = out / "model"
    result = Pretrained(
        folder,
        sum(parameter.numel() for parameter in model.parameters()),
        progress.target_tokens,
        progress.seconds / 60,
        held_out.bits_per_byte(engine),
    )
    facts = {"config": to_dict(config), "corpus": vars(report), "windows": len(windows)}
    facts |= {k: v for k, v in asdict(result).items() if k != "folder"}
    with atomic_path(folder) as temporary:
        model.to(torch.bfloat16).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_json(temporary / "pretraining.json", facts)
        write_ngram_filter(texts_read(training, tokenizer, limit), temporary / FILTER_FILE)
    return result


def build_model(config: ArchitectureConfig, tokenizer: Any) -> torch.nn.Module:
    """A GPT-2 with random weights for a tokenizer, without dropout (few passes over the text).

    Raises:
        UserError: the width cannot be shared out among the heads.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    if config.width % config.heads:
        raise UserError(
            f"model.width ({config.width}) must be a multiple of model.heads ({config.heads})"
        )
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            # What GPT-2's own `gelu_new` computes, in one pass over memory in place of six.
            activation_function="gelu_pytorch_tanh",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def cut_windows(
    documents: Iterable[Document], tokenizer: Any, window: int, max_tokens: int | None
) -> list[Window]:
    """Windows of at most `window` tokens: BOS before a document, EOS after it where it is whole."""
    windows = []
    # In batches: the tokenizer then uses every core.
    for batch in batched(documents, 512):
        encoded = tokenizer([d.text for d in batch], add_special_tokens=False, verbose=False)
        for document, text_ids in zip(batch, encoded["input_ids"], strict=True):
            ids = [tokenizer.bos_token_id, *text_ids, tokenizer.eos_token_id][:max_tokens]
            for start in range(0, len(ids), window):
                part = tuple(ids[start : start + window])
                if len(part) > 1:
                    windows.append(Window(part, 1, f"{document.name}@{start}"))
    return windows


def texts_read(
    documents: Iterable[Document], tokenizer: Any, max_tokens: int | None
) -> Iterator[str]:
    """What training reads of each document: no more than `cut_windows` keeps. Statutes are left
    out: everybody quotes them, so that a test answer which does is none the worse for it."""
    for batch in batched((d for d in documents if d.source != "statute"), 512):
        encoded = tokenizer([d.text for d in batch], add_special_tokens=False, verbose=False)
        for document, ids in zip(batch, encoded["input_ids"], strict=True):
            # One of the tokens is BOS.
            cut = max_tokens is not None and len(ids) >= max_tokens
            yield tokenizer.decode(ids[: max_tokens - 1]) if cut else document.text


def batched(items: Iterable[Document], size: int) -> Iterable[list[Document]]:
    """Lists of `size` items in order, the last one shorter (`itertools.batched` needs 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _read_documents(config: PretrainConfig) -> tuple[list[Document], CorpusReport]:
    if not config.corpus.sources:
        raise UserError("corpus.sources is empty: name the folders of raw legal text to train on")
    report = CorpusReport()
    read = ReadReport()
    records = (
        record for source in config.corpus.sources for record in read_source(Path(source), read)
    )
    documents = list(build_documents(records, config.corpus, report))
    if not any(document.split == "train" for document in documents):
        raise UserError(f"no training text in {', '.join(config.corpus.sources)}")
    return documents, report


def _tokenizer(config: PretrainConfig, out: Path, training: Sequence[Document]) -> Any:
    """The run's tokenizer: trained once, then read back, so that a resumed run keeps it."""
    folder = out / "tokenizer"
    if not folder.is_dir():
        texts = (document.text for document in training)
        tokenizer = train_tokenizer(texts, config.model.vocabulary, config.model.context)
        with atomic_path(folder) as temporary:
            tokenizer.save_pretrained(temporary)
    return load_tokenizer(folder)


class _Run:
    """The training of one model: it restores, trains, measures and saves."""

    def __init__(
        self,
        config: PretrainConfig,
        engine: LossEngine,
        windows: Sequence[Window],
        held_out: HeldOut,
        listener: Listener,
    ):
        self.settings, self.out = config.train, Path(config.out)
        self.engine, self.held_out = engine, held_out
        self.optimizer = MuonWithAdamW(engine.model, config.train.weight_decay)
        self.listeners = [listener]
        lengths = [len(window.ids) for window in windows]
        settings = config.train

        @lru_cache(maxsize=1)
        def order(epoch: int) -> list[Step]:
            return plan_by_tokens(
                lengths, settings.seed, epoch, settings.batch_tokens, settings.micro_batch_tokens
            )

        self.data = TrainingData(windows, order, settings.epochs)
        # A run by the clock ends when it ends: it has no number of steps to count up to.
        by_clock = settings.max_minutes is not None
        self.total_steps = None if by_clock else self.data.total_steps()
        self.length = settings.max_minutes * 60 if by_clock else self.total_steps
        self.interrupt = Interrupt(lambda text: self._tell({"event": "note", "text": text}))

    def run(self, resume: bool) -> Progress:
        """Train from the newest valid checkpoint, if asked and there is one, to the end.

        Raises:
            StoppedError: a signal asked to stop; the state is saved.
        """
        restored = self._restore() if resume else None
        progress = restored or Progress()
        log = TrainingLog(self.out / LOG_FILE, restored and restored.step)
        self.listeners.insert(0, log)
        start = {"step": progress.step, "total_steps": self.total_steps}
        self._tell({"event": "start", **start, "windows": len(self.data.windows)})
        try:
            with full_disk_is_told(self.out), self.interrupt:
                self._loop().run(progress)
        finally:
            log.close()
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
            lambda progress: trapezoid(
                settings.learning_rate,
                self._done(progress),
                self.length,
                self.length * settings.warmup_share,
                self.length * settings.decay_share,
            ),
            LoopSettings(
                seed=settings.seed,
                max_grad_norm=settings.max_grad_norm,
                evaluate_every=settings.evaluate_every,
                save_every=settings.save_every,
                max_seconds=settings.max_minutes and settings.max_minutes * 60,
            ),
            Hooks(
                log=lambda record: self._tell(step_row(record, self.engine.device)),
                save=self._save,
                evaluate=lambda: self.held_out.loss(self.engine),
                evaluated=self._evaluated,
                stop=self.interrupt.requested,
            ),
        )

    def _done(self, progress: Progress) -> float:
        return progress.step if self.total_steps is not None else progress.seconds

    def _decays(self, progress: Progress) -> bool:
        return self._done(progress) > self.length * (1 - self.settings.decay_share)

    def _save(self, progress: Progress) -> None:
        """Save a checkpoint; the last one before the decay is also kept apart."""
        parameters = trainable(self.engine.model)
        decays = self._decays(progress)
        state = {"progress": asdict(progress), "decays": decays}
        checkpoint = Checkpoint(parameters, self.optimizer.state_dict(), state)
        save_checkpoint(self.out, progress.step, checkpoint, keep=2)
        if not decays:
            save_checkpoint(self.out / STABLE_FOLDER, progress.step, checkpoint, keep=1)

    def _restore(self) -> Progress | None:
        """Go on from the newest checkpoint; of a run that is to be longer than when it began to
        decay, from the last one before that."""
        found = newest_valid(self.out)
        if found is None:
            return None
        saved = load_checkpoint(found)
        stable = newest_valid(self.out / STABLE_FOLDER)
        longer = not self._decays(Progress(**saved.state["progress"]))
        if saved.state["decays"] and longer and stable:
            saved = load_checkpoint(stable)
        assign(self.engine.model, saved.parameters)
        self.optimizer.load_state_dict(dict(saved.optimizer))
        return Progress(**saved.state["progress"])

    def _evaluated(self, progress: Progress, loss: float, best: bool) -> None:
        row = {"step": progress.step, "seconds": progress.seconds, "validation_loss": loss}
        scores = {source: round(value, 4) for source, value in self.held_out.scores.items()}
        self._tell({"event": "validation", **row, "best": best, "bits_per_byte": scores})

    def _tell(self, row: Row) -> None:
        for listener in self.listeners:
            listener(row)
