import pytest

from lawtune.eval.texts import LANGUAGES
from lawtune.eval.verdict import (
    detectable,
    difference,
    headline,
    interval,
    judge,
    number,
    statements,
)


def entry(interval, base=1.0):
    low, high = interval or (0.0, 0.0)
    delta = (low + high) / 2
    return {
        "value": 1.0 + delta,
        "n": 50,
        "groups": 40,
        "ci95": None,
        "base": base,
        "delta": delta if base is not None else None,
        "delta_ci95": list(interval) if interval else None,
    }


@pytest.mark.parametrize(
    ("name", "bounds", "expected"),
    [
        ("bits_per_byte", (-0.3, -0.1), "better"),
        ("bits_per_byte", (0.1, 0.3), "worse"),
        ("bits_per_byte", (-0.1, 0.3), "none"),
        ("bits_per_byte", (-0.1, 0.0), "none"),
        ("accuracy", (0.1, 0.3), "better"),
        ("accuracy", (-0.3, -0.1), "worse"),
        ("accuracy", (0.0, 0.0), "none"),
        ("accuracy", None, "unknown"),
        ("response_length", (10, 20), "neutral"),
    ],
)
def test_a_difference_is_shown_only_off_zero(name, bounds, expected):
    assert judge(name, entry(bounds)) == expected


@pytest.mark.parametrize(("p", "expected"), [(0.05, "better"), (0.051, "none"), (1.0, "none")])
def test_what_chance_and_the_number_of_metrics_explain_is_not_shown(p, expected):
    assert judge("accuracy", entry((0.1, 0.3)) | {"p": 0.001, "p_holm": p}) == expected


def test_a_small_test_set_is_called_small():
    def said(size):
        metrics = {"accuracy": entry((0.1, 0.3)) | {"minimum_detectable": size}}
        return [one.text for one in statements(metrics, {"groups": 40}, LANGUAGES["en"])]

    assert "small test set (40 source" in said(0.15)[-1]
    assert "accuracy 0.150" in said(0.15)[-1]
    assert "small" not in said(0.05)[-1]
    assert "accuracy 0.050" in said(0.05)[-1]
    # Nothing varied: nothing can be said.
    assert not any("0.000" in text for text in said(None)[1:])


def test_detectable_differences_of_all_judged_metrics_are_listed():
    metrics = {
        name: entry((0.1, 0.3)) | {"minimum_detectable": 0.5}
        for name in ("accuracy", "chrf", "response_length")
    }
    (line,) = detectable(metrics, LANGUAGES["en"])
    assert "accuracy 0.500, chrF 0.50." in line
    assert detectable({"accuracy": entry((0.1, 0.3))}, LANGUAGES["en"]) == []


LOWER, HIGHER, ACROSS = (-0.3, -0.1), (0.1, 0.3), (-0.1, 0.1)


@pytest.mark.parametrize(
    ("bits", "accuracy", "expected"),
    [
        (LOWER, HIGHER, "better"),
        (LOWER, ACROSS, "better_bits"),
        (LOWER, None, "better_bits"),
        (ACROSS, HIGHER, "better_accuracy"),
        (LOWER, LOWER, "mixed"),
        (HIGHER, HIGHER, "mixed"),
        (HIGHER, LOWER, "worse"),
        (HIGHER, ACROSS, "worse_bits"),
        (ACROSS, LOWER, "worse_accuracy"),
        (ACROSS, ACROSS, "none"),
        (ACROSS, None, "none"),
        (None, None, "unknown"),
    ],
)
def test_headline(bits, accuracy, expected):
    metrics = {"bits_per_byte": entry(bits), "accuracy": entry(accuracy)}
    assert headline(metrics) == expected
    for words in LANGUAGES.values():
        assert words["headlines"][expected]


def test_without_a_base_nothing_is_claimed():
    metrics = {"bits_per_byte": entry(None, base=None)}
    assert headline(metrics) == "alone"
    assert statements(metrics, {}, LANGUAGES["en"]) == []


