"""Citations: found as a reader finds them, checked to four states, in any encoding of a text."""

import json
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from lawtune.cli import main
from lawtune.data.references import law_key, parse_article_references
from lawtune.data.sources import ReadReport, read_source
from lawtune.errors import UserError
from lawtune.eval.citation_extract import StatuteCitation, extract
from lawtune.eval.citation_index import CitationIndex, build_index, load_index
from lawtune.eval.citations import check_text, citation_keys, classify
from lawtune.records import Case, read_qa
from lawtune.starter import CORPUS

LABELLED = Path(__file__).parent / "citations"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> CitationIndex:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield load_index()
    patch.undo()


def passages(file: str) -> list[dict]:
    return [json.loads(line) for line in (LABELLED / f"{file}.jsonl").read_text().splitlines()]


def states(text: str, index: CitationIndex, as_of: str | None = None) -> list[tuple]:
    rows = check_text(text, index, as_of).citations
    return [(row.law or row.case, row.article, row.status) for row in rows]


def statuses(text: str, index: CitationIndex) -> list[str]:
    return [row.status for row in check_text(text, index).citations]


# --- against the labels -----------------------------------------------------------------------


# Of the altered words, three stand in ‘…’, which courts use for notions too: they are not compared.
@pytest.mark.parametrize(
    ("file", "least", "states_right"),
    [
        ("open", 237, 0.98),
        ("sealed", 224, 0.98),
        ("second", 468, 0.98),
        ("third", 163, 0.98),
        ("altered", 76, 0.96),
    ],
)
def test_finds_and_judges_what_the_labels_say(file, least, states_right, index):
    matched = found = labelled = right = 0
    for passage in passages(file):
        gold: Counter = Counter()
        gold_status = {}
        for row in passage["citations"]:
            law = row["law"] and law_key(row["law"])
            what = (row["start"], row["end"], law, row["article"], row["case"])
            gold[what] += 1
            gold_status[what] = row["status"]
        got: Counter = Counter()
        for row in check_text(passage["text"], index).citations:
            law = row.law and law_key(row.law)
            what = (row.start, row.end, law, row.article, row.case)
            got[what] += 1
            right += gold_status.get(what) == row.status
        matched += (gold & got).total()
        labelled += gold.total()
        found += got.total()
    assert labelled >= least
    assert 2 * matched / (labelled + found) >= 0.97
    assert right / labelled >= min(states_right, 0.97)
    # Among the citations that were found, the state is the labelled one.
    assert right / matched >= states_right


def test_every_altered_passage_has_the_alteration_it_tells_of():
    kinds = Counter()
    for passage in passages("altered"):
        change = passage["altered"]
        kinds[change["what"]] += 1
        assert change["to"] in passage["text"]
        assert {row["status"] for row in passage["citations"]} & {"absent", "mismatch"}
    assert kinds.total() >= 40
    assert set(kinds) == {"article", "paragraph", "title", "wording", "date", "court"}


def test_labels_point_at_their_text():
    for file in ("open", "sealed", "second", "third", "altered"):
        for passage in passages(file):
            for row in passage["citations"]:
                assert passage["text"][row["start"] : row["end"]] == row["text"]


def test_agrees_with_the_reader_of_reference_lists():
    """The corpus's own reference lists, parsed by other code, read back from running text."""
    wrong = total = 0
    for record in read_source(CORPUS / "decisions", ReadReport()):
        if not isinstance(record, Case):
            continue
        for references in parse_article_references(record.cited_articles).values():
            for reference in references:
                total += 1
                keys = [law_key(key) for key in citation_keys(reference.label)]
                wrong += keys != [law_key(f"{reference.law} {reference.article}")]
    assert total > 4000
    assert wrong / total < 0.01


def test_citations_of_running_text_have_one_span_or_none_in_common():
    """As the report marks them."""
    texts = [pair.answer for pair in read_qa(CORPUS.parent / "qa" / "test.jsonl")]
    texts += [path.read_text("utf-8") for path in sorted((CORPUS / "decisions").glob("*.md"))]
    total = 0
    for text in texts:
        spans = sorted({(found.start, found.end) for found in extract(text)})
        total += len(spans)
        for (_, end), (start, stop) in pairwise(spans):
            assert start >= end, text[start:stop]
    assert total > 10_000


