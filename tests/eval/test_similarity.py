import random
import unicodedata

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from lawtune.eval.morphemes import analyse, words
from lawtune.eval.similarity import (
    bleu_score,
    bleu_statistics,
    chrf_score,
    chrf_statistics,
    common_subsequence,
    morpheme_bleu_statistics,
    rouge_l,
    rouge_n,
)

GOLD = [
    "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 책임이 있다.",
    "근로자를 해고하려면 적어도 30일 전에 예고를 하여야 한다.",
    "저작물을 공표한 저작자는 성명표시권을 가진다. (제12조제1항)",
    "임대차 기간이 끝난 경우에도 보증금을 돌려받을 때까지 임대차 관계는 존속하는 것으로 본다.",
]
PREDICTED = [
    "타인에게 손해를 가한 자는 손해배상 책임을 진다.",
    "해고를 하려면 30일 전에 예고하여야 한다.",
    "",
    "임대차 관계는 소멸한다. 임대차 관계는 소멸한다. abc 12",
]


def total(statistics):
    return statistics.sum(axis=0)


def random_corpora(count):
    generator = random.Random(0)
    for _ in range(count):
        size = generator.randint(1, 5)
        alphabet = "가나다 라abc."[: generator.randint(2, 9)]

        def text(alphabet=alphabet):
            return "".join(generator.choices(alphabet, k=generator.randint(0, 12)))

        yield [text() for _ in range(size)], [text() for _ in range(size)]


@pytest.mark.parametrize("pair", [(PREDICTED, GOLD), (GOLD, GOLD), *random_corpora(60)])
def test_chrf_and_bleu_equal_sacrebleus_corpus_score(pair):
    predicted, gold = pair
    chrf = CHRF(char_order=6, word_order=0).corpus_score(predicted, [gold]).score
    assert chrf_score(total(chrf_statistics(predicted, gold))) == pytest.approx(chrf, abs=1e-6)
    bleu = BLEU(tokenize="char").corpus_score(predicted, [gold]).score
    assert bleu_score(total(bleu_statistics(predicted, gold))) == pytest.approx(bleu, abs=1e-6)


@pytest.mark.parametrize(
    ("statistics", "score"), [(bleu_statistics, bleu_score), (chrf_statistics, chrf_score)]
)
def test_scores_work_on_many_sums_at_once(statistics, score):
    rows = statistics(PREDICTED, GOLD)
    stacked = np.stack([total(rows), total(rows[:2])])
    assert score(stacked).tolist() == [float(score(stacked[0])), float(score(stacked[1]))]


def test_chrf_by_hand():
    # "가나다" for "가나라": unigrams share 2 of 3, bigrams 1 of 2, trigrams 0 of 1, no longer ones.
    expected = 100 * (2 / 3 + 1 / 2 + 0) / 3
    assert chrf_score(total(chrf_statistics(["가나다"], ["가나라"]))) == pytest.approx(expected)


def test_bleu_by_hand():
    # Precisions 4/5, 3/4, 2/3, 1/2 and no brevity penalty: (1/5) to the power of 1/4.
    score = bleu_score(total(bleu_statistics(["가나다라마"], ["가나다라바"])))
    assert score == pytest.approx(100 * 0.2**0.25)


def test_morpheme_bleu_equals_sacrebleus_over_the_same_morphemes():
    analyses = analyse([*PREDICTED, *GOLD])
    spaced = [[" ".join(words(analyses[text])) for text in texts] for texts in (PREDICTED, GOLD)]
    expected = BLEU(tokenize="none").corpus_score(spaced[0], [spaced[1]]).score
    found = bleu_score(total(morpheme_bleu_statistics(PREDICTED, GOLD, analyses)))
    assert 0 < found == pytest.approx(expected, abs=1e-6)


class Split:
    """Hands rouge_score units that are parted already."""

    def tokenize(self, text):
        return text.split()


