"""What each figure is: its definition, range, source and signature, and how it is computed.

Every metric is a score of *summed statistics*: each record gives a short vector of counts, vectors
of many records are added, and the sum is scored. The figure over a file and every figure of a
bootstrap over its groups are then computed the same way, from the same per-record vectors.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Statistics = NDArray[np.float64]
"""Shape [records, k], or [..., k] once summed over records."""

CHRF_ORDER = 6
CHRF_BETA = 2
BLEU_ORDER = 4


@dataclass(frozen=True)
class Metric:
    """A figure of the report.

    Attributes:
        better: which way is better; None where neither is (a length).
        low, high: the range; None where there is no bound.
        score: summed statistics [..., k] → figure [...]; NaN where undefined.
        signature: settings and library versions, as `key:value|…`.
    """

    name: str
    better: Literal["higher", "lower"] | None
    low: float | None
    high: float | None
    definition: str
    source: str
    score: Callable[[Statistics], NDArray[np.float64]]
    signature: Callable[[], str]


def clean(text: str) -> str:
    """NFC with line ends as `\\n`: twins that differ only in encoding score the same."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")


def utf8_bytes(text: str) -> int:
    """Length of the cleaned text in UTF-8 bytes."""
    return len(clean(text).encode())


def ratio(summed: Statistics) -> NDArray[np.float64]:
    """Σ first ÷ Σ second; a mean over records when the second is 1 for each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(summed[..., 1] > 0, summed[..., 0] / summed[..., 1], np.nan)


def per_record(values: Sequence[float]) -> Statistics:
    """Statistics of a mean over records, [records, 2]."""
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return np.hstack([column, np.ones_like(column)])


def bits_statistics(nats: Sequence[float], texts: Sequence[str]) -> Statistics:
    """Bits that each text costs, from its log-likelihood, and its bytes; [n, 2]."""
    bits = -np.asarray(nats, dtype=np.float64) / math.log(2)
    return np.column_stack([bits, [utf8_bytes(text) for text in texts]])


def chrf_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """Per record and order 1…6: n-grams of the prediction, of the reference, shared; [n, 18]."""
    return _sacrebleu_statistics(_chrf(), predictions, references, 3 * CHRF_ORDER)


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
    return _sacrebleu_statistics(_bleu(), predictions, references, 2 + 2 * BLEU_ORDER)


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


def rouge_l_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """ROUGE-L F1 of each record over morphemes, [n, 2]; 0 where either side has no morpheme."""
    pairs = zip(morphemes(predictions), morphemes(references), strict=True)
    return per_record([_rouge_l(predicted, gold) for predicted, gold in pairs])


def length_statistics(predictions: Sequence[str]) -> Statistics:
    """Characters of each cleaned prediction, [n, 2]."""
    return per_record([len(clean(prediction)) for prediction in predictions])


def morphemes(texts: Sequence[str]) -> list[list[str]]:
    """Each text as `form/tag` morphemes without punctuation and symbols (tags SF, SP, SS, …);
    numerals (SN), Latin letters (SL) and Chinese characters (SH) stay."""
    kept = ("SN", "SL", "SH")
    return [
        [f"{t.form}/{t.tag}" for t in tokens if not t.tag.startswith("S") or t.tag in kept]
        for tokens in _kiwi().tokenize([clean(text) for text in texts])
    ]


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


def bigrams(text: str) -> frozenset[str]:
    """The distinct character bigrams of a text, white space left out."""
    packed = "".join(clean(text).split())
    return frozenset(packed[i : i + 2] for i in range(len(packed) - 1))


def overlap(question: str, choice: str) -> float:
    """Share of the choice's distinct character bigrams that the question has too; 0 for none."""
    own = bigrams(choice)
    return len(own & bigrams(question)) / len(own) if own else 0.0


def _rouge_l(predicted: Sequence[str], gold: Sequence[str]) -> float:
    # 2PR ÷ (P + R) with P = shared ÷ predicted and R = shared ÷ gold.
    length = len(predicted) + len(gold)
    return 2 * common_subsequence(predicted, gold) / length if predicted and gold else 0.0


@lru_cache(maxsize=1)
def _kiwi() -> Any:
    # Loaded on first use: the analyser takes seconds and half a gigabyte.
    from kiwipiepy import Kiwi

    return Kiwi()


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    # The empty reference only tells sacrebleu's signature that there is one reference a record.
    return CHRF(char_order=CHRF_ORDER, word_order=0, beta=CHRF_BETA, references=[[""]])