# --- what is recognised -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("「민법」 제750조 제1항 제2호", ["민법 제750조"]),
        ("민법 750조", ["민법 제750조"]),
        ("민법 §750", ["민법 제750조"]),
        ("민법 제14조의3제2항", ["민법 제14조의3"]),
        (
            "소득세법 제1조와 같은 법 시행령 제3조의2",
            ["소득세법 제1조", "소득세법 시행령 제3조의2"],
        ),
        ("형법 제1조, 동법 제2조", ["형법 제1조", "형법 제2조"]),
        ("구 근로기준법(2007. 4. 11. 개정 전) 제30조", ["근로기준법 제30조"]),
        ("민법 제3조부터 제5조까지", ["민법 제3조", "민법 제4조", "민법 제5조"]),
        ("민법 제3조, 제5조 내지 제7조", [f"민법 제{n}조" for n in (3, 5, 6, 7)]),
        ("민법 제103조·제104조", ["민법 제103조", "민법 제104조"]),
        ("민법 제3조의2 내지 제3조의5", [f"민법 제3조의{n}" for n in (2, 3, 4, 5)]),
        ("민법 제3조부터 제3조의3까지", ["민법 제3조", "민법 제3조의2", "민법 제3조의3"]),
        ("민법 제3조부터 제4조의2까지", ["민법 제3조", "민법 제4조", "민법 제4조의2"]),
        ("민법 제24조 제1항 내지 제24조 제5항", ["민법 제24조"]),
        ("민법 제24조~제24조", ["민법 제24조"]),
        ("민법 제24조의2부터 제24조까지", ["민법 제24조의2", "민법 제24조"]),
        ("형법 제5조 제1항 및 같은 조 제3항", ["형법 제5조"]),
        ("형법 제37조 전단, 제38조", ["형법 제37조", "형법 제38조"]),
        ("형법·형사소송법 제5조", ["형사소송법 제5조"]),
        (
            '개인정보 보호법(이하 "법"이라 한다) 제3조. 법 제4조',
            [f"개인정보 보호법 제{n}조" for n in (3, 4)],
        ),
        ("개인정보법 제15조", ["개인정보 보호법 제15조"]),
        ("표시ㆍ광고의 공정화에 관한 법률 제3조", ["표시·광고의 공정화에 관한 법률 제3조"]),
        ("한편 항공기 등의 무엇에 관한 법률 제9조", ["항공기 등의 무엇에 관한 법률 제9조"]),
        ("「금융투자업규정」 제4-19조제7호", ["금융투자업규정 제4-19조"]),
        ("은행업감독규정 시행세칙 제5조", ["은행업감독규정 시행세칙 제5조"]),
        ("무엇의 공시에 관한 규정 시행세칙 제5조", ["무엇의 공시에 관한 규정 시행세칙 제5조"]),
        (
            "화재로 인한 재해보상과 보험가입에 관한 법률(이하 화보법) 제2조. 화보법 제5조",
            [f"화재로 인한 재해보상과 보험가입에 관한 법률 제{n}조" for n in (2, 5)],
        ),
        ("일본 형법 제161조의2와 우리 형법 제232조의2", ["형법 제232조의2"]),
        ("민법 제3~5조", ["민법 제3조", "민법 제4조", "민법 제5조"]),
        ("민법 제3·5조와 제7, 8조의2", [f"민법 제{n}" for n in ("3조", "5조", "7조", "8조의2")]),
        (
            "민법 제750조 및 근기법 제23조, 무슨예방법 제3조",
            ["민법 제750조", "근로기준법 제23조", "무슨예방법 제3조"],
        ),
        (
            "민법 제750조 및 무엇의 예방 및 관리에 관한 법률 제20조",
            ["민법 제750조", "무엇의 예방 및 관리에 관한 법률 제20조"],
        ),
        (
            "민법 제3조 및 긴급명령제4조의시행에관한규정 제6조, 제7조",
            ["민법 제3조", *(f"긴급명령제4조의시행에관한규정 제{n}조" for n in (6, 7))],
        ),
        ("민법 제623조와 특약사항 제3조, 각서 제4조", ["민법 제623조"]),
        ("근로기준법 부칙 제2조", ["근로기준법 부칙 제2조"]),
        ("형법 부칙 제2조 내지 제4조", [f"형법 부칙 제{n}조" for n in (2, 3, 4)]),
        (
            "형법 부칙 제1조, 제2조. 형법 제3조",
            ["형법 부칙 제1조", "형법 부칙 제2조", "형법 제3조"],
        ),
        ("대법원 2018. 10. 30. 선고 2013다61381 전원합의체 판결", ["2013다61381"]),
        ("헌재 2017. 3. 10. 2016헌나1", ["2016헌나1"]),
        (
            "서울중앙지법 2018. 4. 6. 선고 2016고합203, 220(병합) 판결",
            ["2016고합203", "2016고합220"],
        ),
        ("2007. 3. 29. 선고 2005두13018, 2008. 1. 1. 시행", ["2005두13018"]),
    ],
)
def test_keys_of_a_text(text, keys):
    assert citation_keys(text) == keys


