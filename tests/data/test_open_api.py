"""The Open API against a server on loopback that answers in the API's documented XML.

The answers' shapes (elements, CDATA, 목 beside their 호, 항 without a number, links that carry the
key, errors with status 200) follow the guide at open.law.go.kr and real answers.
"""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lawtune.data import open_api
from lawtune.data.open_api import OpenApiClient, fetch_records, is_api_source
from lawtune.errors import UserError
from lawtune.records import Case, Interpretation, Provision, Statute

KEY = "s3cret+key"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

STATUTE = """<법령 법령키="0017062026031721065">
<기본정보>
  <법령ID>001706</법령ID><공포일자>20251001</공포일자><공포번호>21065</공포번호>
  <법종구분 법종구분코드="A0002">법률</법종구분>
  <법령명_한글><![CDATA[시험ㆍ연구에 관한 법률]]></법령명_한글><시행일자>20260317</시행일자>
</기본정보>
<조문>
<조문단위 조문키="0001000"><조문번호>1</조문번호><조문여부>전문</조문여부>
  <조문내용><![CDATA[제1장 총칙]]></조문내용></조문단위>
<조문단위 조문키="0001001"><조문번호>1</조문번호><조문여부>조문</조문여부>
  <조문제목><![CDATA[목적(目的(一))]]></조문제목>
  <조문내용><![CDATA[제1조(목적(目的(一))) 이 법은 ①을 정한다.
    <개정 2020.2.4>]]></조문내용></조문단위>
<조문단위 조문키="0002001"><조문번호>2</조문번호><조문여부>조문</조문여부>
  <조문제목><![CDATA[정의]]></조문제목>
  <조문내용><![CDATA[제2조(정의) 이 법에서 쓰는 말의 뜻은 다음과 같다.]]></조문내용>
  <항>
    <호><호번호>1.</호번호><호내용><![CDATA[1.  "시험"이란 다음을 말한다.]]></호내용></호>
    <목><목번호><![CDATA[가.]]></목번호><목내용><![CDATA[가. 1.5톤 이하]]></목내용></목>
    <목><목번호><![CDATA[거.]]></목번호><목내용><![CDATA[거. 그 밖의 것]]></목내용></목>
    <호><호번호><![CDATA[1.]]></호번호><호내용><![CDATA[1의2. "연구"란 <신설 2021. 1. 5.>
      <img id="7"></img>탐구를 말한다.]]></호내용>
      <목><목번호>가.</목번호><목내용>가. 안에 든 목</목내용></목></호>
    <호><호번호><![CDATA[2.]]></호번호><호가지번호>3</호가지번호><호내용>2. 가지</호내용></호>
  </항></조문단위>
<조문단위 조문키="0003021"><조문번호>3</조문번호><조문가지번호>2</조문가지번호>
  <조문여부>조문</조문여부>
  <조문제목><![CDATA[신고]]></조문제목>
  <조문내용><![CDATA[제3조의2(신고)]]></조문내용>
  <항><항번호><![CDATA[①]]></항번호><항내용><![CDATA[① 신고는 제2항에 따른다.]]></항내용>
    <호><호번호>1.</호번호><호내용>1. 이름</호내용></호></항>
  <항><항번호><![CDATA[㉑]]></항번호><항내용><![CDATA[㉑삭제 <2011.4.12>]]></항내용></항>
  <조문참고자료><![CDATA[[본조신설 2009.1.1]]]></조문참고자료></조문단위>
<조문단위 조문키="0004001"><조문번호>4</조문번호><조문여부>조문</조문여부>
  <조문내용><![CDATA[제4조 삭제 <1999.2.8>]]></조문내용></조문단위>
<조문단위 조문키="0005001"><조문번호>5</조문번호><조문여부>조문</조문여부>
  <조문내용><![CDATA[제5조 내지 제7조 삭제 <1999.2.8>]]></조문내용></조문단위>
<조문단위 조문키="0008001"><조문번호>8</조문번호><조문여부>조문</조문여부>
  <조문제목>벌칙</조문제목><조문시행일자>20260317</조문시행일자>
  <조문내용>제8조(벌칙) 벌금에 처한다.</조문내용></조문단위>
<조문단위 조문키="0008002"><조문번호>8</조문번호><조문여부>조문</조문여부>
  <조문제목>벌칙</조문제목><조문시행일자>20270101</조문시행일자>
  <조문내용>제8조(벌칙) 아직 시행되지 않은 문언이다.</조문내용></조문단위>
</조문>
<부칙><부칙단위 부칙키="1"><부칙공포일자>20251001</부칙공포일자>
  <부칙내용><![CDATA[부칙 <제21065호,2025.10.1>]]>
<![CDATA[이 법은 공포한 날부터 시행한다.]]></부칙내용></부칙단위></부칙>
<별표><별표단위><별표번호>1</별표번호>
  <별표제목><![CDATA[과태료의 기준]]></별표제목></별표단위></별표>
</법령>"""

