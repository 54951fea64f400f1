"""Which answers are shown as the worst, by whose rule, and what is said of their citations."""

from lawtune.eval.citation_index import load_index
from lawtune.eval.exhibits import exhibit, false_citations, worst
from lawtune.records import QAPair

INDEX = load_index()
GOLD = "민법 제750조에 따라 고의 또는 과실로 손해를 가한 자는 배상할 책임이 있다."


def show(prediction, id="a", base=None):
    row = {"prediction": prediction, "base_prediction": base, "stopped": True}
    return exhibit(QAPair("누가 배상하는가?", GOLD, id), row, INDEX)


def test_citations_are_told_where_they_stand():
    shown = show("민법 제750조, 민법 제9999조, 없는법 제1조를 본다.", base="민법 제750조")
    found = [
        (shown["prediction"][one["start"] : one["end"]], one["status"])
        for one in shown["citations"]["prediction"]
    ]
    assert found == [
        ("민법 제750조", "verified"),
        ("민법 제9999조", "absent"),
        ("없는법 제1조", "unchecked"),
    ]
    assert [one["status"] for one in shown["citations"]["base_prediction"]] == ["verified"]
    assert len(shown["citations"]["gold"]) == 1


def test_likeness_is_chrf():
    assert show(GOLD)["chrf"] == 100
    assert show("")["chrf"] == 0
    assert 0 < show("고의 또는 과실로")["chrf"] < 100


def test_the_worst_cite_what_does_not_exist_then_resemble_least():
    shown = [
        show(GOLD, "good"),
        show("", "empty"),
        show("민법 제9999조. 민법 제9999조", "one"),
        show("민법 제9998조와 민법 제9999조", "two"),
    ]
    assert [one["id"] for one in worst(shown)] == ["two", "one", "empty", "good"]
    assert [one["id"] for one in worst(shown, 2)] == ["two", "one"]
    assert [false_citations(one) for one in shown] == [0, 0, 1, 2]
    assert worst([]) == []