@lru_cache(maxsize=1)
def _bleu() -> Any:
    from sacrebleu.metrics import BLEU

    # `force` silences a warning about text that looks tokenized; it changes no figure.
    return BLEU(tokenize="char", max_ngram_order=BLEU_ORDER, force=True, references=[[""]])


def _sacrebleu_statistics(
    metric: Any, predictions: Sequence[str], references: Sequence[str], width: int
) -> Statistics:
    predicted = [clean(text) for text in predictions]
    gold = [clean(text) for text in references]
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions for {len(gold)} references")
    if not predicted:
        return np.zeros((0, width))
    # sacrebleu has no public way to a record's counts; the tests hold our sums to its own
    # corpus_score, so that a change there is noticed.
    rows = metric._extract_corpus_statistics(predicted, [gold])
    return np.asarray(rows, dtype=np.float64)


def _likelihood_signature() -> str:
    return "text:nfc|template:as trained|eos:no|sum:bits/bytes"


def _choice_signature(normaliser: str) -> Callable[[], str]:
    return lambda: f"choices:all|score:{normaliser}|tie:wrong|eos:no"


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "bits_per_byte",
            "lower",
            0,
            None,
            "Σ −log2 p(gold answer | prompt) ÷ Σ UTF-8 bytes of the gold answers in NFC, EOS left"
            " out",
            "Gao et al. 2020 (The Pile)",
            ratio,
            _likelihood_signature,
        ),
        Metric(
            "accuracy",
            "higher",
            0,
            1,
            "share of questions whose gold answer the question raises more than it raises any other"
            " choice (four hard distractors where the data has no choices of its own):"
            " log p(answer | question) − log p(answer | the template with an empty"
            " question); a tie is wrong",
            "Holtzman et al. 2021 (surface form competition), arXiv:2104.08315",
            ratio,
            _choice_signature("logp(a|q)-logp(a|empty)"),
        ),
        Metric(
            "accuracy_raw",
            "higher",
            0,
            1,
            "the same choice by log p(answer | question) ÷ UTF-8 bytes of the answer; a tie is"
            " wrong",
            "lm-evaluation-harness (acc_norm)",
            ratio,
            _choice_signature("logp(a|q)/bytes"),
        ),
        Metric(
            "accuracy_sum",
            "higher",
            0,
            1,
            "the same choice by log p(answer | question) as it is, which favours short answers; a"
            " tie is wrong",
            "lm-evaluation-harness (acc)",
            ratio,
            _choice_signature("logp(a|q)"),
        ),
        Metric(
            "accuracy_letter",
            "higher",
            0,
            1,
            "the same choice by log p(letter | question with its choices listed as A., B., …); a"
            " tie is wrong",
            "Hendrycks et al. 2021 (MMLU), arXiv:2009.03300",
            ratio,
            _choice_signature("logp(letter|q+choices)"),
        ),
        Metric(
            "chrf",
            "higher",
            0,
            100,
            "character n-gram F-score (orders 1 to 6, β = 2) of the whole set of answers",
            "Popović 2015; sacrebleu (Post 2018)",
            chrf_score,
            lambda: f"level:corpus|{_chrf().get_signature()}",
        ),
        Metric(
            "bleu",
            "higher",
            0,
            100,
            "BLEU over characters (orders 1 to 4) of the whole set of answers",
            "Papineni et al. 2002; sacrebleu (Post 2018)",
            bleu_score,
            lambda: f"level:corpus|{_bleu().get_signature()}",
        ),
        Metric(
            "rougeL",
            "higher",
            0,
            1,
            "mean over records of the F1 of the longest common subsequence of morphemes,"
            " punctuation left out",
            "Lin 2004; morphemes by kiwipiepy",
            ratio,
            lambda: (
                f"level:mean of records|f1|unit:morpheme/tag, no punctuation"
                f"|kiwipiepy:{version('kiwipiepy')}|model:{version('kiwipiepy_model')}"
            ),
        ),
        Metric(
            "response_length",
            None,
            0,
            None,
            "mean characters of an answer in NFC",
            "lawtune",
            ratio,
            lambda: "level:mean of records|unit:characters|text:nfc",
        ),
    )
}
"""Every metric by name, in the order in which reports show them."""
