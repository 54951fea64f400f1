"""Running text for pre-training: the sources less everything that validation and test hold."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lawtune.config import CorpusConfig
from lawtune.data.ngrams import RunSet, hash_runs, words_of
from lawtune.data.privacy import mask
from lawtune.data.prose import clean_prose
from lawtune.data.provisions import render_article
from lawtune.data.sources import ReadReport, Record, read_source
from lawtune.data.split import article_group, assign_split, case_group, interpretation_group
from lawtune.records import Case, Guidance, Interpretation, Statute, normalise

NEARLY_ALL = 0.8
"""Of a training document's 13-word runs; if they stood in earlier ones, it is dropped."""

HALF = 0.5
"""Of the 13-word runs of a training document, or of a sentence of it; if they stand in held-out
documents, it is dropped."""

FEWEST_RUNS = 10
"""A document with fewer runs is too short to be called a near-duplicate: set phrases alone, such as
the date of entry into force, fill it."""

FEWEST_CHARACTERS = 100
"""What is left of a piece of guidance must be worth reading."""

_SLOTS_LOG2 = 27
_SENTENCE_END = re.compile(r"(?<=[다까요][.?])(?=\s)|(?<=\n)")
MEASURED = "measured"
"""The source and the split of documents that are never learnt from."""

Read = Callable[[], Iterable[Record]]
"""Reads the sources from their beginning, each time it is called."""


@dataclass(frozen=True)
class Document:
    """A text to learn from or to be measured on. `group` is what `QAPair.group` is of a pair made
    of it, `split` that group's; `source` is its kind."""

    name: str
    source: str
    split: str
    text: str
    group: str = ""


@dataclass
class CorpusReport:
    """Counts for the data card: documents and bytes by (source, split); exact and near-duplicates,
    and near-duplicates of held-out documents, that were dropped; sentences that repeat held-out
    ones, cut; lines removed from guidance, by kind; personal data masked."""

    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    nearly_repeated: int = 0
    repeated_held_out: int = 0
    sentences_cut: int = 0
    too_short: int = 0
    lines_removed: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)


def reader(sources: Iterable[str], report: ReadReport) -> Read:
    """Reads all of `sources` each time it is called; the first reading is counted in `report`."""
    reports = iter([report])

    def read() -> Iterator[Record]:
        counted = next(reports, None) or ReadReport()
        for source in sources:
            yield from read_source(Path(source), counted)

    return read


def build_documents(
    read: Read,
    config: CorpusConfig,
    report: CorpusReport,
    measured: Read = tuple,
    held_out_groups: Container[str] = (),
) -> Iterator[Document]:
    """Turn records into documents, each wholly of one split, those of `measured` apart. What is of
    `held_out_groups` is validation's, whatever split its name falls into.

    The sources are read twice: first for what is held out, so that no training document repeats
    any of it, as a later decision does that quotes an earlier one's holding. Of a training text,
    the sentences that do are cut; statutes are quoted everywhere and stay. One document is held at
    a time, and of the held-out ones and the statutes their runs.
    """
    for record in measured():
        for name, _, _, text in _texts(record, report):
            yield _counted(Document(name, MEASURED, MEASURED, mask(text)[0]), report)
    held_out, not_law = _held_out_runs(_distinct(read(), config, CorpusReport(), held_out_groups))
    earlier = _RunsSeen()
    for document in _distinct(read(), config, report, held_out_groups):
        if document.split == "train":
            runs = _runs(document)
            judged = len(runs) >= FEWEST_RUNS
            if judged and held_out.share(runs) >= HALF:
                report.repeated_held_out += 1
                continue
            if earlier.share_then_add(runs) >= NEARLY_ALL and judged:
                report.nearly_repeated += 1
                continue
            if not_law.contains(runs).any():
                document = _without_repeats(document, not_law, report)
        yield _counted(document, report)


def _held_out_runs(documents: Iterable[Document]) -> tuple[RunSet, RunSet]:
    """The runs of the documents that are held out, and those of them that stand in no statute."""
    held_out, statutes = [], []
    for document in documents:
        runs = _runs(document)
        if document.split != "train":
            held_out.append(runs)
        if document.source == "statute":
            statutes.append(runs)
    runs = RunSet(held_out)
    return runs, runs.less(RunSet(statutes))


