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
    parts = dict.fromkeys(("law", "part", "label", "title", "topic"), "말")
    chosen = [phrasing.phrase(phrasing.EXPLAIN, str(key), **parts) for key in range(300)]
    assert chosen == [phrasing.phrase(phrasing.EXPLAIN, str(key), **parts) for key in range(300)]
    assert len(set(chosen)) == len(phrasing.EXPLAIN)
    assert phrasing.phrase(phrasing.EXPLAIN, "0", **parts) == chosen[0]


LISTS = {
    name: value
    for name, value in vars(phrasing).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, tuple)
}
CITIZEN = re.compile(r"나요\?|어요|까요\?|주세요|해요|궁금합니다")
PRACTITIONER = re.compile(r"습니까\?|입니까\?|십시오|합니까\?")
MEMO = re.compile(r"시오\.|[은는]\?$")


@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_list_speaks_in_several_registers(name):
    templates = LISTS[name]
    assert len(set(templates)) == len(templates)
    if name.endswith("_UNNAMED"):  # what citizens add to another list
        assert all(CITIZEN.search(template) for template in templates)
        return
    assert len(templates) >= 6
    for register in (CITIZEN, PRACTITIONER, MEMO):
        assert sum(bool(register.search(template)) for template in templates) >= 1


@pytest.mark.parametrize(
    ("issue", "asked"),
    [
        ("책임을 지는지 여부", "책임을 지는지"),
        ("유죄의 증거가 되는지 판단하는 기준", "유죄의 증거가 되는지 판단하는 기준이 무엇인지"),
        ("횡령죄의 성립 여부", "횡령죄가 성립하는지"),
        ("배임죄의 성립여부", "배임죄가 성립하는지"),
        ("고의의 인정 여부", "고의가 인정되는지"),
        ("고의 인정 여부", "고의가 인정되는지"),
        ("불법영득의사 인정 여부", "불법영득의사가 인정되는지"),
        ("합의 성립 여부", "합의가 성립하는지"),
        ("기망행위 해당 여부", "기망행위에 해당하는지"),
        ("'공연성'의 의미", "'공연성'의 의미가 무엇인지"),
        ("소멸시효의 기산점", "소멸시효의 기산점이 언제인지"),
        ("배임죄의 주체", "배임죄의 주체가 누구인지"),
        ("거래행위의 효력", "거래행위의 효력이 어떻게 되는지"),
        ("광산 덕대계약과 사용자", None),
        ("", None),
    ],
)
def test_an_issue_as_a_clause(issue, asked):
    assert phrasing.asked_of(issue) == asked


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
        ("약정의 효력(무효) 및 합의의 효력", "약정의 효력 및 합의의 효력"),
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
