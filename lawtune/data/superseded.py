"""What an older decision says that the law has left behind since, and no source of text tells.

근로기준법 제36조 means the article that bore the number then: a reader who looks it up today finds
another rule. And some doctrines that fill the reports have been given up by the full bench.
"""

import re
from collections.abc import Iterable

from lawtune.data.references import law_key

_RENUMBERED = """
근로기준법 2007-04-11, 노동조합 및 노동관계조정법 1997-03-13,
산업재해보상보험법 2008-07-01, 국민건강보험법 2012-09-01, 자동차손해배상 보장법 2008-09-29,
성폭력범죄의 처벌 등에 관한 특례법 2013-06-19, 산업안전보건법 2020-01-16,
상표법 2016-09-01, 디자인보호법 2014-07-01, 특허법 1990-09-01,
저작권법 2007-06-29,
정보통신망 이용촉진 및 정보보호 등에 관한 법률 2008-06-22, 전자서명법 2020-12-10,
도로교통법 2006-06-01, 소비자기본법 2007-03-28,
할부거래에 관한 법률 2010-09-18, 방문판매 등에 관한 법률 2012-08-18,
독점규제 및 공정거래에 관한 법률 2021-12-30, 신탁법 2012-07-26, 주민등록법 2007-05-11,
민사소송법 2002-07-01, 마약법 2000-07-01,
변호사법 2000-07-29, 조세범 처벌법 2010-01-01, 관세법 2001-01-01, 지방세법 2011-01-01,
의료법 2007-04-11, 약사법 2007-04-11, 집회 및 시위에 관한 법률 2007-05-11,
경범죄 처벌법 2013-03-22, 건축법 2008-03-21, 주택법 2016-08-12, 보험업법 2003-08-30,
외국환거래법 2009-02-04, 도시 및 주거환경정비법 2018-02-09, 군형법 2009-11-02,
아동·청소년의 성보호에 관한 법률 2013-06-19, 부가가치세법 2013-07-01, 국세징수법 2021-01-01,
국제사법 2022-07-05, 행정심판법 2010-07-25, 지방자치법 2022-01-13, 부동산등기법 2011-10-13,
여객자동차 운수사업법 2008-03-21, 국민연금법 2007-07-23, 고용보험법 2007-05-11,
식품위생법 2009-08-07, 전기통신사업법 2010-09-23, 농지법 2007-04-11,
신용정보의 이용 및 보호에 관한 법률 2009-10-02, 도로법 2014-07-15, 하천법 2008-04-07,
이자제한법 2007-06-30
"""
"""Statute and the day from which its articles bear today's numbers (전부개정)."""

_CHANGED = """
형사소송법 제247조 2008-01-01, 형사소송법 제312조 2008-01-01, 형사소송법 제313조 2016-05-29,
형사소송법 제314조 2008-01-01,
형사소송법 제316조 2008-01-01, 형사소송법 제457조의2 2017-12-19,
형법 제37조 2004-01-20, 형법 제57조 2014-12-30, 형법 제247조 2013-04-05, 형법 제297조 2013-06-19,
형법 제298조 2023-09-21, 형법 제328조 2024-06-27,
산업재해보상보험법 제125조 2023-07-01, 노동조합 및 노동관계조정법 제81조 2020-06-09,
특정범죄 가중처벌 등에 관한 법률 제5조의4 2016-01-06,
성폭력범죄의 처벌 등에 관한 특례법 제14조 2018-12-18,
폭력행위 등 처벌에 관한 법률 제2조 2016-01-06, 폭력행위 등 처벌에 관한 법률 제3조 2016-01-06,
공직선거법 제18조 2004-03-12, 행정절차법 제24조 2022-07-12, 은행법 제5조 2016-12-01,
대부업 등의 등록 및 금융이용자 보호에 관한 법률 제2조 2025-07-22,
노동조합 및 노동관계조정법 제24조 2021-07-06, 민법 제1112조 2024-04-25, 상법 제341조 2012-04-15,
부정경쟁방지 및 영업비밀보호에 관한 법률 제18조 2019-07-09,
상법 제398조 2012-04-15
"""
"""Article and the day from which it says something else (or is read otherwise), in a statute that
kept its numbers. Named anywhere, the statute with it: a decision says 제125조 for short."""

