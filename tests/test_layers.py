"""Imports point one way, and nothing heavy is imported before it is needed."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import lawtune

ROOT = Path(lawtune.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

# What each layer may import besides itself. `quickstart` is the whole job: it wires as verbs do.
GROUND = {"errors", "files", "config", "options"}
SHARED = GROUND | {"records", "prompt", "starter"}
ALLOWED = {
    "lawtune": {"errors", "model"},  # the package's own names, resolved on first use
    "errors": set(),
    "files": {"errors"},
    "config": set(),
    "options": {"errors", "files"},
    "records": GROUND,
    "prompt": GROUND,
    "starter": set(),
    "data": SHARED,
    "model": SHARED | {"data"},
    "train": SHARED | {"data", "model"},
    "eval": SHARED | {"data", "model"},
    "export": SHARED | {"data", "model"},
    "search": SHARED | {"data", "model"},
    "quickstart": SHARED | {"data", "model", "train", "eval"},
    "app": SHARED | {"data", "model", "train", "eval", "export", "search"},
}
ALLOWED["verbs"] = {*ALLOWED}
ALLOWED["cli"] = {"lawtune", "verbs", "config", "options", "errors"}
ALLOWED["__main__"] = {"cli"}


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else "lawtune"


@cache
def imports(module: str) -> frozenset[str]:
    """Every module that `module` imports, at its top or inside a function; lawtune's own by their
    full names, `from lawtune.data import phrasing` as lawtune.data.phrasing."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return frozenset(found)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    mine = layer(module)
    assert mine in ALLOWED, f"{mine} has no place among the layers"
    own = {name for name in imports(module) if name.split(".")[0] == "lawtune"}
    others = {layer(name) for name in own} - {mine, "lawtune"}
    assert others <= ALLOWED[mine], f"{module} imports {others - ALLOWED[mine]}"


def test_the_layers_have_no_cycle():
    seen: list[str] = []
    while len(seen) < len(ALLOWED):
        free = [
            name
            for name, below in ALLOWED.items()
            if name not in seen and below - {name, "lawtune"} <= set(seen)
        ]
        assert free
        seen += free


def heavy(module: str, trail: tuple[str, ...] = ()) -> set[str]:
    """Which of the heavy packages `module` reaches within lawtune, imports inside functions too."""
    reached = set()
    for name in imports(module):
        if name in MODULES and name not in trail and name != "lawtune":
            reached |= heavy(name, (*trail, module))
        reached |= {name.split(".")[0]} & {"torch", "transformers", "peft"}
    return reached


NO_TORCH = ["lawtune.eval.metrics", "lawtune.eval.stats", "lawtune.eval.citations"]
NO_TORCH += ["lawtune.eval.contamination", "lawtune.eval.score"]


@pytest.mark.parametrize("module", [name for name in NO_TORCH if name in MODULES])
def test_metrics_reach_no_torch(module):
    assert heavy(module) == set()


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_metrics_work_where_torch_cannot_be_imported():
    run(
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from lawtune.eval import metrics, stats\n"
        "import lawtune.records, lawtune.prompt\n"
        "assert 'transformers' not in sys.modules\n"
    )


@pytest.mark.parametrize("line", [["--help"], ["finetune", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(line):
    slow = ("torch", "transformers", "peft", "pydantic", "numpy", "scipy", "yaml", "rich", "httpx")
    run(
        "import sys\n"
        "from lawtune.cli import main\n"
        f"try:\n    main({line!r})\n"
        "except SystemExit as error:\n    assert not error.code\n"
        f"heavy = [name for name in {slow!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )


def test_public_names_are_there_and_others_are_not():
    assert lawtune.UserError.__name__ == "UserError"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lawtune.nonsense