CASE = """<PrecService><판례정보일련번호>228541</판례정보일련번호>
<사건명><![CDATA[손해배상(기)]]></사건명><사건번호>2013다61381</사건번호>
<선고일자>20181030</선고일자><선고>선고</선고><법원명>서울고법</법원명>
<법원종류코드>400202</법원종류코드><사건종류명>민사</사건종류명><판결유형>판결 : 상고기각</판결유형>
<판시사항><![CDATA[[1] 첫째 쟁점<br/>[2] 둘째 쟁점]]></판시사항>
<판결요지>[1] 첫째 요지&lt;br/&gt;&lt;br/&gt;[2] &amp;quot;둘째&amp;quot; 요지</판결요지>
<참조조문><![CDATA[[1] 민법 제750조 / [2] 민법 제751조]]></참조조문>
<참조판례><![CDATA[대법원 2012. 5. 24. 선고 2009다22549 판결]]></참조판례>
<판례내용><![CDATA[【원고】 아무개<br/>【주    문】<br/>상고를 기각한다.<br/>
【이 유】<br/>살핀다.]]></판례내용>
</PrecService>"""

INTERPRETATION = """<ExpcService><법령해석례일련번호>330471</법령해석례일련번호>
<안건명><![CDATA[법무부 - 「민법」 제750조 관련]]></안건명><안건번호>20-0123</안건번호>
<해석일자>20200423</해석일자><해석기관명>법제처</해석기관명><질의기관명>법무부</질의기관명>
<질의요지><![CDATA[「민법」과 「국가배상법」 중 어느 것이 먼저인지?<br/>]]></질의요지>
<회답><![CDATA[「국가배상법」이 먼저입니다.]]></회답><이유><![CDATA[특별법이기 때문입니다.]]></이유>
</ExpcService>"""

REFUSED = """<Response><result>사용자 정보 검증에 실패하였습니다.</result>
<msg>정확한 서버장비의 IP주소 및 도메인주소를 등록해 주세요.</msg></Response>"""


