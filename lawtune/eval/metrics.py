"""What each figure is: its definition, range, source and signature.

How it is counted is in `similarity`, `legal`, `form` and `summed`; every metric is a score of
summed statistics (`summed`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lawtune.eval import morphemes, similarity
from lawtune.eval.summed import Statistics, ratio


@dataclass(frozen=True)
class Metric:
    """A figure of the report.

    Attributes:
        better: which way is better; None where neither is (a length).
        low, high: the range; None where there is no bound.
        signature: settings and library versions, as `key:value|…`.
        score: summed statistics [..., k] → figure [...]; NaN where undefined.
    """

    name: str
    better: Literal["higher", "lower"] | None
    low: float | None
    high: float | None
    definition: str
    source: str
    signature: Callable[[], str]
    score: Callable[[Statistics], NDArray[np.float64]] = ratio


def _fixed(signature: str) -> Callable[[], str]:
    return lambda: signature


def _choice(normaliser: str) -> Callable[[], str]:
    return _fixed(f"choices:all|score:{normaliser}|tie:wrong|eos:no")


def _rouge(unit: str) -> Callable[[], str]:
    return lambda: f"level:mean of records|f1|of:{unit}|{morphemes.signature()}"


def _legal(settings: str) -> Callable[[], str]:
    return lambda: f"{settings}|question:left out|{morphemes.signature()}"


def _share(name: str, better: Literal["higher", "lower"] | None, meaning: str) -> Metric:
    return Metric(
        f"citation_{name}",
        better,
        0,
        1,
        f"share of the citations in all answers that are {meaning}",
        "lawtune (docs/citations.md)",
        _fixed("level:sum|of:citations in answers|articles with their units, decisions"),
    )


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
            _fixed("text:nfc|template:as trained|eos:no|sum:bits/bytes"),
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
            _choice("logp(a|q)-logp(a|empty)"),
        ),
        Metric(
            "accuracy_raw",
            "higher",
            0,
            1,
            "the same choice by log p(answer | question) ÷ UTF-8 bytes of the answer; a tie is"
            " wrong",
            "lm-evaluation-harness (acc_norm)",
            _choice("logp(a|q)/bytes"),
        ),
        Metric(
            "accuracy_sum",
            "higher",
            0,
            1,
            "the same choice by log p(answer | question) as it is, which favours short answers; a"
            " tie is wrong",
            "lm-evaluation-harness (acc)",
            _choice("logp(a|q)"),
        ),
        Metric(
            "accuracy_letter",
            "higher",
            0,
            1,
            "the same choice by log p(letter | question with its choices listed as A., B., …); a"
            " tie is wrong",
            "Hendrycks et al. 2021 (MMLU), arXiv:2009.03300",
            _choice("logp(letter|q+choices)"),
        ),
        Metric(
            "chrf",
            "higher",
            0,
            100,
            "character n-gram F-score (orders 1 to 6, β = 2) of the whole set of answers",
            "Popović 2015; sacrebleu (Post 2018)",
            lambda: f"level:corpus|{similarity.chrf().get_signature()}",
            similarity.chrf_score,
        ),
        Metric(
            "bleu",
            "higher",
            0,
            100,
            "BLEU over characters (orders 1 to 4) of the whole set of answers",
            "Papineni et al. 2002; sacrebleu (Post 2018)",
            lambda: f"level:corpus|{similarity.bleu('char').get_signature()}",
            similarity.bleu_score,
        ),
        Metric(
            "bleu_morpheme",
            "higher",
            0,
            100,
            "BLEU over morphemes (orders 1 to 4) of the whole set of answers, punctuation left out",
            "Papineni et al. 2002; sacrebleu (Post 2018); morphemes by kiwipiepy",
            lambda: (
                f"level:corpus|{similarity.bleu('none').get_signature()}|{morphemes.signature()}"
            ),
            similarity.bleu_score,
        ),
        Metric(
            "rouge1",
            "higher",
            0,
            1,
            "mean over records of the F1 of the morphemes shared, punctuation left out",
            "Lin 2004; morphemes by kiwipiepy",
            _rouge("unigrams"),
        ),
        Metric(
            "rouge2",
            "higher",
            0,
            1,
            "mean over records of the F1 of the pairs of neighbouring morphemes shared, punctuation"
            " left out",
            "Lin 2004; morphemes by kiwipiepy",
            _rouge("bigrams"),
        ),
        Metric(
            "rougeL",
            "higher",
            0,
            1,
            "mean over records of the F1 of the longest common subsequence of morphemes,"
            " punctuation left out",
            "Lin 2004; morphemes by kiwipiepy",
            _rouge("longest common subsequence"),
        ),
        Metric(
            "keyword_coverage",
            None,
            0,
            1,
            "mean over records of the share of the gold answer's content morphemes (nouns,"
            " numerals, roots, verbs, adjectives, foreign words), weighted by idf in the starter"
            " corpus, that the answer has; those in the question or its context are in neither."
            " A recall, which any long answer gains by: it is not judged",
            "lawtune",
            _legal("level:mean of records|weight:idf=ln((N+1)/(df+1))"),
        ),
        Metric(
            "legal_relevance",
            "higher",
            0,
            1,
            "mean over records of the F1 of the provisions, decisions and legal terms of the answer"
            " against the gold answer's; those in the question or its context are taken from both",
            "lawtune",
            _legal("level:mean of records|f1|of:articles, case numbers, terms"),
        ),
        Metric(
            "legal_term_rate",
            None,
            0,
            1,
            "share of the noun morphemes of all answers that are part of a legal term of the"
            " starter's list",
            "lawtune; weirdness of Ahmad et al. 1999",
            lambda: f"level:sum|{morphemes.signature()}",
        ),
        _share("verified", "higher", "borne out by the index"),
        _share("absent", "lower", "articles that their statute in the index has not"),
        _share(
            "mismatch",
            "lower",
            "at odds with the index: title, paragraph or quotation, a decision's date or court",
        ),
        _share("unchecked", None, "not covered by the index"),
        Metric(
            "citation_f1",
            "higher",
            0,
            1,
            "mean over records of the F1 of the articles and decisions that the answer cites"
            " against the record's citations; those in the question or its context are taken from"
            " both, and what the gold answer cites beyond the record's counts neither way",
            "lawtune",
            _fixed("level:mean of records|f1|of:articles, case numbers|question:left out"),
        ),
        Metric(
            "response_length",
            None,
            0,
            None,
            "mean characters of an answer in NFC",
            "lawtune",
            _fixed("level:mean of records|unit:characters|text:nfc"),
        ),
        Metric(
            "repetition",
            "lower",
            0,
            1,
            "share of the runs of four words (parted by white space; of one longer than 16"
            " characters, its characters) of all answers that stood before in the same answer",
            "Welleck et al. 2020 (seq-rep-4), arXiv:1908.04319",
            _fixed("level:sum|of:4-grams|unit:word by white space, characters beyond 16"),
        ),
        Metric(
            "stopped",
            "higher",
            0,
            1,
            "share of answers that the model ended itself, by EOS within the tokens allowed",
            "lawtune",
            _fixed("level:mean of records"),
        ),
    )
}
"""Every metric by name, in the order in which reports show them."""