_REPEALED = """
증권거래법 2009-02-04, 선물거래법 2009-02-04, 신탁업법 2009-02-04, 증권투자신탁업법 2009-02-04,
간접투자자산 운용업법 2009-02-04, 파산법 2006-04-01, 화의법 2006-04-01, 회사정리법 2006-04-01,
노동쟁의조정법 1997-03-13, 의장법 2005-07-01, 컴퓨터프로그램보호법 2009-07-23,
소비자보호법 2007-03-28, 향정신성의약품관리법 2000-07-01, 대마관리법 2000-07-01,
음반·비디오물 및 게임물에 관한 법률 2006-10-29, 사회보호법 2005-08-04, 호적법 2008-01-01,
외국환관리법 1999-04-01, 상호신용금고법 2002-03-01, 증권투자회사법 2004-01-05,
총포·도검·화약류 등 단속법 2016-01-07, 공직선거 및 선거부정방지법 2005-08-04,
정치자금에 관한 법률 2005-08-04, 청소년의 성보호에 관한 법률 2010-01-01,
성폭력범죄의 처벌 및 피해자보호 등에 관한 법률 2010-04-15, 윤락행위 등 방지법 2004-09-23,
미성년자보호법 1999-07-01, 부동산중개업법 2006-01-30,
공인중개사의 업무 및 부동산 거래신고에 관한 법률 2014-07-29, 주택건설촉진법 2003-11-30,
도시재개발법 2003-07-01, 도시계획법 2003-01-01, 국토이용관리법 2003-01-01,
토지수용법 2003-01-01, 공공용지의 취득 및 손실보상에 관한 특례법 2003-01-01,
지가공시 및 토지 등의 평가에 관한 법률 2005-01-15,
부동산 가격공시 및 감정평가에 관한 법률 2016-09-01, 임대주택법 2015-12-29,
조세감면규제법 1999-01-01, 특별소비세법 2008-01-01, 의료보험법 2000-07-01, 섭외사법 2001-07-01,
행형법 2008-12-22, 정기간행물의 등록 등에 관한 법률 2005-07-28, 공중위생법 1999-08-09,
유해화학물질 관리법 2015-01-01, 수질환경보전법 2007-11-18,
금융실명거래 및 비밀보장에 관한 긴급재정경제명령 1997-12-31, 문화재보호법 2024-05-17,
부패방지법 2008-02-29
"""
"""Statute and the day from which it is no more, or bears another name."""

_BYGONE = """
금치산자 2013-07-01, 한정치산자 2013-07-01, 호주상속 2008-01-01, 호적부 2008-01-01,
갑종근로소득세 2010-01-01, 접대비 2024-01-01, 의장권 2005-07-01, 파산자 2006-04-01,
정리회사 2006-04-01, 정리채권 2006-04-01, 정리담보권 2006-04-01, 정리계획 2006-04-01,
새마을금고연합회 2011-09-09, 상호신용금고 2002-03-01,
증권감독원 1999-01-01, 은행감독원 1999-01-01, 성업공사 1999-12-31, 소비자보호원 2007-03-28,
한국토지공사 2009-10-01, 대한주택공사 2009-10-01, 노동부장관 2010-07-05,
건설교통부장관 2008-02-29, 정보통신부장관 2008-02-29, 긴급명령 1997-12-31,
간통죄 2015-02-26, 혼인빙자간음죄 2009-11-26
"""
"""Institution, office or crime and the day from which it is no more, or bears another name."""

LAG = 4
"""Years for which courts go on citing the old law: for acts before the change."""


def _until(listed: str) -> dict[str, str]:
    """Each name and the day up to which a decision may mean what is no more."""
    rows = (item.rsplit(" ", 1) for item in " ".join(listed.split()).split(", "))
    return {name: f"{int(day[:4]) + LAG}{day[4:]}" for name, day in rows}


def _any_of(names: Iterable[str], between: str = "") -> str:
    longest_first = sorted(map(law_key, names), key=len, reverse=True)
    return "|".join(between.join(name) for name in longest_first)


_RENUMBERED_UNTIL, _CHANGED_UNTIL = _until(_RENUMBERED), _until(_CHANGED)
_REPEALED_UNTIL, _BYGONE_UNTIL = _until(_REPEALED), _until(_BYGONE)
_UNTIL = {law_key(name): day for name, day in (_RENUMBERED_UNTIL | _REPEALED_UNTIL).items()}
_FORMER = "†"
_BETWEEN = "[ ·ㆍ]?"
_NUMBERED = re.compile(
    rf"({_FORMER})?({_any_of(_RENUMBERED_UNTIL)})(?:시행령|시행규칙)?(?:\([^()]*\))?제\d+조"
)
_NAMED = re.compile(rf"(?<![가-힣])(구\s?)?({_any_of(_REPEALED_UNTIL, _BETWEEN)})")
_BYGONE_NAMED = re.compile(rf"(?<![가-힣])({_any_of(_BYGONE_UNTIL)})")
_BARE = re.compile(rf"(?<![{_FORMER}가-힣])({_any_of(_RENUMBERED_UNTIL)})(?=.*\(제\d+조)")
"""A statute whose number stands in brackets further on: 방문판매법상 무등록영업행위(제28조)."""