@pytest.mark.parametrize(
    "text",
    [
        "예산 3조 원과 2조합, 제1조건",
        "단체협약 제10조와 제12조",
        "이 사건 약관 제5조",
        "2016년 10월 30일 제3항",
        "2010형제1234호",
        "일본 형법 제161조의2는 제1항에서, 같은 조 제2항에서",
        "미국 캘리포니아주 상법 제10103조와 일본국의 상법 제3조",
        "",
    ],
)
def test_what_is_no_citation(text):
    assert citation_keys(text) == []
    assert extract(text) == []


@pytest.mark.parametrize("called", ["처벌규정인", "양벌규정인", "예외 규정인", "판단 기준인"])
def test_a_provision_called_what_it_is_remains_a_citation(called):
    text = f"이자제한법은 최고이자율을 정하고, 그 {called} 제8조 제1항은 따로 정한다"
    assert citation_keys(text) == ["이자제한법 제8조"]


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("정관 제8조는 임원의 수를 정하고, 총회의 소집은 따로 제11조 제2항에서", None),
        ("독일 형법 제269조는 그렇게 정하고, 이와 달리 제267조는", None),
        ("정관 제8조는 임원의 수를 정한다. 민법은 이와 달리 제11조에서", "민법"),
        ("정관 제8조는 임원의 수를 정하고, 같은 법은 이와 달리, 같은 법 제11조에서", "상법"),
        ("대표이사의 권한은 넓으나(정관 제8조 참조) 무제한은 아니어서, 제11조에서", "상법"),
        ('정관 제8조는 "민법이 이사의 권한에 관하여 정하는 바에 따라 제59조의 방법으로"', "민법"),
    ],
)
def test_a_bare_article_behind_a_contracts_is_not_the_statutes(text, law):
    found = extract(f"상법의 회사에 관한 규정이 적용된다. {text}")
    assert [one.law for one in found][-1] == law


def test_the_note_of_a_former_version_hides_nothing_behind_it():
    text = (
        "구 공공기관법(2011. 3. 29. 법률 제10465호 개인정보 보호법 부칙 제2조로 폐지) 제11조"
        "(현행 개인정보 보호법 제59조 제2호 참조), 제23조 제2항"
    )
    assert citation_keys(text) == [
        "공공기관법 제11조",
        "개인정보 보호법 제59조",
        "공공기관법 제23조",
    ]


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("책임을 지고(민법 제750조), 뜻을 밝히며(필요한 때), 또는(같은 법 제760조)", "민법"),
        ("책임을 진다(민법 제750조). 상법 제3조는 따로 정한다(같은 법 제4조)", "상법"),
        ("책임을 진다(민법 제750조 및 상법 제3조), 그 밖에는(동법 제4조)", "상법"),
        ("책임을 진다(민법 제750조).\n\n그 밖에는(같은 법 제4조)", "근로기준법"),
    ],
)
def test_same_law_in_a_note_is_that_of_the_note_before(text, law):
    assert extract(f"근로기준법이 문제 된 사건에서 {text}")[-1].law == law


def test_a_quotation_speaks_of_the_statute_it_quotes():
    text = (
        '한국도로공사법 제13조의3이 "정부투자기관관리기본법 제18조의 임원 외에 제12조의2에 의하여'
        ' 위탁받은 자"라고 규정하고, 제14조는'
    )
    laws = [found.law for found in extract(text)]
    assert laws[0] == laws[2] == laws[3] == "한국도로공사법"


