"""Text for pre-training: whole documents, each on one side, none of them twice."""

from dataclasses import replace

from lawtune.config import CorpusConfig
from lawtune.data.corpus import CorpusReport, Document, build_documents, overlap
from lawtune.data.split import assign_split
from lawtune.records import Article, Case, Guidance, Interpretation, Statute

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
    return list(build_documents(lambda: records, CorpusConfig(), report)), report


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


def sentence(start: int, words: int) -> str:
    return " ".join(f"낱말{number}" for number in range(start, start + words))


def case(number: str, body: str) -> Case:
    return replace(CASE, number=number, body=body)


def side(number: str) -> str:
    return assign_split(number, 42, 0.1, 0.1)


TRAINING = [f"2020다{n}" for n in range(100) if side(f"2020다{n}") == "train"]
HELD_OUT = next(f"2020다{n}" for n in range(100) if side(f"2020다{n}") == "test")


def test_near_duplicates_are_dropped_and_half_new_ones_kept():
    first, twin, half = TRAINING[:3]
    docs, report = documents(
        case(first, sentence(0, 200)),
        case(twin, sentence(0, 190) + " 다른 끝"),
        case(half, sentence(0, 100) + " " + sentence(1000, 100)),
    )
    assert [doc.name.split()[5] for doc in docs] == [first, half]
    assert report.nearly_repeated == 1


def test_what_repeats_a_held_out_document_is_not_learnt():
    copy, other = TRAINING[:2]
    docs, report = documents(
        case(copy, sentence(0, 150) + " " + sentence(2000, 40)),
        case(other, sentence(500, 150)),
        case(HELD_OUT, sentence(0, 150)),
    )
    assert {doc.name.split()[5] for doc in docs} == {other, HELD_OUT}
    assert report.repeated_held_out == 1


def test_a_held_out_sentence_is_cut_from_what_quotes_it():
    holding, own = f"{sentence(0, 30)} 본다.", f"{sentence(500, 90)} 살핀다."
    court = f"{sentence(900, 40)} 그렇다.\n"
    docs, report = documents(
        case(TRAINING[0], f"{own} {holding} {court}"),
        case(HELD_OUT, f"{holding} {sentence(2000, 90)}"),
    )
    [learnt] = [doc for doc in docs if doc.split == "train"]
    assert learnt.text.endswith(f"\n{own} {court}")
    assert report.sentences_cut == 1 and report.repeated_held_out == 0
    assert overlap(docs) == {"case": 0.0}


def test_a_statute_that_both_quote_is_kept():
    law = sentence(0, 30)
    docs, report = documents(
        replace(STATUTE, articles=(Article("1", "목적", law),)),
        case(TRAINING[0], f"{sentence(500, 90)} 살핀다. {law} 한다."),
        case(HELD_OUT, f"{law} {sentence(2000, 90)}"),
    )
    assert report.sentences_cut == 0
    assert any(doc.source == "case" and law in doc.text for doc in docs if doc.split == "train")


def test_measured_documents_are_learnt_from_in_no_split():
    notice = Guidance("알림", "기관", "", sentence(0, 60))
    docs = list(
        build_documents(
            lambda: [STATUTE], CorpusConfig(), CorpusReport(), measured=lambda: [notice]
        )
    )
    assert [doc.source for doc in docs] == ["measured", "statute", "statute"]
    assert docs[0].split == "measured"
    assert docs[0].text == f"알림\n\n{sentence(0, 60)}"


def test_guidance_that_is_a_title_alone_is_counted_and_left_out():
    docs, report = documents(Guidance("붙임", "기관", "", "붙임파일을 확인하시기 바랍니다."))
    assert docs == [] and report.too_short == 1


def test_overlap_by_hand():
    held, learnt = sentence(0, 40), sentence(20, 40)
    # Of the held-out text's 28 runs, the last eight (20 to 27) stand in the training text.
    docs = [Document("가", "case", "test", held), Document("나", "case", "train", learnt)]
    assert overlap(docs) == {"case": 8 / 28}
    # A quotation of a statute is everybody's.
    law = Document("법", "statute", "train", sentence(20, 16))
    assert overlap([*docs, law]) == {"case": 4 / 24}