def speaks_of_past_law(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), takes for the law of today what was that of its day: an
    article by a number that it bears no longer, a statute or an institution that is no more or
    bears another name, without saying so (구 근로기준법), or what was in force then (현행)."""
    marked = re.sub(r"(?<![가-힣])구 ?(?=[가-힣])", _FORMER, text)
    packed = law_key(marked)
    found = _NUMBERED.findall(packed) + [("", name) for name in _BARE.findall(packed)]
    found += [(former, law_key(name)) for former, name in _NAMED.findall(text)]
    outdated = any(not former and date < _UNTIL[name] for former, name in found)
    if _FORMER not in marked:
        outdated |= any(date < _BYGONE_UNTIL[name] for name in _BYGONE_NAMED.findall(text))
    changed = any(date < day and _names(marked, article) for article, day in _CHANGED_UNTIL.items())
    return outdated or changed or bool(re.search(r"(?<![가-힣])현행(?!범)", text))


def _names(marked: str, article: str) -> bool:
    law, number = article.rsplit(" ", 1)
    named = re.search(rf"(?<![{_FORMER}가-힣]){_BETWEEN.join(law_key(law))}", marked)
    return bool(named and re.search(rf"{number}(?!의 ?\d)", marked))


WITHOUT_EFFECT = frozenset({"형법 제269조", "형법 제270조"})
"""Articles that stand in the code and apply no more: abortion, by 헌재 2019. 4. 11. 2017헌바127."""

_GIVEN_UP = (
    # That a strike as such obstructs business: 2007도482 전원합의체 판결.
    (
        "2011-03-17",
        re.compile("(?:파업|노무의 제공을 거부|쟁의행위).*업무방해|업무방해.*파업|집단적.*위력"),
    ),
    # That he whose name was borrowed is no shareholder: 2015다248342 전원합의체 판결.
    ("2017-03-23", re.compile("명의(?:차용|대여|를 차용|를 빌).*주주|주주.*명의(?:차용|대여)")),
    # That one works with one's hands until sixty: 2018다248909 전원합의체 판결.
    ("2019-02-21", re.compile("가동연한")),
    # That a transaction without the board's resolution fails where the other party could have known
    # of that: 2015다45451 전원합의체 판결.
    ("2021-02-18", re.compile("이사회.*알 수 있었")),
    # What a work is: 저작권법 제2조 제1호 names no field of literature or art today.
    ("2007-06-29", re.compile("학술 또는 예술의 범위에 속하는 창작물")),
    # Who may be the beneficiary of group insurance: 상법 제735조의3 제3항 of today.
    ("2015-03-12", re.compile("단체보험.*수익자")),
    # What a trade secret (영업비밀) is: 부정경쟁방지법 제2조 제2호 asks for no effort today.
    ("2019-07-09", re.compile("^(?!.*구 ?부정경쟁).*노력에 의하여 비밀")),
    # What unfair competition is: of confusion alone it is no longer.
    ("2014-01-31", re.compile("^(?!.*구 ?부정경쟁).*부정경쟁행위는.*의미한다")),
    # That a representative's void promise harms no company: 2014도1104 전원합의체 판결.
    ("2017-07-20", re.compile("채무부담행위.*배임|배임.*채무부담행위")),
    # That drink-driving begins at 0.05 per cent: 도로교통법 제44조 제4항 of today.
    ("2019-06-25", re.compile(r"혈중알[코콜]올농도.*0\.05")),
    # That sexual offences are prosecuted on complaint only.
    ("2013-06-19", re.compile("강(?:간|제추행).*친고죄|친고죄.*강(?:간|제추행)")),
    # That one who holds land in his name for another embezzles it: 2016도18761 전원합의체 판결.
    ("2021-02-18", re.compile("명의(?:신탁|수탁).*횡령|횡령.*명의(?:신탁|수탁)")),
    # That entering against the presumed will is trespass: 2017도18272 전원합의체 판결.
    ("2022-03-24", re.compile("주거침입.*의사에 반")),
    # That a prosecutor's record is evidence once genuine: 형사소송법 제312조 제1항 of that day.
    ("2022-01-01", re.compile("검사.*작성.*피의자신문조서")),
    # The motive of a change of penal law (형법 제1조 제2항): 2020도16420 전원합의체 판결.
    ("2022-12-22", re.compile("반성적 고려")),
    # That rules of employment may worsen without consent: 2017다35588 전원합의체 판결.
    ("2023-05-11", re.compile("사회통념상 합리성")),
    # That indecent assault takes force that one can hardly resist: 2018도13877 전원합의체 판결.
    ("2023-09-21", re.compile("강제추행.*항거")),
    # That ordinary wages (통상임금) be fixed: 2020다247190 전원합의체 판결.
    ("2024-12-19", re.compile("통상임금.*고정(?:적|성)|고정(?:적|성).*통상임금")),
)
"""Day and doctrine that a later decision of the full bench has given up."""


def states_abandoned_doctrine(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), lays down what the Supreme Court later gave up."""
    return any(date < day and said.search(text) for day, said in _GIVEN_UP)
