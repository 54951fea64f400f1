"""Hard wrong answers for the choice of one in five.

Random ones are recognised by the words they share with the question; these are the answers most
like the gold one by tf-idf, of the same type and split, of other sources, and of similar length.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lawtune.records import QAPair, normalise

DISTRACTORS = 4
LENGTH_TOLERANCE = 0.5
NEAR_DUPLICATE_COSINE = 0.9
_RUN = 3
_BLOCK = 256


def choose_distractors(pairs: Sequence[QAPair], seed: int) -> list[QAPair]:
    """Give every pair the ids of four other pairs whose answers serve as wrong choices.

    A wrong answer is of the same type, of another group, within ± 50 % of the gold answer's
    length, and not a near-duplicate of it (tf-idf cosine below 0.9) or of one chosen already. Among
    those the most similar are taken; `seed` breaks ties. Where fewer than four exist the pair gets
    none, and cannot be asked as a choice.
    """
    by_type: dict[str | None, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        by_type[pair.type].append(index)
    chosen: dict[int, tuple[str, ...]] = {}
    for indices in by_type.values():
        members = [pairs[index] for index in indices]
        unit = _unit_vectors([pair.answer for pair in members])
        order = np.random.default_rng(seed).permutation(len(members))
        for row, similarity in enumerate(_rows(unit)):
            ranked = order[np.argsort(-similarity[order], kind="stable")]
            chosen[indices[row]] = _four(members, row, ranked, unit)
    return [replace(pair, distractors=chosen[index]) for index, pair in enumerate(pairs)]


def _four(members: Sequence[QAPair], row: int, ranked: np.ndarray, unit: Any) -> tuple[str, ...]:
    gold = members[row]
    length = len(gold.answer)
    taken: list[int] = []
    for other in map(int, ranked):
        candidate = members[other]
        same_source = candidate.group == gold.group and gold.group is not None
        similar_length = abs(len(candidate.answer) - length) <= LENGTH_TOLERANCE * length
        if other == row or same_source or not similar_length:
            continue
        twins = unit[[row, *taken]] @ unit[other].T
        if twins.max() < NEAR_DUPLICATE_COSINE:
            taken.append(other)
        if len(taken) == DISTRACTORS:
            return tuple(members[index].id for index in taken)
    return ()


def _rows(unit: Any) -> Iterator[np.ndarray]:
    """Each row's cosine with every row, float32 [texts]; a block at a time, since all of them at
    once would take the square of their number."""
    for start in range(0, unit.shape[0], _BLOCK):
        yield from (unit[start : start + _BLOCK] @ unit.T).toarray()


def _unit_vectors(texts: Sequence[str]) -> Any:
    """tf-idf over runs of three characters, each of length 1: sparse float32 [texts, runs]."""
    from scipy.sparse import csr_matrix, diags

    vocabulary: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        letters = normalise(text).replace(" ", "")
        for start in range(max(1, len(letters) - _RUN + 1)):
            run = letters[start : start + _RUN]
            rows.append(row)
            columns.append(vocabulary.setdefault(run, len(vocabulary)))
    counts = csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)),
        shape=(len(texts), max(1, len(vocabulary))),
    )
    counts.sum_duplicates()
    counts.data = 1 + np.log(counts.data)
    seen_in = np.asarray((counts > 0).sum(axis=0)).ravel()
    weighted = counts @ diags(np.log((1 + len(texts)) / (1 + seen_in)) + 1)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    unit = diags(1 / np.maximum(norms, 1e-12)) @ weighted
    return unit.astype(np.float32).tocsr()
