"""Statutes, article numbers and doctrines that the law has left behind."""

import pytest

from lawtune.data.superseded import speaks_of_past_law, states_abandoned_doctrine


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
        ("이자제한법 제3조에 의하면 수수료는 이자로 본다.", "1997-09-30", True),
        ("이자제한법 제4조에 의하면 수수료는 이자로 본다.", "2018-09-30", False),
        ("산업안전보건법 제46조에 따른 근로시간", "2024-01-04", True),  # the acts are older
        ("문화재보호법 제80조 제2항", "1999-05-11", True),
        ("법인세법상 접대비라고 할 것이다.", "2010-06-24", True),
        # Its number stands further on, in brackets.
        ("방문판매등에관한법률상 무등록영업행위는 등록을 하지 않는 것(제28조)", "2001-03-27", True),
        ("구 방문판매등에관한법률상 무등록영업행위(제28조)", "2001-03-27", False),
        ("방문판매등에관한법률상 무등록영업행위", "2001-03-27", False),
        # An institution that is no more, unless the text tells of a law of its day.
        ("은행법의 새마을금고연합회의 신용사업부문", "2003-12-26", True),
        ("구 은행법의 새마을금고연합회의 신용사업부문", "2003-12-26", False),
        # One article alone was written anew.
        ("형사소송법 제312조 제2항", "2001-09-28", True),
        ("형사소송법 제312조 제3항", "2012-01-01", False),
        ("형사소송법 제312조의2", "2001-09-28", False),
        ("형사소송법 제317조", "2001-09-28", False),
        ("구 형사소송법 제312조", "2001-09-28", False),
        ("형사소송법 제247조 제1항", "2006-12-22", True),
        # 제125조 for short, the statute named before.
        ("산업재해보상보험법은 제125조가 정한 특례를 제외하고는 … 한다.", "2019-11-28", True),
        ("도로교통법 제125조의 특례", "2019-11-28", False),
        ("만국형법 제37조", "2003-01-01", False),
        # A statute that is no more needs no number to be the law of its day.
        ("상법, 증권거래법에서 자격이 제한된 수탁회사", "2005-04-29", True),
        ("구 증권거래법이 정한 수탁회사", "2005-04-29", False),
        ("총포ㆍ도검ㆍ화약류 등 단속법의 모의총포", "2011-01-27", True),
        ("총포·도검·화약류 등의 안전관리에 관한 법률", "2011-01-27", False),
        ("국민의료보험법인", "1990-01-01", False),  # a name within another word
        ("구 은행법과 현행 은행법의 요건", "2006-07-06", True),
        ("현행범인의 체포", "2006-07-06", False),
    ],
)
def test_law_of_a_time_gone_by(text, date, outdated):
    assert speaks_of_past_law(text, date) is outdated


@pytest.mark.parametrize(
    ("text", "date", "given_up"),
    [
        ("반성적 고려에서 법령을 개폐하였을 경우", "1997-12-09", True),
        ("반성적 고려에서 법령을 개폐하였을 경우", "2023-02-23", False),
        ("통상임금은 정기적·일률적·고정적으로 지급되는 임금을 말한다.", "2024-11-14", True),
        ("통상임금은 소정근로의 대가이다.", "2024-11-14", False),
        ("이사회 결의가 없었음을 알았거나 알 수 있었을 경우", "1998-03-24", True),
        ("이사회 결의가 없었음을 알았거나 알 수 있었을 경우", "2021-02-18", False),
        ("명의수탁자가 처분하면 횡령죄가 성립한다.", "2010-01-01", True),
        ("횡령죄의 보관자", "2010-01-01", False),
        ("영업비밀은 상당한 노력에 의하여 비밀로 유지된 것이다.", "2004-09-23", True),
        ("구 부정경쟁방지법의 것은 노력에 의하여 비밀로 유지된 것이다.", "2004-09-23", False),
        ("무효인 채무부담행위는 배임죄를 구성하지 아니한다.", "2012-05-24", True),
        ("혈중알코올농도가 0.05% 이상인 상태", "2008-01-01", True),
    ],
)
def test_doctrines(text, date, given_up):
    assert states_abandoned_doctrine(text, date) is given_up
