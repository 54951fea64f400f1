"""An evaluation cut off anywhere and taken up again is the one that was never cut off."""

import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lawtune.cli import main
from lawtune.eval.ask import Answer
from lawtune.eval.journal import JOURNAL_FILE, JournalledModel
from lawtune.model.legal_model import LegalModel

RECORDS = [
    {"id": f"r{i}", "question": text[:9], "answer": text, "group": f"g{i}"}
    for i, text in enumerate([*tiny.SENTENCES, "전화 010-1234-5678로 알린다."])
]
SAYS = ["evaluation_report.json", "evaluation_summary.txt", "predictions.jsonl"]


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lawtune.eval.ask.LIKELIHOOD_CHUNK", 4)
        yield


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_adapter_folder(tmp_path_factory.mktemp("journal") / "model", gpt2_base)


@pytest.fixture(scope="module")
def run(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    data = tmp_path_factory.mktemp("data") / "test.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in RECORDS), "utf-8")
    settings = ["--batch_size", "2", "--max_new_tokens", "8", "--bootstrap", "50"]

    def evaluate(out: Path, *more: str, model: Path = adapter) -> int:
        words = ["evaluate", "--model", str(model), "--data", str(data), "--out", str(out)]
        return main([*words, *settings, *more])

    return evaluate


@pytest.fixture(scope="module")
def whole(run: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole")
    assert run(out) == 0
    return reports(out)


def reports(out: Path) -> dict[str, Any]:
    """What the reports say, but for when and how long."""
    report = json.loads((out / "evaluation_report.json").read_text("utf-8"))
    del report["run"]["created"], report["run"]["seconds"]
    return {"report": report, "predictions": (out / "predictions.jsonl").read_bytes()}


@contextmanager
def cut_off_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Ctrl-C at the `number`-th call to the model; yields the names of the calls made."""
    calls: list[str] = []

    def counted(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: LegalModel, *args: Any) -> Any:
            calls.append(name)
            if len(calls) == number:
                raise KeyboardInterrupt
            return own(self, *args)

        return call

    with monkeypatch.context() as patch:
        for name in ("log_likelihoods", "generate"):
            patch.setattr(LegalModel, name, counted(name, getattr(LegalModel, name)))
        yield calls


def test_cut_off_at_any_call(run, whole, tmp_path, monkeypatch, capsys):
    with cut_off_at(0, monkeypatch) as every:
        assert run(tmp_path / "whole") == 0
    assert reports(tmp_path / "whole") == whole
    assert not (tmp_path / "whole" / JOURNAL_FILE).exists() and every.count("generate") == 6
    for number in (1, len(every) // 2 + 1, len(every)):
        out = tmp_path / str(number)
        with cut_off_at(number, monkeypatch):
            assert run(out) == 130
        assert (out / JOURNAL_FILE).exists() == (number > 1)
        assert not any((out / name).exists() for name in SAYS)
        capsys.readouterr()
        with cut_off_at(0, monkeypatch) as rest:
            assert run(out) == 0
        assert rest == every[number - 1 :]
        assert ("going on" in capsys.readouterr().err) == (number > 1)
        assert reports(out) == whole and not (out / JOURNAL_FILE).exists()


def test_a_file_that_ends_anywhere(run, whole, tmp_path, monkeypatch):
    with cut_off_at(10**6, monkeypatch), monkeypatch.context() as patch:
        patch.setattr(JournalledModel, "forget", lambda self: None)
        assert run(tmp_path) == 0
    complete = (tmp_path / JOURNAL_FILE).read_bytes()
    assert b"010-1234-5678" not in complete
    draw = random.Random(0)
    for end in (0, len(complete), *(draw.randrange(len(complete)) for _ in range(3))):
        (tmp_path / JOURNAL_FILE).write_bytes(complete[:end])
        assert run(tmp_path) == 0
        assert reports(tmp_path) == whole


def test_what_another_model_said_is_not_used(run, gpt2_base, tmp_path, monkeypatch, capsys):
    other = tiny.save_adapter_folder(tmp_path / "other", gpt2_base, seed=9)
    assert run(tmp_path / "fresh", model=other) == 0
    with cut_off_at(8, monkeypatch):
        assert run(tmp_path / "out") == 130
    capsys.readouterr()
    assert run(tmp_path / "out", model=other) == 0
    assert "another model, version or device" in capsys.readouterr().err
    ours, fresh = reports(tmp_path / "out"), reports(tmp_path / "fresh")
    assert ours == fresh


def test_other_settings_are_asked_anew(run, tmp_path, monkeypatch):
    assert run(tmp_path / "fresh", "--max_new_tokens", "5") == 0
    with cut_off_at(10**6, monkeypatch) as every, monkeypatch.context() as patch:
        patch.setattr(JournalledModel, "forget", lambda self: None)
        assert run(tmp_path / "out") == 0
    with cut_off_at(10**6, monkeypatch) as calls:
        assert run(tmp_path / "out", "--max_new_tokens", "5") == 0
    # Likelihoods do not hang on how long an answer may get.
    assert calls == ["generate"] * every.count("generate")
    assert reports(tmp_path / "out") == reports(tmp_path / "fresh")


class Plain:
    """Says what it is told to."""

    folders: dict[str, Path] = {}
    device = torch.device("cpu")

    def log_likelihoods(self, prompts, answers):
        return [math.nan, -math.inf, -1 / 3][: len(prompts)]

    def generate(self, prompts, max_new_tokens, batch_size):
        return [Answer(f"{prompt} 900101-1234567", 3, True) for prompt in prompts]

    @contextmanager
    def base_only(self):
        yield


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    path = tmp_path / JOURNAL_FILE
    for _ in range(2):
        model = JournalledModel(Plain(), path)
        nan, inf, third = model.log_likelihoods(["a", "b", "c"], ["d", "e", "f"])
        assert math.isnan(nan) and inf == -math.inf and third == -1 / 3
        (answer,) = model.generate(["a"], 5, 1)
        assert "1234567" not in answer.text and (answer.tokens, answer.stopped) == (3, True)
    assert model.found == 4 and not model.stale
    with model.base_only():
        model.generate(["a"], 5, 1)
    assert JournalledModel(Plain(), path).found == 5


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "spiece.model"])
def test_another_device_or_tokenizer_begins_anew(tmp_path, monkeypatch, name):
    path, folder = tmp_path / JOURNAL_FILE, tmp_path / "model"
    folder.mkdir()
    (folder / name).write_text("{}")
    monkeypatch.setattr(Plain, "folders", {"base": folder})
    JournalledModel(Plain(), path).generate(["a"], 5, 1)
    assert JournalledModel(Plain(), path).found == 1
    with monkeypatch.context() as patch:
        patch.setattr(Plain, "device", torch.device("cuda"))
        assert JournalledModel(Plain(), path).stale
    (folder / name).write_text('{"eos_token": "</s>"}')
    assert JournalledModel(Plain(), path).stale


def test_two_evaluations_into_one_folder_do_not_mix(tmp_path):
    """What the first goes on to say is lost, not taken for the second's."""
    path = tmp_path / JOURNAL_FILE
    first, second = (JournalledModel(Plain(), path) for _ in range(2))
    first.generate(["a"], 5, 1)
    second.generate(["b"], 5, 1)
    first.generate(["c"], 5, 1)
    assert JournalledModel(Plain(), path).found == 1
