"""How like the gold answer an answer is: chrF, BLEU and ROUGE, over characters and morphemes."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lawtune.eval.morphemes import Analyses, words
from lawtune.eval.summed import Statistics
from lawtune.eval.text import comparable

CHRF_ORDER = 6
CHRF_BETA = 2
BLEU_ORDER = 4


def chrf_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """Per record and order 1…6: n-grams of the prediction, of the reference, shared; [n, 18]."""
    return _sacrebleu_statistics(chrf(), predictions, references, 3 * CHRF_ORDER)


def chrf_score(summed: Statistics) -> NDArray[np.float64]:
    """Corpus chrF (0–100) from summed statistics, as sacrebleu averages its effective orders."""
    counts = summed.reshape(*summed.shape[:-1], CHRF_ORDER, 3)
    predicted, referenced, shared = counts[..., 0], counts[..., 1], counts[..., 2]
    effective = (predicted > 0) & (referenced > 0)
    orders = np.maximum(effective.sum(axis=-1), 1)
    precision = np.where(effective, shared / np.maximum(predicted, 1), 0).sum(axis=-1) / orders
    recall = np.where(effective, shared / np.maximum(referenced, 1), 0).sum(axis=-1) / orders
    weight = CHRF_BETA**2
    below = weight * precision + recall
    score = (1 + weight) * precision * recall / np.where(below > 0, below, 1)
    return 100 * score


def bleu_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """Per record: characters of the prediction and of the reference, then n-grams shared and
    predicted for orders 1…4; [n, 10]."""
    return _sacrebleu_statistics(bleu("char"), predictions, references, 2 + 2 * BLEU_ORDER)


def morpheme_bleu_statistics(
    predictions: Sequence[str], references: Sequence[str], analyses: Analyses
) -> Statistics:
    """The same with morphemes for characters."""
    spaced = [
        [" ".join(words(analyses[text])) for text in texts] for texts in (predictions, references)
    ]
    return _sacrebleu_statistics(bleu("none"), *spaced, 2 + 2 * BLEU_ORDER)


def bleu_score(summed: Statistics) -> NDArray[np.float64]:
    """Corpus BLEU (0–100) from summed statistics, with sacrebleu's exponential smoothing."""
    predicted_length, reference_length = summed[..., 0], summed[..., 1]
    shared = summed[..., 2 : 2 + BLEU_ORDER]
    total = summed[..., 2 + BLEU_ORDER :]
    # The k-th order without a match counts 1 ÷ 2^k instead of 0.
    zeros = np.cumsum(shared == 0, axis=-1)
    matches = np.where(shared > 0, shared, 0.5**zeros)
    precision = np.where(total > 0, matches / np.maximum(total, 1), 0)
    with np.errstate(divide="ignore"):
        mean_log = np.log(precision).mean(axis=-1)
    length_ratio = reference_length / np.maximum(predicted_length, 1)
    brevity = np.exp(np.minimum(0, 1 - length_ratio))
    return np.where(shared.any(axis=-1), 100 * brevity * np.exp(mean_log), 0.0)


def rouge_n(predicted: Sequence[str], gold: Sequence[str], order: int) -> float | None:
    """F1 of the n-grams shared, each counted as often as both sides have it; None where the gold
    side has none."""
    mine, its = ngrams(predicted, order), ngrams(gold, order)
    return _f1((mine & its).total(), mine.total(), its.total())


def rouge_l(predicted: Sequence[str], gold: Sequence[str]) -> float | None:
    """F1 of the longest common subsequence; None where the gold side is empty."""
    return _f1(common_subsequence(predicted, gold), len(predicted), len(gold))


def ngrams(units: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each run of `order` units occurs."""
    return Counter(zip(*(units[start:] for start in range(order)), strict=False))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by Hyyrö's bit-parallel recurrence (2004): one
    big-integer step for each item of `second`."""
    positions: dict[str, int] = {}
    for index, item in enumerate(first):
        positions[item] = positions.get(item, 0) | 1 << index
    full = (1 << len(first)) - 1
    row = full
    for item in second:
        found = row & positions.get(item, 0)
        row = ((row + found) | (row - found)) & full
    return len(first) - row.bit_count()


@lru_cache(maxsize=1)
def chrf() -> Any:
    """sacrebleu's metric with lawtune's settings."""
    from sacrebleu.metrics import CHRF

    # The empty reference only tells sacrebleu's signature that there is one reference a record.
    return CHRF(char_order=CHRF_ORDER, word_order=0, beta=CHRF_BETA, references=[[""]])


@lru_cache(maxsize=2)
def bleu(tokenize: str) -> Any:
    """sacrebleu's metric over `char`, or over units that blanks part already (`none`)."""
    from sacrebleu.metrics import BLEU

    # `force` silences a warning about text that looks tokenized; it changes no figure.
    return BLEU(tokenize=tokenize, max_ngram_order=BLEU_ORDER, force=True, references=[[""]])


def _f1(shared: int, predicted: int, gold: int) -> float | None:
    # 2PR ÷ (P + R) with P = shared ÷ predicted and R = shared ÷ gold.
    return 2 * shared / (predicted + gold) if gold else None


def _sacrebleu_statistics(
    metric: Any, predictions: Sequence[str], references: Sequence[str], width: int
) -> Statistics:
    predicted = [comparable(text) for text in predictions]
    gold = [comparable(text) for text in references]
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions for {len(gold)} references")
    if not predicted:
        return np.zeros((0, width))
    # sacrebleu has no public way to a record's counts; the tests hold our sums to its own
    # corpus_score, so that a change there is noticed.
    rows = metric._extract_corpus_statistics(predicted, [gold])
    return np.asarray(rows, dtype=np.float64)
