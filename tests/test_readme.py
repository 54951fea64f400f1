"""What the READMEs and the documents tell a reader to type, open or import is really there."""

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest

from lawtune import LegalModel, cli
from lawtune.config import PretrainConfig
from lawtune.options import load_config

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.ko.md")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^(?: {4}|#   )(lawtune .*?)(?:  +\(.*\))?$", re.MULTILINE)
OURS = re.compile(
    r"(?<![\w/.])(?:recipes|docs|tools|tests|lawtune)/[\w/.-]+\.(?:py|md|yaml|json)\b"
)


SCRIPTS = re.compile(r"python ((?:tools|benchmarks)/\w+\.py)([^`\n]*)")


def fenced(text: str, *languages: str) -> list[str]:
    return [code for language, code in FENCED.findall(text) if language in languages]


def commands(text: str) -> list[str]:
    """Every `lawtune …` line of a document's code blocks, fenced or indented."""
    lines = "\n".join(fenced(text, "bash")).splitlines()
    return [line for line in lines if line.startswith("lawtune ")] + INDENTED.findall(text)


def documented_commands() -> list[tuple[str, str]]:
    files = [*DOCUMENTS, *sorted(ROOT.glob("recipes/*.yaml"))]
    return [
        (str(file.relative_to(ROOT)), line)
        for file in files
        for line in commands(file.read_text("utf-8"))
    ]


def test_commands_are_found_in_every_kind_of_file():
    files = {name for name, _ in documented_commands()}
    assert {*READMES, "docs/data-sources.md", "recipes/starter.yaml"} <= files


@pytest.mark.parametrize(("file", "line"), documented_commands())
def test_documented_commands_parse(file, line, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(line, comments=True)[1:]
    if "--help" in words:
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 0
        return
    arguments, overrides = cli.parse(cli.build_parser(), words)
    schema = getattr(arguments, "schema", None)
    if schema:
        load_config(schema, getattr(arguments, "config", None), overrides)


def test_scripts_that_are_named_know_their_options_and_read_what_the_recipe_reads():
    sources = load_config(PretrainConfig, ROOT / "recipes/pretrain_starter.yaml").corpus.sources
    found = []
    for file in [*DOCUMENTS, *ROOT.glob("lawtune/starter/**/*.md")]:
        for script, words in SCRIPTS.findall(file.read_text("utf-8")):
            options = re.findall(r"--\w[\w-]*", words)
            code = (ROOT / script).read_text("utf-8")
            assert [option for option in options if f'"{option}"' not in code] == [], file
            assert set(re.findall(r"\bsources/\S+", words)) <= set(sources), file
            found.append(script)
    assert {"tools/make_starter.py", "tools/extend_qa.py", "tools/choose_recipe.py"} <= set(found)


def test_both_readmes_have_the_same_code():
    english, korean = (
        fenced((ROOT / name).read_text("utf-8"), "bash", "python", "yaml") for name in READMES
    )
    assert english
    assert english == korean


def test_both_readmes_have_the_same_sections_and_links():
    def outline(name: str) -> tuple[list[str], list[str]]:
        text = FENCED.sub("", (ROOT / name).read_text("utf-8"))
        links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if link not in READMES]
        return re.findall(r"^#+(?= )", text, re.MULTILINE), links

    assert outline("README.md") == outline("README.ko.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_exist(document):
    text = document.read_text("utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", FENCED.sub("", text))]
    local = [link for link in links if link and "://" not in link]
    missing = [link for link in local if not (document.parent / link).exists()]
    missing += [path for path in OURS.findall(text) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("target", ["quickstart", "test"])
@pytest.mark.parametrize("readme", READMES)
def test_make_targets_are_named_and_exist(readme, target):
    assert re.search(rf"make .*{target}", (ROOT / readme).read_text("utf-8"))
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_python_example_calls_what_legal_model_has():
    (code,) = fenced((ROOT / "README.md").read_text("utf-8"), "python")
    calls = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    ]
    assert len(calls) >= 4
    for call in calls:
        method = getattr(LegalModel, call.func.attr)
        # A class method is bound already; the others still want their `self`.
        given = call.args if inspect.ismethod(method) else [None, *call.args]
        inspect.signature(method).bind(*given, **{word.arg: word.value for word in call.keywords})
