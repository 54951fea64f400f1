"""Which side a source stands on, and what must not stand on two."""

import hashlib
from collections import Counter

import pytest

from lawtune.data.split import (
    article_group,
    assign_split,
    bands,
    case_group,
    drop_near_duplicates,
    interpretation_group,
    near_duplicates_across,
    repeated,
)
from lawtune.records import Case, Interpretation, QAPair

TEXT = "임대인은 임차인이 계약의 갱신을 요구할 경우 정당한 사유 없이 거절하지 못한다고 정하고 있다."


def pair(name: str, answer: str) -> QAPair:
    return QAPair("물음", answer, id=name)


def jaccard(a: str, b: str) -> float:
    """Over runs of five characters, blanks left out: worked out here anew."""
    a, b = a.replace(" ", ""), b.replace(" ", "")
    first = {a[i : i + 5] for i in range(len(a) - 4)}
    second = {b[i : i + 5] for i in range(len(b) - 4)}
    return len(first & second) / len(first | second)


def sentence(seed: str, length: int = 120) -> str:
    """Hangul that looks random, the same on every machine."""
    digest = hashlib.shake_256(seed.encode()).digest(2 * length)
    return "".join(
        chr(0xAC00 + int.from_bytes(digest[i : i + 2], "big") % 11172)
        for i in range(0, 2 * length, 2)
    )


def test_shares_over_many_names():
    sides = Counter(assign_split(f"민법 제{i}조", 42, 0.1, 0.1) for i in range(20_000))
    # Four standard deviations of a binomial: sqrt(20000 * 0.1 * 0.9) = 42.
    assert abs(sides["test"] - 2000) < 170
    assert abs(sides["validation"] - 2000) < 170
    assert sides.total() == 20_000


def test_a_side_depends_on_name_and_seed_alone():
    """Pinned for good: released models were trained without these sources."""
    pinned = {"민법 제12조": "test", "민법 제4조": "validation", "민법 제750조": "train"}
    pinned |= {"2013다61381": "train", "해석례 100119": "validation"}
    assert {name: assign_split(name, 42, 0.1, 0.1) for name in pinned} == pinned
    many = [f"제{i}조" for i in range(500)]
    first = [assign_split(name, 1, 0.1, 0.1) for name in many]
    assert first == [assign_split(name, 1, 0.1, 0.1) for name in reversed(many)][::-1]
    assert first != [assign_split(name, 2, 0.1, 0.1) for name in many]


def test_larger_shares_only_take_from_training():
    for i in range(2000):
        small, large = (assign_split(str(i), 42, share, 0.1) for share in (0.1, 0.2))
        assert (small == "test") == (large == "test")
        assert small != "validation" or large == "validation"


@pytest.mark.parametrize(
    ("validation", "test", "side"), [(0, 0, "train"), (1, 0, "validation"), (0, 1, "test")]
)
def test_all_on_one_side(validation, test, side):
    assert {assign_split(str(i), 42, validation, test) for i in range(200)} == {side}


def test_names_of_groups():
    assert article_group("개인정보 보호법", "제15조") == "개인정보보호법 제15조"
    assert article_group("일ㆍ가정 양립법", "제1조") == article_group("일·가정양립법", "제1조")
    for number in (
        "2013다61381",
        "2013다61381, 61398",
        "2013다61381(본소), 61398(반소)",
        "2013다 61381",
    ):
        assert case_group(Case(number, "", "2018-10-30", "", "판결", {}, {})) == "2013다61381"
        assert case_group(number) == "2013다61381"
    for number in ("(창원)2012노149", "(창원) 2012노149, (창원)2012전노18(병합)"):
        assert case_group(number) == "2012노149"
    assert interpretation_group(Interpretation("100119", "", "", "", "", "")) == "해석례 100119"