def test_rouge_equals_rouge_score_over_the_same_morphemes():
    analyses = analyse([*PREDICTED, *GOLD])
    pairs = [(words(analyses[a]), words(analyses[b])) for a in PREDICTED for b in GOLD]
    generator = random.Random(3)
    for _ in range(200):
        letters = "가나다라마"[: generator.randint(1, 5)]
        pairs.append(
            tuple(generator.choices(letters, k=generator.randint(1, 30)) for _ in range(2))
        )
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Split())
    for predicted, gold in pairs:
        expected = scorer.score(" ".join(gold), " ".join(predicted))
        found = {
            "rouge1": rouge_n(predicted, gold, 1),
            "rouge2": rouge_n(predicted, gold, 2),
            "rougeL": rouge_l(predicted, gold),
        }
        for name, value in found.items():
            if value is None:  # One gold morpheme has no pair; rouge_score calls that 0.
                assert (name, len(gold)) == ("rouge2", 1)
            else:
                assert value == pytest.approx(expected[name].fmeasure, abs=1e-6)


def test_gold_as_prediction_scores_the_maximum():
    analyses = analyse(GOLD)
    assert chrf_score(total(chrf_statistics(GOLD, GOLD))) == pytest.approx(100)
    assert bleu_score(total(bleu_statistics(GOLD, GOLD))) == pytest.approx(100)
    assert bleu_score(total(morpheme_bleu_statistics(GOLD, GOLD, analyses))) == pytest.approx(100)
    for units in analyses.values():
        assert rouge_n(units, units, 1) == rouge_n(units, units, 2) == rouge_l(units, units) == 1


def test_rouge_by_hand():
    # 가나 shared in order; 다 again only once in the gold: P = 3/4, R = 3/3; pairs 가나 of 3 and 2.
    assert rouge_n("가나다다", "가나다", 1) == pytest.approx(6 / 7)
    assert rouge_n("가나라다", "가나다", 2) == pytest.approx(2 / 5)
    assert rouge_l("가라나다", "가나다") == pytest.approx(6 / 7)


def test_nothing_said_scores_zero_and_nothing_wanted_is_undefined():
    assert rouge_n([], ["손해"], 1) == rouge_l([], ["손해"]) == 0
    assert rouge_n(["손해"], [], 1) is None
    assert rouge_l(["손해"], []) is None
    assert rouge_n(["손해", "배상"], ["손해"], 2) is None


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_prediction_scores_zero(empty):
    analyses = analyse([empty, GOLD[0]])
    assert chrf_score(total(chrf_statistics([empty], GOLD[:1]))) == 0
    assert bleu_score(total(bleu_statistics([empty], GOLD[:1]))) == 0
    assert bleu_score(total(morpheme_bleu_statistics([empty], GOLD[:1], analyses))) == 0


def test_nfd_and_crlf_score_as_their_nfc_twin():
    predicted = ["손해를 배상할\n책임이 있다."]
    twin = [unicodedata.normalize("NFD", predicted[0]).replace("\n", "\r\n")]
    assert twin != predicted
    for statistics in (chrf_statistics, bleu_statistics):
        assert (statistics(twin, GOLD[:1]) == statistics(predicted, GOLD[:1])).all()
        assert (statistics(GOLD[:1], twin) == statistics(GOLD[:1], predicted)).all()


def test_no_records_have_empty_statistics():
    assert chrf_statistics([], []).shape == (0, 18)
    assert bleu_statistics([], []).shape == (0, 10)


def test_differing_lengths_are_refused():
    with pytest.raises(ValueError):
        chrf_statistics(["가"], ["가", "나"])


def plain_common_subsequence(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first, 1):
        for j, b in enumerate(second, 1):
            longer = max(table[i - 1][j], table[i][j - 1])
            table[i][j] = table[i - 1][j - 1] + 1 if a == b else longer
    return table[-1][-1]


def test_common_subsequence_equals_the_textbook_table():
    generator = random.Random(1)
    for _ in range(300):
        letters = "가나다라"[: generator.randint(1, 4)]
        first = generator.choices(letters, k=generator.randint(0, 90))
        second = generator.choices(letters, k=generator.randint(0, 90))
        assert common_subsequence(first, second) == plain_common_subsequence(first, second)