@pytest.mark.parametrize(
    "cited",
    [
        "부정경쟁방지법 제2조 제1호 (가)목",
        "부정경쟁방지법 제2조 제1호 가.목",
        "민법 제108조 제1, 2항",
    ],
)
def test_lists_and_brackets_below_an_article_are_of_its_citation(cited, index):
    (row,) = check_text(f"이는 {cited}의 문제이다.", index).citations
    assert (row.text, row.status) == (cited, "verified")


def test_an_article_of_an_unnamed_statute_is_counted_but_has_no_key(index):
    report = check_text("동법 제24조 제1항에 의하면", index)
    assert [(row.law, row.article, row.status) for row in report.citations] == [
        (None, "제24조", "unchecked")
    ]
    assert citation_keys("동법 제24조 제1항에 의하면") == []


# --- traps that others fell into ----------------------------------------------------------------


def test_words_before_a_statutes_name_do_not_hide_it(index):
    for words in ("이 사건에 적용되는 ", "피고인은 또한 ", "대법원도 ", "한편, ", "※ ", "ㅇ"):
        assert states(f"{words}민법 제750조에 따라", index) == [("민법", "제750조", "verified")]


def test_case_numbers_count_in_the_coverage(index):
    report = check_text("민법 제750조, 대법원 2099. 1. 1. 선고 2099다1 판결", index)
    assert report.coverage == 0.5
    assert report.to_json()["coverage"] == 0.5
    assert report.as_of == "2026-05-26"


def test_brackets_middle_dots_and_same_law_rules_are_read(index):
    for dot in "·ㆍ․・":
        text = f"「표시{dot}광고의 공정화에 관한 법률」 제3조 및 같은 법 시행규칙 제2조"
        assert [row[2] for row in states(text, index)] == ["verified", "unchecked"]


def test_what_the_index_lacks_is_unchecked_and_never_absent():
    empty = CitationIndex()
    assert set(statuses("민법 제9999조, 대법원 2013다61381 판결", empty)) == {"unchecked"}


# --- the four states --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("민법 제750조", "verified"),
        ("민법 제9999조", "absent"),
        ("민법 제750조(불법행위의 내용)", "verified"),
        ("민법 제750조(부당이득의 내용)", "mismatch"),
        ("민법 제750조 제1항", "mismatch"),
        ("민법 제108조 제2항", "verified"),
        ("상법 제235조(합병의 무효)", "mismatch"),
        ("상법 제235조(합병 효과)", "verified"),
        ("형법 제50조(형이 더 무거운 상해죄에 정한 형으로 처벌)", "verified"),
        ("민법 제108조 제3항", "mismatch"),
        ("민법 제108조 제3, 1항", "mismatch"),
        ("민법 제108조 제1, 3항", "mismatch"),
        ("형법 제38조 제1항 제2호", "verified"),
        ("형법 제38조 제1항 제9호", "mismatch"),
        ("근로기준법 제23조 ① 항", "verified"),
        ("근로기준법 제24조⑨항", "mismatch"),
        ("형법 제250조(살인죄)", "verified"),
        ("형법 제231조(사문서위조죄)", "verified"),
        ("형법 제129조(뇌물수수죄)", "verified"),
        ("형법 제250조(절도죄)", "mismatch"),
        ("형법 제355조(상해죄)", "mismatch"),
        ("개정 전 상법 제398조", "unchecked"),
        ("종전의 상법 제398조", "unchecked"),
        ("2016. 1. 6. 법률 제13719호로 개정되기 전의 형법 제241조", "unchecked"),
        ("민사소송법 제1조", "unchecked"),
        ("구 민법(1990. 1. 13. 법률 제4199호로 개정되기 전의 것) 제750조", "unchecked"),
        ("민법 부칙 제1조", "unchecked"),
        ("대법원 2003. 1. 24. 선고 2000다20670 판결", "verified"),
        ("대법원 2003. 1. 25. 선고 2000다20670 판결", "mismatch"),
        ("서울고법 2003. 1. 24. 선고 2000다20670 판결", "mismatch"),
        ("2000다20670", "verified"),
        ("대법원 2016. 9. 30. 선고 2015다19124 판결", "verified"),
        ("대법원 2003. 1. 24. 선고 2000다20671 판결", "unchecked"),
    ],
)
def test_states(text, status, index):
    assert statuses(text, index) == [status]


