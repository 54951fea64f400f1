"""What citations are checked against: the articles and decisions of a source folder."""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lawtune.data.provisions import is_deleted
from lawtune.data.references import law_key
from lawtune.data.sources import ReadReport, Record, read_source, source_files
from lawtune.errors import UserError
from lawtune.eval.citation_cases import joined_numbers
from lawtune.eval.citation_names import Names, known_names
from lawtune.files import read_json, sha256, write_json
from lawtune.records import Article, Case, Provision, Statute
from lawtune.starter import CORPUS

_FORMAT = 4
_LEVELS = ("항", "호", "목")
_ANNOUNCES = re.compile(r"(?:다음|각)\s*(?:의\s*)?(?:각\s*)?[호목]|다음과 같다|다음의")
_SLOW = 1.0
"""Seconds; what takes longer to build is kept on disk."""


@dataclass(frozen=True)
class IndexedArticle:
    """An article's title, its whole text, and the places in it: "1" is 제1항, "1/2" its 제2호,
    "/2" a 제2호 right below the article, "1/2/가" a 가목, "" the article itself. `lists` are the
    places whose text announces a list (각 호, 각 목) that the source does not have. `deleted`: no
    more than its number is left."""

    title: str
    text: str
    places: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    deleted: bool = False


@dataclass(frozen=True)
class IndexedStatute:
    """A statute as it stands from `effective` on (ISO date, "" if unknown)."""

    name: str
    effective: str
    articles: dict[str, IndexedArticle]


@dataclass(frozen=True)
class IndexedCase:
    """A decision's court and date (ISO)."""

    court: str
    date: str


@dataclass(frozen=True)
class CitationIndex:
    """Statutes by `law_key`, decisions by number (each lower court counts for itself, so several
    may share one), and the last day (ISO) that the sources know: their newest promulgation or
    decision. What came later, the index cannot tell. `skipped` counts, by reason, what in the
    sources could not be read."""

    statutes: dict[str, IndexedStatute] = field(default_factory=dict)
    cases: dict[str, tuple[IndexedCase, ...]] = field(default_factory=dict)
    as_of: str = ""
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        """The names that ship with lawtune, and those of the statutes here."""
        return known_names().with_names(statute.name for statute in self.statutes.values())

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits that name all that citations are checked against."""
        content = {**asdict(self), "skipped": None}
        text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def build_index(records: Iterable[Record]) -> CitationIndex:
    """Index records; of two versions of a statute the one in force later stands."""
    statutes: dict[str, IndexedStatute] = {}
    cases: dict[str, tuple[IndexedCase, ...]] = {}
    as_of = ""
    for record in records:
        if isinstance(record, Statute):
            as_of = max(as_of, record.promulgated)
            key = law_key(record.name)
            if key not in statutes or statutes[key].effective <= record.effective:
                articles = {article.label: _index_article(article) for article in record.articles}
                statutes[key] = IndexedStatute(record.name, record.effective, articles)
        elif isinstance(record, Case):
            as_of = max(as_of, record.date)
            for number in joined_numbers(record.number):
                case = IndexedCase(record.court, record.date)
                known = cases.get(number, ())
                cases[number] = known if case in known else (*known, case)
    return CitationIndex(statutes, cases, as_of)


def load_index(sources: Sequence[Path] = (CORPUS,)) -> CitationIndex:
    """The index of files and folders; one that was slow to build is kept, by its content. What in
    them could not be read is said as a warning.

    Raises:
        UserError: a path is missing, or holds neither statute nor decision.
    """
    kept = _cache_folder() / f"citations-{_content_key(sources)}.json"
    index = _read_kept(kept) or _build_kept(sources, kept)
    for reason, count in index.skipped.items():
        logging.getLogger(__name__).warning("citation sources: skipped, %s: %d", reason, count)
    return index


def _build_kept(sources: Sequence[Path], kept: Path) -> CitationIndex:
    started = time.monotonic()
    report = ReadReport()
    records = (record for path in sources for record in read_source(path, report))
    index = replace(build_index(records), skipped=dict(report.skipped))
    if not index.statutes and not index.cases:
        shown = ", ".join(map(str, sources))
        raise UserError(f"{shown}: no statute and no decision to check citations against")
    if time.monotonic() - started > _SLOW:
        # A cache that cannot be written (a read-only home) only costs time.
        with suppress(UserError):
            write_json(kept, asdict(index))
    return index


def _index_article(article: Article) -> IndexedArticle:
    places: list[str] = []
    lists: list[str] = []
    texts: list[str] = []

    def visit(place: tuple[str, str, str], text: str, below: tuple[Provision, ...]) -> None:
        name = "/".join(place).rstrip("/")
        places.append(name)
        texts.append(text)
        if _ANNOUNCES.search(text) and not any(child.level in "호목" for child in below):
            lists.append(name)
        for child in below:
            if not is_deleted(child):
                level = _LEVELS.index(child.level)
                deeper = (*place[:level], child.number, *("",) * (2 - level))
                visit(deeper, child.text, child.children)

    visit(("", "", ""), article.text, article.provisions)
    text = " ".join(filter(None, texts))
    return IndexedArticle(article.title, text, tuple(places), tuple(lists), article.deleted)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lawtune"


def _content_key(sources: Sequence[Path]) -> str:
    """A name for the files' contents and for the code that reads them."""
    digest = hashlib.sha256(f"{_FORMAT}".encode())
    for path in sources:
        for file in source_files(path):
            digest.update(f"{file.name}\x1f{sha256(file)}\x1f".encode())
    return digest.hexdigest()[:24]


def _read_kept(path: Path) -> CitationIndex | None:
    """A kept index; None if there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        kept = read_json(path)
        statutes = {
            key: IndexedStatute(
                statute["name"],
                statute["effective"],
                {label: _article_of(row) for label, row in statute["articles"].items()},
            )
            for key, statute in kept["statutes"].items()
        }
        cases = {
            number: tuple(IndexedCase(**case) for case in several)
            for number, several in kept["cases"].items()
        }
        return CitationIndex(statutes, cases, kept["as_of"], kept["skipped"])
    except (UserError, KeyError, TypeError, json.JSONDecodeError):
        return None


def _article_of(row: dict[str, Any]) -> IndexedArticle:
    places, lists = tuple(row["places"]), tuple(row["lists"])
    return IndexedArticle(row["title"], row["text"], places, lists, row["deleted"])
