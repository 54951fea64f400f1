"""Runs of words as numbers."""

import subprocess
import sys
import unicodedata

import numpy as np

from lawtune.data.ngrams import RunSet, hash_runs, words_of


def test_words_are_what_stands_between_marks():
    words = ["민법", "제750조", "제751조", "불법", "는", "abc", "가", "나", "民法"]
    assert words_of("「민법」 제750조ㆍ제751조(불법)는\nABC_①가·나 民法") == words
    assert words_of(unicodedata.normalize("NFD", "민법")) == ["민법"]


def test_runs_are_equal_exactly_where_the_words_are():
    rng = np.random.default_rng(0)
    words = [str(word) for word in rng.integers(0, 4, 300)]
    runs = hash_runs(words, 5)
    spelt = [tuple(words[i : i + 5]) for i in range(296)]
    assert len(runs) == 296
    for i in range(0, 296, 7):
        assert [bool(x) for x in runs == runs[i]] == [other == spelt[i] for other in spelt]


def test_too_few_words_have_no_run():
    assert hash_runs(["가"] * 12).shape == (0,)
    assert hash_runs(["가"] * 13).shape == (1,)
    assert RunSet([hash_runs(["가"] * 13)]).share(hash_runs(["가"])) is None


def test_a_set_knows_its_runs_and_no_others():
    first, second = (hash_runs([f"{name}{i}" for i in range(40)]) for name in "ab")
    runs = RunSet([first, first[:3]])
    assert len(runs) == 28
    assert runs.contains(first).all() and not runs.contains(second).any()
    assert runs.share(np.concatenate([first[:7], second[:21]])) == 0.25
    assert RunSet([]).share(first) == 0.0


def test_the_numbers_are_the_same_in_another_process():
    code = "from lawtune.data.ngrams import hash_runs; print(int(hash_runs(list('가나다'), 3)[0]))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == int(hash_runs(list("가나다"), 3)[0])
