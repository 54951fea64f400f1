"""What an older decision says that the law has left behind since, and no source of text tells.

근로기준법 제36조 means the article that bore the number then: a reader who looks it up today finds
another rule. And some doctrines that fill the reports have been given up by the full bench.
"""

import re

_RENUMBERED = """
근로기준법 2007-04-11, 노동조합 및 노동관계조정법 1997-03-13,
산업재해보상보험법 2008-07-01, 국민건강보험법 2012-09-01, 자동차손해배상 보장법 2008-09-29,
성폭력범죄의 처벌 등에 관한 특례법 2013-06-19, 산업안전보건법 2020-01-16, 노동쟁의조정법 1997-03-13,
상표법 2016-09-01, 의장법 2014-07-01, 디자인보호법 2014-07-01, 특허법 1990-09-01,
저작권법 2007-06-29, 컴퓨터프로그램보호법 2009-07-23,
정보통신망 이용촉진 및 정보보호 등에 관한 법률 2008-06-22, 전자서명법 2020-12-10,
도로교통법 2006-06-01, 소비자보호법 2007-03-28, 소비자기본법 2007-03-28,
할부거래에 관한 법률 2010-09-18, 방문판매 등에 관한 법률 2012-08-18,
독점규제 및 공정거래에 관한 법률 2021-12-30, 신탁법 2012-07-26, 주민등록법 2007-05-11,
민사소송법 2002-07-01, 파산법 2006-04-01,
화의법 2006-04-01, 회사정리법 2006-04-01, 증권거래법 2009-02-04, 선물거래법 2009-02-04,
향정신성의약품관리법 2000-07-01, 대마관리법 2000-07-01, 마약법 2000-07-01,
신탁업법 2009-02-04, 증권투자신탁업법 2009-02-04, 간접투자자산 운용업법 2009-02-04,
변호사법 2000-07-29, 조세범 처벌법 2010-01-01, 관세법 2001-01-01, 지방세법 2011-01-01,
의료법 2007-04-11, 약사법 2007-04-11, 집회 및 시위에 관한 법률 2007-05-11,
경범죄 처벌법 2013-03-22, 건축법 2008-03-21, 주택법 2016-08-12, 보험업법 2003-08-30,
음반·비디오물 및 게임물에 관한 법률 2006-10-29
"""
"""Statute and the day from which its articles bear today's numbers (전부개정) or it is repealed."""

LAG = 2
"""Years for which courts go on citing the old numbers: for acts before the change."""

_FROM = {
    re.sub(r"[\s·]", "", name): f"{int(day[:4]) + LAG}{day[4:]}"
    for name, day in (item.rsplit(" ", 1) for item in " ".join(_RENUMBERED.split()).split(", "))
}
_FORMER = "†"
_NAMES = "|".join(sorted(_FROM, key=len, reverse=True))
_NAMED = re.compile(rf"({_FORMER})?({_NAMES})(?:시행령|시행규칙)?(?:\([^()]*\))?제\d+조")


def cites_outdated_number(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), names an article by a number that it bears no longer,
    without saying so (구 근로기준법)."""
    marked = re.sub(r"(?<![가-힣])구 ?(?=[가-힣])", _FORMER, text)
    packed = re.sub(r"[\s·ㆍ]", "", marked)
    return any(not former and date < _FROM[law] for former, law in _NAMED.findall(packed))


WITHOUT_EFFECT = frozenset({"형법 제269조", "형법 제270조"})
"""Articles that stand in the code and apply no more: abortion, by 헌재 2019. 4. 11. 2017헌바127."""

_GIVEN_UP = {
    # The motive of a change of penal law (형법 제1조 제2항): 2020도16420 전원합의체 판결.
    "2022-12-22": re.compile("반성적 고려"),
    # That ordinary wages (통상임금) be fixed: 2020다247190 전원합의체 판결.
    "2024-12-19": re.compile("통상임금.*고정(?:적|성)|고정(?:적|성).*통상임금"),
}


def states_abandoned_doctrine(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), lays down what the Supreme Court later gave up."""
    return any(date < day and said.search(text) for day, said in _GIVEN_UP.items())
