"""What a hurried user types: refused in one line, or understood, and nothing left behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lawtune.cli import main
from lawtune.config import BuildConfig, EvaluateConfig, FinetuneConfig
from lawtune.data.build import build, write_built
from lawtune.data.distractors import choose_distractors
from lawtune.errors import UserError
from lawtune.eval.evaluate import evaluate
from lawtune.options import load_config
from lawtune.quickstart import _refuse_others_work, _replacing
from lawtune.records import QAPair
from lawtune.train.run import finetune


def qa_file(path: Path, rows: range, answer: str = "제{}조는 통지에 관한 규정이다.") -> str:
    lines = [{"question": f"제{i}조는 무엇인가?", "answer": answer.format(i)} for i in rows]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("schema", "key", "value"),
    [
        (EvaluateConfig, "batch_size", "0"),
        (EvaluateConfig, "generate", "-1"),
        (EvaluateConfig, "bootstrap", "-1"),
        (BuildConfig, "per_type", "-5"),
        (BuildConfig, "test_share", "1"),
    ],
)
def test_numbers_out_of_range_are_refused(schema, key, value):
    with pytest.raises(UserError, match=key):
        load_config(schema, None, {key: value})


@pytest.mark.parametrize("name", ["20240501", "on", "[민법] 자료", "null-run", "1e5"])
def test_a_path_is_taken_as_typed(name):
    assert load_config(FinetuneConfig, None, {"out": name}).out == name
    assert load_config(FinetuneConfig, None, {"data.train": name}).data.train == name


def test_null_unsets_an_optional_path():
    assert load_config(FinetuneConfig, None, {"data.train": "null"}).data.train is None


def test_shares_that_leave_nothing_to_train_on(tmp_path):
    config = BuildConfig(validation_share=0.7, test_share=0.7)
    with pytest.raises(UserError, match="nothing to train on"):
        build([qa_file(tmp_path / "a.jsonl", range(3))], config, len)


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--model", "./nosuch", "--data", "{qa}", "--out", "{out}"],
        ["data", "build", "--source", "nosuch", "--out", "{out}", "--tokenizer", "{base}"],
    ],
)
def test_a_failed_command_leaves_no_folder(command, tmp_path, gpt2_base):
    qa = qa_file(tmp_path / "a.jsonl", range(3))
    out = tmp_path / "left" / "behind"
    assert main([word.format(qa=qa, out=out, base=gpt2_base) for word in command]) == 2
    assert not (tmp_path / "left").exists()


def test_records_with_one_id_and_two_answers_are_refused():
    pairs = [QAPair("물음", "답 하나", id="1"), QAPair("물음", "답 둘", id="1")]
    with pytest.raises(UserError, match="'1'"):
        evaluate(None, pairs, EvaluateConfig())


def test_the_card_of_untyped_records(tmp_path):
    built = build([qa_file(tmp_path / "a.jsonl", range(60))], BuildConfig(), lambda text: 20)
    write_built(built, tmp_path / "out")
    card = (tmp_path / "out" / "DATA_CARD.md").read_text("utf-8")
    assert "일반" in card and "None to None" not in card and "법령 설명" not in card
    train = built.statistics["splits"]["train"]
    assert train["groups"] == train["pairs"] > 30


def test_distractors_of_many_records_need_no_square_of_memory(monkeypatch):
    # Blocks of three must choose as one block of all does.
    pairs = [
        QAPair("q", f"제{i}조 {'가나다라'[i % 4] * 5} 규정 {i * 7}", id=str(i)) for i in range(20)
    ]
    whole = choose_distractors(pairs, 1)
    monkeypatch.setattr("lawtune.data.distractors._BLOCK", 3)
    assert choose_distractors(pairs, 1) == whole


def test_personal_data_is_masked_before_it_is_learnt_and_an_adapter_has_a_name(
    tmp_path, gpt2_base, monkeypatch
):
    monkeypatch.setenv("LAWTUNE_ROOT", str(tmp_path))
    train = qa_file(tmp_path / "t.jsonl", range(6), "제{}조: 900101-1234567로 통지한다.")
    config = load_config(
        FinetuneConfig,
        None,
        {
            "base": str(gpt2_base),
            "data.train": train,
            "data.max_length": "64",
            "train.max_steps": "1",
            "out": str(tmp_path / "one"),
        },
    )
    rows = []
    result = finetune(config, listener=rows.append)
    record = json.loads((result.folder / "training_config.json").read_text("utf-8"))
    assert record["data"]["train"]["personal_data_masked"] == {"resident_number": 6}
    assert any("personal data masked" in row.get("text", "") for row in rows)
    again = finetune(replace(config, out=str(tmp_path / "two")), adapter="one")
    assert json.loads((again.folder / "training_config.json").read_text("utf-8"))["adapter"]


def test_quickstart_gives_back_the_old_model_if_the_new_one_fails(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    made = {"config": {"base": "starter", "out": str(model)}}
    (model / "training_config.json").write_text(json.dumps(made))
    with pytest.raises(ZeroDivisionError), _replacing(model):
        assert not model.exists()
        raise ZeroDivisionError
    assert (model / "training_config.json").is_file()
    with _replacing(model):
        model.mkdir()
    assert list(tmp_path.iterdir()) == [model]


def test_quickstart_knows_the_model_that_a_run_which_was_killed_put_aside(tmp_path):
    model, aside = tmp_path / "model", tmp_path / ".model.replaced"
    aside.mkdir()
    (aside / "training_config.json").touch()
    with pytest.raises(ZeroDivisionError), _replacing(model):
        raise ZeroDivisionError
    assert (model / "training_config.json").is_file() and not aside.exists()
    model.rename(aside)
    (model / "checkpoint-3").mkdir(parents=True)
    # As long as the new one is not done, it goes on, and the old one waits.
    with pytest.raises(ZeroDivisionError), _replacing(model):
        raise ZeroDivisionError
    assert aside.exists()
    with _replacing(model):
        (model / "training_config.json").touch()
    assert list(tmp_path.iterdir()) == [model]


@pytest.mark.parametrize(
    "made",
    [
        {"base": "skt/kogpt2-base-v2", "data": {"train": "runs/q/data/quickstart/train.jsonl"}},
        {"base": "starter", "data": {"train": "data/train.jsonl"}},
    ],
)
def test_quickstart_keeps_its_hands_off_other_models(tmp_path, made):
    data, model = tmp_path / "data", tmp_path / "model"
    model.mkdir()
    (model / "training_config.json").write_text(json.dumps({"config": made}))
    with pytest.raises(UserError, match="no quickstart made"):
        _refuse_others_work(data, model)


def test_quickstart_knows_its_own_work_by_whatever_path(tmp_path):
    data, model = tmp_path / "data", tmp_path / "model"
    model.mkdir()
    made = {"base": "starter", "data": {"train": "elsewhere/data/quickstart/train.jsonl"}}
    (model / "training_config.json").write_text(json.dumps({"config": made}))
    (data / "quickstart").mkdir(parents=True)
    _refuse_others_work(data, model)


def test_quickstart_keeps_its_hands_off_other_data(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="no quickstart made"):
        _refuse_others_work(tmp_path / "data", tmp_path / "model")