@pytest.mark.parametrize(
    "form",
    [
        "**{}**",
        "__{}__",
        "`{}`",
        "*{}*",
        "~~{}~~",
        "|{}|",
        "■{}",
        "▶ {}",
        "【{}】",
        "→{}",
        "{{{}}}",
    ],
)
def test_marks_around_a_citation_do_not_hide_it(form, index):
    marked = f"앞에 상법 제24조. {form.format('개인정보 보호법 제9999조')}에 따르면"
    assert states(marked, index)[1:] == [("개인정보 보호법", "제9999조", "absent")]


@pytest.mark.parametrize("marks", ["**", "__", "`", "~~"])
def test_a_statutes_name_alone_may_be_emphasised(marks, index):
    rows = check_text(f"상법 제24조. {marks}민법{marks} 제750조에 따라", index).citations
    assert [(row.law, row.article, row.status) for row in rows] == [
        ("상법", "제24조", "verified"),
        ("민법", "제750조", "verified"),
    ]
    assert rows[1].text == f"민법{marks} 제750조"


def test_a_quotation_is_compared(index):
    said = (
        "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 책임이 {}다."
    )
    for word, status in (("있", "verified"), ("없", "mismatch")):
        text = f"민법 제750조는 “{said.format(word)}”라고 규정하고 있다."
        assert statuses(text, index) == [status]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("상법 제388조의 “이사의 보수는 정관에 그 액을 정하지”라는 부분", "verified"),
        ("상법 제388조의 “이사의 상여는 정관에 그 액을 정하지”라는 부분", "mismatch"),
        (
            "저작권법 제2조 제32호에서 “공중”은 “불특정 다수인(특정 다수인을 포함한다)”이라고",
            "verified",
        ),
        (
            "저작권법 제2조 제32호에서 “공중”은 “불특정 소수인(특정 다수인을 포함한다)”이라고",
            "mismatch",
        ),
        ("형법 제357조 제1항은 “부정한 청탁을 받고 재물”을 얻은 자를 벌한다", "verified"),
        ("형법 제357조 제1항은 “정당한 청탁을 받고 재물”을 얻은 자를 벌한다", "mismatch"),
        # A notion, a closing mark, and the words of a list that the source left out.
        ("형법 제70조의 ‘벌금을 내지 않은 데 대한 유치’에 해당한다", "verified"),
        ('적용법조를 "형법 제70조"로, 죄명을 "공무상 비밀누설의 죄"로', "verified"),
        ("부정경쟁방지법 제2조 제3호 라목은 “계약관계 등에 따라 유지하여야 할”을", "verified"),
    ],
)
def test_what_stands_in_double_marks_are_the_articles_words(text, status, index):
    assert statuses(text, index) == [status]


@pytest.mark.parametrize("form", ['{}: "{}"', "**{}**: “{}”", "{}： “{}”"])
def test_a_quotation_behind_a_colon_is_compared(form, index):
    text = "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 {}."
    for word, status in (("책임이 있다", "verified"), ("의무는 없다", "mismatch")):
        assert statuses(form.format("민법 제750조", text.format(word)), index) == [status]


@pytest.mark.parametrize("marks", ["‘{}’", "'{}'"])
def test_single_marks_of_either_kind_are_compared_where_the_text_says_so(marks, index):
    quote = "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 {} 배상할 책임이 있다"
    for word, status in (("그 손해를", "verified"), ("그 두 배를", "mismatch")):
        text = f"민법 제750조는 {marks.format(quote.format(word))}"
        assert statuses(f"{text}고 규정하고 있다", index) == [status]
        assert statuses(f"{text}의 원칙을 말한다", index) == ["verified"]


def test_same_articles_quotation_is_compared(index):
    for word, status in (("1회", "verified"), ("2회", "mismatch")):
        text = f"근로기준법 제43조 제1항, 같은 조 제2항은 “임금은 매월 {word} 이상”이라고 한다"
        assert statuses(text, index) == ["verified", status]


def test_a_former_version_named_from_here_on_stays_former(index):
    text = (
        "상표법(2004. 12. 31. 법률 제7290호로 개정되기 전의 것, 이하 같다) 제73조. 상표법 제80조."
        " 현행 상표법 제73조"
    )
    assert statuses(text, index) == ["unchecked", "unchecked", "verified"]


