"""Particles, phrasings, and issues that do not give their answer away."""

import re

import pytest

from lawtune.data import phrasing
from lawtune.data.sources import ReadReport, read_source
from lawtune.starter import CORPUS

# By hand, as the words are read aloud.
PARTICLES = [
    ("민법", "은을이"),
    ("판례", "는를가"),
    ("민법 제750조", "는를가"),
    ("제750조(불법행위의 내용)", "는를가"),
    ("제2조(정의(용어))", "는를가"),
    ("대법원 2018. 10. 30. 선고 2013다61381 판결", "은을이"),
    ("판결(전원합의체)", "은을이"),
    ("「상법」", "은을이"),
    ("'효력 여부'", "는를가"),
    ("2013다61380", "은을이"),
    ("2013다61381", "은을이"),
    ("2013다61382", "는를가"),
    ("2013다61383", "은을이"),
    ("2013다61384", "는를가"),
    ("2013다61385", "는를가"),
    ("2013다61386", "은을이"),
    ("2013다61387", "은을이"),
    ("2013다61388", "은을이"),
    ("2013다61389", "는를가"),
    ("회사 A", "는를가"),
    ("회사 L", "은을이"),
    ("피고 N", "은을이"),
    ("CCTV", "는를가"),
    ("SNS", "는를가"),
    ("甲", "은을이"),
]


@pytest.mark.parametrize(("word", "particles"), PARTICLES)
def test_particles(word, particles):
    for slot, particle in zip(("은", "을", "이"), particles, strict=True):
        assert (
            phrasing.phrase((f"{{w}}{{{slot}}} 본다.",), "k", w=word) == f"{word}{particle} 본다."
        )


def test_a_part_with_braces_is_left_alone():
    assert phrasing.phrase(("{w}{은} {x}",), "k", w="{은}", x="{}") == "{은}은 {}"


def test_a_phrasing_is_chosen_by_its_key_alone_and_all_are_used():
    parts = dict.fromkeys(("law", "label", "title", "topic"), "말")
    chosen = [phrasing.phrase(phrasing.EXPLAIN, str(key), **parts) for key in range(300)]
    assert chosen == [phrasing.phrase(phrasing.EXPLAIN, str(key), **parts) for key in range(300)]
    assert len(set(chosen)) == len(phrasing.EXPLAIN)
    assert phrasing.phrase(phrasing.EXPLAIN, "0", **parts) == chosen[0]


@pytest.mark.parametrize(
    "name", ["EXPLAIN", "EXPLAIN_PARAGRAPH", "INTERPRET", "APPLY", "ANALYSE", "IMPACT"]
)
def test_every_type_has_several_phrasings(name):
    assert len(set(getattr(phrasing, name))) >= 4


@pytest.mark.parametrize(
    ("holding", "issue"),
    [
        ("효력이 있는지 여부(적극)", "효력이 있는지 여부"),
        ("효력이 있는지 여부 (소극)", "효력이 있는지 여부"),
        ("효력이 있는지 여부(원칙적 소극)", "효력이 있는지 여부"),
        ("효력이 있는지 여부(한정 적극)", "효력이 있는지 여부"),
        ("효력이 있는지 여부(제한적 적극)", "효력이 있는지 여부"),
        ("갑인지 여부(조건부 적극) 및 을인지 여부(= 소극)", "갑인지 여부 및 을인지 여부"),
        ("갑인지(적극) 및 을인지(소극)", "갑인지 및 을인지"),
        ("판단 시점(=이사회 결의시)", "판단 시점"),
        ("판단 기준(=사실심 변론종결시(원심))", "판단 기준"),
        ("입증책임의 소재(검사)", "입증책임의 소재"),
        ("갑인지 여부(적극) / 을인지 여부(소극)", "갑인지 여부, 그리고 을인지 여부"),
        (
            "손해(적극적 손해)의 배상 및 상속인의 소극재산(채무)",
            "손해(적극적 손해)의 배상 및 상속인의 소극재산",
        ),
        ("적극적으로 종용한 경우의 책임.", "적극적으로 종용한 경우의 책임"),
    ],
)
def test_an_issue_is_free_of_its_outcome(holding, issue):
    assert phrasing.issue_of(holding) == issue


# Written apart from the code: any bracket that holds a verdict word or begins with "=".
VERDICT = re.compile(r"[(\[（][^()\[\]（）]*(?:적극|소극)(?!적|재산)|[(\[（]\s*[=＝]")


def test_no_issue_of_the_starter_corpus_tells_its_outcome():
    cases = list(read_source(CORPUS / "decisions", ReadReport()))
    issues = [phrasing.issue_of(holding) for case in cases for holding in case.holdings.values()]
    assert len(issues) > 1000
    assert sum(bool(VERDICT.search(h)) for case in cases for h in case.holdings.values()) > 500
    assert [issue for issue in issues if VERDICT.search(issue)] == []
    assert all(issues)
