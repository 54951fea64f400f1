"""Atomic writes and readers: whole or absent, and errors that name file and line."""

import errno
import os
import re
import shlex
from pathlib import Path

import pytest

from lawtune import files
from lawtune.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_a_failed_first_write_leaves_an_empty_folder(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert names(tmp_path) == []


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "model"
    for content in ("first", "second"):
        with files.atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names(target) == ["second"]
    assert names(tmp_path) == ["model"]


def test_the_target_is_not_there_before_the_body_ends(tmp_path):
    target = tmp_path / "deep" / "er" / "a.txt"
    with files.atomic_path(target) as temporary:
        temporary.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_permissions_follow_the_umask_whoever_wrote(tmp_path, umask, file_mode, folder_mode):
    """safetensors writes mode 0600, whatever the umask."""
    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with files.atomic_path(tmp_path / "m") as temporary:
            temporary.mkdir()
            save_file({"a": torch.zeros(2)}, temporary / "a.safetensors")
            (temporary / "tight").write_text("x")
            (temporary / "tight").chmod(0o600)
        files.write_text(tmp_path / "t.txt", "x")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes.pop("m") == folder_mode
    assert modes == dict.fromkeys(["a.safetensors", "tight", "t.txt"], file_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        files.require_writable(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path / "x", "")


def test_a_folder_in_another_users_is_refused(another_users, monkeypatch):
    def refuse(dir):
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match="cannot write to .*another-users: Permission denied"):
        files.require_creatable(another_users / "runs" / "out")


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot create the folder"):
        files.require_writable(tmp_path / "file" / "out")


def test_cp949_is_recognised_and_the_line_named(tmp_path):
    path = tmp_path / "법.txt"
    path.write_bytes(b"ascii\n" + "민법 제750조".encode("cp949"))
    with pytest.raises(UserError, match=r"line 2: this is CP949 .*`iconv -f CP949"):
        files.read_text(path)


def test_the_command_that_converts_a_file_stands_as_it_is(tmp_path):
    """Statutes' names have blanks in them."""
    path = tmp_path / "개인정보 보호법.md"
    path.write_bytes("민법 제750조".encode("cp949"))
    with pytest.raises(UserError) as error:
        files.read_text(path)
    words = shlex.split(re.search("`(.*)`", str(error.value))[1])
    assert words[5:] == ["개인정보 보호법.md", ">", "utf8-개인정보 보호법.md"]


def test_bytes_of_no_known_encoding(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xff\xff\xff\x00")
    with pytest.raises(UserError, match="not UTF-8 text"):
        files.read_text(path)


def test_a_byte_order_mark_is_dropped_and_a_missing_file_named(tmp_path):
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbfx")
    assert files.read_text(tmp_path / "bom") == "x"
    with pytest.raises(UserError, match="no such file: .*gone"):
        files.read_text(tmp_path / "gone")
    with pytest.raises(UserError, match="cannot read"):
        files.read_text(tmp_path)


def test_jsonl_lines_are_counted_and_line_separators_inside_strings_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "x\u2028y"}\r\n\n  \n{"b": 1}'.encode())
    assert list(files.read_jsonl(path)) == [(1, {"a": "x\u2028y"}), (4, {"b": 1})]
    assert files.write_jsonl(path, [{"가": 1}, {}]) == 2
    assert path.read_text(encoding="utf-8") == '{"가": 1}\n{}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 2: not JSON"), ("[1]", "line 2: expected a JSON object, found list")],
)
def test_a_bad_jsonl_line_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" + line)
    with pytest.raises(UserError, match=message):
        list(files.read_jsonl(path))


def test_a_bad_json_file_is_named_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{\n"a": }')
    with pytest.raises(UserError, match=r"a\.json, line 2: not JSON"):
        files.read_json(tmp_path / "a.json")


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_text("abc")
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "abc") == expected


def test_a_file_that_cannot_be_read_has_no_hash(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        files.sha256(tmp_path)


def test_half_a_character_is_refused_and_a_whole_one_is_not(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "\\ud83d\\ude00"}\n{"a": "\\uD83D 손해"}\n', encoding="utf-8")
    rows = files.read_jsonl(path)
    assert next(rows) == (1, {"a": "😀"})
    with pytest.raises(UserError, match=r"line 2: \\ud83d is half of a character"):
        next(rows)


def test_half_a_character_in_a_json_file_is_refused(tmp_path):
    (tmp_path / "half.json").write_text('{"a": ["\\ud83d"]}')
    with pytest.raises(UserError, match=r"half\.json: \\ud83d is half of a character"):
        files.read_json(tmp_path / "half.json")
    (tmp_path / "whole.json").write_text('{"a": ["\\ud83d\\ude00"]}')
    assert files.read_json(tmp_path / "whole.json") == {"a": ["😀"]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"id": ' + "1" * 5_000 + "}"])
def test_json_that_python_cannot_read_is_the_users_to_mend(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(path)
    with pytest.raises(UserError, match="line 1: JSON that cannot be read"):
        list(files.read_jsonl(path))


@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_json_of_another_shape_is_told(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(UserError, match="expected a JSON object"):
        files.read_json_object(path)
