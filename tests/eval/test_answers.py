"""From answers to metrics: what each is told of, and on which records."""

from dataclasses import replace

import pytest

from lawtune.eval import answers as module
from lawtune.eval import morphemes
from lawtune.eval.answers import AGAINST_GOLD, Answers, list_excluded, observe_answers
from lawtune.eval.citation_index import load_index
from lawtune.eval.metrics import METRICS
from lawtune.eval.stats import Bootstrap
from lawtune.eval.table import tabulate
from lawtune.records import QAPair

INDEX = load_index()
PAIR = QAPair(
    question="과실로 손해를 가하면 어떤 책임을 집니까?",
    answer="민법 제750조에 따라 그 손해를 배상할 책임이 있다. 민법 제763조도 준용한다.",
    id="a",
    citations=("민법 제750조", "대법원 2000. 6. 27. 선고 2000도1155 판결"),
)


def figures(texts, pairs=None, base=None, stopped=None):
    pairs = pairs or [PAIR] * len(texts)
    said = [Answers(texts, stopped)] + ([Answers(base, stopped)] if base else [])
    observed = observe_answers(pairs, range(len(pairs)), said, INDEX)
    return tabulate(observed, pairs, Bootstrap(10, 0))[None]


def test_every_metric_that_answers_alone_allow_is_there():
    of_likelihood = {"bits_per_byte"} | {name for name in METRICS if name.startswith("accuracy")}
    assert set(figures(["가"])) == set(METRICS) - of_likelihood


def test_citations_by_status_are_shares_of_all_citations():
    said = ["민법 제750조, 민법 제9999조", "민법 제750조(혼인), 없는법 제1조, 민법 제1조", "없다"]
    found = figures(said)
    shares = {name: found[f"citation_{name}"]["value"] for name in module.STATUSES}
    assert shares == pytest.approx(
        {"verified": 2 / 5, "absent": 1 / 5, "mismatch": 1 / 5, "unchecked": 1 / 5}
    )
    assert found["citation_verified"]["n"] == 2  # the third cites nothing
    assert found["citation_verified"]["gold"] == 1


def test_citation_f1_by_hand():
    def f1(text):
        return figures([text])["citation_f1"]

    assert f1("민법 제750조")["value"] == pytest.approx(2 / 3)  # one of two, nothing wrong
    assert f1("2000도1155, 민법 750조")["value"] == 1
    assert f1("민법 제751조와 민법 제750조")["value"] == pytest.approx(2 / 4)
    # What the gold answer cites beyond the record's citations is neither right nor wrong.
    assert f1(PAIR.answer)["value"] == f1("민법 제750조")["value"] == f1("무관")["gold"]
    kinds = f1("민법 제750조 제1항")
    assert (kinds["articles"], kinds["decisions"]) == (1, 0)


def test_spaces_in_a_statutes_name_make_no_difference():
    pair = replace(PAIR, citations=("특정경제범죄가중처벌등에관한법률 제3조",))
    found = figures(["특정경제범죄 가중처벌 등에 관한 법률 제3조 제1항"], [pair])
    assert found["citation_f1"]["value"] == 1


def test_the_context_counts_as_asked():
    context = "민법 제750조: 배상할 책임이 있다."
    told = replace(PAIR, context=context)
    for name in ("keyword_coverage", "legal_relevance", "citation_f1"):
        assert figures([context], [told])[name]["value"] == 0
        assert figures([context])[name]["value"] > 0


def test_records_with_nothing_to_know_are_left_out_and_listed():
    bare = replace(PAIR, id="b", answer=PAIR.question, citations=())
    pairs = [PAIR, bare]
    observed = observe_answers(pairs, [0, 1], [Answers(["", ""])], INDEX)
    for name in ("keyword_coverage", "legal_relevance", "citation_f1"):
        assert observed[name].index == [0]
    assert list_excluded(observed, pairs, [0, 1]) == {
        "keyword_coverage": ["b"],
        "legal_relevance": ["b"],
        "citation_f1": ["b"],
    }
    assert observed["rougeL"].index == [0, 1]


def test_a_file_without_citations_has_no_citation_f1():
    found = figures(["민법 제750조"], [replace(PAIR, citations=())])
    assert (found["citation_f1"]["value"], found["citation_f1"]["n"]) == (None, 0)


def test_base_and_tuned_are_told_of_the_same_records():
    found = figures(["민법 제750조", "가 나 다 라 마"], base=["없다", "민법 제9999조 제1항"])
    absent = found["citation_absent"]
    assert (absent["n"], absent["value"], absent["base"], absent["delta"]) == (2, 0, 1, -1)
    assert found["repetition"]["n"] == 1


def test_whether_answers_ended_is_known_or_null():
    assert figures(["가", "나"], stopped=[True, False])["stopped"]["value"] == 0.5
    assert figures(["가", "나"])["stopped"]["value"] is None
    assert figures(["가", "나"])["stopped"]["n"] == 0


def test_gold_stands_beside_what_has_no_best():
    found = figures([""])
    assert found["response_length"]["gold"] == len(PAIR.answer)
    said = figures(["손해를 배상할 책임이 있다."])["legal_term_rate"]
    assert (said["value"], said["n"]) == (1, 1)  # 손해, 배상, 책임
    assert 0.5 < said["gold"] <= 1


def test_without_an_analyser_rouge_counts_characters_and_terms_are_undefined(monkeypatch):
    monkeypatch.setattr(morphemes, "has_analyser", lambda: False)
    found = figures([PAIR.answer, "손해"])
    assert found["rougeL"]["value"] == pytest.approx((1 + 2 * 2 / (2 + 34)) / 2, abs=0.02)
    for name in module.NEEDS_ANALYSER:
        assert found[name]["value"] is None
    assert found["citation_f1"]["value"] is not None


def test_all_metrics_against_the_gold_are_known_metrics():
    assert set(AGAINST_GOLD) | set(module.SHARES) <= set(METRICS)


def test_each_text_is_analysed_once_and_all_in_one_call(monkeypatch):
    calls = []

    def analyse(texts, whole=morphemes.analyse):
        calls.append(list(texts))
        return whole(calls[-1])

    monkeypatch.setattr(morphemes, "analyse", analyse)
    figures([PAIR.answer, "민법 제750조"], base=["민법 제750조", PAIR.question])
    assert len(calls) == 1
    assert sorted(calls[0]) == sorted({PAIR.answer, PAIR.question, "민법 제750조"})
