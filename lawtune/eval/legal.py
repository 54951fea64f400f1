"""What an answer says of the law: the gold answer's words, terms, provisions and decisions that it
has too. What the question already holds counts on neither side, so that an echo of it earns
nothing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from lawtune.eval.morphemes import tag_of
from lawtune.files import read_text
from lawtune.starter import LEXICON

CONTENT = ("NNG", "NNP", "NR", "XR", "VV", "VA", "SN", "SL", "SH")
"""Tags of what a sentence is about: nouns, numerals, roots, verbs, adjectives, foreign words."""

NOUNS = ("NNG", "NNP", "XPN", "XSN")
"""Tags of what a term is made of: nouns and their affixes."""

LONGEST_TERM = 4
"""Morphemes."""


@dataclass(frozen=True)
class Lexicon:
    """What the starter corpus says of words: in how many of its `documents` (articles and holdings)
    each content morpheme stands, and its legal terms, morphemes joined by +."""

    documents: int
    frequency: Mapping[str, int]
    terms: AbstractSet[str]

    def idf(self, unit: str) -> float:
        """Inverse document frequency, ln((N + 1) ÷ (df + 1)): 0 for what stands in each document,
        the highest for what the corpus does not know."""
        return math.log((self.documents + 1) / (self.frequency.get(unit, 0) + 1))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that ships with lawtune, made by `tools/make_lexicon.py`."""
    head, *rows = read_text(LEXICON / "frequencies.tsv").splitlines()
    counts = (row.rpartition("\t") for row in rows)
    terms = read_text(LEXICON / "terms.txt").splitlines()
    return Lexicon(
        documents=int(head.rpartition("\t")[2]),
        frequency={unit: int(count) for unit, _, count in counts},
        terms=frozenset(terms),
    )


def content(units: Sequence[str]) -> frozenset[str]:
    """The distinct content morphemes; irregular verbs (VV-I, VV-R) with the others."""
    return frozenset(unit for unit in units if tag_of(unit).partition("-")[0] in CONTENT)


def keyword_coverage(
    answer: AbstractSet[str], gold: AbstractSet[str], asked: AbstractSet[str], known: Lexicon
) -> float | None:
    """The idf-weighted share of the gold answer's content morphemes, the question's left out, that
    the answer has; None where nothing is left."""
    # Summed in order: a set's order, and with it the last digit, changes from run to run.
    wanted = sorted(gold - asked)
    whole = sum(known.idf(unit) for unit in wanted)
    had = sum(known.idf(unit) for unit in wanted if unit in answer)
    return had / whole if whole else None


def set_f1(
    answer: AbstractSet[str], gold: AbstractSet[str], asked: AbstractSet[str]
) -> float | None:
    """F1 of the answer's items against the gold ones, the question's left out on both sides; None
    where no gold item is left."""
    mine, its = answer - asked, gold - asked
    return 2 * len(mine & its) / (len(mine) + len(its)) if its else None


def find_terms(units: Sequence[str], terms: AbstractSet[str]) -> list[str]:
    """The legal terms of an analysed text, in order; of several at one place the longest, and none
    inside another."""
    found = []
    for run in noun_runs(units):
        start = 0
        while start < len(run):
            for size in range(min(LONGEST_TERM, len(run) - start), 0, -1):
                term = "+".join(run[start : start + size])
                if term in terms:
                    found.append(term)
                    break
            else:
                size = 1
            start += size
    return found


def noun_runs(units: Sequence[str]) -> Iterator[list[str]]:
    """The forms of each longest run of noun morphemes: [손해, 배상, 책임]."""
    run: list[str] = []
    for unit in units:
        form, _, tag = unit.rpartition("/")
        if tag in NOUNS:
            run.append(form)
        elif run:
            yield run
            run = []
    if run:
        yield run


def term_share(units: Sequence[str], terms: AbstractSet[str]) -> tuple[int, int]:
    """How many of an answer's noun morphemes are part of a legal term, and how many there are."""
    inside = sum(term.count("+") + 1 for term in find_terms(units, terms))
    return inside, sum(len(run) for run in noun_runs(units))
