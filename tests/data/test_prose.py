"""Prose out of PDF text: furniture, tables and noise go, sentences stay whole."""

from collections import Counter

from lawtune.data.prose import clean_prose


def cleaned(text: str) -> tuple[str, Counter]:
    removed = Counter()
    return clean_prose(text, removed), removed


def test_page_numbers_and_running_heads_go():
    page = "개인정보 보호 안내서 | {}\n개인정보를 처리하려면 동의를 받아야 합니다.\n- {} -\n"
    text, removed = cleaned("".join(page.format(n, n) for n in range(1, 4)))
    assert text == "\n".join(["개인정보를 처리하려면 동의를 받아야 합니다."] * 3)
    assert removed["page furniture"] == 6


def test_a_heading_that_comes_twice_stays():
    text, _ = cleaned("수집의 요건\n\n동의를 받는다.\n\n수집의 요건\n\n법률에 따른다.")
    assert text.count("수집의 요건") == 2


def test_contents_and_names_of_files_go():
    text, _ = cleaned(
        "Ⅰ. 개요 ·········· 3\n[첨부파일: 안내서(최종).hwpx]\n- 안내서.pdf\n이것은 글이다."
    )
    assert text == "이것은 글이다."


def test_a_table_goes_and_a_list_of_sentences_stays():
    rows = "구분\n담당자\n접수일\n\n처리\n비고\n"
    text, removed = cleaned(f"다음 표와 같다.\n{rows}그 밖의 사항은 내부 관리계획으로 정한다.")
    assert text == "다음 표와 같다.\n\n그 밖의 사항은 내부 관리계획으로 정한다."
    assert removed["table or form"] == 5
    short = "동의를 받을 것.\n알릴 것.\n지킬 것.\n보관할 것.\n파기할 것.\n기록할 것."
    assert cleaned(short)[0] == short


def test_glyph_numbers_are_no_letters():
    text, removed = cleaned("ᢚӎᐊᣋ᫊ᓢᴶᶳ୞ὢ⪦ 8\n읽을 수 있는 한 줄이다.")
    assert text == "읽을 수 있는 한 줄이다."
    assert removed["illegible"] == 1


def test_a_line_broken_at_the_page_s_edge_is_joined_where_the_file_tells_how():
    wrapped = "연구참여자에게만 부여되며, 데이터 수정 \n권한은 책임자에게 부\n여한다.\n- 다음 항목."
    whole = "연구참여자에게만 부여되며, 데이터 수정 권한은 책임자에게 부여한다.\n- 다음 항목."
    assert cleaned(wrapped)[0] == whole
    bare = wrapped.replace(" \n", "\n")
    assert cleaned(bare)[0].count("\n") == 3


def test_markup_goes():
    assert cleaned("＜p＞동의를 받는다.＜br /＞<b>다만</b>, 예외가 있다.&nbsp;")[0] == (
        "동의를 받는다.\n\n다만\n, 예외가 있다."
    )
