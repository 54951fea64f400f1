"""Count the words of a corpus and find its legal terms, for the evaluation's metrics.

    python tools/make_lexicon.py --source lawtune/starter/corpus --out lawtune/starter/lexicon

A document is an article with its title, or a numbered 판결요지 with its 판시사항. Written are

- `frequencies.tsv`: in how many documents each content morpheme stands, those of one document left
  out; its first line has the number of documents;
- `terms.txt`: the legal terms. A term is a run of one to four noun morphemes, of two syllables or
  more, that stands in 5 documents and one heading (title or 판시사항) at least, and in a tenth of
  the documents at most. One of a single morpheme has a weirdness (Ahmad, Gillam and Tostevin 1999:
  its frequency here ÷ its frequency in general language) of e^11 at least, general language being
  the model by which kiwipiepy analyses: ln(count ÷ nouns here) − its log-probability of the word
  alone. Of several morphemes the first and the last are such a term, in however many documents it
  stands by itself (all but `DRAFTING`, which join with anything), or one of `PREFIXES` or
  `SUFFIXES`.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from kiwipiepy import Kiwi

from lawtune.data.sources import ReadReport, Record, read_source
from lawtune.eval.legal import LONGEST_TERM, content, noun_runs
from lawtune.eval.morphemes import analyse
from lawtune.files import write_text
from lawtune.records import Case, Provision, Statute

LEAST_DOCUMENTS = 5
LARGEST_SHARE = 0.1
LEAST_WEIRDNESS = 11.0
DRAFTING = frozenset(["경우", "규정", "해당", "여부", "사항", "이하", "목적"])
PREFIXES = frozenset("가공대무미부불비선신역연원친피")
SUFFIXES = frozenset("권금료물범법비서액업인자장죄증지표형")


class Document(NamedTuple):
    """A heading and what stands under it."""

    heading: str
    text: str


class Counts(NamedTuple):
    """Of each run of nouns: how often, in how many documents, and in how many headings it stands.
    A run's name is its forms joined by +."""

    total: Counter[str]
    documents: Counter[str]
    headings: Counter[str]


def main() -> None:
    """Read the sources, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", action="append", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    report = ReadReport()
    records = chain.from_iterable(read_source(path, report) for path in arguments.source)
    documents = list(read_documents(records))
    analyses = analyse(chain.from_iterable(documents))
    analysed = [[analyses[part] for part in document] for document in documents]
    frequency = Counter(chain.from_iterable(content([*a, *b]) for a, b in analysed))
    rows = [f"{unit}\t{count}" for unit, count in sorted(frequency.items()) if count > 1]
    write_text(arguments.out / "frequencies.tsv", "\n".join([f"\t{len(documents)}", *rows]) + "\n")
    terms = find_terms(count_runs(analysed), len(documents))
    write_text(arguments.out / "terms.txt", "\n".join(terms) + "\n")
    print(f"{len(documents)} documents, {len(rows)} morphemes and {len(terms)} terms")


def read_documents(records: Iterable[Record]) -> Iterator[Document]:
    """The articles that stand, and the holdings of decisions with their summaries."""
    for record in records:
        if isinstance(record, Statute):
            for article in record.articles:
                if not article.deleted:
                    text = "\n".join(filter(None, (article.text, *texts_of(article.provisions))))
                    yield Document(article.title, text)
        elif isinstance(record, Case):
            for number, summary in record.summaries.items():
                yield Document(record.holdings.get(number, ""), summary)


def texts_of(provisions: Iterable[Provision]) -> Iterator[str]:
    """The text of every unit below an article."""
    for unit in provisions:
        yield unit.text
        yield from texts_of(unit.children)


def count_runs(analysed: Iterable[Sequence[Sequence[str]]]) -> Counts:
    """Count the runs of one to four nouns in (heading, text) pairs of analysed texts."""
    counts = Counts(Counter(), Counter(), Counter())
    for heading, text in analysed:
        above, below = list(runs_of(heading)), list(runs_of(text))
        counts.total.update(above + below)
        counts.documents.update({*above, *below})
        counts.headings.update(set(above))
    return counts


def runs_of(units: Sequence[str]) -> Iterator[str]:
    """Every run of one to four neighbouring nouns, its forms joined by +."""
    for nouns in noun_runs(units):
        for start in range(len(nouns)):
            for end in range(start + 1, min(start + LONGEST_TERM, len(nouns)) + 1):
                yield "+".join(nouns[start:end])


def find_terms(counts: Counts, documents: int) -> list[str]:
    """The terms in alphabetical order; see the module's text."""
    nouns = sum(count for run, count in counts.total.items() if "+" not in run)
    kiwi = Kiwi()

    def weirdness(word: str) -> float:
        return math.log(counts.total[word] / nouns) - kiwi.analyze(word)[0][1]

    documented = [
        run
        for run, count in counts.documents.items()
        if count >= LEAST_DOCUMENTS and counts.headings[run]
    ]
    edges = {
        run
        for run in documented
        if "+" not in run and len(run) > 1 and weirdness(run) >= LEAST_WEIRDNESS
    } - DRAFTING

    def sound(run: str) -> bool:
        first, *_, last = run.split("+")
        return (first in edges or first in PREFIXES) and (last in edges or last in SUFFIXES)

    return sorted(
        run
        for run in documented
        if counts.documents[run] <= LARGEST_SHARE * documents
        and (sound(run) if "+" in run else run in edges)
    )


if __name__ == "__main__":
    main()
