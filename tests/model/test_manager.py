"""The manager: it finds, shows, verifies and removes models, and broken folders do not stop it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from lawtune.errors import UserError
from lawtune.model.manager import ModelManager


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, gpt2_base: Path) -> Path:
    return tiny.save_adapter_folder(tmp_path_factory.mktemp("pristine") / "adapter", gpt2_base)


@pytest.fixture
def root(tmp_path: Path, pristine: Path) -> Path:
    """Two models, a checkpoint, and folders that are none."""
    root = tmp_path / "runs"
    for name in ("quickstart", "team/second", "quickstart/checkpoint-5", ".trash/old"):
        shutil.copytree(pristine, root / name)
    shutil.copytree(pristine, root / "a" / "b" / "c" / "too-deep")
    (root / "data").mkdir()
    (root / "data" / "train.jsonl").touch()
    return root


def test_list(root: Path, gpt2_base: Path):
    entries = ModelManager(root).list()
    assert [entry.name for entry in entries] == ["quickstart", "team/second"]
    first = entries[0]
    assert (first.kind, first.base, first.damage) == ("adapter", str(gpt2_base), None)
    assert first.size == sum(p.stat().st_size for p in (root / "quickstart").glob("*.*"))


def test_an_absent_root_has_no_models(tmp_path: Path):
    assert ModelManager(tmp_path / "none").list() == []


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("training_config.json", "{", "not JSON"),
        ("training_config.json", "[]", "not a JSON object"),
        ("training_config.json", None, "training_config.json: missing"),
        ("adapter_model.safetensors", None, "adapter_model.safetensors: missing"),
        ("manifest.json", None, "manifest.json: missing"),
    ],
)
def test_a_damaged_folder_is_listed_as_such(
    root: Path, file: str, content: str | None, expected: str
):
    path = root / "quickstart" / file
    path.write_text(content) if content else path.unlink()
    manager = ModelManager(root)
    broken, whole = manager.list()
    assert expected in broken.damage and whole.damage is None
    assert manager.verify("quickstart")
    assert manager.show("quickstart")["name"] == "quickstart"


def test_verify(root: Path):
    manager = ModelManager(root)
    assert manager.verify("quickstart") == []
    weights = root / "quickstart" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert manager.verify("quickstart") == [
        "adapter_model.safetensors: cut off",
        "adapter_model.safetensors: changed since it was written",
    ]
    weights.write_bytes(b"PK\x03\x04 not this")
    assert "adapter_model.safetensors: not a safetensors file" in manager.verify("quickstart")
    config = root / "team" / "second" / "training_config.json"
    config.write_text(json.dumps({"base": {"name": "x"}}))
    assert "does not say which base" in manager.verify("team/second")[-1]


def test_show(root: Path, gpt2_base: Path):
    shown = ModelManager(root).show("team/second")
    assert shown["adapter_config"]["r"] == 4
    assert shown["training_config"]["base"]["name"] == str(gpt2_base)
    assert shown["files"]["adapter_model.safetensors"] > 0
    with pytest.raises(UserError, match="there are: quickstart, team/second"):
        ModelManager(root).show("third")


def test_remove(root: Path):
    manager = ModelManager(root)
    manager.remove("team/second")
    assert [entry.name for entry in manager.list()] == ["quickstart"]
    assert not list(root.rglob(".removed-*"))


def test_remove_refuses_what_is_not_its_own(root: Path, pristine: Path):
    manager = ModelManager(root)
    (root / "link").symlink_to(pristine)
    shutil.copytree(pristine, root / "quickstart" / "inner")
    for name, message in [
        (str(pristine), "does not lie under"),
        ("../" + pristine.name, "does not lie under"),
        ("link", "does not lie under"),
        ("", "does not lie under"),
        (str(root), "does not lie under"),
        (str(root / "data"), "not a model folder"),
        ("quickstrat", "no model quickstrat under .*; there are: "),
        ("quickstart/checkpoint-8", "no model quickstart/checkpoint-8 under .*; there are: "),
        ("quickstart", "other models lie inside"),
    ]:
        with pytest.raises(UserError, match=message):
            manager.remove(name)
    assert (pristine / "manifest.json").is_file() and (root / "data").is_dir()


def test_resolve(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    manager = ModelManager()  # ./runs
    assert manager.resolve("starter") == "starter"
    assert manager.resolve("skt/kogpt2-base-v2") == "skt/kogpt2-base-v2"
    assert manager.resolve("team/second") == Path("runs/team/second")
    assert manager.resolve("runs/quickstart") == Path("runs/quickstart")
    # A folder of results that shares a model's name does not hide it.
    (tmp_path / "quickstart").mkdir()
    assert manager.resolve("quickstart") == Path("runs/quickstart")
    monkeypatch.setenv("LAWTUNE_ROOT", str(root / "team"))
    assert ModelManager().resolve("second") == root / "team" / "second"


def test_listing_imports_no_torch():
    code = "import sys, lawtune.model.manager; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_may_not_be_read_hides_no_other(root: Path, monkeypatch: pytest.MonkeyPatch):
    known = [entry.name for entry in ModelManager(root).list()]
    locked, is_file = root / "locked", Path.is_file
    locked.mkdir()

    def guarded(path: Path) -> bool:
        if path.parent == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert [entry.name for entry in ModelManager(root).list()] == known