def test_a_list_that_goes_on_from_a_guess_is_as_much_of_one(index):
    text = "형법은 법률이다. 회사는 제347조(이용요금), 제348조(환불정책)에 따라"
    assert statuses(text, index) == ["unchecked", "unchecked"]


def test_a_decision_named_earlier_has_a_court_and_date_of_its_own(index):
    text = "특허법원 2001. 4. 10. 선고 2000허1 판결, 위 2000다20670 판결 등 참조"
    assert statuses(text, index) == ["unchecked", "verified"]


def test_courts_that_share_a_number_are_told_apart():
    cases = [
        Case("2020나100", court, date, "", "판결", {}, {})
        for court, date in (("서울고등법원", "2021-01-05"), ("부산고등법원", "2022-03-04"))
    ]
    index = build_index(cases)
    for court, date, status in (
        ("서울고법", "2021. 1. 5.", "verified"),
        ("부산고법", "2022. 3. 4.", "verified"),
        ("서울고법", "2022. 3. 4.", "mismatch"),
        ("대구고법", "2021. 1. 5.", "mismatch"),
    ):
        assert statuses(f"{court} {date} 선고 2020나100 판결", index) == [status]


def test_a_courts_seat_elsewhere_is_the_same_court():
    index = build_index([Case("2020나1", "부산고등법원(창원)", "2022-03-04", "", "판결", {}, {})])
    for court in ("부산고법(창원)", "부산고등법원"):
        assert statuses(f"{court} 2022. 3. 4. 선고 2020나1 판결", index) == ["verified"]


def test_law_that_took_effect_after_the_text_is_unchecked(index):
    assert states("형법 제1조", index, as_of="2020-01-01") == [("형법", "제1조", "unchecked")]
    assert states("형법 제1조", index, as_of="2026-10-01") == [("형법", "제1조", "verified")]


def test_every_article_of_the_corpus_is_told_from_a_made_up_one(index):
    """Cited with its title it is there; under the title "허공의 별" it is not what it is called;
    with a 항 beyond its last it lacks that; and one number beyond the statute's last is absent."""
    kinds = {"verified": [], "mismatch": [], "absent": []}
    for statute in index.statutes.values():
        for label, article in statute.articles.items():
            cited = f"{statute.name} {label}"
            if article.deleted:
                kinds["absent"].append(cited)
                continue
            title = article.title if not set("(「") & set(article.title) else ""
            kinds["verified"].append(f"{cited}({title})" if title else cited)
            if article.title:
                kinds["mismatch"].append(f"{cited}(허공의 별)")
            kinds["mismatch"].append(f"{cited} 제99항")
        last = max(int(label[1:].split("조")[0]) for label in statute.articles)
        kinds["absent"].append(f"{statute.name} 제{last + 1}조")
    assert len(kinds["verified"]) == 5002
    for status, texts in kinds.items():
        counts = classify("\n".join(f"{text}에 따른다." for text in texts), index)
        assert counts == {status: len(texts)}


def test_wrong_articles_soar_when_numbers_are_changed(index):
    right = "민법 제750조, 형법 제37조, 상법 제418조 제2항"
    wrong = right.replace("조", "9조").replace("제4189조", "제41899조").replace("750", "7509")
    assert classify(right, index) == {"verified": 3}
    assert classify(wrong, index)["absent"] == 3


# --- encodings and positions ------------------------------------------------------------------


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_other_encodings_of_a_text_behave_as_its_twin(index):
    plain = "\n".join(passage["text"] for passage in passages("open")[:40])
    gold = states(plain, index)
    assert len(gold) > 80
    for change in (
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: text.replace("\n", "\r\n"),
        full_width,
        lambda text: unicodedata.normalize("NFD", full_width(text)).replace("\n", "\r\n"),
    ):
        changed = change(plain)
        report = check_text(changed, index)
        assert [(r.law or r.case, r.article, r.status) for r in report.citations] == gold
        for row in report.citations:
            assert changed[row.start : row.end] == row.text


def test_positions_are_those_of_the_text_given(index):
    text = unicodedata.normalize("NFD", "피고는 민법 제750조에 따라")
    (row,) = check_text(text, index).citations
    assert text[row.start : row.end] == row.text == unicodedata.normalize("NFD", "민법 제750조")


