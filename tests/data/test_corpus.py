"""Text for pre-training: whole documents, each on one side."""

from lawtune.config import CorpusConfig
from lawtune.data.corpus import CorpusReport, build_documents
from lawtune.data.split import assign_split
from lawtune.records import Article, Case, Interpretation, Statute

STATUTE = Statute(
    "시험 법",
    "법률",
    "",
    "2025-01-31",
    (
        Article("1", "목적", "이 법은 시험을 목적으로 한다."),
        Article("2", "", "", deleted=True),
        Article("14의2", "", "전화는 010-1234-5678로 한다."),
    ),
)
CASE = Case(
    "2013다1, 2",
    "대법원",
    "2018-10-30",
    "손해",
    "판결",
    {"1": "쟁점"},
    {"1": "요지"},
    body="상고를 기각한다.",
)
REPLY = Interpretation("7", "", "", "제목", "물음", "답", "까닭")


def documents(*records):
    report = CorpusReport()
    return list(build_documents(records, CorpusConfig(), report)), report


def test_what_a_document_says():
    docs, report = documents(STATUTE, CASE, REPLY)
    assert [doc.text for doc in docs] == [
        "시험 법 제1조(목적)\n이 법은 시험을 목적으로 한다.",
        "시험 법 제14조의2\n전화는 [전화번호]로 한다.",
        "대법원 2018. 10. 30. 선고 2013다1, 2 판결 (손해)\n\n판시사항\n[1] 쟁점"
        "\n\n판결요지\n[1] 요지\n\n주문\n상고를 기각한다.",
        "제목\n\n질의요지\n물음\n\n회답\n답\n\n이유\n까닭",
    ]
    assert report.masked == {"phone": 1}


def test_a_document_stands_where_its_questions_do():
    docs, report = documents(STATUTE, CASE, REPLY)
    groups = ["시험법 제1조", "시험법 제14조의2", "2013다1", "해석례 7"]
    assert [doc.split for doc in docs] == [assign_split(g, 42, 0.1, 0.1) for g in groups]
    assert report.documents.total() == 4
    assert report.bytes.total() == sum(len(doc.text.encode()) for doc in docs)


def test_repeats_are_dropped_and_counted():
    docs, report = documents(CASE, CASE, STATUTE)
    assert len(docs) == 3
    assert report.repeated == 1
