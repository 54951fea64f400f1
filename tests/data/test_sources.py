"""Folders of statutes, decisions and replies, in both layouts, with every skip counted."""

import importlib.util
import json
import re
import unicodedata
from pathlib import Path

import pytest

from lawtune.data.provisions import render_article
from lawtune.data.sources import ReadReport, parse_markdown, read_source, source_files
from lawtune.errors import UserError
from lawtune.eval.citation_index import load_index
from lawtune.records import Article, Case, Guidance, Interpretation, Provision, Statute
from lawtune.starter import CORPUS

STATUTE_LEGALIZE = """---
제목: 시험법
법령MST: 265307
법령구분: 법률
소관부처:
- 법무부
- 고용노동부
공포일자: 2024-09-20
시행일자: 2025-01-31
첨부파일: []
---

# 시험법

## 제1장 총칙

##### 제1조 (목적)

이 법은 시험을 목적으로 한다.

##### 제14조의2 (특례) <개정 2020. 2. 4.>

**①** 다음 각 호의 사항은 특례로 한다. <개정 2020.2.4>

  1\\. 갑
    가\\. 을
**②** 삭제 <2012. 2. 10.>

## 제2장 벌칙

##### 제15조 삭제 <2014. 5. 20.>

##### 제16조 (벌칙)

100만원 이하의 벌금에 처한다.

## 부칙

##### 제1조 (시행일)

이 법은 공포한 날부터 시행한다.

## 별표 1

| 가 | 나 |
"""
STATUTE_FLAT = """---
제목: 시험법
법령구분: 법률
공포일자: 20240920
시행일자: 20250131
---

# 시험법

## 제1장 총칙

### 제1조(목적)
이 법은 시험을 목적으로 한다.

### 제14조의2(특례)
①다음 각 호의 사항은 특례로 한다. <개정 2020.2.4>
  1. 갑
    가. 을
  ②삭제 <2012.2.10>
제2장 벌칙

### 제15조
삭제 <2014.5.20>

### 제16조(벌칙)
100만원 이하의 벌금에 처한다.

### 부칙 <제1234호, 2024. 9. 20.>
제1조(시행일) 이 법은 공포한 날부터 시행한다.

### [별표 1]
표
"""
ARTICLES = (
    Article("1", "목적", "이 법은 시험을 목적으로 한다.", headings=("제1장 총칙",)),
    Article(
        "14의2",
        "특례",
        "",
        (
            Provision(
                "항",
                "1",
                "다음 각 호의 사항은 특례로 한다.",
                (Provision("호", "1", "갑", (Provision("목", "가", "을"),)),),
            ),
            Provision("항", "2", "삭제"),
        ),
        headings=("제1장 총칙",),
    ),
    Article("15", "", "", deleted=True, headings=("제2장 벌칙",)),
    Article("16", "벌칙", "100만원 이하의 벌금에 처한다.", headings=("제2장 벌칙",)),
)

CASE_LEGALIZE = """---
사건번호: 2013다61381
사건명: '손해배상(기)'
법원명: 대법원
선고일자: 2018-10-30
판결유형: '전원합의체 판결'
---

# 손해배상(기)

## 판시사항

[1] 갑인지 여부(적극)<br/>[2] 을인지 여부(소극)

## 판결요지

[1] 갑이다.

[2] 을이 아니다.

## 참조조문

[1] 민법 제750조

## 참조판례

[1] 대법원 1995. 4. 11. 선고 94다33903 판결

## 판례내용

【주    문】

판시사항
상고를 기각한다.
"""
CASE_FLAT = """---
제목: 손해배상(기)
사건번호: 2013다61381
법원: 대법원
판결유형: 전원합의체 판결
선고일자: 2018. 10. 30.
참조조문: '[1] 민법 제750조'
참조판례: '[1] 대법원 1995. 4. 11. 선고 94다33903 판결'
---

# 대법원 2018. 10. 30. 선고 2013다61381

손해배상(기)

판시사항
[1] 갑인지 여부(적극)<br/>[2] 을인지 여부(소극)

판결요지
[1] 갑이다.<br/>[2] 을이 아니다.

원심판결
서울고법 2013. 7. 10. 선고
주    문
판시사항
상고를 기각한다.
"""
REPLY = {
    "doc_id": "d1",
    "title": "질의",
    "document_number": "100119",
    "agency": "금융위원회",
    "version_date": "2014-12-31",
    "question": "취소하여야 하는지\r\n\r\n해석대상 법령 조문 및 관련법령:\n시험법 제1조",
    "answer": "취소할 수 있습니다.",
    "related_laws": ["시험법 제1조"],
    "text": "질의요지:\n취소?\n\n회답:\n있음\n\n이유:\n재량이기 때문입니다.\n",
}