def _without_repeats(document: Document, held_out: RunSet, report: CorpusReport) -> Document:
    """The document without the sentences of which at least half stands in `held_out`."""
    sentences = _SENTENCE_END.split(document.text)
    kept = [s for s in sentences if (held_out.share(hash_runs(words_of(s))) or 0) < HALF]
    report.sentences_cut += len(sentences) - len(kept)
    return replace(document, text="".join(kept))


def overlap(documents: Iterable[Document]) -> dict[str, float]:
    """The share of the held-out documents' 13-word runs that stand in training documents, by
    source; of statutes, which everybody quotes, none counts."""
    runs: dict[bool, dict[str, list[np.ndarray]]] = {True: {}, False: {}}
    for document in documents:
        learnt = document.split == "train"
        runs[learnt].setdefault(document.source, []).append(_runs(document))
    statutes = RunSet(r for side in runs.values() for r in side.pop("statute", []))
    training = RunSet(r for parts in runs[True].values() for r in parts)
    shares = {}
    for source, parts in sorted(runs[False].items()):
        own = np.concatenate(parts)
        share = training.share(own[~statutes.contains(own)])
        if share is not None:
            shares[source] = share
    return shares


def _distinct(
    records: Iterable[Record],
    config: CorpusConfig,
    report: CorpusReport,
    held_out_groups: Container[str],
) -> Iterator[Document]:
    """The records' documents, masked, without exact repeats."""
    seen: set[int] = set()
    for record in records:
        for name, source, group, text in _texts(record, report):
            digest = hash(normalise(text))
            if digest in seen or not text.strip():
                report.repeated += 1
                continue
            seen.add(digest)
            masked, found = mask(text)
            report.masked.update(found)
            split = assign_split(group, config.seed, config.validation_share, config.test_share)
            split = "validation" if group in held_out_groups else split
            yield Document(name, source, split, masked, group)


def _counted(document: Document, report: CorpusReport) -> Document:
    report.documents[f"{document.source}/{document.split}"] += 1
    report.bytes[f"{document.source}/{document.split}"] += len(document.text.encode())
    return document


def _runs(document: Document) -> np.ndarray:
    return hash_runs(words_of(document.text))


class _RunsSeen:
    """Which runs have passed, in one table of 2²⁷ switches (128 MB) whatever the corpus's size.

    Two runs may share a switch: with ten million runs, one new run in fourteen looks old, which is
    nothing beside `NEARLY_ALL`.
    """

    def __init__(self) -> None:
        self._seen = np.zeros(1 << _SLOTS_LOG2, bool)

    def share_then_add(self, runs: np.ndarray) -> float:
        """The share of `runs` that passed before (0 if there are none); then they have passed."""
        slots = (runs >> np.uint64(64 - _SLOTS_LOG2)).astype(np.int64)
        share = float(self._seen[slots].mean()) if len(slots) else 0.0
        self._seen[slots] = True
        return share


def _texts(record: Record, report: CorpusReport) -> Iterator[tuple[str, str, str, str]]:
    """(name, source, group, text) of each independent part of a record."""
    if isinstance(record, Statute):
        for article in record.articles:
            if not article.deleted:
                title = f"({article.title})" if article.title else ""
                head = f"{record.name} {article.label}{title}"
                text = f"{head}\n{render_article(article)}"
                yield head, "statute", article_group(record.name, article.label), text
    elif isinstance(record, Case):
        yield record.citation, "case", case_group(record), _case_text(record)
    elif isinstance(record, Interpretation):
        parts = [record.title, f"질의요지\n{record.question}", f"회답\n{record.answer}"]
        parts += [f"이유\n{record.reason}"] if record.reason else []
        group = interpretation_group(record)
        yield group, "interpretation", group, "\n\n".join(parts)
    elif isinstance(record, Guidance):
        text = clean_prose(record.text, report.lines_removed)
        if len(text) < FEWEST_CHARACTERS:
            report.too_short += 1
            return
        name = f"지침 {record.title}"
        yield name, "guidance", name, f"{record.title}\n\n{text}"


def _case_text(case: Case) -> str:
    def numbered(parts: dict[str, str]) -> str:
        return "\n".join(f"[{key}] {part}" if key else part for key, part in parts.items())

    sections = [f"{case.citation} ({case.title})"]
    for heading, parts in (("판시사항", case.holdings), ("판결요지", case.summaries)):
        if parts:
            sections.append(f"{heading}\n{numbered(parts)}")
    sections += [f"주문\n{case.body}"] if case.body else []
    return "\n\n".join(sections)
