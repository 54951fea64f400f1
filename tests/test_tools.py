"""The tools that the starter's data and recipe are made with, run from where they lie."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from lawtune.data.provisions import parse_article
from lawtune.records import QAPair
from lawtune.starter import CORPUS

TOOLS = Path(__file__).parents[1] / "tools"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recipes() -> ModuleType:
    return load("choose_recipe")


@pytest.fixture
def missing(recipes, tmp_path, monkeypatch, capsys):
    """Runs the tool beside one row of "chosen" with these changes; returns the splits that it
    computes anew."""
    shipped = {
        name: len(recipes.read_qa(recipes.QA / f"{name}.jsonl")) for name in ("train", "test")
    }

    def run(*options: str, answered: int = shipped["test"], lacking: str = "", **changes):
        row = {"trial": "chosen", "seed": 1, "pairs": shipped["train"], **vars(recipes.CHOSEN)}
        row |= {"split": "test", "length": 1.0, **changes}
        row.pop(lacking, None)
        counts = {"bits_per_byte": shipped["test"], "repetition": answered}
        row["metrics"] = {
            name: {"n": n, "value": 0.5, "base": 0.6} for name, n in counts.items() if n
        }
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        computed = []

        def attempt(name, seed, splits, generate, runs):
            computed.extend(splits)
            return iter(())

        monkeypatch.setattr(recipes, "attempt", attempt)
        command = ["choose_recipe.py", str(path), "--trials", "chosen", "--splits", "test"]
        monkeypatch.setattr(sys, "argv", [*command, *options])
        recipes.main()
        assert "chosen" in capsys.readouterr().out
        return computed

    return run


def test_a_row_of_the_same_settings_is_not_computed_again(missing):
    assert missing() == []
    assert missing(lacking="scale") == []
    assert missing("--seeds", "2") == ["test"]


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 1e-3}, {"members": 2}, {"targets": ["c_attn"]}, {"texts": True}]
)
def test_a_row_of_other_settings_is_another_trials(missing, changes):
    assert missing(**changes) == ["test"]


def test_several_targets_are_known_from_a_list(recipes, missing, monkeypatch):
    trial = replace(recipes.CHOSEN, targets=("c_attn", "lm_head"))
    monkeypatch.setitem(recipes.TRIALS, "chosen", trial)
    assert missing(targets=["c_attn", "lm_head"]) == []


def test_a_row_of_fewer_answers_than_asked_for_is_not_enough(missing):
    assert missing(answered=60) == ["test"]
    assert missing("--generate", "60", answered=60) == []
    assert missing("--generate", "61", answered=60) == ["test"]
    assert missing("--generate", "1", answered=0) == []
    assert missing("--generate", "60") == []


def test_the_rows_of_the_documents_are_known_by_their_settings(recipes):
    lines = (TOOLS.parent / "docs" / "recipe-trials.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["trial"] == "chosen"]
    assert rows
    for row in rows:
        mine = {**row, **vars(recipes.CHOSEN)}
        assert recipes._key(row, ("test", "1")) == recipes._key(mine, ("test", "1"))


@pytest.fixture(scope="module")
def tokenizers() -> ModuleType:
    return load("choose_tokenizer")


def test_a_unigram_tokenizer_keeps_every_text(tokenizers):
    law = (CORPUS / "statutes" / "상가건물 임대차보호법.md").read_text("utf-8")
    tokenizer = tokenizers.train_unigram([law, "過失"], 1500, 64)
    text = " 제750조  ① 임차인은\n\n過失로 … 😀 €"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.convert_ids_to_tokens(tokenizer("750")["input_ids"]) == ["7", "5", "0"]
    # 過 is too rare for a piece of its own.
    assert len(tokenizer("過")["input_ids"]) == 3
    assert len(tokenizer("임대차계약")["input_ids"]) <= 3
    assert all(len(tokenizer(name)["input_ids"]) == 1 for name in tokenizers.RESERVED)


def test_tokenizers_are_compared_at_the_cost_that_is_asked_for(
    tokenizers, tmp_path, monkeypatch, capsys
):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"corpus: {{sources: [{CORPUS / 'statutes' / '민법.md'}]}}\n"
        "model: {vocabulary: 1000, layers: 1, width: 16, heads: 2, context: 64}\n"
        "train: {max_minutes: 9, window: 64, batch_tokens: 2000, micro_batch_tokens: 1000,"
        " evaluate_windows: 5}\n"
    )
    monkeypatch.setattr(tokenizers, "RECIPE", recipe)
    trials = {"small": tokenizers.Trial("bpe", 600, 2), "large": tokenizers.Trial("bpe", 1200, 1)}
    monkeypatch.setattr(tokenizers, "TRIALS", trials)
    rows, runs = tmp_path / "rows.jsonl", tmp_path / "runs"
    command = ["choose_tokenizer.py", str(rows), "--runs", str(runs), "--operations", "2e9"]
    monkeypatch.setattr(sys, "argv", [*command, "--trials", *trials])
    tokenizers.main()
    printed = capsys.readouterr().out
    small, large = map(json.loads, rows.read_text("utf-8").splitlines())
    assert large["bytes_per_token"]["statute"] > small["bytes_per_token"]["statute"] > 1
    for row in (small, large):
        matrices = 12 * 16**2 * row["layers"] + 16 * row["vocabulary"]
        # Attention and each window's first token come on top.
        assert 0.8 < 6 * matrices * row["target_tokens"] / 2e9 < 1
        assert 0 < row["bits_per_byte"]["statute"] < 8
        assert f"| 2e+09 | bpe, {row['vocabulary']:,} | {row['layers']} |" in printed
    command[-1] = "4e9"
    monkeypatch.setattr(sys, "argv", [*command, "--trials", "small"])
    tokenizers.main()
    longer = json.loads(rows.read_text("utf-8").splitlines()[-1])
    assert 1.7 < longer["target_tokens"] / small["target_tokens"] < 2.3
    printed = capsys.readouterr().out
    monkeypatch.setattr(tokenizers, "attempt", None)
    tokenizers.main()
    assert capsys.readouterr().out == printed


@pytest.fixture(scope="module")
def starter() -> ModuleType:
    return load("make_starter")


def test_what_an_earlier_choice_left_is_removed(starter, tmp_path, monkeypatch):
    for folder in ("statutes", "decisions", "notes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "옛것.md").write_text("옛것")
    monkeypatch.setattr(starter, "STATUTES", "이자제한법")
    source = CORPUS / "statutes" / "이자제한법.md"
    command = ["make_starter.py", "--source", str(source), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    starter.main()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert left == ["notes/옛것.md", "statutes/이자제한법.md"]


def test_every_paragraph_that_is_read_can_be_written(starter):
    marks = [*range(0x2460, 0x2474), *range(0x3251, 0x3260), *range(0x32B1, 0x32C0)]
    lines = [f"**{chr(mark)}** {number}번째 항이다." for number, mark in enumerate(marks, start=1)]
    article = parse_article("1", "많은 항", lines)
    assert len(article.provisions) == 50
    assert [line for line in starter.provision_lines(article.provisions) if line] == lines


def test_no_wrong_choice_of_a_question_is_learnt():
    tool = load("extend_qa")
    wrong = "임대인은 목적물을 사용하게 할 의무를\n부담한다."
    asked = [QAPair("물음", "답", distractors=("다른 말이다.", f"{wrong}\n(민법 제623조)"))]
    learnt = [QAPair("가", f"{wrong} (민법 제624조)"), QAPair("나", "답"), QAPair("다", wrong)]
    assert tool.without_wrong_choices(learnt, asked) == learnt[1:2]