def parse(text: str):
    report = ReadReport()
    return parse_markdown(text, "here.md", report), report


def read(path: Path):
    report = ReadReport()
    return list(read_source(path, report)), report


@pytest.mark.parametrize("text", [STATUTE_LEGALIZE, STATUTE_FLAT])
def test_a_statute_in_both_layouts(text):
    statute, report = parse(text)
    assert isinstance(statute, Statute)
    assert (statute.name, statute.kind) == ("시험법", "법률")
    assert (statute.promulgated, statute.effective) == ("2024-09-20", "2025-01-31")
    assert statute.articles == ARTICLES
    assert statute.addenda.startswith("제1조")
    assert statute.addenda.endswith("이 법은 공포한 날부터 시행한다.")
    assert report.skipped == {"table or form (별표·서식)": 1}


def test_windows_line_ends_change_nothing():
    assert parse(STATUTE_FLAT.replace("\n", "\r\n"))[0] == parse(STATUTE_FLAT)[0]
    assert parse(CASE_FLAT.replace("\n", "\r\n"))[0] == parse(CASE_FLAT)[0]


@pytest.mark.parametrize("text", [STATUTE_LEGALIZE, STATUTE_FLAT, CASE_LEGALIZE, CASE_FLAT])
def test_decomposed_hangul_and_old_line_ends_change_nothing(text):
    """As macOS and some converters write them."""
    assert parse(unicodedata.normalize("NFD", text).replace("\n", "\r"))[0] == parse(text)[0]


@pytest.mark.parametrize("text", [CASE_LEGALIZE, CASE_FLAT])
def test_a_decision_in_both_layouts(text):
    case, report = parse(text)
    assert isinstance(case, Case)
    assert case.citation == "대법원 2018. 10. 30. 선고 2013다61381 전원합의체 판결"
    assert case.title == "손해배상(기)"
    assert case.holdings == {"1": "갑인지 여부(적극)", "2": "을인지 여부(소극)"}
    assert case.summaries == {"1": "갑이다.", "2": "을이 아니다."}
    assert case.cited_articles.strip() == "[1] 민법 제750조"
    assert case.cited_cases.strip() == "[1] 대법원 1995. 4. 11. 선고 94다33903 판결"
    assert case.body.endswith("판시사항\n상고를 기각한다.")
    assert not report.skipped


def test_a_statute_without_a_kind_is_known_by_its_articles():
    statute, _ = parse(STATUTE_FLAT.replace("법령구분: 법률\n", ""))
    assert (statute.kind, statute.articles) == ("법률", ARTICLES)


def test_a_statute_without_a_name():
    untitled = STATUTE_FLAT.replace("제목: 시험법\n", "")
    assert parse(untitled)[0].name == "시험법"  # from the heading
    statute, report = parse(untitled.replace("# 시험법\n", ""))
    assert statute is None
    assert report.skipped == {"statute without a name": 1}


def test_a_number_that_occurs_twice_is_kept_once_and_counted():
    again = STATUTE_FLAT.replace("### 제16조(벌칙)", "### 제1조(벌칙)")
    statute, report = parse(again)
    assert [article.label for article in statute.articles] == ["제1조", "제14조의2", "제15조"]
    assert statute.articles[0].title == "목적"
    assert report.skipped["article number repeated in a statute"] == 1
    assert report.examples["article number repeated in a statute"] == ["here.md 제1조"]


def test_the_older_way_to_number_branches():
    statute, _ = parse(STATUTE_FLAT.replace("제14조의2(특례)", "제14의2조(특례)"))
    assert statute.articles[1].label == "제14조의2"


@pytest.mark.parametrize(
    ("front", "case_number", "title"),
    [
        ("사건번호: '2013다1'\n사건명: 본소: 반소", "2013다1", "본소: 반소"),
        ('사건번호: 2013다1\n사건명: "갑"의 손해', "2013다1", '"갑"의 손해'),
        ("사건번호: [2013다1, 2013다2]\n사건명: 손해", "2013다1, 2013다2", "손해"),
        ("사건번호:\n  - 2013다1\n  - 2013다2\n사건명: 손해", "2013다1, 2013다2", "손해"),
        ("사건번호: 2013다1, 2(병합)\n사건명:", "2013다1, 2(병합)", ""),
    ],
)
def test_front_matter_as_it_comes(front, case_number, title):
    case, _ = parse(f"---\n{front}\n선고일자: '2018-10-30'\n법원: 대법원\n---\n본문\n")
    assert (case.number, case.title, case.date) == (case_number, title, "2018-10-30")


def test_front_matter_may_have_blanks_around_its_marks():
    text = STATUTE_FLAT.replace("---\n", "--- \t\n")
    assert parse("\n \n" + text)[0] == parse(STATUTE_FLAT)[0]


