"""Q&A files in and out, and the labels that lawyers use."""

import json
import unicodedata
from dataclasses import replace

import pytest

from lawtune.errors import UserError
from lawtune.records import (
    Article,
    Case,
    Provision,
    QAPair,
    Source,
    fingerprint,
    normalise,
    read_qa,
    write_qa,
)

FULL = QAPair(
    question="민법 제750조는 무엇을 정하고 있습니까?",
    answer="고의 또는 과실로 …\n배상할 책임이 있다.",
    id="a-1",
    type="law_explanation",
    context="참고",
    source=Source("statute", "민법", "제750조", date="2025-01-31"),
    citations=("민법 제750조",),
    group="민법 제750조",
    distractors=("b", "c", "d", "e"),
)


def write(tmp_path, text, name="qa.jsonl", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_labels():
    assert Article("750", "", "").label == "제750조"
    assert Article("14의2", "", "").label == "제14조의2"
    assert Provision("항", "21", "").label == "제21항"
    assert Provision("호", "1의2", "").label == "제1호의2"
    assert Provision("목", "가", "").label == "가목"
    case = Case("2013다61381", "대법원", "2018-10-30", "", "전원합의체 판결", {}, {})
    assert case.citation == "대법원 2018. 10. 30. 선고 2013다61381 전원합의체 판결"
    order = replace(case, kind="결정", number="2007카기134")
    assert order.citation == "대법원 2018. 10. 30.자 2007카기134 결정"
    ruling = replace(order, court="헌법재판소", number="2017헌바127")
    assert ruling.citation == "헌법재판소 2018. 10. 30. 선고 2017헌바127 결정"


def test_round_trip(tmp_path):
    pairs = [FULL, QAPair("물음", "답", id="0")]
    assert write_qa(tmp_path / "qa.jsonl", pairs) == 2
    assert read_qa(tmp_path / "qa.jsonl") == pairs
    lines = (tmp_path / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {"id": "0", "question": "물음", "answer": "답"}
    assert set(json.loads(lines[0])["source"]) == {"kind", "law", "article", "date"}


def test_question_and_answer_suffice(tmp_path):
    (pair,) = read_qa(write(tmp_path, '{"question": " 가  나", "answer": "다", "mine": [1]}\n'))
    assert pair == QAPair(" 가  나", "다", id=fingerprint("가 나", "다"))


@pytest.mark.parametrize(("given", "read"), [("0", "0"), ("7", "7"), ('"q7"', "q7")])
def test_ids_may_be_numbers_from_zero_on(tmp_path, given, read):
    path = write(tmp_path, f'{{"id": {given}, "question": "가", "answer": "나", "group": {given}}}')
    assert (read_qa(path)[0].id, read_qa(path)[0].group) == (read, read)


def test_a_source_in_a_users_words(tmp_path):
    rows = [
        {"question": "가", "answer": "나", "source": source}
        for source in ("우리 회사 매뉴얼", {"law": "민법", "date": 20250131, "page": 3})
    ]
    pairs = read_qa(write(tmp_path, "\n".join(json.dumps(row) for row in rows)))
    assert pairs[0].source == Source("user", "우리 회사 매뉴얼")
    assert pairs[1].source == Source("user", "민법", date="20250131")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"question": "가"}', "non-empty text under 'answer'"),
        ('{"question": "가", "answer": "  "}', "non-empty text under 'answer'"),
        ('{"question": 5, "answer": "나"}', "non-empty text under 'question'"),
        ('{"question": "가", "answer": "나", "type": "faq"}', "unknown type 'faq'; known: law_"),
        ('{"question": "가", "answer": "나", "group": ["a"]}', "'group' must be text"),
        ('{"question": "가", "answer": "나", "citations": 3}', "'citations' must be a list"),
        ('{"question": "가", "answer": "나", "source": [1]}', "'source' must be an object"),
        ('{"question": "가", "answer": "나", "source": {"law": ["민법"]}}', "'source.law'"),
    ],
)
def test_a_bad_record_names_its_file_and_line(tmp_path, line, message):
    path = write(tmp_path, '{"question": "가", "answer": "나"}\n\n' + line + "\n")
    with pytest.raises(UserError, match=rf"qa\.jsonl, line 3: .*{message}"):
        read_qa(path)


def test_an_empty_file_and_another_encoding(tmp_path):
    with pytest.raises(UserError, match=r"qa\.jsonl: no records"):
        read_qa(write(tmp_path, "\n \n"))
    row = '{"question": "가", "answer": "나"}\n'
    with pytest.raises(UserError, match=r"qa\.jsonl, line 1: this is CP949"):
        read_qa(write(tmp_path, row, encoding="cp949"))
    with pytest.raises(UserError, match="no such file"):
        read_qa(tmp_path / "gone.jsonl")


def test_csv(tmp_path):
    text = "id,question,answer,type,citations,extra\n"
    text += '0,"가, 나","다\n라",law_application,민법 제1조; 민법 제2조,x\n'
    for encoding in ("utf-8", "utf-8-sig"):
        (pair,) = read_qa(write(tmp_path, text, "qa.CSV", encoding))
        assert pair == QAPair(
            "가, 나",
            "다\n라",
            id="0",
            type="law_application",
            citations=("민법 제1조", "민법 제2조"),
        )


@pytest.mark.parametrize("name", ["qa.jsonl", "qa.csv"])
def test_texts_are_read_composed_whatever_the_file_has(tmp_path, name):
    """Else neither the search for leaks nor that for personal data would know them again."""
    row = {"id": "가", "question": "무엇입니까?", "answer": "계좌 규정\r\n입니다.", "group": "민법"}
    apart = {key: unicodedata.normalize("NFD", value) for key, value in row.items()}
    if name.endswith("csv"):
        cells = ['"' + value + '"' for value in apart.values()]
        text = ",".join(apart) + "\n" + ",".join(cells) + "\n"
    else:
        text = json.dumps(apart, ensure_ascii=False)
    (pair,) = read_qa(write(tmp_path, text, name))
    assert pair.question == row["question"] and pair.group == row["group"]
    assert pair.answer == "계좌 규정\n입니다."
    assert pair.id == apart["id"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,reply\n가,나\n", "line 1: the header lacks answer"),
        ("", "line 1: the header lacks answer, question"),
        ("question,answer\n", "no records"),
        ("question,answer\n가,나\n다,\n", "line 3: .*'answer'"),
        ("question,answer\n가,나\n다,라,마\n", "line 3: 1 more cells than the header"),
        ('question,answer\n가,"' + "x" * 200_000 + '"\n', "not CSV"),
    ],
)
def test_bad_csv_names_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_qa(write(tmp_path, text, "qa.csv"))


def test_identical_means_equal_after_normalisation():
    decomposed = "\u1100\u1161"  # 가 as two jamo
    assert normalise(f" {decomposed}\n\t나 ") == "가 나"
    assert fingerprint(decomposed, "x") == fingerprint("가", " x ")
    assert fingerprint("가", "나다") != fingerprint("가나", "다")
