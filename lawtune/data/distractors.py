"""Hard wrong answers for the choice of one in five.

Random ones are recognised by the words that they do not share with the question. These are the
answers that share most with it, of the same type and of similar length, to questions on other
sources.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lawtune.records import QAPair, normalise

DISTRACTORS = 4
LENGTH_TOLERANCE = 0.5
SAME_DOCTRINE_COSINE = 0.3
SAME_QUESTION_COSINE = 0.4
"""An answer as like the gold one as this, or to a question as like, may be right as well: decisions
repeat one another."""
SAME_LAW_BONUS = 0.05
"""What being about the same statute counts for, in shares of bigrams."""
NEAR_DUPLICATE_COSINE = 0.9
_BLOCK = 256
_ARTICLE_AT_THE_END = re.compile(r"\s\([^()]*제\d+조[^()]*\)$")


def without_article(answer: str) -> str:
    """An answer without the article in brackets at its end: what it says, however it is asked."""
    return _ARTICLE_AT_THE_END.sub("", answer)


def said(answer: str) -> str:
    """What an answer says, however it is written: two of which this is the same are one choice."""
    return without_article(normalise(answer))


def choose_distractors(
    pairs: Sequence[QAPair], seed: int, pool: Sequence[QAPair] | None = None
) -> list[QAPair]:
    """Give every pair that has no wrong answers of its own the texts of four, taken from the pairs
    of `pool` (of `pairs` if None).

    A wrong answer is of the same type, of another group, and within ± 50 % of the gold answer's
    length. Taken are those of which the question has the largest share of character bigrams, so
    that counting these does not solve the choice, those on the same statute before others; `seed`
    breaks ties. One that may be right as well (tf-idf cosine of 0.3 or more between the answers, or
    0.4 between the questions) comes last, a near-duplicate (0.9) of the gold answer or of one taken
    already never. Where fewer than four exist the pair gets none, and cannot be asked as a choice.
    A wrong answer ends with its article in brackets if the gold one does and not otherwise, so that
    the manner of an answer gives nothing away.
    """
    members, asked = _by_type(pairs if pool is None else pool), _by_type(pairs)
    chosen = {index: pair.distractors for index, pair in enumerate(pairs)}
    for kind, same_type in asked.items():
        golds = [(index, pair) for index, pair in same_type if not pair.distractors]
        if not golds:
            continue
        gold_pairs = [pair for _, pair in golds]
        others = [pair for _, pair in members.get(kind, ())]
        order = np.random.default_rng(seed).permutation(len(others))
        unit = _unit_vectors([pair.answer for pair in [*gold_pairs, *others]])
        laws = np.array([_law(pair) for pair in others])
        rows = zip(
            golds,
            _shares(gold_pairs, others),
            _products(unit[: len(golds)], unit[len(golds) :]),
            _likeness(gold_pairs, others),
            strict=True,
        )
        for (index, gold), shared, alike, same_question in rows:
            doubtful = (alike >= SAME_DOCTRINE_COSINE) | (same_question >= SAME_QUESTION_COSINE)
            hardness = shared + SAME_LAW_BONUS * (laws == _law(gold))
            ranked = order[np.lexsort((-hardness[order], doubtful[order]))]
            ranked = ranked[alike[ranked] < NEAR_DUPLICATE_COSINE]
            chosen[index] = _four(gold, others, ranked, unit[len(golds) :])
    return [replace(pair, distractors=chosen[index]) for index, pair in enumerate(pairs)]


def _law(pair: QAPair) -> str:
    return (pair.source.law if pair.source else None) or ""


def _by_type(pairs: Sequence[QAPair]) -> dict[str | None, list[tuple[int, QAPair]]]:
    by_type: dict[str | None, list[tuple[int, QAPair]]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        by_type[pair.type].append((index, pair))
    return by_type


def _four(gold: QAPair, others: Sequence[QAPair], ranked: np.ndarray, unit: Any) -> tuple[str, ...]:
    length = len(gold.answer)
    taken: list[int] = []
    texts: list[str] = []
    for place in map(int, ranked):
        other = others[place]
        text = _in_the_manner_of(gold, other)
        same_source = other.group == gold.group and gold.group is not None
        if same_source or abs(len(text) - length) > LENGTH_TOLERANCE * length:
            continue
        if not taken or (unit[taken] @ unit[place].T).max() < NEAR_DUPLICATE_COSINE:
            taken.append(place)
            texts.append(text)
        if len(taken) == DISTRACTORS:
            return tuple(texts)
    return ()


def _in_the_manner_of(gold: QAPair, other: QAPair) -> str:
    """The other answer, with its article in brackets at the end or without, as the gold one is."""
    text = without_article(other.answer)
    if not _ARTICLE_AT_THE_END.search(gold.answer):
        return text
    article = next((cited for cited in other.citations if "조" in cited), None)
    own_line = "\n" if "\n" in text else " "
    return f"{text}{own_line}({article})" if article else other.answer


def _products(rows: Any, columns: Any) -> Iterator[np.ndarray]:
    """Each row's product with every row of `columns`, float32 [columns]; a block at a time, since
    all of them at once would take the product of their numbers."""
    for start in range(0, rows.shape[0], _BLOCK):
        yield from (rows[start : start + _BLOCK] @ columns.T).toarray()


def _shares(golds: Sequence[QAPair], others: Sequence[QAPair]) -> Iterator[np.ndarray]:
    """Of each answer's distinct character bigrams, the share that a question has: float32
    [others] for every gold pair's question."""
    counts = _counts([*(pair.question for pair in golds), *(pair.answer for pair in others)], 2)
    counts.data[:] = 1
    answered = counts[len(golds) :]
    sizes = np.maximum(1, np.asarray(answered.sum(axis=1)).ravel())
    for shared in _products(counts[: len(golds)], answered):
        yield shared / sizes


def _likeness(golds: Sequence[QAPair], others: Sequence[QAPair]) -> Iterator[np.ndarray]:
    """tf-idf cosine of each gold pair's question with every other's: float32 [others]."""
    unit = _unit_vectors([pair.question for pair in [*golds, *others]])
    yield from _products(unit[: len(golds)], unit[len(golds) :])


def _unit_vectors(texts: Sequence[str]) -> Any:
    """tf-idf over runs of three characters, each of length 1: sparse float32 [texts, runs]."""
    from scipy.sparse import diags

    counts = _counts(texts, 3)
    counts.data = 1 + np.log(counts.data)
    seen_in = np.asarray((counts > 0).sum(axis=0)).ravel()
    weighted = counts @ diags(np.log((1 + len(texts)) / (1 + seen_in)) + 1)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    unit = diags(1 / np.maximum(norms, 1e-12)) @ weighted
    return unit.astype(np.float32).tocsr()


def _counts(texts: Sequence[str], size: int) -> Any:
    """How often each run of `size` characters stands in each text: sparse float32 [texts, runs]."""
    from scipy.sparse import csr_matrix

    vocabulary: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        letters = normalise(text).replace(" ", "")
        for start in range(max(1, len(letters) - size + 1)):
            run = letters[start : start + size]
            rows.append(row)
            columns.append(vocabulary.setdefault(run, len(vocabulary)))
    counts = csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)),
        shape=(len(texts), max(1, len(vocabulary))),
    )
    counts.sum_duplicates()
    return counts
