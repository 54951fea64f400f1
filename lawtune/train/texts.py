"""Raw law, learnt beside the pairs.

A few thousand answers are soon known by heart, and then tell the model nothing of what it unlearns.
Text that it hardly sees twice does: InstructGPT mixes gradients of the pre-training text into its
tuning for that (Ouyang et al. 2022, arXiv:2203.02155).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lawtune.config import CorpusConfig, TextsConfig
from lawtune.data.corpus import CorpusReport, Document, build_documents, reader
from lawtune.data.encode import Window
from lawtune.data.sources import ReadReport, source_files
from lawtune.errors import UserError
from lawtune.files import sha256
from lawtune.train.batches import shuffled
from lawtune.train.tokens import Tokens, Windows, encode_documents


@dataclass(frozen=True)
class Texts:
    """What a run may read: `pieces` of `tokens`, documents of which some, by their place in
    `statutes`, are law that everybody quotes. `skipped` counts what of the sources could not be
    read, by reason; `sha256` is the source files'."""

    pieces: Windows
    tokens: Tokens
    statutes: frozenset[int]
    skipped: Mapping[str, int]
    sha256: str
    per_step: int
    seed: int

    def at(self, step: int) -> list[Window]:
        """The pieces of a step (counted from 0): each piece once, in an order drawn anew from the
        seed, before any comes again."""
        places = range(step * self.per_step, (step + 1) * self.per_step)
        return [self.pieces[self._drawn(place)] for place in places]

    def _drawn(self, place: int) -> int:
        turn, at = divmod(place, len(self.pieces))
        return _order(len(self.pieces), self.seed, turn)[at]

    def learnt(self, tokenizer: Any) -> Iterator[str]:
        """The texts, statutes left out: a test answer that quotes one is none the worse for it."""
        return self.tokens.texts(tokenizer, without=self.statutes)

    def to_json(self) -> dict[str, Any]:
        """What the model folder records of them."""
        facts = {"documents": len(self.tokens.ends), "pieces": len(self.pieces)}
        facts["tokens"] = len(self.tokens.ids)
        return {"sha256": self.sha256, **facts, "skipped": dict(self.skipped)}

    def remark(self) -> str:
        """What a user should know of them, in one line."""
        lost = "".join(f"; {reason}: {count}" for reason, count in self.skipped.items())
        read = f"{len(self.pieces):,} pieces, {len(self.tokens.ids):,} tokens"
        return f"texts.sources: {read}, of {len(self.tokens.ends):,} documents{lost}"


def read_texts(
    config: TextsConfig, tokenizer: Any, held_out: Iterable[str | None], seed: int
) -> Texts | None:
    """Read the sources and cut their documents to pieces; None where there are no sources.

    Duplicates, personal data and what repeats held-out documents are dealt with as in pre-training
    (`lawtune.data.corpus`).

    Args:
        held_out: groups of pairs that the model is measured on; no document of theirs is read.
        seed: of the pieces' order.

    Raises:
        UserError: a source is missing, or nothing in them is there to learn from.
    """
    if not config.sources:
        return None
    statutes: set[int] = set()
    report = ReadReport()
    documents = _learnt_from(config, frozenset(held_out), report, statutes)
    tokens = encode_documents(documents, tokenizer, None)
    pieces = Windows(tokens, config.tokens)
    if not pieces:
        raise UserError(f"texts.sources: no text to learn from in {', '.join(config.sources)}")
    return Texts(
        pieces,
        tokens,
        frozenset(statutes),
        report.skipped,
        hash_sources(config.sources),
        config.per_step,
        seed,
    )


def _learnt_from(
    config: TextsConfig, held_out: frozenset[str | None], report: ReadReport, statutes: set[int]
) -> Iterator[tuple[int, Document]]:
    """The documents with their places, from 1; those of statutes are put into `statutes`."""
    split = CorpusConfig(
        seed=config.seed,
        validation_share=config.validation_share,
        test_share=config.test_share,
    )
    place = 0
    for document in build_documents(reader(config.sources, report), split, CorpusReport()):
        if document.split == "train" and document.group not in held_out:
            place += 1
            if document.source == "statute":
                statutes.add(place)
            yield place, document


def hash_sources(sources: Iterable[str]) -> str:
    """Hex SHA-256 of the contents of all files that are read of `sources`, in their order.

    Raises:
        UserError: a source is missing.
    """
    total = hashlib.sha256()
    for source in map(Path, sources):
        if not source.exists():
            raise UserError(f"no such file or folder: {source}")
        for file in source_files(source):
            total.update(sha256(file).encode())
    return total.hexdigest()


_order = lru_cache(maxsize=2)(shuffled)
