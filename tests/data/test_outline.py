"""Where an article stands in its statute, and what that tells."""

import pytest

from lawtune.data.outline import Outline, subjects


def test_a_heading_closes_those_of_its_level_and_below():
    outline, seen = Outline(), []
    for line in (
        "제1편 총칙",
        "제1장 통칙 <개정 2020.2.4>",
        "제2절",
        "제1장의2 특례",
        "제3관 끝",
        "제2편 상행위",
    ):
        assert outline.enter(line)
        seen.append(outline.headings)
    assert seen == [
        ("제1편 총칙",),
        ("제1편 총칙", "제1장 통칙"),
        ("제1편 총칙", "제1장 통칙", "제2절"),
        ("제1편 총칙", "제1장의2 특례"),
        ("제1편 총칙", "제1장의2 특례", "제3관 끝"),
        ("제2편 상행위",),
    ]


@pytest.mark.parametrize("line", ["", "제1조 목적", "제1장에 따른 신고는", "이 법 제1장 총칙"])
def test_what_is_no_heading_changes_nothing(line):
    outline = Outline()
    outline.enter("제1장 총칙")
    assert not outline.enter(line)
    assert outline.headings == ("제1장 총칙",)


@pytest.mark.parametrize(
    ("headings", "said", "told"),
    [
        ((), "계약의 해지", []),
        (("제1편 총칙", "제5장 보 칙", "제6장 벌칙"), "신고", []),
        (("제2편 상행위", "제4장 익명조합"), "계약의 해지", ["상행위", "익명조합"]),
        # What the question says already, and what another heading holds, is left out.
        (("제2편 상행위", "제4장 익명조합"), "익명조합의 종료", ["상행위"]),
        (("제4편 보험", "제2장 손해보험", "제1절 통칙"), "손해액", ["손해보험"]),
        (("제1편 가", "제2장 나", "제3절 다", "제4관 라"), "신고", ["다", "라"]),
        (("제1장",), "신고", []),
    ],
)
def test_what_headings_tell(headings, said, told):
    assert subjects(headings, said) == told
