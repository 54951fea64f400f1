"""What a user installs is whole: data files travel with the code, and the version is one."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

import lawtune
from lawtune import cli

ROOT = Path(__file__).resolve().parent.parent
STARTER = ROOT / "lawtune" / "starter"


def shipped() -> set[str]:
    """Everything that is no code below `lawtune/`, as it should lie in a wheel."""
    everything = (ROOT / "lawtune").rglob("*")
    return {
        path.relative_to(ROOT).as_posix()
        for path in everything
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }


def test_there_is_one_version(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == lawtune.__version__ == version("lawtune")
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"lawtune {lawtune.__version__}\n"
    assert f"## [{lawtune.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_starter_and_the_report_page_are_in_the_package():
    starter = files("lawtune.starter")
    statutes = {entry.name for entry in starter.joinpath("corpus", "statutes").iterdir()}
    assert {"민법.md", "형법.md", "상법.md", "근로기준법.md"} <= statutes
    assert len(list(starter.joinpath("corpus", "decisions").iterdir())) >= 300
    assert starter.joinpath("DATA_CARD.md").is_file()
    assert files("lawtune.eval").joinpath("report.html.j2").is_file()


def test_the_data_card_lists_every_statute_with_its_date():
    card = (STARTER / "DATA_CARD.md").read_text("utf-8")
    for path in (STARTER / "corpus" / "statutes").iterdir():
        meta = dict(
            line.split(": ", 1) for line in path.read_text("utf-8").split("---\n")[1].splitlines()
        )
        promulgated, effective = (meta[key].strip("'") for key in ("공포일자", "시행일자"))
        assert f"| {path.stem} | {promulgated} | {effective} |" in card
    decisions = len(list((STARTER / "corpus" / "decisions").iterdir()))
    assert f"{decisions} decisions" in card


def test_the_data_card_counts_the_lexicon():
    card = (STARTER / "DATA_CARD.md").read_text("utf-8")
    head, *rows = (STARTER / "lexicon" / "frequencies.tsv").read_text("utf-8").splitlines()
    terms = (STARTER / "lexicon" / "terms.txt").read_text("utf-8").splitlines()
    for count in (int(head), len(rows), len(terms)):
        assert f"{count:,} " in card
    assert sum(file.stat().st_size for file in (STARTER / "lexicon").iterdir()) < 1_000_000


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Copyright 2026 The lawtune authors" in text
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.slow
def test_a_wheel_holds_all_of_it(tmp_path):
    # A copy, so that no build folder is left in the repository; no network, so no isolation.
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    ignored = ["--exclude=__pycache__"]
    source.mkdir()
    copy = ["tar", "c", *ignored, "lawtune", "pyproject.toml", "README.md", "LICENSE"]
    packed = subprocess.run(copy, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "x"], cwd=source, input=packed, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-q"]
    subprocess.run([*build, "-w", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("lawtune-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert shipped() <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)
