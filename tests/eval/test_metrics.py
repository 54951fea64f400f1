import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from lawtune.eval.metrics import (
    METRICS,
    bigrams,
    bleu_score,
    bleu_statistics,
    chrf_score,
    chrf_statistics,
    clean,
    common_subsequence,
    length_statistics,
    morphemes,
    overlap,
    ratio,
    rouge_l_statistics,
    utf8_bytes,
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


def test_gold_as_prediction_scores_the_maximum():
    assert chrf_score(total(chrf_statistics(GOLD, GOLD))) == pytest.approx(100)
    assert bleu_score(total(bleu_statistics(GOLD, GOLD))) == pytest.approx(100)
    assert rouge_l_statistics(GOLD, GOLD)[:, 0].tolist() == [1.0] * len(GOLD)


def test_identical_hangul_sentences_have_rouge_l_one():
    assert rouge_l_statistics(["손해를 배상할 책임이 있다."], ["손해를 배상할 책임이 있다."])[
        0, 0
    ] == pytest.approx(1.0)


def test_rouge_l_by_hand():
    # 손해/NNG 배상/NNG against 배상/NNG: one shared morpheme; P = 1/2, R = 1, F1 = 2/3.
    assert morphemes(["손해 배상", "배상"]) == [["손해/NNG", "배상/NNG"], ["배상/NNG"]]
    assert rouge_l_statistics(["손해 배상"], ["배상"])[0, 0] == pytest.approx(2 / 3)


def test_morphemes_drop_punctuation_and_keep_numerals():
    assert morphemes(["제750조(침해), 「민법」."]) == morphemes(["제750조 침해 민법"])
    assert "750/SN" in morphemes(["제750조"])[0]


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_prediction_scores_zero(empty):
    assert chrf_score(total(chrf_statistics([empty], GOLD[:1]))) == 0
    assert bleu_score(total(bleu_statistics([empty], GOLD[:1]))) == 0
    assert rouge_l_statistics([empty], GOLD[:1])[0, 0] == 0
    assert length_statistics([""])[0, 0] == 0


def test_nfd_and_crlf_score_as_their_nfc_twin():
    predicted = ["손해를 배상할\n책임이 있다."]
    twin = [unicodedata.normalize("NFD", predicted[0]).replace("\n", "\r\n")]
    assert twin != predicted
    for statistics in (chrf_statistics, bleu_statistics, rouge_l_statistics):
        assert (statistics(twin, GOLD[:1]) == statistics(predicted, GOLD[:1])).all()
        assert (statistics(GOLD[:1], twin) == statistics(GOLD[:1], predicted)).all()
    assert (length_statistics(twin) == length_statistics(predicted)).all()
    assert utf8_bytes(twin[0]) == utf8_bytes(predicted[0])
    assert bigrams(twin[0]) == bigrams(predicted[0])


def test_clean_leaves_nfc_alone_and_joins_lone_carriage_returns():
    assert clean("가\r나\r\n다\n") == "가\n나\n다\n"


def test_bytes_are_three_a_syllable():
    assert utf8_bytes("민법 1조") == 3 * 3 + 2


def test_length_counts_characters():
    assert length_statistics(["민법 제1조", "가"]).tolist() == [[6, 1], [1, 1]]


def test_no_records_have_empty_statistics():
    assert chrf_statistics([], []).shape == (0, 18)
    assert bleu_statistics([], []).shape == (0, 10)
    assert rouge_l_statistics([], []).shape == (0, 2)


def test_differing_lengths_are_refused():
    with pytest.raises(ValueError):
        chrf_statistics(["가"], ["가", "나"])


def test_ratio_is_undefined_over_nothing():
    assert np.isnan(ratio(np.array([0.0, 0.0])))
    assert ratio(np.array([3.0, 4.0])) == 0.75


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


def test_overlap_is_relative_to_the_choice():
    # The choice's bigrams 손해, 해배, 배상; the question has 손해 and 배상.
    assert overlap("손해와 배상", "손해 배상") == pytest.approx(2 / 3)
    assert overlap("손해와 배상", "가") == 0


def test_every_metric_says_what_it_is():
    assert list(METRICS)[:2] == ["bits_per_byte", "accuracy"]
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.definition
        assert metric.source
        assert ":" in metric.signature()
    assert "tok:char" in METRICS["bleu"].signature()
    assert "nc:6" in METRICS["chrf"].signature()
    assert "version:" in METRICS["chrf"].signature()
    assert "kiwipiepy:" in METRICS["rougeL"].signature()


def test_figures_need_no_torch():
    code = (
        "import sys, lawtune.eval.metrics, lawtune.eval.stats, lawtune.eval.evaluate,"
        " lawtune.eval.report; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
