"""What an older decision says that the law has left behind since, and no source of text tells.

근로기준법 제36조 means the article that bore the number then: a reader who looks it up today finds
another rule. And some doctrines that fill the reports have been given up by the full bench.
"""

import re
from collections.abc import Iterator

from lawtune.data.references import any_spelling, law_key

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
민사소송법 2002-07-01,
변호사법 2000-07-29, 조세범 처벌법 2010-01-01, 관세법 2001-01-01, 지방세법 2011-01-01,
의료법 2007-04-11, 약사법 2007-04-11, 집회 및 시위에 관한 법률 2007-05-11,
경범죄 처벌법 2013-03-22, 건축법 2008-03-21, 주택법 2016-08-12, 보험업법 2003-08-30,
외국환거래법 2009-02-04, 도시 및 주거환경정비법 2018-02-09, 군형법 2009-11-02,
아동·청소년의 성보호에 관한 법률 2013-06-19, 부가가치세법 2013-07-01, 국세징수법 2021-01-01,
국제사법 2022-07-05, 행정심판법 2010-07-26, 지방자치법 2022-01-13, 부동산등기법 2011-10-13,
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
증권거래법 2009-02-04, 선물거래법 2009-02-04, 신탁업법 2009-02-04, 증권투자신탁업법 2004-01-05,
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
부패방지법 2008-02-29, 마약법 2000-07-01
"""
"""Statute and the day from which it is no more, or bears another name."""

_BYGONE = """
금치산자 2013-07-01, 한정치산자 2013-07-01, 호주상속 2008-01-01, 호적부 2008-01-01,
갑종근로소득세 2010-01-01, 의장권 2005-07-01, 파산자 2006-04-01,
정리회사 2006-04-01, 정리채권 2006-04-01, 정리담보권 2006-04-01, 정리계획 2006-04-01,
새마을금고연합회 2011-09-09, 상호신용금고 2002-03-01,
증권감독원 1999-01-01, 은행감독원 1999-01-01, 성업공사 1999-12-31, 한국소비자보호원 2007-03-28,
한국토지공사 2009-10-01, 대한주택공사 2009-10-01, 노동부장관 2010-07-05,
건설교통부장관 2008-02-29, 정보통신부장관 2008-02-29,
간통죄 2015-02-26, 혼인빙자간음죄 2009-11-26
"""
"""Institution, office or crime and the day from which it is no more, or bears another name."""

_REWORDED = (
    # What a work is: 저작권법 제2조 제1호 names no field of literature or art today.
    ("2007-06-29", "학술 또는 예술의 범위에 속하는 창작물"),
    # Who may be the beneficiary of group insurance: 상법 제735조의3 제3항.
    ("2015-03-12", "단체보험.*수익자"),
    # When a useful thing is art: 저작권법 제2조 asks whether it can be told from the thing today.
    ("2000-07-01", "독립적인 예술적 특성"),
    # What 디자인 was called; a chairman is one, too.
    ("2005-07-01", "의장의 (?:유사|동일|신규|요부)"),
    # Where land may change hands by permission only stands in another statute.
    ("2017-01-20", "국토의 계획 및 이용에 관한 법률.*허가구역"),
    # All days in custody count: 형법 제57조.
    ("2014-12-30", "미결구금일수"),
    # What a trade secret is: 부정경쟁방지법 제2조 제2호 asks for no effort today.
    ("2019-07-09", "노력에 의하여 비밀"),
    # What unfair competition is: of confusion alone it is no longer.
    ("2014-01-31", "제2조 제1호(?: 소정의|에 정한|에서 정한) 부정경쟁행위"),
    # Drink-driving began at 0.05 per cent: 도로교통법 제44조 제4항.
    ("2019-06-25", r"혈중 ?알[코콜]올 ?농도.*0\.05(?!\d)"),
    # Sexual offences were prosecuted on complaint only: 형법 제306조, deleted.
    ("2013-06-19", "강(?:간|제추행).*친고죄|친고죄.*강(?:간|제추행)"),
    # What tax law calls 기업업무추진비 today.
    (
        "2024-01-01",
        "(?:손금|법인세|소득세|광고선전비).*접대비|접대비.*(?:손금|법인세|소득세)",
    ),
    # The emergency order on real-name transactions, for short.
    ("1997-12-31", "긴급명령 제|금융.*긴급명령|긴급명령.*금융"),
    # A prosecutor's record was evidence once genuine: 형사소송법 제312조 제1항.
    ("2022-01-01", "검사.*작성.*피의자신문조서"),
)
"""Day from which a statute says otherwise, and a pattern of what it said."""

LAG = 4
"""Years for which courts go on citing the old law: for acts before the change."""

_FORMER = "†"
_FORMER_MARK = re.compile(r"(?<![가-힣])구(?: (?=[가-힣])|(?=[가-힣]*(?<!방)법(?![가-힣]{2})))")
"""구 as in 구 상법, 구상법 and 구법, not in 구성요건."""


def _later(day: str) -> str:
    """The day up to which a decision may mean what is no more."""
    return f"{int(day[:4]) + LAG}{day[4:]}"


def _until(listed: str) -> dict[str, str]:
    rows = (item.rsplit(" ", 1) for item in " ".join(listed.split()).split(", "))
    return {law_key(name): _later(day) for name, day in rows}


_RENUMBERED_UNTIL, _CHANGED_UNTIL = _until(_RENUMBERED), _until(_CHANGED)
_REPEALED_UNTIL, _BYGONE_UNTIL = _until(_REPEALED), _until(_BYGONE)
_REWORDED_UNTIL = [(_later(day), re.compile(said)) for day, said in _REWORDED]
_CHANGED_LAWS = {re.sub(r"제\d+조(?:의\d+)?$", "", article) for article in _CHANGED_UNTIL}
_LISTED = re.compile(
    rf"(?<![{_FORMER}가-힣])({any_spelling({*_RENUMBERED_UNTIL, *_CHANGED_LAWS})})"
    r"(?!\s*\([^()]*전의 것)"
)
_STATUTE = re.compile(
    r"(?:[가-힣·ㆍ]+(?<![방위불적합문수])법|(?<![가-힣])법률)(?:률)?"
    r"(?=[은는이가을를의에상과와,\s()]|시행|제\d|$)"
)
"""The last word of a statute's name; 위법 and 방법 are none."""
_ARTICLE = re.compile(r"(?P<addenda>부칙\s*(?:\([^()]*\)\s*)?)?(?P<number>제\d+조(?:의 ?\d+)?)")
_REPEALED_NAMED = re.compile(rf"(?<![{_FORMER}가-힣])({any_spelling(_REPEALED_UNTIL)})(?!원|인)")
_BYGONE_NAMED = re.compile(rf"(?<![가-힣])({any_spelling(_BYGONE_UNTIL)})(?!한)")


