"""Files that are either whole or absent: atomic writes, hashes, JSON Lines.

Every artifact goes to a temporary name beside its target, is synced, and only then renamed, so a
reader (or a run that is killed and resumed) never meets half a file.
"""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lawtune.errors import UserError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in `target`'s folder and rename it to `target` on success.

    The path does not exist yet: the body may create a file or a folder there. If the body raises,
    what it wrote is removed and `target` is untouched. An existing folder is replaced whole.
    Everything gets the permissions that the umask gives a new file: some writers (safetensors)
    leave files that only their owner can read.

    Raises:
        UserError: the folder cannot be written to.
    """
    target = Path(target)
    make_folder(target.parent)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UserError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        temporary = scratch / target.name
        yield temporary
        _open_to_readers(temporary)
        _sync(temporary)
        _put_in_place(temporary, target)
        _sync_one(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(temporary: Path, target: Path) -> None:
    if not (target.is_dir() and temporary.is_dir()):
        temporary.replace(target)
        return
    # rename(2) refuses a folder that is not empty, so the old one steps aside first.
    replaced = temporary.parent / "replaced"
    target.rename(replaced)
    try:
        temporary.rename(target)
    except BaseException:
        replaced.rename(target)
        raise


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents and return it.

    Raises:
        UserError: it cannot be created, or a file has its name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}") from error
    return folder


def require_writable(folder: Path) -> Path:
    """Create `folder` and prove that a file can be written there, before hours are spent.

    Raises:
        UserError: it cannot.
    """
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error


def require_creatable(folder: Path) -> Path:
    """Prove that `folder` can be written to without creating it, so that a command that fails on
    its other inputs leaves nothing behind.

    Raises:
        UserError: it cannot.
    """
    candidates = (folder.absolute(), *folder.absolute().parents)
    require_writable(next(path for path in candidates if exists(path)))
    return folder


def exists(path: Path) -> bool:
    """Whether there is such a path for us: where pathlib raises, below a folder that another user
    keeps to himself, there is none."""
    try:
        return path.exists()
    except PermissionError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder for us, as `exists` has it."""
    return exists(path) and path.is_dir()


@contextmanager
def full_disk_is_told(folder: Path, then: str = "go on with --resume") -> Iterator[None]:
    """Within the context, a write that fails for want of space becomes a message, which says what
    to do `then`, when there is room.

    Raises:
        UserError: the disk of `folder` (or the user's share of it) is full.
    """
    try:
        yield
    except Exception as error:
        # safetensors has an exception of its own, with the system's number in its text.
        told = re.search(r"os error (\d+)", str(error))
        number = int(told[1]) if told else getattr(error, "errno", None)
        if number not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"no space left on the disk of {getattr(error, 'filename', None) or folder}. What was"
            " saved before is whole: make room,"
            f" and {then}"
        ) from error


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. NaN and infinities are refused."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(target: Path, rows: Iterable[Any]) -> int:
    """Write one JSON value a line, atomically; return how many."""
    count = 0
    with (
        atomic_path(target) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_text(path: Path) -> str:
    """Read a UTF-8 text file (a byte-order mark is dropped).

    Raises:
        UserError: no such file, or not UTF-8; CP949, the usual other encoding of Korean text, is
            recognised and said.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: {_encoding_advice(raw, path)}") from None


def _encoding_advice(raw: bytes, path: Path) -> str:
    try:
        raw.decode("cp949")
    except UnicodeDecodeError:
        return "not UTF-8 text"
    given, made = shlex.quote(path.name), shlex.quote(f"utf8-{path.name}")
    return (
        f"this is CP949 (EUC-KR) text, not UTF-8; convert it with"
        f" `iconv -f CP949 -t UTF-8 {given} > {made}`"
    )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: missing, not UTF-8 or not JSON, naming the line; or half of a character in it.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str, path: Path) -> Any:
    """The value of a JSON file's text.

    Raises:
        UserError: not JSON, naming the line of `path`; or half of a character in it.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:
        # Brackets too deep, or a number of more digits than Python reads.
        raise UserError(f"{path}: JSON that cannot be read ({error})") from None
    _refuse_half_characters(value, text, str(path))
    return value


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        UserError: see `read_json`, or it holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for every non-empty line.

    Raises:
        UserError: a line is not a JSON object, naming file and line.
    """
    # Split at "\n" alone: str.splitlines would also cut at U+2028 and friends inside a string.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from None
        except (RecursionError, ValueError) as error:
            raise UserError(f"{path}, line {number}: JSON that cannot be read ({error})") from None
        if not isinstance(row, dict):
            raise UserError(
                f"{path}, line {number}: expected a JSON object, found {type(row).__name__}"
            )
        _refuse_half_characters(row, line, f"{path}, line {number}")
        yield number, row


def _refuse_half_characters(value: Any, written: str, where: str) -> None:
    """JSON may name half of a surrogate pair; no text can hold one, and none could be written."""
    if "\\ud" not in written.lower():
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise UserError(f"{where}: {half} is half of a character; write the whole one") from None


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _open_to_readers(path: Path) -> None:
    # A probe tells the umask; os.umask would have to change it, for every thread, to read it.
    probe = path.parent / "probe"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for item in [path, *path.rglob("*")]:
        # A folder is entered where a file is read: r-- becomes r-x.
        item.chmod(mode | (mode & 0o444) >> 2 if item.is_dir() else mode)


def _sync(path: Path) -> None:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        _sync_one(file)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
