"""Raw law, learnt beside the pairs.

A few thousand answers are soon known by heart, and then tell the model nothing of what it unlearns.
Text that it hardly sees twice does: InstructGPT mixes gradients of the pre-training text into its
tuning for that (Ouyang et al. 2022, arXiv:2203.02155).
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lawtune.config import CorpusConfig, TextsConfig
from lawtune.data.corpus import CorpusReport, Document, build_documents, reader
from lawtune.data.encode import Window
from lawtune.data.sources import ReadReport, source_files
from lawtune.data.split import assign_split
from lawtune.errors import UserError
from lawtune.files import exists, sha256
from lawtune.train.batches import shuffled
from lawtune.train.tokens import Tokens, Windows, encode_documents

# A step may stand at the turn from one order to the next.
_order = lru_cache(maxsize=2)(shuffled)


@dataclass
class TextsReport:
    """What reading came upon: the documents' `names`; by their place, from 1, those that are
    `statutes`; what could not be `read`; and how many documents were `astray`, of a source that is
    held out by name where the split has it for training."""

    names: list[str] = field(default_factory=list)
    statutes: set[int] = field(default_factory=set)
    read: ReadReport = field(default_factory=ReadReport)
    astray: int = 0

    def losses(self) -> str:
        """The reasons for which something was skipped, each with how often, or nothing."""
        return "".join(f"; {reason}: {count}" for reason, count in self.read.skipped.items())


@dataclass(frozen=True)
class Texts:
    """What a run may read: `pieces` of `tokens`. `sha256` is the source files'."""

    pieces: Windows
    tokens: Tokens
    report: TextsReport
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
        return self.tokens.texts(tokenizer, without=self.report.statutes)

    def to_json(self, steps: int) -> dict[str, Any]:
        """What the model folder records of them after so many steps."""
        pieces = len(self.pieces)
        facts = {"documents": len(self.tokens.ends), "tokens": len(self.tokens.ids)}
        facts |= {"pieces": pieces, "read": min(pieces, steps * self.per_step)}
        return {"sha256": self.sha256, **facts, "skipped": dict(self.report.read.skipped)}

    def remarks(self) -> list[str]:
        """What a user should know of them, one sentence each."""
        read = f"{len(self.pieces):,} pieces, {len(self.tokens.ids):,} tokens"
        of = f"{len(self.tokens.ends):,} documents{self.report.losses()}"
        remarks = [f"texts.sources: {read}, of {of}"]
        if self.report.astray:
            remarks.append(
                f"warning: {self.report.astray} documents of data.validation are training's by"
                " texts.seed and its shares. They are left out, but those of the test may be read:"
                " give the seed and the shares of the data build"
            )
        return remarks


def find_sources(config: TextsConfig) -> list[Path]:
    """The sources' paths.

    Raises:
        UserError: one is missing.
    """
    paths = [Path(source) for source in config.sources]
    for path in paths:
        if not exists(path):
            raise UserError(f"texts.sources: no such file or folder: {path}")
    return paths


def hash_sources(config: TextsConfig) -> str | None:
    """Hex SHA-256 of the contents of all files that are read of the sources, in their order; None
    where there are no sources.

    Raises:
        UserError: a source is missing, or a file of one cannot be read.
    """
    total = hashlib.sha256()
    for path in find_sources(config):
        for file in source_files(path):
            total.update(sha256(file).encode())
    return total.hexdigest() if config.sources else None


def read_texts(
    config: TextsConfig, tokenizer: Any, held_out: Iterable[str | None], seed: int
) -> Texts | None:
    """Read the sources and cut their documents to pieces; None where there are no sources.

    Duplicates, personal data and what repeats held-out documents are dealt with as in pre-training
    (`lawtune.data.corpus`).

    Args:
        held_out: groups of pairs that the model is measured on: held out, beside the split's.
        seed: of the pieces' order.

    Raises:
        UserError: a source is missing, or nothing in them is there to learn from.
    """
    found = hash_sources(config)
    if found is None:
        return None
    report = TextsReport()
    documents = _learnt_from(config, frozenset(filter(None, held_out)), report)
    tokens = encode_documents(documents, tokenizer, None)
    pieces = Windows(tokens, config.tokens, report.names)
    if not pieces:
        places = ", ".join(config.sources)
        raise UserError(f"texts.sources: no text to learn from in {places}{report.losses()}")
    return Texts(pieces, tokens, report, found, config.per_step, seed)


def _learnt_from(
    config: TextsConfig, held_out: frozenset[str], report: TextsReport
) -> Iterator[tuple[int, Document]]:
    """The documents with their places."""
    shares = {"validation_share": config.validation_share, "test_share": config.test_share}
    split = CorpusConfig(seed=config.seed, **shares)
    read = reader(config.sources, report.read)
    for document in build_documents(read, split, CorpusReport(), held_out_groups=held_out):
        if document.split == "train":
            report.names.append(document.name)
            if document.source == "statute":
                report.statutes.add(len(report.names))
            yield len(report.names), document
        elif document.group in held_out:
            report.astray += assign_split(document.group, config.seed, **shares) == "train"
