import math
import subprocess
import sys

import numpy as np
import pytest

from lawtune.eval import morphemes
from lawtune.eval.form import length, pieces, repeated
from lawtune.eval.metrics import METRICS
from lawtune.eval.morphemes import analyse, words
from lawtune.eval.summed import bits_statistics, ratio
from lawtune.eval.texts import LANGUAGES


def test_every_metric_says_what_it_is_in_both_languages():
    assert list(METRICS)[:2] == ["bits_per_byte", "accuracy"]
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.definition
        assert metric.source
        assert ":" in metric.signature()
        for table in LANGUAGES.values():
            assert table["metrics"][name]
            assert table["definitions"][name]
    assert "tok:char" in METRICS["bleu"].signature()
    assert "nc:6" in METRICS["chrf"].signature()
    assert "version:" in METRICS["chrf"].signature()
    assert "kiwipiepy:" in METRICS["rougeL"].signature()


def test_morphemes_are_told_with_their_tags():
    texts = ["손해 배상", "배상", "손해 배상"]
    assert analyse(texts) == {"손해 배상": ["손해/NNG", "배상/NNG"], "배상": ["배상/NNG"]}


def test_words_drop_punctuation_and_keep_numerals():
    marked, plain = "제750조(침해), 「민법」.", "제750조 침해 민법"
    analyses = analyse([marked, plain])
    assert words(analyses[marked]) == words(analyses[plain])
    assert "750/SN" in words(analyses[plain])


def test_without_an_analyser_the_units_are_characters(monkeypatch):
    monkeypatch.setattr(morphemes, "has_analyser", lambda: False)
    assert words(analyse(["손해, 1"])["손해, 1"]) == ["손/CHR", "해/CHR", "1/CHR"]
    assert "unit:character" in METRICS["rougeL"].signature()


def test_length_counts_characters():
    assert (length("민법 제1조"), length("가"), length("")) == (6, 1, 0)


def test_repetition_by_hand():
    # Runs of four among 가 나 다 라 가 나 다 라: five, the last of which is the first again.
    assert repeated(list("가나다라가나다라")) == (1, 5)
    assert repeated(["가"] * 10) == (6, 7)
    assert repeated(list("가나다라마")) == (0, 2)
    assert repeated(list("가나다")) == (0, 0)


def test_a_loop_without_white_space_repeats_itself_too():
    assert pieces("손해 배상　책임\n이다") == ["손해", "배상", "책임", "이다"]
    # 1000, then 0000 the first time and 43 times more.
    assert repeated(pieces("1" + "0" * 47)) == (43, 45)
    assert repeated(pieces("특정경제범죄가중처벌등에관한법률")) == (0, 0)  # one word of 16


def test_ratio_is_undefined_over_nothing():
    assert np.isnan(ratio(np.array([0.0, 0.0])))
    assert ratio(np.array([3.0, 4.0])) == 0.75


def test_bits_by_hand():
    # Two nats' worth of bits over 가 and a: 3 bytes and 1.
    rows = bits_statistics([-math.log(2), -2 * math.log(2)], ["가", "a"])
    assert rows == pytest.approx(np.array([[1, 3], [2, 1]]))


def test_figures_need_no_torch():
    code = (
        "import sys, lawtune.eval.metrics, lawtune.eval.stats, lawtune.eval.evaluate,"
        " lawtune.eval.report; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
