import unicodedata

import pytest

from lawtune.data.quality import bigrams, overlap
from lawtune.eval.text import comparable, utf8_bytes
from lawtune.records import composed


def test_clean_leaves_nfc_alone_and_joins_lone_carriage_returns():
    assert composed("가\r나\r\n다\n") == "가\n나\n다\n"


def test_twins_in_another_encoding_are_one_text():
    text = "손해를 배상할\n책임(제750조)이 있다."
    twin = unicodedata.normalize("NFD", text).replace("\n", "\r\n")
    assert twin != text
    assert comparable(twin) == composed(twin) == text
    assert utf8_bytes(twin) == utf8_bytes(text)
    assert bigrams(twin) == bigrams(text)


def test_full_width_is_half_width_when_compared_and_stays_when_a_model_is_asked():
    assert comparable("（제７５０조）　Ａ！") == "(제750조) A!"
    assert composed("（제７５０조）") == "（제７５０조）"
    assert comparable("①·ㆍ「」") == "①·ㆍ「」"


def test_bytes_are_three_a_syllable():
    assert utf8_bytes("민법 1조") == 3 * 3 + 2


def test_overlap_is_relative_to_the_choice():
    # The choice's bigrams 손해, 해배, 배상; the question has 손해 and 배상.
    assert overlap("손해와 배상", "손해 배상") == pytest.approx(2 / 3)
    assert overlap("손해와 배상", "가") == 0
