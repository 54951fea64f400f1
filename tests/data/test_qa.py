"""Questions and answers of official replies: what is tidied away, and what must stay."""

from collections import Counter

import pytest

from lawtune.data.library import Library
from lawtune.data.qa import make_pairs
from lawtune.records import Interpretation


def pairs_of(question: str, answer: str):
    reply = Interpretation("1", "금융위원회", "2020-01-01", "질의", question, answer)
    rejected: Counter[str] = Counter()
    return list(make_pairs(Library.of([reply]), rejected)), rejected


@pytest.mark.parametrize(
    ("answer", "tidied"),
    [
        ("□ 허용됩니다.\nㅇ 다만 신고하여야\n합니다.", "허용됩니다. 다만 신고하여야 합니다."),
        ("□허용됩니다.\n\xa0ㅇ아울러 신고합니다.", "허용됩니다. 아울러 신고합니다."),
        ("○ 「은행법」 제 2 조 ◦ 신고", "「은행법」 제2조 신고"),
        ("갑(○), 을(×)로 본다.", "갑(○), 을(×)로 본다."),
    ],
)
def test_a_lists_marks_go_and_nothing_else(answer, tidied):
    (pair,), _ = pairs_of("허용되는지 여부", answer)
    assert pair.answer == tidied


@pytest.mark.parametrize(
    "hidden",
    ["○○저축은행은", "ㅇㅇ 은행은", "ㅇ은행은", "□□카드는", "OO은행은", "xx지주는", "00생명은"],
)
def test_nothing_is_learnt_of_somebody_whose_name_is_hidden(hidden):
    """Without its marks, what holds for one bank would be said of all."""
    pairs, rejected = pairs_of("허용되는지 여부", f"다만, {hidden} 대주주에 해당합니다.")
    assert pairs == [] and rejected.total() == 1


def test_numbers_and_words_in_latin_letters_hide_no_name():
    text = "1,000원과 10:00부터 100일, 0.00 이하를 TOO가 FOO에 5.00퍼센트로 정한다."
    assert pairs_of("허용되는지 여부", text)[0]
