"""What a pre-training run reads, made once from the sources and kept: documents, tokenizer, ids.

All of it lies in the run's folder, so that a resumed run, and one on another machine that has no
sources, reads the very same text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lawtune.config import PretrainConfig
from lawtune.data.corpus import CorpusReport, Document, build_documents, overlap, reader
from lawtune.data.sources import ReadReport
from lawtune.errors import UserError
from lawtune.files import atomic_path, read_json, read_jsonl, sha256, write_json, write_jsonl
from lawtune.model.load import load_tokenizer
from lawtune.options import to_dict
from lawtune.train.tokenizer import train_tokenizer
from lawtune.train.tokens import Tokens, encode_documents

CORPUS_FOLDER = "corpus"
"""In the run's folder: `documents.jsonl`, `corpus.json`, `tokens.safetensors`, `tokenizer/`."""

TOKENS_FILE = "tokens.safetensors"


@dataclass(frozen=True)
class Text:
    """What is learnt from and measured on. `statutes` are the places (as in `Tokens.lines`) of the
    documents that are statutes; `facts` tell the data card of it."""

    tokenizer: Any
    tokens: Tokens
    held_out: list[Document]
    statutes: frozenset[int]
    facts: dict[str, Any]


def prepare_text(
    config: PretrainConfig, resume: bool, say: Callable[[str], None] = lambda text: None
) -> Text:
    """The run's text; with `resume`, what an earlier run with the same settings prepared.

    Raises:
        UserError: no source is given, the sources hold no text, or `resume` is asked of a run with
            other settings.
    """
    folder = Path(config.out) / CORPUS_FOLDER
    settings = text_settings(config)
    if not (resume and (folder / "corpus.json").is_file()):
        say("reading the sources")
        _build(config, folder, settings)
    facts = read_json(folder / "corpus.json")
    if facts["settings"] != settings:
        raise UserError(
            f"{folder} was prepared with other settings ({facts['settings']}): resume with those,"
            " or choose another --out"
        )
    tokenizer = load_tokenizer(folder / "tokenizer")
    held_out, statutes = [], set()
    for line, document in read_documents(folder):
        if document.split != "train":
            held_out.append(document)
        elif document.source == "statute":
            statutes.add(line)
    tokens = Tokens.load(folder / TOKENS_FILE)
    return Text(tokenizer, tokens, held_out, frozenset(statutes), facts)


def text_settings(config: PretrainConfig) -> dict[str, Any]:
    """What of the settings decides the text: `corpus.json` keeps it."""
    return {"corpus": to_dict(config.corpus), "vocabulary": config.model.vocabulary}


def hash_tokens(config: PretrainConfig) -> str:
    """The SHA-256 of the file of token ids that the run learns from."""
    return sha256(Path(config.out) / CORPUS_FOLDER / TOKENS_FILE)


def read_documents(folder: Path) -> Iterator[tuple[int, Document]]:
    """The prepared documents, each with its line."""
    for line, row in read_jsonl(folder / "documents.jsonl"):
        yield line, Document(**row)


def training_documents(folder: Path) -> Iterator[tuple[int, Document]]:
    """Those of the prepared documents that are learnt from, each with its line."""
    return ((line, d) for line, d in read_documents(folder) if d.split == "train")


def texts_read(text: Text) -> Iterator[str]:
    """The learnt text of each document as far as it is read: what the model can know. Statutes are
    left out: everybody quotes them, and a test answer that does is none the worse for it."""
    return text.tokens.texts(text.tokenizer, without=text.statutes)


def _build(config: PretrainConfig, target: Path, settings: dict[str, Any]) -> None:
    read, report = ReadReport(), CorpusReport()
    if not config.corpus.sources:
        raise UserError("corpus.sources is empty: name the folders of raw legal text to train on")
    with atomic_path(target) as folder:
        folder.mkdir()
        documents = build_documents(
            reader(config.corpus.sources, read),
            config.corpus,
            report,
            reader(config.corpus.measured, ReadReport()),
        )
        write_jsonl(folder / "documents.jsonl", (vars(document) for document in documents))
        if not any(document.split == "train" for _, document in read_documents(folder)):
            raise UserError(f"no training text in {', '.join(config.corpus.sources)}")
        texts = (document.text for _, document in training_documents(folder))
        tokenizer = train_tokenizer(texts, config.model.vocabulary, config.model.context)
        tokenizer.save_pretrained(folder / "tokenizer")
        tokens = encode_documents(
            training_documents(folder), tokenizer, config.corpus.max_document_tokens
        )
        tokens.save(folder / TOKENS_FILE)
        facts = {"settings": settings, **vars(report), "skipped": dict(read.skipped)}
        facts["overlap"] = overlap(document for _, document in read_documents(folder))
        facts["tokens"] = len(tokens.ids)
        write_json(folder / "corpus.json", facts)
