"""What counts as knowing the law, by hand."""

import math

import pytest

from lawtune.eval.legal import (
    Lexicon,
    content,
    find_terms,
    keyword_coverage,
    lexicon,
    noun_runs,
    set_f1,
    term_share,
)
from lawtune.eval.morphemes import analyse

# Ten documents: 손해 stands in nine, 배상 in four; nobody knows 위자료.
KNOWN = Lexicon(10, {"손해/NNG": 9, "배상/NNG": 4}, frozenset({"손해+배상", "손해", "청구+권"}))


def units(*nouns):
    return [f"{noun}/NNG" for noun in nouns]


def test_coverage_weighs_by_idf():
    gold, answer = frozenset(units("손해", "배상", "위자료")), frozenset(units("손해", "위자료"))
    weights = {"손해": math.log(11 / 10), "배상": math.log(11 / 5), "위자료": math.log(11)}
    expected = (weights["손해"] + weights["위자료"]) / sum(weights.values())
    assert keyword_coverage(answer, gold, frozenset(), KNOWN) == pytest.approx(expected)


def test_what_the_question_has_is_in_neither_side():
    gold, asked = frozenset(units("손해", "배상")), frozenset(units("배상"))
    assert keyword_coverage(frozenset(units("배상")), gold, asked, KNOWN) == 0
    assert keyword_coverage(frozenset(units("손해")), gold, asked, KNOWN) == 1
    assert set_f1(frozenset("가나"), frozenset("가나다"), frozenset("가")) == pytest.approx(2 / 3)
    assert set_f1(frozenset("가"), frozenset("가나"), frozenset("가")) == 0


def test_nothing_is_left_to_know_and_no_figure_either():
    asked = frozenset(units("손해"))
    assert keyword_coverage(frozenset(), asked, asked, KNOWN) is None
    assert set_f1(frozenset("가"), frozenset(), frozenset()) is None


def test_words_of_every_document_weigh_nothing():
    everywhere = Lexicon(3, {"경우/NNG": 3}, frozenset())
    assert everywhere.idf("경우/NNG") == 0
    # All that the gold answer has is such a word: there is nothing to cover.
    gold = frozenset(units("경우"))
    assert keyword_coverage(gold, gold, frozenset(), everywhere) is None


def test_content_leaves_out_particles_endings_and_bound_nouns():
    text = "근로자를 해고하려면 30일 전에 예고하여야 하는 것이다."
    found = content(analyse([text])[text])
    assert {"근로자/NNG", "해고/NNG", "30/SN", "예고/NNG"} <= found
    assert not any(unit.endswith(("/JKO", "/EC", "/NNB", "/SF", "/XSV")) for unit in found)


def test_the_longest_term_is_found_and_none_inside_it():
    text = ["민사/NNG", "손해/NNG", "배상/NNG", "청구/NNG", "권/XSN", "을/JKO", "손해/NNG"]
    assert list(noun_runs(text)) == [["민사", "손해", "배상", "청구", "권"], ["손해"]]
    assert find_terms(text, KNOWN.terms) == ["손해+배상", "청구+권", "손해"]
    # Five of the six nouns are part of a term.
    assert term_share(text, KNOWN.terms) == (5, 6)


def test_a_particle_parts_what_a_term_joins():
    assert find_terms(["손해/NNG", "의/JKG", "배상/NNG"], KNOWN.terms) == ["손해"]
    assert term_share([], KNOWN.terms) == (0, 0)


def test_the_lexicon_that_ships_knows_law_from_language():
    known = lexicon()
    assert known.documents > 5000
    assert all(0 < count <= known.documents for count in known.frequency.values())
    assert known.idf("경우/NNG") < known.idf("배상/NNG") < known.idf("유치권/NNP")
    for word in ("손해+배상", "저당+권", "채무+불+이행", "임차인", "과실", "기망", "가+처분"):
        assert word in known.terms, word
    for word in ("사람", "방법", "문제", "생각", "결과", "이유", "때", "경우", "우리"):
        assert word not in known.terms, word