class FakeService:
    """Answers by (endpoint, target, page or serial); records every request's parameters."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[tuple[str, str, str], tuple[int, str]] = {}
        self.failures: list[tuple[int, str]] = []

    def search(self, target: str, page: int, total: int, entries: list[str]) -> None:
        body = f"<LawSearch><target>{target}</target><totalCnt>{total}</totalCnt><page>{page}"
        body += f"</page><resultCode>00</resultCode>{''.join(entries)}</LawSearch>"
        self.answers["lawSearch.do", target, str(page)] = (200, HEAD + body)

    def detail(self, target: str, serial: str, body: str) -> None:
        self.answers["lawService.do", target, serial] = (200, HEAD + body)

    def reply(self, path: str) -> tuple[int, str]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        endpoint = parts.path.removeprefix("/DRF/")
        self.requests.append((endpoint, query))
        if self.failures:
            return self.failures.pop(0)
        if query.get("OC") != KEY or query.get("type") != "XML":
            return 200, HEAD + REFUSED
        which = query.get("page") or query.get("MST") or query.get("ID") or ""
        return self.answers[endpoint, query["target"], which]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    fake = FakeService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            status, body = fake.reply(self.path)
            raw = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/DRF"
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    def forbidden(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s for real")

    monkeypatch.setattr("time.sleep", forbidden)
    return []


@pytest.fixture
def client(service: FakeService, sleeps: list[float], tmp_path: Path) -> OpenApiClient:
    return OpenApiClient(KEY, service.url, tmp_path / "cache", sleep=sleeps.append)


def law_entry(serial: str) -> str:
    link = f"/DRF/lawService.do?OC={KEY}&amp;target=eflaw&amp;MST={serial}&amp;type=HTML"
    return (
        f'<law id="1"><법령일련번호>{serial}</법령일련번호><현행연혁코드>현행</현행연혁코드>'
        f"<시행일자>20260317</시행일자><법령상세링크>{link}</법령상세링크></law>"
    )


def case_entry(serial: str) -> str:
    return f'<prec id="1"><판례일련번호>{serial}</판례일련번호></prec>'


def one_statute(service: FakeService, body: str = STATUTE) -> None:
    service.search("eflaw", 1, 1, [law_entry("284415")])
    service.detail("eflaw", "284415", body)


def test_specs() -> None:
    assert is_api_source("law.go.kr:statute:민법")
    assert not is_api_source("./law.go.kr")
    for spec in ("law.go.kr:statute:", "law.go.kr:decree:민법", "law.go.kr:민법", "민법"):
        with pytest.raises(UserError, match="statute, case, interpretation"):
            fetch_records(spec, None)  # refused before the first request


def test_statute(service: FakeService, client: OpenApiClient) -> None:
    one_statute(service)
    [statute] = fetch_records("law.go.kr:statute:시험", client)
    assert isinstance(statute, Statute)
    assert statute.name == "시험·연구에 관한 법률"
    assert (statute.kind, statute.promulgated, statute.effective) == (
        "법률",
        "2025-10-01",
        "2026-03-17",
    )
    assert " ".join(statute.addenda.split()) == "부칙 이 법은 공포한 날부터 시행한다."
    assert statute.origin.endswith("lsiSeq=284415")
    articles = {article.label: article for article in statute.articles}
    assert list(articles) == ["제1조", "제2조", "제3조의2", "제4조", "제5조", "제8조"]
    assert articles["제1조"].title == "목적(目的(一))"
    assert articles["제1조"].text == "이 법은 (1) 을 정한다."
    assert articles["제8조"].text == "벌금에 처한다."
    assert [a.deleted for a in articles.values()] == [False, False, False, True, True, False]
    assert articles["제4조"].text == articles["제5조"].text == ""


def test_statute_provisions(service: FakeService, client: OpenApiClient) -> None:
    one_statute(service)
    [statute] = fetch_records("law.go.kr:statute:시험", client)
    definitions, report = statute.articles[1], statute.articles[2]
    assert definitions.text == "이 법에서 쓰는 말의 뜻은 다음과 같다."
    assert definitions.provisions == (
        Provision(
            "호",
            "1",
            '"시험"이란 다음을 말한다.',
            (Provision("목", "가", "1.5톤 이하"), Provision("목", "거", "그 밖의 것")),
        ),
        Provision("호", "1의2", '"연구"란 탐구를 말한다.', (Provision("목", "가", "안에 든 목"),)),
        Provision("호", "2의3", "가지"),
    )
    assert report.text == ""
    assert report.provisions == (
        Provision("항", "1", "신고는 제2항에 따른다.", (Provision("호", "1", "이름"),)),
        Provision("항", "21", "삭제"),
    )
    assert definitions.provisions[2].label == "제2호의3"


def test_what_a_statute_leaves_out_is_told(service: FakeService, client: OpenApiClient) -> None:
    one_statute(service)
    skipped: list[tuple[str, str]] = []
    list(fetch_records("law.go.kr:statute:시험", client, lambda *skip: skipped.append(skip)))
    page = "https://www.law.go.kr/LSW/lsInfoP.do?lsiSeq=284415"
    assert skipped == [
        ("table or form (별표·서식)", f"{page}: 과태료의 기준"),
        ("wording of an article not in force", f"{page}: 제8조"),
    ]


def test_statute_requests_the_version_in_force(service: FakeService, client: OpenApiClient) -> None:
    one_statute(service)
    list(fetch_records("law.go.kr:statute:민법", client))
    (search, searched), (document, asked) = service.requests
    assert (search, document) == ("lawSearch.do", "lawService.do")
    assert (searched["target"], searched["query"], searched["nw"]) == ("eflaw", "민법", "3")
    assert (asked["MST"], asked["efYd"]) == ("284415", "20260317")


def test_case(service: FakeService, client: OpenApiClient) -> None:
    service.search("prec", 1, 1, [case_entry("228541")])
    service.detail("prec", "228541", CASE)
    [case] = fetch_records("law.go.kr:case:손해배상", client)
    assert isinstance(case, Case)
    assert case.citation == "서울고등법원 2018. 10. 30. 선고 2013다61381 판결"
    assert case.title == "손해배상(기)"
    assert case.holdings == {"1": "첫째 쟁점", "2": "둘째 쟁점"}
    assert case.summaries == {"1": "첫째 요지", "2": '"둘째" 요지'}
    assert case.cited_articles == "[1] 민법 제750조 / [2] 민법 제751조"
    assert case.cited_cases == "대법원 2012. 5. 24. 선고 2009다22549 판결"
    assert case.body.startswith("【주 문】") and "아무개" not in case.body


@pytest.mark.parametrize(
    ("kind", "date", "expected"),
    [
        ("판결", "42890525", ("판결", "1956-05-25")),  # 단기 4289 = 1956
        ("전원합의체 판결", "2018.10.30", ("전원합의체 판결", "2018-10-30")),
        ("결정", "20181030", ("결정", "2018-10-30")),
        ("", "20181030", ("판결", "2018-10-30")),
    ],
)
def test_case_kind_and_date(
    service: FakeService, client: OpenApiClient, kind: str, date: str, expected: tuple[str, str]
) -> None:
    body = CASE.replace("판결 : 상고기각", kind).replace(">20181030<", f">{date}<")
    service.search("prec", 1, 1, [case_entry("1")])
    service.detail("prec", "1", body)
    [case] = fetch_records("law.go.kr:case:손해배상", client)
    assert (case.kind, case.date) == expected


def test_interpretation(service: FakeService, client: OpenApiClient) -> None:
    entry = "<expc id='1'><법령해석례일련번호>330471</법령해석례일련번호></expc>"
    service.search("expc", 1, 1, [entry])
    service.detail("expc", "330471", INTERPRETATION)
    [reply] = fetch_records("law.go.kr:interpretation:민법", client)
    assert reply == Interpretation(
        number="20-0123",
        agency="법제처",
        date="2020-04-23",
        title="법무부 - 「민법」 제750조 관련",
        question="「민법」과 「국가배상법」 중 어느 것이 먼저인지?",
        answer="「국가배상법」이 먼저입니다.",
        reason="특별법이기 때문입니다.",
        statutes=("민법", "국가배상법"),
        origin="https://www.law.go.kr/LSW/expcInfoP.do?expcSeq=330471",
    )


def test_pages_skips_and_limit(
    service: FakeService, client: OpenApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_api, "PAGE_SIZE", 2)
    client.limit = 4
    service.search("prec", 1, 6, [case_entry("1"), case_entry("2")])
    service.search("prec", 2, 6, [case_entry("3"), case_entry("4")])
    service.detail("prec", "1", CASE)
    service.detail("prec", "2", "<Law>일치하는 판례가 없습니다.  판례명을 확인하여 주십시오.</Law>")
    service.detail("prec", "3", CASE.replace(">20181030<", "><"))
    frame = '<iframe src="/LSW/precInfoP.do?precSeq=4&mode=0">'
    service.detail("prec", "4", f"<html><body>{frame}</iframe></body></html>")
    skipped: list[tuple[str, str]] = []

    def skip(reason: str, what: str) -> None:
        skipped.append((reason, what))

    records = list(fetch_records("law.go.kr:case:손해", client, skip))
    assert [record.number for record in records] == ["2013다61381"]
    assert [reason for reason, _ in skipped] == [
        "found beyond the first 4",
        "listed by law.go.kr without its text in XML",
        "decision without a number or date",
        "listed by law.go.kr without its text in XML",
    ]
    assert skipped[0][1].endswith("2 more") and skipped[1][1].endswith("precSeq=2")
    assert [query.get("page") for _, query in service.requests[:2]] == ["1", "2"]
    assert len(service.requests) == 6


def test_two_pages_are_read_to_the_end(
    service: FakeService, client: OpenApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_api, "PAGE_SIZE", 2)
    service.search("prec", 1, 3, [case_entry("1"), case_entry("2")])
    service.search("prec", 2, 3, [case_entry("3")])
    for serial in "123":
        body = CASE.replace("2013다61381", f"2013다{serial}")
        service.detail("prec", serial, body)
    records = list(fetch_records("law.go.kr:case:손해배상", client))
    assert [record.number for record in records] == ["2013다1", "2013다2", "2013다3"]


def test_a_later_page_does_not_take_back_what_the_first_announced(
    service: FakeService, client: OpenApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_api, "PAGE_SIZE", 2)
    service.search("prec", 1, 5, [case_entry("1"), case_entry("2")])
    service.search("prec", 2, 0, [])
    service.answers["lawSearch.do", "prec", "3"] = (200, HEAD + "<Law></Law>")
    for serial in "12":
        service.detail("prec", serial, CASE.replace("2013다61381", f"2013다{serial}"))
    skipped: list[tuple[str, str]] = []
    records = list(
        fetch_records("law.go.kr:case:손해", client, lambda why, what: skipped.append((why, what)))
    )
    assert len(records) == 2
    assert skipped == [("counted by law.go.kr but not listed", "law.go.kr:case:손해: 3")]


def test_cache(service: FakeService, client: OpenApiClient, tmp_path: Path) -> None:
    one_statute(service)
    first = list(fetch_records("law.go.kr:statute:민법", client))
    assert len(service.requests) == 2
    other = OpenApiClient("another key", service.url, client.cache_dir)
    assert list(fetch_records("law.go.kr:statute:민법", other)) == first
    assert len(service.requests) == 2
    files = [file for file in client.cache_dir.rglob("*") if file.is_file()]
    assert len(files) == 2
    assert not any(KEY in file.read_text(encoding="utf-8") for file in files)
    # A search of two days ago is asked anew; the text of one version stays.
    for file in files:
        os.utime(file, (0, 0))
    assert list(fetch_records("law.go.kr:statute:민법", client)) == first
    assert [endpoint for endpoint, _ in service.requests[2:]] == ["lawSearch.do"]


def test_passing_failures_are_waited_out(
    service: FakeService, client: OpenApiClient, sleeps: list[float]
) -> None:
    one_statute(service)
    service.failures = [(500, "busy"), (503, "busy")]
    assert len(list(fetch_records("law.go.kr:statute:민법", client))) == 1
    assert len(service.requests) == 4
    assert len(sleeps) == 2
    assert 0.5 <= sleeps[0] <= 1.5 and 1 <= sleeps[1] <= 3


def failing(client: OpenApiClient, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        list(fetch_records("law.go.kr:statute:민법", client))
    assert KEY not in str(caught.value)
    # Nothing that failed is ever kept.
    assert not any(file.is_file() for file in client.cache_dir.rglob("*"))


@pytest.mark.parametrize(
    ("status", "message"), [(429, "quota"), (500, "an outage"), (404, "HTTP 404")]
)
def test_lasting_failures(
    service: FakeService, client: OpenApiClient, sleeps: list[float], status: int, message: str
) -> None:
    service.failures = [(status, "no")] * 9
    failing(client, message)
    expected = 1 if status == 404 else open_api.ATTEMPTS
    assert (len(service.requests), len(sleeps)) == (expected, expected - 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (HEAD + REFUSED, "refused the key in LAW_OC.*IP주소"),
        ("<!DOCTYPE html><html><p>미신청된 목록/본문에 대한 접근입니다.</html>", "refused the key"),
        ('{"result":"사용자 정보 검증에 실패하였습니다."}', "refused the key"),
        (HEAD + "<Response><result>호출 횟수를 초과하였습니다.</result></Response>", "quota"),
        ("<!DOCTYPE html><html><title>시스템 점검</title></html>", "시스템 점검.*maintenance"),
        ("", "other than its XML"),
        (HEAD + "<LawSearch><totalCnt>7</totalCnt><page>1</page></LawSearch>", "other than"),
        (HEAD + "<LawSearch><totalCnt>1", "other than its XML"),
    ],
)
def test_bad_answers_with_status_200(
    service: FakeService, client: OpenApiClient, body: str, message: str
) -> None:
    service.failures = [(200, body)] * 2
    failing(client, message)
    assert len(service.requests) == 1


def test_nothing_found_is_not_an_outage(service: FakeService, client: OpenApiClient) -> None:
    service.search("eflaw", 1, 0, [])
    with pytest.raises(UserError, match="law.go.kr:statute:없는법: law.go.kr answered"):
        list(fetch_records("law.go.kr:statute:없는법", client))


def test_refused_connection(
    client: OpenApiClient, sleeps: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    nobody = OpenApiClient(KEY, "http://127.0.0.1:9/DRF", tmp_path / "none", sleep=sleeps.append)
    failing(nobody, "no answer .*an outage")
    assert len(sleeps) == open_api.ATTEMPTS - 1


def test_faults_of_the_service_are_mended(service: FakeService, client: OpenApiClient) -> None:
    one_statute(service, STATUTE.replace("</조문참고자료>", "").replace("벌금", "벌금&middot;과료"))
    [statute] = fetch_records("law.go.kr:statute:시험", client)
    assert len(statute.articles) == 6
    assert statute.articles[-1].text == "벌금·과료에 처한다."


def test_characters_that_no_xml_may_hold_are_passed_over(
    service: FakeService, client: OpenApiClient
) -> None:
    one_statute(service, STATUTE.replace("벌금", "벌\x0b금 R&D"))
    [statute] = fetch_records("law.go.kr:statute:시험", client)
    assert statute.articles[-1].text == "벌금 R&D에 처한다."


def test_from_environment(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAW_OC", raising=False)
    with pytest.raises(UserError, match="LAW_OC is not set.*open.law.go.kr"):
        OpenApiClient.from_environment()
    monkeypatch.setenv("LAW_OC", KEY)
    monkeypatch.setenv("LAWTUNE_LAW_URL", service.url + "/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    one_statute(service)
    assert len(list(fetch_records("law.go.kr:statute:민법", OpenApiClient.from_environment()))) == 1
    assert list((tmp_path / "xdg" / "lawtune" / "law.go.kr").rglob("*.xml"))
    monkeypatch.delenv("LAWTUNE_LAW_URL")
    assert OpenApiClient.from_environment().base_url == "https://www.law.go.kr/DRF"
