"""`lawtune data check`: leaks fail, the rest is told."""

import json

import pytest

from lawtune import cli
from lawtune.data.check import check_files
from lawtune.errors import UserError

LONG = "임대인은 임차인이 계약의 갱신을 요구할 경우 정당한 사유 없이 거절하지 못한다고 정하고 있다."


@pytest.fixture
def check(tmp_path, capsys):
    """Write files of rows, run the verb; (exit status, what it printed, the report)."""

    def run(**files: list[dict]):
        paths = []
        for name, rows in files.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
            paths.append(path)
        status = cli.main(["data", "check", *map(str, paths)])
        return status, capsys.readouterr().out, check_files(paths, 0.8)

    return run


def row(question: str, answer: str, **rest) -> dict:
    return {"question": question, "answer": answer, **rest}


def test_clean_files(check):
    status, out, report = check(a=[row("가", "나", type="law_explanation")], b=[row("다", "라")])
    assert status == 0
    assert report.leaks == 0
    assert "1 records (법령 설명 1)" in out
    assert "0 identical pairs and 0 shared groups between files, 0 near-duplicates" in out


def test_an_identical_pair_is_a_leak_whatever_its_blanks(check):
    status, out, report = check(
        a=[row("가  나", LONG, id="x")], b=[row(" 가 나", LONG + "\n", id="y")]
    )
    assert status == 1
    assert [(first, second) for _, first, _, second in report.identical] == [("x", "y")]
    assert "LEAK: y in" in out


def test_a_shared_group_is_a_leak(check):
    status, out, report = check(
        a=[row("가", "나", group="민법 제1조")],
        b=[row("다", "라", group="민법 제1조")],
        c=[row("마", "바", group="민법 제2조")],
    )
    assert status == 1
    assert list(report.shared_groups) == ["민법 제1조"]
    assert len(report.shared_groups["민법 제1조"]) == 2
    assert "LEAK: the group '민법 제1조'" in out


def test_near_duplicates_are_a_warning(check):
    status, out, report = check(a=[row("가", LONG, id="x")], b=[row("나", LONG + " 끝.", id="y")])
    assert status == 0
    assert report.near_duplicates == [("x", "y")]
    assert "warning: 1 answers nearly repeat one of another file: y ~ x" in out


def test_repeats_within_a_file_are_warnings(check):
    rows = [row("가", "나", id="x", group="g"), row("가", "나", id="x", group="g")]
    status, out, report = check(a=rows)
    assert status == 0
    assert list(report.repeated_ids.values()) == [{"x": 2}]
    assert list(report.repeated_pairs.values()) == [1]
    assert "1 ids occur more than once: x" in out
    assert "1 pairs repeat an earlier one" in out


def test_personal_data_is_counted_in_every_text(check):
    rows = [
        row("010-1234-5678로", "880101-1234567은", context="a@b.kr"),
        row("02-123-4567과 010-1111-2222", "없다", distractors=["있다", "010-3333-4444이다"]),
    ]
    status, out, report = check(a=rows)
    assert status == 0
    assert list(report.personal_data.values()) == [{"phone": 4, "resident_number": 1, "email": 1}]
    assert "personal data: email 1, phone 4, resident_number 1" in out


def test_one_file_named_twice(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row("가", "나")))
    with pytest.raises(UserError, match="named twice"):
        check_files([path, tmp_path / "." / "a.jsonl"], 0.8)
