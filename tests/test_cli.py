"""The command line: how a line is read, and how errors are told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lawtune import cli, verbs
from lawtune.config import FinetuneConfig
from lawtune.errors import UserError
from lawtune.options import valid_keys


def parse(line: str):
    return cli.parse(cli.build_parser(), line.split())


@pytest.mark.parametrize(
    "line",
    [
        "ask --temperature 0.5 --max_new_tokens=9 M 질문 --type law_application",
        "ask M --temperature=0.5 질문 --type law_application --max_new_tokens 9",
        "ask M 질문 --type=law_application --max_new_tokens 9 --temperature 0.5",
    ],
)
def test_overrides_stand_anywhere(line):
    arguments, overrides = parse(line)
    assert (arguments.model, arguments.question) == ("M", "질문")
    assert arguments.type == "law_application"
    assert overrides == {"temperature": "0.5", "max_new_tokens": "9"}


def test_sources_in_one_option_or_in_several():
    one, _ = parse("data build --source A B --out D")
    two, overrides = parse("data build --source A --per_type 5 --source B --out D")
    assert one.source == two.source == ["A", "B"]
    assert one.out == two.out == Path("D")
    assert overrides == {"per_type": "5"}


def test_a_value_may_be_empty_negative_or_hold_an_equals_sign():
    _, overrides = parse("finetune --base= --train.seed -3 --out=a=b --lora.r 1 --lora.r 2")
    assert overrides == {"base": "", "train.seed": "-3", "out": "a=b", "lora.r": "2"}


def test_a_config_key_that_another_verb_has_is_unknown_here():
    with pytest.raises(UserError, match="unknown option or argument --lora.r"):
        parse("evaluate --model M --data F --lora.r 3")


def test_an_unknown_option_lists_every_key():
    with pytest.raises(UserError, match="unknown option or argument --train.epoch") as caught:
        parse("finetune --train.epoch 3")
    for key in valid_keys(FinetuneConfig):
        assert key in str(caught.value)


def test_what_follows_two_dashes_is_no_option():
    arguments, overrides = cli.parse(cli.build_parser(), ["ask", "M", "--", "--seed"])
    assert arguments.question == "--seed" and overrides == {}


def test_no_option_may_be_shortened():
    with pytest.raises(UserError, match="unknown option or argument --res"):
        parse("finetune --res")


@pytest.mark.parametrize("line", ["finetune --train.epochs", "finetune --train.epochs --resume"])
def test_a_missing_value(line):
    with pytest.raises(UserError, match=r"--train\.epochs needs a value"):
        parse(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "VERB"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("data", "VERB"),
        ("data build --out D", "--source"),
        ("data build --source /no/such --out {tmp}/D --tokenizer /no/such", "/no/such"),
        ("data check {tmp}/gone.jsonl", "no such file: .*gone.jsonl"),
        ("data check {tmp}/bad.jsonl", "bad.jsonl, line 2: not JSON"),
        ("finetune --train.epoch 3", "valid keys: base"),
        ("finetune --epochs 3", r"did you mean --train\.epochs\?"),
        ("ask starter 질문 --temprature 1", r"did you mean --temperature\?"),
        ("finetune --train.epochs many", "train.epochs: .*found 'many'"),
        ("finetune --config {tmp}/gone.yaml", "no such file"),
        ("evaluate --model M --data F --limit 0", "must be 1 or more"),
        ("evaluate --model M --data F --limit x", "--limit"),
        ("evaluate --model M --data {tmp}/gone.jsonl", "no such file"),
        ("compare A --data F", "B"),
        ("compare A,,C B --data F", "an empty name in 'A,,C'"),
        ("compare starter B --data {tmp}/gone.jsonl", "no such file"),
        ("compare {tmp}/x.jsonl {tmp}/y.jsonl --data {tmp}/good.jsonl", "no such file: .*x.jsonl"),
        ("compare ./nosuch starter --data {tmp}/good.jsonl", "nosuch"),
        ("ask M 질문 --type faq", "invalid choice: 'faq'"),
        ("models --root {tmp} show gone", "gone"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(tmp_path, capsys, line, message):
    (tmp_path / "bad.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question":\n')
    (tmp_path / "good.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(line.format(tmp=tmp_path).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lawtune: error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    left = [path for path in tmp_path.rglob("*") if path not in before and path.is_file()]
    assert left == []


def test_another_users_folder_is_an_error_of_the_user(another_users, capsys):
    assert cli.main(["ask", str(another_users), "물음"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"lawtune: error: no permission for {another_users}/")
    assert told.count("\n") == 1


def test_help_shows_keys_with_their_defaults():
    environment = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "lawtune", "finetune", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "--train.learning_rate (0.0002)" in done.stdout
    assert "--data.train (null)" in done.stdout
    assert "--train.shard (false)" in done.stdout and "--train.batch_size (1)" in done.stdout
    assert "A step is batch_size × gradient_accumulation examples" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP library on Linux")
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, str(cli.SPINS)), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_wait_as_told_to_from_the_first(given: dict[str, str], spins: str):
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | given
    # The library reads its environment once, when torch loads it, and shows what it has read.
    code = "from lawtune.cli import main; main(['models', 'list']); import torch"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


def test_an_interrupt_ends_with_130(monkeypatch, capsys):
    def interrupt(arguments, overrides):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "run_models_list", interrupt)
    assert cli.main(["models", "list"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "질문입니다. " * 20, "starter"], "no model can have the name"),
        (["models", "show", "~nobody-of-that-name/model"], "no model can have the name"),
        (["ask", "starter", "\udcb9\udcce"], "not UTF-8"),
        (["ask", "모델", "질문"], "no such base"),
        (["ask", "starter", "  "], "the question is empty"),
        (
            ["evaluate", "--model", "starter", "--data", "x", "--limit", "abc"],
            "must be 1 or more",
        ),
    ],
)
def test_slips_are_told_in_one_line(words, message, capsys):
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
