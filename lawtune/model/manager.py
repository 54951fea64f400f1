"""The model manager: which models lie under a root folder, what they are, and if they are whole.

It reads metadata only (no torch), so that listing is quick, and it survives broken folders: those
are listed as damaged.
"""

import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from lawtune.errors import UserError
from lawtune.files import exists, is_folder, read_json
from lawtune.model.manifest import MANIFEST_FILE, verify_manifest

ROOT_VARIABLE = "LAWTUNE_ROOT"
DEFAULT_ROOT = "runs"
DEPTH = 3
STARTER = "starter"

TRAINING_CONFIG = "training_config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
EXPORT = "export.json"

_REQUIRED = {
    "adapter": (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "tokenizer.json", TRAINING_CONFIG),
    "export": (EXPORT,),
    "model": ("config.json", TRAINING_CONFIG),
}


@dataclass(frozen=True)
class ModelEntry:
    """One model folder. `kind` is adapter (LoRA on a base), export (merged, INT8, …) or model
    (trained whole); `damage` says what is wrong with it, None if nothing shows at a glance;
    `size` is in bytes, its files at the top only."""

    name: str
    path: Path
    kind: str
    base: str | None
    licence: str | None
    size: int
    damage: str | None = None


class ModelManager:
    """Models under a root folder: the environment's LAWTUNE_ROOT, or `./runs`.

    A model's name is its path below the root, with `/`.
    """

    def __init__(self, root: str | Path | None = None):
        self.root = Path(root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).expanduser()

    def show(self, name: str) -> dict[str, Any]:
        """All that a model folder says of itself: its entry, configs, metrics, files and sizes.

        Raises:
            UserError: there is no such model.
        """
        folder = self._find(name)
        entry = self._entry(folder)
        shown: dict[str, Any] = {"name": entry.name, "path": str(entry.path), "kind": entry.kind}
        shown |= {"base": entry.base, "licence": entry.licence, "damage": entry.damage}
        for file in (TRAINING_CONFIG, ADAPTER_CONFIG, EXPORT):
            if (folder / file).is_file():
                shown[file.removesuffix(".json")] = _read_object(folder / file)[0]
        shown["files"] = {path.name: path.stat().st_size for path in _files(folder)}
        return shown

    def verify(self, name: str) -> list[str]:
        """What is wrong with a model, one line each: files missing, changed since they were
        written, or unreadable. Empty means whole.

        Raises:
            UserError: there is no such model.
        """
        folder = self._find(name)
        kind = _kind(folder)
        problems = [f"{file}: missing" for file in _REQUIRED[kind] if not (folder / file).is_file()]
        for path in _files(folder):
            if path.suffix == ".json":
                problems += _read_object(path)[1:] if path.name != MANIFEST_FILE else []
            elif path.suffix == ".safetensors":
                problems += _check_safetensors(path)
        problems += [line for line in verify_manifest(folder) if line not in problems]
        recorded = _read_object(folder / TRAINING_CONFIG)[0].get("base")
        if kind == "adapter" and not (isinstance(recorded, dict) and recorded.get("sha256")):
            problems.append(f"{TRAINING_CONFIG}: does not say which base it belongs to")
        return problems

    def remove(self, name: str) -> Path:
        """Delete a model folder and return what its path was.

        Raises:
            UserError: there is no such model under the root, or it cannot be deleted.
        """
        folder = self.root / name if _is_model(self.root / name) else Path(name).expanduser()
        root = self.root.resolve()
        if not exists(folder) and root in (root / name).resolve().parents:
            raise self._unknown(name)
        # Resolved first: neither `..` nor a link may lead out of the root.
        if root not in folder.resolve().parents:
            raise UserError(f"refusing to remove {name}: it does not lie under {self.root}")
        if not _is_model(folder):
            raise UserError(f"refusing to remove {name}: {folder} is not a model folder")
        if any(self._folders(folder, DEPTH, inside=True)):
            raise UserError(f"refusing to remove {name}: other models lie inside it")
        try:
            # Renamed first, so that a removal that is cut off leaves no half model behind.
            doomed = Path(mkdtemp(prefix=".removed-", dir=root))
            folder.resolve().rename(doomed / "model")
            shutil.rmtree(doomed)
        except OSError as error:
            raise UserError(f"cannot remove {folder}: {error.strerror}") from error
        return folder

    def resolve(self, name_or_path: str | Path) -> Path | str:
        """Where a model is: the folder, for a path or a name the manager knows; else the text
        itself (`starter`, or a Hub id).

        Raises:
            UserError: the text can be neither.
        """
        text = str(name_or_path)
        if text == STARTER:
            return text
        try:
            path, named = Path(text).expanduser(), self.root / text
            # A name wins over a folder here that happens to have it and holds no model.
            if _is_model(named) and not _is_model(path) and not (path / "config.json").is_file():
                return named
            return path if is_folder(path) else text
        except (OSError, RuntimeError, ValueError) as error:
            # Too long for a path (a question in the model's place), or nobody's home.
            raise UserError(f"no model can have the name {text[:60]!r}: {error}") from None

    # After the methods that return lists: from here on, `list` in this class is this one.
    def list(self) -> list[ModelEntry]:
        """Every model folder at most three levels below the root, by name."""
        return [self._entry(folder) for folder in sorted(self._folders(self.root, DEPTH))]

    def _find(self, name: str) -> Path:
        folder = self.resolve(name)
        if isinstance(folder, Path) and _is_model(folder):
            return folder
        raise self._unknown(name)

    def _unknown(self, name: str) -> UserError:
        known = ", ".join(self._name(f) for f in sorted(self._folders(self.root, DEPTH)))
        return UserError(f"no model {name} under {self.root}; there are: {known or 'none'}")

    def _folders(self, folder: Path, depth: int, inside: bool = False) -> Iterator[Path]:
        """Model folders from `folder` down (only below it with `inside`), hidden ones and
        checkpoints left out."""
        if not inside and _is_model(folder):
            yield folder
        if depth == 0:
            return
        try:
            children = [child for child in folder.iterdir() if child.is_dir()]
        except OSError:
            return
        for child in children:
            if not child.name.startswith((".", "checkpoint-")):
                yield from self._folders(child, depth - 1)

    def _entry(self, folder: Path) -> ModelEntry:
        kind = _kind(folder)
        described, *damage = _read_object(
            folder / (EXPORT if kind == "export" else TRAINING_CONFIG)
        )
        missing = [file for file in _REQUIRED[kind] if not (folder / file).is_file()]
        damage += [f"{file}: missing" for file in missing if file not in str(damage)]
        for path in folder.glob("*.safetensors"):
            damage += _check_safetensors(path)
        if not (folder / MANIFEST_FILE).is_file():
            damage.append(f"{MANIFEST_FILE}: missing, so it was not written to its end")
        base = described.get("base")
        base = base if isinstance(base, dict) else {}
        return ModelEntry(
            name=self._name(folder),
            path=folder,
            kind=kind,
            base=base.get("name"),
            licence=base.get("licence"),
            size=sum(path.stat().st_size for path in _files(folder)),
            damage="; ".join(damage) or None,
        )

    def _name(self, folder: Path) -> str:
        try:
            return folder.relative_to(self.root).as_posix()
        except ValueError:
            return str(folder)


