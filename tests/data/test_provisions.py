"""From the text of the law to 조, 항, 호 and 목."""

from datetime import date, datetime

import pytest

from lawtune.data.provisions import (
    CIRCLED,
    clean,
    is_deleted,
    one_line,
    parse_article,
    render_article,
    split_numbered,
    to_iso_date,
)
from lawtune.records import Article, Provision

LEGALIZE = """
**①** 사용자는 다음 각 호의 사항을 명시하여야 한다. <개정 2020.2.4>

  1\\. 임금
  1의2\\. 소정근로시간
    가\\. 시업 시각
    나\\. 종업 시각
  2\\. 휴일

**②** 제1항은 그러하지
아니하다.
"""
FLAT = """①사용자는 다음 각 호의 사항을 명시하여야 한다. <개정 2020.2.4>
  1. 임금
  1의2. 소정근로시간
    가. 시업 시각
    나. 종업 시각
  2. 휴일
  ②제1항은 그러하지
아니하다.
"""
PARSED = Article(
    "17",
    "명시",
    "",
    (
        Provision(
            "항",
            "1",
            "사용자는 다음 각 호의 사항을 명시하여야 한다.",
            (
                Provision("호", "1", "임금"),
                Provision(
                    "호",
                    "1의2",
                    "소정근로시간",
                    (Provision("목", "가", "시업 시각"), Provision("목", "나", "종업 시각")),
                ),
                Provision("호", "2", "휴일"),
            ),
        ),
        Provision("항", "2", "제1항은 그러하지 아니하다."),
    ),
)


def article(text: str, title: str = "") -> Article:
    return parse_article("1", title, text.split("\n"))


@pytest.mark.parametrize("layout", [LEGALIZE, FLAT])
def test_both_layouts_give_the_same_article(layout):
    assert parse_article("17", "명시", layout.split("\n")) == PARSED


def test_rendering_spells_every_mark_out():
    assert render_article(PARSED) == (
        "제1항 사용자는 다음 각 호의 사항을 명시하여야 한다.\n"
        "제1호 임금\n제1호의2 소정근로시간\n가목 시업 시각\n나목 종업 시각\n제2호 휴일\n"
        "제2항 제1항은 그러하지 아니하다."
    )


def test_items_may_stand_below_the_article_itself():
    parsed = article("이 법에서 쓰는 용어는 다음과 같다.\n  1\\. 갑\n  2\\. 을")
    assert parsed.text == "이 법에서 쓰는 용어는 다음과 같다."
    assert [(p.level, p.number) for p in parsed.provisions] == [("호", "1"), ("호", "2")]


def test_circled_numbers_to_fifty():
    """Unicode has ①–⑳ (U+2460), ㉑–㉟ (U+3251) and ㊱–㊿ (U+32B1)."""
    expected = {
        **{chr(0x2460 + i): 1 + i for i in range(20)},
        **{chr(0x3251 + i): 21 + i for i in range(15)},
        **{chr(0x32B1 + i): 36 + i for i in range(15)},
    }
    assert expected == CIRCLED
    parsed = article("⑳ 갑\n**㉑** 을\n㊱ 병\n㊿ 정")
    assert [p.number for p in parsed.provisions] == ["20", "21", "36", "50"]
    assert parsed.provisions[1].label == "제21항"


@pytest.mark.parametrize(
    "line",
    ["2011. 3. 5. 이전에 신고한 자", "2011.3.5 이전에 신고한 자", "1.5배를 가산한다", "100분의 3"],
)
def test_a_line_that_begins_with_a_date_or_an_amount_is_no_item(line):
    parsed = article(f"① 다음과 같다.\n{line}")
    assert parsed.provisions == (Provision("항", "1", f"다음과 같다. {line}"),)


@pytest.mark.parametrize("line", ["다만. 그러하다", "이. 것은", "가나. 다"])
def test_other_syllables_and_words_are_no_subitems(line):
    assert article(f"  1. 갑\n{line}").provisions == (Provision("호", "1", f"갑 {line}"),)


@pytest.mark.parametrize(
    "text",
    [
        "삭제",
        "삭제 <2012. 2. 10.>",
        "삭제<2012.2.10>",
        "  삭제  〈개정 2012.2.10〉",
        "삭 제",
        "<삭 제> (2007. 12. 13)",
        "삭제 [2012. 2. 10.]",
        "삭제 (2012. 2. 10.)",
        "삭제.",
    ],
)
def test_deleted_articles(text):
    parsed = article(text, "옛 제목")
    assert parsed == Article("1", "옛 제목", "", (), deleted=True)
    assert render_article(parsed) == ""


