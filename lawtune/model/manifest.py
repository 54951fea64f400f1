"""The manifest of a model folder: the hash of each file, written last, so that a folder that was
only half written, or changed afterwards, shows itself."""

from pathlib import Path

from lawtune.data.ngram_filter import FILTER_FILE
from lawtune.errors import UserError
from lawtune.files import read_json_object, sha256, write_json

MANIFEST_FILE = "manifest.json"

_PARTS = (".json", ".safetensors", ".bin", ".model", ".jinja", "merges.txt", "vocab.txt")
"""How the names of files end that a model is made of. Others (the card, the curve, logs, notes) are
for people: it is the same without them."""


def write_manifest(folder: Path) -> None:
    """Write `manifest.json`: the SHA-256 of every file at the folder's top (checkpoints, which
    come and go, lie in folders below it). Call it after everything else is written."""
    hashes = {path.name: sha256(path) for path in _files(folder)}
    write_json(folder / MANIFEST_FILE, {"files": hashes})


def verify_manifest(folder: Path) -> list[str]:
    """What is wrong with the folder, one line each; empty if every file is as it was written.

    Files that the manifest does not know are no problem, nor are those that are for people alone:
    users may add, edit or delete them. Without the filter of what the model has read, an evaluation
    says that it cannot tell; only a changed one is a problem.
    """
    try:
        hashes = read_json_object(folder / MANIFEST_FILE)["files"]
        items = sorted(hashes.items())
    except UserError as error:
        return [str(error)]
    except (KeyError, TypeError, AttributeError):
        return [f"{folder / MANIFEST_FILE}: no list of files in it"]
    problems = []
    for name, expected in items:
        path = folder / name
        # A manifest is data from elsewhere: it must not make us read outside the folder.
        if Path(name).name != name:
            problems.append(f"{name}: not a file name")
        elif not name.endswith(_PARTS):
            continue
        elif not path.is_file():
            problems += [f"{name}: missing"] if name != FILTER_FILE else []
        else:
            try:
                changed = sha256(path) != expected
            except UserError as error:
                problems.append(f"{name}: {error}")
                continue
            if changed:
                problems.append(f"{name}: changed since it was written")
    return problems


def unlisted(folder: Path) -> list[str]:
    """What lies in the folder beside its manifest and the files that the manifest knows."""
    known = {MANIFEST_FILE, *read_json_object(folder / MANIFEST_FILE).get("files", {})}
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != MANIFEST_FILE and not path.name.startswith(".")
    )