@pytest.mark.parametrize(
    ("bounds", "paired", "chance", "overlap"),
    [
        ([0.25, 0.35], [-0.2, -0.01], "better", "worse"),
        ([0.25, 0.35], [-0.2, 0.01], "better", "none"),
        ([0.15, 0.45], [-0.3, 0.1], "none", "none"),
        ([0.05, 0.15], [-0.4, -0.2], "worse", "worse"),
        ([0.45, 0.55], [0.01, 0.2], "better", "better"),
        ([0.45, 0.55], [0.0, 0.2], "better", "none"),
    ],
)
def test_accuracy_is_held_against_chance_and_word_overlap(bounds, paired, chance, overlap):
    figure = entry(None, base=None) | {"value": sum(bounds) / 2, "ci95": bounds}
    figure |= {"chance": 0.2, "word_overlap_baseline": 0.4}
    # Chance by accuracy's own interval, word overlap by that of the paired difference, whatever the
    # first one is.
    figure["word_overlap_baseline_delta_ci95"] = paired
    for p, judged in ((0.05, overlap), (0.06, "none")):
        figure["word_overlap_baseline_p"] = p
        said = statements({"accuracy": figure}, {}, LANGUAGES["en"])
        assert [statement.judgement for statement in said] == [chance, judged]


def test_reservations_are_said():
    run = {"accuracy_excluded": ["a", "b"], "distractors_rechosen": 4}
    said = statements({}, run, LANGUAGES["en"])
    assert [statement.judgement for statement in said] == ["neutral"] * 2
    assert said[0].text.endswith(": 2.")
    assert said[1].text.endswith(": 4.")
    assert statements({}, {"accuracy_excluded": []}, LANGUAGES["en"]) == []


def test_few_sources_are_said_of_the_metrics_that_they_are_behind():
    def said(**groups):
        metrics = {name: entry(None, base=None) | {"groups": n} for name, n in groups.items()}
        return [one.text for one in statements(metrics, {"groups": 300}, LANGUAGES["en"])]

    assert said(chrf=20, rougeL=20) == []
    (few,) = said(chrf=6, rougeL=7, bleu=40)
    assert "Fewer than 20 source documents" in few and "chrF" in few and "BLEU" not in few
    # Nobody judges the length of answers.
    assert said(response_length=3) == []


@pytest.mark.parametrize(("lang", "marked"), [("en", "0.25% of"), ("ko", "0.25%를")])
def test_bytes_that_the_tokenizer_does_not_know_mark_the_figure(lang, marked):
    def said(share):
        figures = {"bits_per_byte": entry(None, base=None) | {"unknown_bytes": share}}
        return [one.text for one in statements(figures, {}, LANGUAGES[lang])]

    assert marked in said(0.0025)[0]
    assert said(0.001) == said(0.0) == said(None) == []


def test_what_was_left_out_of_a_score_is_said():
    run = {"missing": ["a"], "unknown_ids": ["x", "y"], "answers_cut": ["b"]}
    run["excluded"] = {"citation_f1": ["a", "b"], "legal_relevance": ["a"]}
    said = " ".join(one.text for one in statements({}, run, LANGUAGES["en"]))
    for text in ("empty: 1", "left out: 2", "tail: 1", "citations (F1) 2, legal relevance (F1) 1"):
        assert text in said


def test_numbers():
    assert number("bits_per_byte", 1.23456) == "1.235"
    assert number("chrf", 12.345) == "12.35" or number("chrf", 12.345) == "12.34"
    assert number("accuracy", 0.5, signed=True) == "+0.500"
    assert number("accuracy", None) == "-"
    assert interval("accuracy", None) == ""
    assert difference("accuracy", entry((-0.2, 0.1))) == "-0.050 [-0.200, +0.100]"
    # No difference at all has no sign.
    assert difference("accuracy", entry(None)) == "0.000"