def test_an_article_whose_title_is_its_deletion():
    assert article("", "삭제").deleted
    assert not article("", "정보의 삭제 요구").deleted
    assert not article("삭제를 요구할 수 있다.").deleted
    assert not article("삭제(파기를 포함한다)를 요구할 권리").deleted
    assert article("", "(삭제)").deleted


def test_deleted_provisions_are_known_and_left_out():
    parsed = article("① 갑\n② 삭제 <2012. 2. 10.>\n③ 을\n  1. 삭제 <2019.1.30>\n  2. 병")
    second, third = parsed.provisions[1:]
    assert is_deleted(second)
    assert is_deleted(third.children[0])
    assert not is_deleted(third)
    assert render_article(parsed) == "제1항 갑\n제3항 을\n제2호 병"


@pytest.mark.parametrize(
    "note",
    [
        "<개정 2020.2.4>",
        "<개정 2010. 3. 31., 2020. 2. 4.>",
        "〈신설 2019. 1. 15.〉",
        "<2019.1.30>",
        "<신설·개정 2011.1.1>",
        "[본조신설 2007. 12. 21.]",
        "[전문개정 2011. 3. 29.]",
        "[제목개정 2014. 5. 20.]",
        "[제14조에서 이동, 종전 제13조의2는 삭제 <2009. 1. 30.>]",
        "[시행일: 2026. 1. 1.] 제3조",
    ],
)
def test_amendment_notes_go(note):
    expected = "신고하여야 한다." + (" 제3조" if note.endswith("제3조") else "")
    assert clean(f"신고하여야 한다. {note}") == expected


@pytest.mark.parametrize(
    "text", ["「민법」 [별표 1]에 따라", "a < b 이고 c > d", "이율[연 12퍼센트]", "<보기> 참조"]
)
def test_other_brackets_stay(text):
    assert clean(text) == text


def test_breaks_tags_entities_and_blanks():
    assert clean("가<br/>나<BR>다<br />라") == "가\n나\n다\n라"
    assert clean("<p>가&nbsp;&amp;&lt;나</p>\r\n\r\n\r\n\r\n 다\t라 ") == "가 &<나\n\n다 라"
    assert one_line("가<br/> 나\n다") == "가 나 다"
    assert clean("제1항 ①과 ㉒") == "제1항 (1) 과 (22)"
    assert clean("\u1100\u1161") == "가"


@pytest.mark.parametrize(
    "spelling",
    [
        20181030,
        "20181030",
        "2018. 10. 30.",
        "2018-10-30",
        "2018년 10월 30일",
        "2018.10.30",
        "2018 . 10 . 30",
        date(2018, 10, 30),
        datetime(2018, 10, 30, 12),
    ],
)
def test_dates_in_every_spelling(spelling):
    assert to_iso_date(spelling) == "2018-10-30"


def test_short_months_and_what_is_no_date():
    assert to_iso_date("2018. 1. 5.") == "2018-01-05"
    for nothing in ("", None, "미정", "2018-02-30", "2018", "99999999", []):
        assert to_iso_date(nothing) == ""
    # A month is no day.
    for nothing in ("2018.11", "2018-12", "201811", "2018. 11."):
        assert to_iso_date(nothing) == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("  \n", {}),
        ("번호 없는 글", {"": "번호 없는 글"}),
        ("[1] 갑<br/>[2] 을", {"1": "갑", "2": "을"}),
        ("<br/>[1] 갑 / [2] 을", {"1": "갑", "2": "을"}),
        ("[1] 갑\n[2] 을\n을의 계속", {"1": "갑", "2": "을 을의 계속"}),
        ("[1] 별표 [3] 기재 [2] 을", {"1": "별표 [3] 기재", "2": "을"}),
        ("이 사건 목록 [1] 기재 부동산", {"": "이 사건 목록 [1] 기재 부동산"}),
        ("[별지 1]과 [1] 사건", {"": "[별지 1]과 [1] 사건"}),
        ("[2] 을", {"": "[2] 을"}),
        ("[1] [2] 을", {"2": "을"}),
        ("[1]갑[2]을", {"1": "갑[2]을"}),
    ],
)
def test_numbered_parts(text, parts):
    assert split_numbered(text) == parts
