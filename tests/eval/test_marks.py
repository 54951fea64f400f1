"""Answers as the page shows them: what agrees with the gold one, and what citations are worth."""

import re

from lawtune.eval.marks import SHOWN, SIGNS, WORST_FIRST, answer_views, marked, shared
from lawtune.eval.texts import LANGUAGES

WORDS = LANGUAGES["en"]


def pieces(text, spans):
    return [text[start:end] for start, end in spans]


def citation(text, part, status):
    start = text.index(part)
    return {"start": start, "end": start + len(part), "status": status}


def plain(markup):
    """What is read, marks and joiners aside."""
    return re.sub(r"<b [^>]*>.</b>|<[^>]+>|\u2060", "", str(markup))


def test_shared_words_are_found_in_both_whatever_the_punctuation():
    gold = "고의 또는 과실로 손해를 가한 자는, 배상할 책임이 있다."
    said = "따라서 과실로 손해를 가한 자는 벌금을 내고 배상할 책임이 있다"
    first, second = shared(gold, said)
    assert pieces(gold, first) == ["과실로 손해를 가한 자는,", "배상할 책임이 있다."]
    assert pieces(said, second) == ["과실로 손해를 가한 자는", "배상할 책임이 있다"]


def test_scraps_that_are_everywhere_do_not_count():
    assert shared("할 수 있다", "할 수 없다") == ([], [])
    assert shared("", "글") == shared("글", "") == ([], [])


def test_a_text_is_marked_and_all_else_escaped():
    text = "<b>민법</b> 제750조 & 민법 제9999조"
    cited = [
        citation(text, "민법</b> 제750조", "verified"),
        citation(text, "민법 제9999조", "absent"),
    ]
    page = str(marked(text, [(0, 9)], cited, WORDS))
    assert "<b>민법" not in page and "&lt;b&gt;" in page and "&amp;" in page
    for status, words in (("verified", "verified"), ("absent", "no such article")):
        assert f'<cite class="{status}" title="{words}"' in page
        assert f"{SIGNS[status]}</b>" in page
    assert page.count("<cite") == page.count("</cite>") == 2
    assert plain(page) == "&lt;b&gt;민법&lt;/b&gt; 제750조 &amp; 민법 제9999조"


def test_a_citation_within_another_breaks_no_mark():
    text = "명령 제4조의 시행에 관한 규정 제6조에 따른다"
    cited = [
        citation(text, part, status)
        for part, status in (
            (text[:-5], "verified"),
            ("제4조", "absent"),
            ("규정 제6조에", "absent"),
        )
    ]
    page = str(marked(text, [], cited, WORDS))
    assert page.count("<cite") == page.count("</cite>") == 1
    assert plain(page) == text


def test_every_status_has_a_sign_and_a_name_of_its_own():
    assert len(set(SIGNS.values())) == len(SIGNS) == 4
    assert sorted(WORST_FIRST) == sorted(SIGNS)
    for words in LANGUAGES.values():
        assert set(words["statuses"]) == set(SIGNS)
        assert len(set(words["statuses"].values())) == 4


def test_a_range_is_marked_as_the_worst_of_its_articles():
    text = "민법 제1117조부터 제1119조까지"
    for statuses, shown in (
        (("verified", "absent", "absent"), "absent"),
        (("absent", "unchecked", "verified"), "absent"),
        (("unchecked", "verified", "mismatch"), "mismatch"),
        (("verified", "unchecked", "verified"), "unchecked"),
    ):
        page = str(marked(text, [], [citation(text, text, one) for one in statuses], WORDS))
        assert page.count("<cite") == 1 and f'<cite class="{shown}"' in page


def test_a_shared_passage_may_begin_inside_a_citation():
    text = "앞 민법 제750조 뒤"
    page = str(marked(text, [(5, 12)], [citation(text, "민법 제750조", "verified")], WORDS))
    inside = page[page.index("<cite") : page.index("</cite>")]
    assert '<span class="same">제750조</span>' in inside
    assert page.count("<span") == page.count("</span>") == 2
    assert plain(page) == text


def test_a_long_answer_is_cut_and_what_is_left_is_counted():
    text = "가" * 100_000
    page = str(marked(text, [], [], WORDS))
    assert len(page) < SHOWN + 200
    assert f"{100_000 - SHOWN:,} more characters" in page
    assert shared(text, text)[0] == [(0, SHOWN)]
    # A citation across the cut is closed, one beyond it is not begun.
    across = [{"start": SHOWN - 2, "end": SHOWN + 2, "status": "absent"}]
    beyond = [{"start": SHOWN + 5, "end": SHOWN + 9, "status": "absent"}]
    page = str(marked(text, [], across + beyond, WORDS))
    assert page.count("<cite") == page.count("</cite>") == 1


def test_the_gold_answer_is_marked_by_what_the_model_has_of_it():
    gold = "손해를 배상할 책임이 있다"
    shown = {"question": "누가?", "gold": gold, "base_prediction": ""}
    shown["prediction"] = "손해를 배상할 의무"
    views = answer_views(shown, WORDS)
    assert '<span class="same">손해를 배상할</span>' in views["gold"]
    assert "base_prediction" not in views
    # Nothing was said, or nothing is known of citations: the text stands as it is.
    silent = answer_views(shown | {"prediction": ""}, WORDS)
    assert silent == {"question": "누가?", "gold": gold}
