"""Article numbers and doctrines that the law has left behind."""

import pytest

from lawtune.data.superseded import cites_outdated_number, states_abandoned_doctrine


@pytest.mark.parametrize(
    ("text", "date", "outdated"),
    [
        ("근로기준법 제36조 위반죄", "2002-09-24", True),
        ("근로기준법 제36조 위반죄", "2008-01-01", True),  # courts go on citing for a while
        ("근로기준법 제36조 위반죄", "2017-07-11", False),
        ("구 근로기준법 제36조 위반죄", "2002-09-24", False),
        ("구 근로기준법 제30조와 근로기준법 제36조", "2002-09-24", True),
        ("청구 근로기준법 제36조", "2002-09-24", True),  # 청구 is no 구
        ("근로기준법상의 근로자", "2002-09-24", False),  # no number in it
        ("형법 제347조", "1980-01-01", False),
        ("방문판매등에관한법률 제13조", "2009-09-10", True),
        ("방문판매 등에 관한 법률 시행령 제13조", "2009-09-10", True),
        ("체육시설의 설치ㆍ이용에 관한 법률 제19조", "1999-01-01", False),  # not in the list
        ("증권투자신탁업법 제33조", "2004-02-27", True),
        ("구 증권투자신탁업법 제33조", "2004-02-27", False),
        ("민사소송법 제714조 제2항", "2000-02-11", True),
    ],
)
def test_article_numbers(text, date, outdated):
    assert cites_outdated_number(text, date) is outdated


@pytest.mark.parametrize(
    ("text", "date", "given_up"),
    [
        ("반성적 고려에서 법령을 개폐하였을 경우", "1997-12-09", True),
        ("반성적 고려에서 법령을 개폐하였을 경우", "2023-02-23", False),
        ("통상임금은 정기적·일률적·고정적으로 지급되는 임금을 말한다.", "2024-11-14", True),
        ("통상임금은 소정근로의 대가이다.", "2024-11-14", False),
    ],
)
def test_doctrines(text, date, given_up):
    assert states_abandoned_doctrine(text, date) is given_up
