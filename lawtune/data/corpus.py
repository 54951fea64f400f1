"""Running text for pre-training: the sources less everything that validation and test hold."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lawtune.config import CorpusConfig
from lawtune.data.privacy import mask
from lawtune.data.provisions import render_article
from lawtune.data.sources import Record
from lawtune.data.split import article_group, assign_split, case_group, interpretation_group
from lawtune.records import Case, Interpretation, Statute, normalise


@dataclass(frozen=True)
class Document:
    """A text to learn from or to be measured on. `split` is its group's; `source` its kind."""

    name: str
    source: str
    split: str
    text: str


@dataclass
class CorpusReport:
    """Counts for the data card: documents and bytes by (source, split), repeats, masked data."""

    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    masked: Counter[str] = field(default_factory=Counter)


def build_documents(
    records: Iterable[Record], config: CorpusConfig, report: CorpusReport
) -> Iterator[Document]:
    """Turn records into documents, each wholly of one split; exact repeats are dropped."""
    seen: set[int] = set()
    for record in records:
        for name, source, group, text in _texts(record):
            digest = hash(normalise(text))
            if digest in seen or not text.strip():
                report.repeated += 1
                continue
            seen.add(digest)
            masked, found = mask(text)
            report.masked.update(found)
            split = assign_split(group, config.seed, config.validation_share, config.test_share)
            report.documents[f"{source}/{split}"] += 1
            report.bytes[f"{source}/{split}"] += len(masked.encode())
            yield Document(name, source, split, masked)


def _texts(record: Record) -> Iterator[tuple[str, str, str, str]]:
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


def _case_text(case: Case) -> str:
    def numbered(parts: dict[str, str]) -> str:
        return "\n".join(f"[{key}] {part}" if key else part for key, part in parts.items())

    sections = [f"{case.citation} ({case.title})"]
    for heading, parts in (("판시사항", case.holdings), ("판결요지", case.summaries)):
        if parts:
            sections.append(f"{heading}\n{numbered(parts)}")
    sections += [f"주문\n{case.body}"] if case.body else []
    return "\n\n".join(sections)