def _is_model(folder: Path) -> bool:
    names = (TRAINING_CONFIG, ADAPTER_CONFIG, EXPORT)
    try:
        return folder.is_dir() and any((folder / name).is_file() for name in names)
    except PermissionError:
        return False


def _kind(folder: Path) -> str:
    if (folder / EXPORT).is_file():
        return "export"
    whole = (folder / "config.json").is_file() and not (folder / ADAPTER_CONFIG).is_file()
    return "model" if whole else "adapter"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _read_object(path: Path) -> tuple[Any, ...]:
    """(the JSON object, nothing more), or (an empty one, what is wrong with the file)."""
    if not path.is_file():
        return {}, f"{path.name}: missing"
    try:
        value = read_json(path)
    except UserError as error:
        return {}, str(error)
    if not isinstance(value, dict):
        return {}, f"{path.name}: not a JSON object"
    return (value,)


def _check_safetensors(path: Path) -> list[str]:
    """Whether the header is there and the data is as long as it says."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                return [f"{path.name}: not a safetensors file"]
            header = json.loads(file.read(length))
        ends = [tensor["data_offsets"][1] for key, tensor in header.items() if key[:2] != "__"]
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        return [f"{path.name}: not a safetensors file"]
    if path.stat().st_size != 8 + length + max(ends, default=0):
        return [f"{path.name}: cut off"]
    return []