def test_train_yields_before_validation_before_test():
    splits = {
        "train": [pair("a1", TEXT), pair("a2", TEXT + " 끝."), pair("a3", sentence("a"))],
        "validation": [pair("v1", TEXT), pair("v2", sentence("b")), pair("v3", sentence("c"))],
        "test": [pair("t1", TEXT), pair("t2", sentence("b")), pair("t3", sentence("d"))],
    }
    kept, dropped = drop_near_duplicates(splits, 0.8)
    assert list(kept) == ["train", "validation", "test"]
    assert {name: [p.id for p in pairs] for name, pairs in kept.items()} == {
        "train": ["a3"],
        "validation": ["v3"],
        "test": ["t1", "t2", "t3"],
    }
    assert sorted(dropped) == [
        ("a1", "train", "t1"),
        ("a2", "train", "t1"),
        ("v1", "validation", "t1"),
        ("v2", "validation", "t2"),
    ]


def test_likeness_within_a_split_is_no_leak():
    splits = {"train": [pair("a", TEXT), pair("b", TEXT)], "validation": [], "test": []}
    kept, dropped = drop_near_duplicates(splits, 0.8)
    assert (len(kept["train"]), dropped) == (2, [])


def test_no_near_duplicate_is_missed_and_nothing_else_dropped():
    """200 answers, each with a twin cut short to a likeness from 0.70 to 0.98."""
    originals = {f"t{i}": sentence(f"original {i}") for i in range(200)}
    twins = {name: text[: 85 + 7 * int(name[1:]) % 33 + 2] for name, text in originals.items()}
    likeness = {name: jaccard(originals[name], twins[name]) for name in originals}
    assert min(likeness.values()) < 0.75
    assert max(likeness.values()) > 0.95
    splits = {
        "train": [pair(f"a{name}", text) for name, text in twins.items()],
        "validation": [],
        "test": [pair(name, text) for name, text in originals.items()],
    }
    _, dropped = drop_near_duplicates(splits, 0.8)
    assert dropped == [(f"a{n}", "train", n) for n in originals if likeness[n] >= 0.8]
    found = near_duplicates_across({"f": splits["test"], "g": splits["train"]}, 0.8)
    assert found == [(n, f"a{n}") for n in originals if likeness[n] >= 0.8]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.65])
def test_a_lower_threshold_misses_none_either(threshold: float):
    """Answers exactly as like as asked: bands made for 0.8 would miss nearly half at 0.5."""
    splits = {"train": [], "validation": [], "test": []}
    for i in range(60):
        original = sentence(f"original {i}")
        shorter = next(
            original[:size]
            for size in range(10, len(original))
            if jaccard(original, original[:size]) >= threshold
        )
        splits["test"].append(pair(f"t{i}", original))
        splits["train"].append(pair(f"a{i}", shorter))
    kept, dropped = drop_near_duplicates(splits, threshold)
    assert kept["train"] == [] and len(dropped) == 60


def test_bands_by_the_likeness_that_they_miss():
    assert bands(0.8) == (25, 5)
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        number, hashes = bands(threshold)
        assert number >= 2  # datasketch takes no fewer
        assert number * hashes <= 128 and (1 - threshold**hashes) ** number <= 1e-4


def test_at_a_threshold_of_one_only_answers_of_the_same_runs_are_found():
    files = {"f": [pair("a", TEXT)], "g": [pair("b", TEXT), pair("c", TEXT + " 끝.")]}
    assert near_duplicates_across(files, 1.0) == [("a", "b")]


def test_short_and_empty_answers():
    files = {"f": [pair("a", "예"), pair("b", "")], "g": [pair("c", "예"), pair("d", "아니요")]}
    assert near_duplicates_across(files, 0.8) == [("a", "c")]


def test_ids_that_two_files_share_are_still_compared():
    files = {"f": [pair("1", TEXT)], "g": [pair("1", TEXT)], "h": [pair("1", TEXT)]}
    assert near_duplicates_across(files, 0.8) == [("1", "1")] * 3


def test_repeated():
    assert repeated(["a", "b", "a", "a"]) == {"a": 3}
