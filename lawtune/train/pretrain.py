"""A small causal LM and its tokenizer, trained from scratch on raw legal text.

Documents are cut into windows that never cross from one document to the next, so no attention
mask is needed to keep them apart. Sources of the Q&A's validation and test groups are left out of
training and used to measure it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lawtune.config import ArchitectureConfig, PretrainConfig, PretrainTrainConfig, to_dict
from lawtune.data.corpus import CorpusReport, Document, build_documents
from lawtune.data.encode import Window, encode_text
from lawtune.data.sources import ReadReport, read_source
from lawtune.errors import UserError
from lawtune.files import atomic_path, require_writable, write_json
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
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress, TrainingData
from lawtune.train.loss import LossEngine, resolve_device, resolve_precision
from lawtune.train.monitor import LOG_FILE, Listener, Row, TrainingLog, step_row
from lawtune.train.schedule import learning_rate
from lawtune.train.tokenizer import train_tokenizer

_BETAS = (0.9, 0.95)


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
    held_out = [document for document in documents if document.split != "train"]

    device = resolve_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, tokenizer).to(device)
    engine = LossEngine(
        model, tokenizer.pad_token_id, resolve_precision(config.train.precision, device)
    )
    sample = cut_windows(held_out, tokenizer, config.train.window, limit)
    stride = max(1, len(sample) // config.train.evaluate_windows)
    progress = _train(config, engine, windows, sample[::stride], resume, listener)

    scores = {
        source: bits_per_byte(
            engine, [d for d in held_out if d.source == source], tokenizer, config
        )
        for source in sorted({document.source for document in held_out})
    }
    folder = out / "model"
    result = Pretrained(
        folder,
        sum(parameter.numel() for parameter in model.parameters()),
        progress.target_tokens,
        progress.seconds / 60,
        scores,
    )
    facts = {"config": to_dict(config), "corpus": vars(report), "windows": len(windows)}
    facts |= {k: v for k, v in asdict(result).items() if k != "folder"}
    with atomic_path(folder) as temporary:
        model.to(torch.bfloat16).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_json(temporary / "pretraining.json", facts)
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


def batched(items: Iterable[Document], size: int) -> Iterable[list[Document]]:
    """Lists of `size` items in order, the last one shorter (`itertools.batched` needs 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def bits_per_byte(
    engine: LossEngine, documents: Sequence[Document], tokenizer: Any, config: PretrainConfig
) -> float:
    """Bits per UTF-8 byte of the first window of each of at most `evaluate_windows` documents.

    Every byte of the text counts and EOS does not, so tokenizers can be compared.
    """
    stride = max(1, len(documents) // config.train.evaluate_windows)
    nats, size = 0.0, 0
    windows = []
    for document in documents[::stride]:
        ids = encode_text(tokenizer, document.text)[: config.train.window - 1]
        windows.append(Window((tokenizer.bos_token_id, *ids), 1, document.name))
        size += len(tokenizer.decode(ids).encode())
    nats = engine.mean_loss(windows) * sum(window.targets for window in windows)
    return nats / math.log(2) / size


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


def _train(
    config: PretrainConfig,
    engine: LossEngine,
    windows: Sequence[Window],
    sample: Sequence[Window],
    resume: bool,
    listener: Listener,
) -> Progress:
    settings, out = config.train, Path(config.out)
    optimizer = torch.optim.AdamW(
        _decay_matrices(engine.model, settings.weight_decay), lr=0.0, betas=_BETAS
    )
    progress = Progress()
    found = newest_valid(out) if resume else None
    if found:
        saved = load_checkpoint(found)
        assign(engine.model, saved.parameters)
        optimizer.load_state_dict(dict(saved.optimizer))
        progress = Progress(**saved.state)
    lengths = [len(window.ids) for window in windows]

    @lru_cache(maxsize=1)
    def order(epoch: int) -> list[Step]:
        return plan_by_tokens(
            lengths, settings.seed, epoch, settings.batch_tokens, settings.micro_batch_tokens
        )

    data = TrainingData(windows, order, settings.epochs)
    log = TrainingLog(out / LOG_FILE, progress.step if found else None)

    def tell(row: Row) -> None:
        log(row)
        listener(row)

    def save(now: Progress) -> None:
        state = Checkpoint(trainable(engine.model), optimizer.state_dict(), asdict(now))
        save_checkpoint(out, now.step, state, keep=2)

    def evaluated(now: Progress, loss: float, best: bool) -> None:
        row = {"step": now.step, "seconds": now.seconds, "validation_loss": loss, "best": best}
        tell({"event": "validation", **row})

    # A run by the clock ends when it ends: it has no number of steps to count up to.
    total = None if settings.max_minutes else data.total_steps()
    tell({"event": "start", "step": progress.step, "total_steps": total, "windows": len(windows)})
    loop = Loop(
        engine,
        data,
        optimizer,
        _schedule(settings, data),
        LoopSettings(
            seed=settings.seed,
            max_grad_norm=settings.max_grad_norm,
            evaluate_every=settings.evaluate_every,
            save_every=settings.save_every,
            max_seconds=settings.max_minutes and settings.max_minutes * 60,
        ),
        Hooks(
            log=lambda record: tell(step_row(record, engine.device)),
            save=save,
            evaluate=lambda: engine.mean_loss(sample),
            evaluated=evaluated,
        ),
    )
    try:
        return loop.run(progress)
    finally:
        log.close()


def _schedule(settings: PretrainTrainConfig, data: TrainingData) -> Callable[[Progress], float]:
    """Warm-up and cosine over the steps, or over the clock where a run is bound by it."""
    if settings.max_minutes is not None:
        total = settings.max_minutes * 60

        def by_time(progress: Progress) -> float:
            return learning_rate(
                settings.learning_rate,
                progress.seconds,
                total,
                total * settings.warmup_share,
                "cosine",
            )

        return by_time
    steps = data.total_steps()

    def by_step(progress: Progress) -> float:
        return learning_rate(
            settings.learning_rate, progress.step, steps, steps * settings.warmup_share, "cosine"
        )

    return by_step


def _decay_matrices(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices, none for biases, norms and other vectors."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