def test_odd_texts_neither_crash_nor_stall(index):
    for text in (
        "(" * 50_000,
        '"' * 50_000,
        "민법(" * 9_000,
        "제" + " " * 50_000,
        "2013다1, 12" * 5_000,
    ):
        check_text(text, index)


# --- the index --------------------------------------------------------------------------------


def test_an_index_of_ones_own_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lawtune.eval.citation_index._SLOW", 0)
    source = tmp_path / "laws"
    source.mkdir()
    law = "---\n제목: 우주여행법\n법령구분: 법률\n공포일자: 2030-01-02\n시행일자: 2030-02-01\n---\n"
    law += "# 우주여행법\n\n##### 제1조 (목적)\n\n이 법은 우주여행을 다룬다.\n\n##### 제2조 삭제\n"
    (source / "a.md").write_text(law, encoding="utf-8")
    index = load_index([source])
    assert index.as_of == "2030-01-02"
    text = "우주여행법 제1조, 제2조, 제3조"
    assert statuses(text, index) == ["verified", "absent", "absent"]
    (kept,) = (tmp_path / "cache" / "lawtune").iterdir()
    assert load_index([source]) == index
    kept.write_text("{", encoding="utf-8")
    assert load_index([source]) == index
    (source / "a.md").write_text(law.replace("제2조 삭제", "제2조 (정의)\n\n뜻"), encoding="utf-8")
    assert statuses(text, load_index([source])) == ["verified", "verified", "absent"]


def test_what_the_sources_hide_is_said_each_time(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lawtune.eval.citation_index._SLOW", 0)
    source = tmp_path / "laws"
    source.mkdir()
    law = "---\n제목: 우주여행법\n법령구분: 법률\n공포일자: 2030-01-02\n시행일자: 2030-02-01\n---\n"
    (source / "a.md").write_text(law + "# 우주여행법\n\n##### 제1조 (목적)\n\n뜻\n", "utf-8")
    load_index([source])
    assert not caplog.records
    (source / "b.md").write_text("no front matter", encoding="utf-8")
    for _ in ("read", "kept"):
        caplog.clear()
        load_index([source])
        assert [record.message.endswith(": 1") for record in caplog.records] == [True]


def test_an_index_of_nothing_is_refused(tmp_path):
    (tmp_path / "a.md").write_text("no front matter", encoding="utf-8")
    with pytest.raises(UserError, match="no statute and no decision"):
        load_index([tmp_path])
    assert build_index([]) == CitationIndex()


# --- the verb ---------------------------------------------------------------------------------


def test_cite_writes_json(tmp_path, capsys, index):
    file = tmp_path / "text.txt"
    file.write_text("민법 제750조와 대법원 2013다61381 판결", encoding="utf-8")
    assert main(["cite", str(file), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["coverage"] == 0.5
    assert report["citations"][0] == {
        "text": "민법 제750조",
        "kind": "statute",
        "law": "민법",
        "article": "제750조",
        "case": None,
        "status": "verified",
        "start": 0,
        "end": 8,
    }
    assert report["citations"][1]["kind"] == "case"
    assert report["citations"][1]["case"] == "2013다61381"


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("ko", ("확인됨\t민법 제1조", "조문 없음", "색인 기준일: 2026-05-26")),
        ("en", ("verified", "absent")),
    ],
)
def test_cite_says_coverage_and_date(tmp_path, capsys, index, lang, words):
    file = tmp_path / "text.txt"
    file.write_text("민법 제1조, 제9999조", encoding="utf-8")
    assert main(["cite", str(file), "--lang", lang]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    assert "100%" in out


def test_cite_refuses_what_is_not_there(tmp_path, capsys, index):
    assert main(["cite", str(tmp_path / "none.txt")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_citation_modules_import_no_torch():
    for name in ("citations", "citation_extract", "citation_index", "citation_cases"):
        text = (Path(__file__).parents[2] / "lawtune" / "eval" / f"{name}.py").read_text()
        assert "torch" not in text


def test_statute_citation_names_its_places():
    (found,) = extract("형법 제38조 제1항 제2호, 제3호")
    assert isinstance(found, StatuteCitation)
    assert found.units == (("1", "2", ""), ("1", "3", ""))