def speaks_of_past_law(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), takes for the law of today what was that of its day,
    without saying so (구 근로기준법): an article by a number that it bears no longer or that says
    something else now, a statute or an institution that is no more or bears another name. What
    was in force at the time (현행) is never told."""
    marked = _FORMER_MARK.sub(_FORMER, text)
    ends = [_REPEALED_UNTIL[law_key(name)] for name in _REPEALED_NAMED.findall(marked)]
    for law, article in _numbered(marked):
        ends += [_RENUMBERED_UNTIL.get(law, ""), _CHANGED_UNTIL.get(law + article, "")]
    if _FORMER not in marked:
        ends += [_BYGONE_UNTIL[law_key(name)] for name in _BYGONE_NAMED.findall(marked)]
        ends += [end for end, said in _REWORDED_UNTIL if said.search(marked)]
    return any(date < end for end in ends) or bool(re.search(r"(?<![가-힣])현행(?!범)", text))


def _numbered(marked: str) -> Iterator[tuple[str, str]]:
    """The listed statutes that numbers of articles belong to, and the articles: of a number, the
    statute named last before it, unless it is called a former one."""
    listed = {match.end(): law_key(match[0]) for match in _LISTED.finditer(marked)}
    named = {match.end() for match in _STATUTE.finditer(marked)} | listed.keys()
    for article in _ARTICLE.finditer(marked):
        last = max((end for end in named if end <= article.start()), default=0)
        if last in listed and not article["addenda"]:
            yield listed[last], article["number"].replace(" ", "")


WITHOUT_EFFECT = frozenset({"형법 제269조", "형법 제270조"})
"""Articles that stand in the code and apply no more: abortion, by 헌재 2019. 4. 11. 2017헌바127."""

_GIVEN_UP = (
    # That a strike as such obstructs business: 2007도482 전원합의체 판결.
    (
        "2011-03-17",
        re.compile(
            "(?:파업|노무의? ?제공|쟁의행위).*업무방해|업무방해.*파업|(?:근로|쟁의).*집단적.*위력"
        ),
    ),
    # That he whose name was borrowed is no shareholder: 2015다248342 전원합의체 판결.
    ("2017-03-23", re.compile("명의(?:차용|대여|를 차용|를 빌).*주주|주주.*명의(?:차용|대여)")),
    # That one works with one's hands until sixty: 2018다248909 전원합의체 판결.
    ("2019-02-21", re.compile("가동연한")),
    # That a transaction without the board's resolution fails where the other party could have known
    # of that: 2015다45451 전원합의체 판결.
    ("2021-02-18", re.compile("이사회 ?(?:의 )?결의.*알 수 있었")),
    # That a representative's void promise is no breach of trust at all, not even an attempt:
    # 2014도1104 전원합의체 판결.
    ("2017-07-20", re.compile("채무부담행위.*배임|배임.*채무부담행위")),
    # That one who holds land in his name for another embezzles it: 2016도18761 전원합의체 판결.
    ("2021-02-18", re.compile("명의(?:신탁|수탁).*횡령|횡령.*명의(?:신탁|수탁)")),
    # That entering against the presumed will is trespass: 2017도18272 전원합의체 판결.
    ("2022-03-24", re.compile("주거침입.*의사에 반")),
    # The motive of a change of penal law (형법 제1조 제2항): 2020도16420 전원합의체 판결.
    ("2022-12-22", re.compile("반성적 고려")),
    # That rules of employment may worsen without consent: 2017다35588 전원합의체 판결.
    ("2023-05-11", re.compile("사회통념상 합리성")),
    # That indecent assault takes force that one can hardly resist: 2018도13877 전원합의체 판결.
    ("2023-09-21", re.compile("(?<!준)강제추행.*항거(?!불능)")),
    # That ordinary wages (통상임금) be fixed: 2020다247190 전원합의체 판결.
    ("2024-12-19", re.compile("통상임금.*고정(?:적|성)|고정(?:적|성).*통상임금")),
)
"""Day and doctrine that a later decision of the full bench has given up."""


def states_abandoned_doctrine(text: str, date: str) -> bool:
    """Whether `text`, as of `date` (ISO), lays down what the Supreme Court later gave up."""
    return any(date < day and said.search(text) for day, said in _GIVEN_UP)