@pytest.mark.parametrize("day", ["", "미상", "2018-02-30"])
def test_a_decision_without_a_date_is_counted(day):
    case, report = parse(f"---\n사건번호: 2013다1\n선고일자: {day}\n---\n본문\n")
    assert case is None
    assert report.skipped == {"decision without a date": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# 시험법\n### 제1조(목적)\n", "no front matter"),
        ("---\n제목: 시험\n", "no front matter"),
        ("---\n제목: 시험\n---\n글\n", "neither statute nor decision"),
    ],
)
def test_other_documents_are_counted(text, reason):
    record, report = parse(text)
    assert record is None
    assert report.skipped == {reason: 1}


def test_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "law.md").write_text(STATUTE_FLAT, encoding="utf-8")
    (tmp_path / "a.md").write_text(CASE_FLAT, encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps(REPLY), encoding="utf-8")
    (tmp_path / "d.json").write_text("{", encoding="utf-8")
    (tmp_path / "e.json").write_text('{"question": "가"}', encoding="utf-8")
    (tmp_path / "f.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "g.md").write_bytes(STATUTE_FLAT.encode("cp949"))
    (tmp_path / "README.md").write_text("not a law", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    records, report = read(tmp_path)
    assert [type(record) for record in records] == [Case, Statute, Interpretation]
    assert report.read == {"Case": 1, "Statute": 1, "Interpretation": 1}
    assert report.skipped == {
        "table or form (별표·서식)": 1,
        "not JSON": 1,
        "neither a reply nor guidance": 2,
        "unreadable file": 1,
    }
    assert "CP949" in report.examples["unreadable file"][0]


def test_names_in_capitals_and_links_to_folders_are_read(tmp_path):
    """Each folder once, under its own name if it has one here, and no ring is walked for ever."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "b", outside / "deep"):
        folder.mkdir(parents=True)
    (inside / "b" / "LAW.MD").write_text(STATUTE_FLAT, encoding="utf-8")
    (inside / "REPLY.JSON").write_text(json.dumps(REPLY), encoding="utf-8")
    (inside / "QA.JSONL").write_text("{}", encoding="utf-8")
    (outside / "deep" / "case.md").write_text(CASE_FLAT, encoding="utf-8")
    (inside / "a").symlink_to(inside / "b")
    (inside / "c").symlink_to(outside)
    (inside / "d").symlink_to(outside)
    (outside / "deep" / "back").symlink_to(inside)
    (inside / "gone.md").symlink_to(tmp_path / "nowhere.md")
    names = ["REPLY.JSON", "b/LAW.MD", "c/deep/case.md"]
    assert source_files(inside) == [inside / name for name in names]
    records, report = read(inside)
    assert [type(record) for record in records] == [Interpretation, Statute, Case]
    assert report.skipped["Q&A in a folder: to be named by itself"] == 1


@pytest.mark.parametrize("name", ["참조조문", "참조판례"])
def test_references_in_the_front_matter_may_be_a_list(name):
    text = re.sub(rf"(?m)^{name}:.*$", f"{name}: [민법 제750조, 민법 제751조]", CASE_FLAT)
    case, _ = parse(text)
    found = case.cited_articles if name == "참조조문" else case.cited_cases
    assert found == "민법 제750조, 민법 제751조"


@pytest.mark.parametrize(
    "text",
    [
        '{"question": "가", "answer": ' + "1" * 5_000 + "}",
        '{"question": "가", "answer": ' + "[" * 100_000,
        '{"question": "가", "answer": "\\ud83d"}',
    ],
    ids=["digits", "depth", "half"],
)
def test_json_that_cannot_be_read_is_counted(tmp_path, text):
    (tmp_path / "a.md").write_text(CASE_FLAT, encoding="utf-8")
    (tmp_path / "odd.json").write_text(text, encoding="utf-8")
    records, report = read(tmp_path)
    assert [type(record) for record in records] == [Case]
    assert report.skipped == {"not JSON": 1}
    assert "odd.json" in report.examples["not JSON"][0]


def test_examples_of_a_reason_are_five_at_most():
    report = ReadReport()
    for number in range(9):
        report.skip("why", str(number))
    assert (report.skipped["why"], report.examples["why"]) == (9, list("01234"))


def test_a_reply(tmp_path):
    path = tmp_path / "reply.json"
    path.write_text(json.dumps(REPLY), encoding="utf-8")
    (reply,), _ = read(path)
    assert reply == Interpretation(
        number="100119",
        agency="금융위원회",
        date="2014-12-31",
        title="질의",
        question="취소하여야 하는지",
        answer="취소할 수 있습니다.",
        reason="재량이기 때문입니다.",
        statutes=("시험법 제1조",),
        origin=str(path),
    )


def test_a_reply_in_decomposed_hangul_is_the_same(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(REPLY, ensure_ascii=False), encoding="utf-8")
    composed = read(path)[0]
    text = unicodedata.normalize("NFD", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert read(path)[0] == composed


def test_a_replys_disclaimer_and_nameless_provisions_are_left_out(tmp_path):
    path = tmp_path / "r8.json"
    row = {
        "question": "되는지 여부\n※ 법원은 아래의 해석에 기속되지 않음을 알려드립니다",
        "answer": "된다",
    }
    row["related_laws"] = [
        "동법 제23조",
        "시험법 제2조",
        "감독규정 제5조",
        "ㅇ같은 법 시행령 제3조",
    ]
    path.write_text(json.dumps(row), encoding="utf-8")
    (reply,), _ = read(path)
    assert (reply.question, reply.statutes) == ("되는지 여부", ("시험법 제2조",))


@pytest.mark.parametrize(
    "form",
    [
        "### 제2조(정의) 말은 ‘말’을 뜻한다.",
        "### 제 2 조 (정의)\n말은 ‘말’을 뜻한다.",
        "**제2조(정의)** 말은 ‘말’을 뜻한다.",
        "##### 제2조 (정의)\n말은 ‘말’을 뜻한다.",
    ],
)
def test_articles_in_other_hands(tmp_path, form):
    text = f"---\n제목: 시험법\n---\n{form}\n### 제2조의 2(더) ① 하나다.\n② 둘이다.\n"
    (tmp_path / "law.md").write_text(text, encoding="utf-8")
    (statute,), report = read(tmp_path)
    assert statute.articles == (
        Article("2", "정의", "말은 ‘말’을 뜻한다."),
        Article(
            "2의2", "더", "", (Provision("항", "1", "하나다."), Provision("항", "2", "둘이다."))
        ),
    )
    assert report.skipped == {}


def test_a_heading_about_an_article_is_none(tmp_path):
    text = "---\n제목: 시험법\n---\n### 제1조(정의)\n말이다.\n### 제1조(정의) 관련 서식\n서식\n"
    (tmp_path / "law.md").write_text(text, encoding="utf-8")
    (statute,), report = read(tmp_path)
    assert statute.articles == (Article("1", "정의", "말이다."),)
    assert report.skipped.total() == 1


def test_a_reply_with_one_law_as_text_and_little_else(tmp_path):
    path = tmp_path / "r7.json"
    row = {"question": "가", "answer": "나", "related_laws": "시험법 제1조", "text": None}
    path.write_text(json.dumps(row), encoding="utf-8")
    (reply,), _ = read(path)
    assert (reply.number, reply.statutes, reply.date) == ("r7", ("시험법 제1조",), "")


def test_paths_that_cannot_be_read(tmp_path, another_users):
    for path in (tmp_path / "gone", another_users / "law"):
        with pytest.raises(UserError, match=f"no such file or folder: {path}"):
            read(path)
        with pytest.raises(UserError, match=f"no such file or folder: {path}"):
            load_index([path])
    with pytest.raises(UserError, match=r"no \.md or \.json file"):
        read(tmp_path)
    path = tmp_path / "old.md"
    path.write_bytes(STATUTE_FLAT.encode("cp949"))
    with pytest.raises(UserError, match="CP949"):
        read(path)


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).parents[2] / "tools" / "make_starter.py"
    spec = importlib.util.spec_from_file_location("make_starter", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_written_records_are_read_back_the_same(tool):
    """The starter's own writer and the reader agree, on whole statutes and on decisions."""
    names = ["statutes/민법.md", "statutes/상법.md", "statutes/근로기준법.md"]
    paths = [CORPUS / name for name in names] + sorted((CORPUS / "decisions").iterdir())[::20]
    for path in paths:
        (record,), _ = read(path)
        is_law = isinstance(record, Statute)
        text = tool.statute_markdown(record) if is_law else tool.case_markdown(record)
        again = parse_markdown(text, record.origin, ReadReport())
        assert again == record, path
        if is_law:
            assert all(a.deleted or render_article(a) for a in record.articles)
            assert len(record.articles) > 100


def test_a_json_without_a_question_is_guidance(tmp_path):
    row = {
        "title": "안내서",
        "text": "동의를 받는다.",
        "version_date": "2024.05.01",
        "source": "기관",
    }
    (tmp_path / "guide.json").write_text(json.dumps(row), encoding="utf-8")
    records, _ = read(tmp_path)
    origin = str(tmp_path / "guide.json")
    assert records == [Guidance("안내서", "기관", "2024-05-01", "동의를 받는다.", origin)]
