"""Raw law beside the pairs: what is read, in which order, and that it is learnt and told."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from test_interrupt import assert_same_adapter
from test_run import KilledError, kill_at, write_pairs

from lawtune.config import FinetuneConfig, TextsConfig
from lawtune.data.encode import Window
from lawtune.data.ngram_filter import load_filters
from lawtune.data.ngrams import hash_runs, words_of
from lawtune.data.split import article_group, assign_split
from lawtune.errors import UserError
from lawtune.files import read_json_object, write_json
from lawtune.model.adapter import load_adapter, write_manifest
from lawtune.model.load import load_base
from lawtune.options import validate
from lawtune.train.loss import LossEngine
from lawtune.train.run import finetune
from lawtune.train.texts import Texts, find_sources, hash_sources, read_texts

FRONT = "---\n제목: 시험법\n법령구분: 법률\n시행일자: 2025-01-31\n---\n\n# 시험법\n\n"
REPLY = "어떤 물음에 어떤 답이 있는지 알려 주는 글로서 다른 어디에도 없는 말만 하는 것이다"
NUMBERS = range(1, 41)


def sentence(number: int) -> str:
    """Thirty words that only this article has."""
    return " ".join(f"{number}번째{word}" for word in "가나다라마바사아자차카타파하" * 2) + " 한다."


@pytest.fixture
def law(tmp_path: Path) -> Path:
    """A statute of forty articles and an official reply."""
    folder = tmp_path / "law"
    folder.mkdir()
    articles = "\n\n".join(f"### 제{n}조(제목{n})\n\n{sentence(n)}" for n in NUMBERS)
    (folder / "시험법.md").write_text(FRONT + articles + "\n", "utf-8")
    row = {"title": "제목", "question": "물음", "answer": REPLY, "doc_id": "2"}
    (folder / "reply.json").write_text(json.dumps(row, ensure_ascii=False), "utf-8")
    (folder / "broken.json").write_text("{", "utf-8")
    return folder


def read(law: Path, held_out=(), **settings) -> Texts:
    config = TextsConfig(sources=(str(law),), **settings)
    return read_texts(config, tiny.make_tokenizer(), held_out, seed=5)


def has(texts: Texts, words: str) -> bool:
    tokenizer = tiny.make_tokenizer()
    return any(words in text for text in texts.tokens.texts(tokenizer, without=()))


def said(texts: Texts, number: int) -> bool:
    return has(texts, f"제{number}조(")


def test_what_is_measured_on_is_not_read(law: Path):
    whole = read(law)
    for number in NUMBERS:
        split = assign_split(article_group("시험법", f"제{number}조"), 42, 0.1, 0.1)
        assert said(whole, number) == (split == "train")
    learnt = next(n for n in NUMBERS if said(whole, n))
    assert not said(read(law, held_out=[article_group("시험법", f"제{learnt}조"), None]), learnt)
    assert read(law, held_out=[article_group("시험법", f"제{learnt}조")]).report.astray == 1
    assert whole.report.astray == 0 and len(whole.remarks()) == 1
    other = read(law, seed=7)
    assert {n for n in NUMBERS if said(other, n)} != {n for n in NUMBERS if said(whole, n)}


DECISION = """---
사건번호: '{number}'
사건명: '손해'
법원명: '대법원'
판결유형: '판결'
선고일자: '2018-10-30'
---

# 손해

## 판시사항

[1] {issue}

## 판결요지

[1] {holding}
"""


def test_what_another_decision_quotes_of_a_held_out_one_is_not_read(law: Path):
    numbers = (f"2018다{n}" for n in range(100, 200))
    first, second, *_ = (n for n in numbers if assign_split(n, 42, 0.1, 0.1) == "train")
    for number, holding in ((first, sentence(90)), (second, f"{sentence(91)} {sentence(90)}")):
        text = DECISION.format(number=number, issue=sentence(int(number[5:])), holding=holding)
        (law / f"{number}.md").write_text(text, "utf-8")

    whole, without = read(law), read(law, held_out=[first])
    assert has(whole, sentence(90)) and has(whole, sentence(91))
    assert has(without, sentence(91)) and not has(without, sentence(90))


@pytest.mark.parametrize("bos", [None, "</s>", "<s>"])
def test_a_document_begins_with_no_end(law: Path, bos: str | None):
    tokenizer = tiny.make_tokenizer()
    tokenizer.bos_token = bos
    texts = read_texts(TextsConfig(sources=(str(law),)), tokenizer, (), seed=5)
    first, last = texts.tokens.ids[0], texts.tokens.ids[-1]
    assert last == tokenizer.eos_token_id
    assert (first == tokenizer.convert_tokens_to_ids("<s>")) == (bos == "<s>")
    assert first != tokenizer.eos_token_id


def test_each_piece_comes_once_before_any_comes_again(law: Path):
    texts = read(law, per_step=3, tokens=20)
    count = len(texts.pieces)
    assert count > 100 and max(len(piece.ids) for piece in texts.pieces) == 20
    drawn = [piece for step in range(count) for piece in texts.at(step)]
    for turn in range(3):
        assert Counter(drawn[turn * count : (turn + 1) * count]) == Counter(texts.pieces)
    assert drawn[:count] != drawn[count : 2 * count]
    assert texts.at(3) == read(law, per_step=3, tokens=20).at(3)
    assert replace(texts, seed=6).at(3) != texts.at(3)


def test_the_gradient_counts_as_much_as_the_weight_says():
    model = tiny.with_lora(tiny.make_gpt2(tiny.make_tokenizer()), ["c_attn"])
    engine, window = LossEngine(model, 2), Window(tuple(range(20, 40)), 1)
    trained = [p for p in model.parameters() if p.requires_grad]
    model(input_ids=torch.tensor([window.ids]), labels=torch.tensor([window.ids])).loss.backward()
    expected = [p.grad.clone() for p in trained]
    model.zero_grad()
    engine.accumulate([[window]], 0.25)
    for parameter, whole in zip(trained, expected, strict=True):
        torch.testing.assert_close(parameter.grad, 0.25 * whole, rtol=1e-4, atol=1e-7)


@pytest.fixture
def make_config(tmp_path: Path, gpt2_base: Path, law: Path):
    train = write_pairs(tmp_path / "train.jsonl", range(8))
    validation = write_pairs(tmp_path / "validation.jsonl", range(8, 10))
    data = {"train": str(train), "validation": str(validation)}

    def make(out: str, train: dict | None = None, **texts) -> FinetuneConfig:
        tree = {
            "base": str(gpt2_base),
            "data": data | {"max_length": 96},
            "texts": {"sources": [str(law)], "per_step": 2, "tokens": 30} | texts,
            "lora": {"r": 4, "target_modules": ["c_attn"]},
            "train": {"epochs": 2, "gradient_accumulation": 4, "precision": "fp32"}
            | {"learning_rate": 0.01, "unlikelihood_every": 2}
            | (train or {}),
            "out": str(tmp_path / out),
        }
        return validate(FinetuneConfig, tree, "test")

    return make


def loss_on(config: FinetuneConfig, windows: list[Window]) -> float:
    base = load_base(config.base)
    return LossEngine(load_adapter(base, Path(config.out)), 2).mean_loss(windows)


def test_what_is_read_is_learnt_and_recorded(make_config, law: Path):
    longer = {"epochs": 8, "unlikelihood_every": None}
    without, beside = make_config("without", longer, sources=[]), make_config("beside", longer)
    heavier = make_config("heavier", longer, weight=4.0)
    for config in (without, beside, heavier):
        finetune(config)
    pieces = list(read(law, tokens=30).pieces)
    first, second, third = (loss_on(c, pieces) for c in (without, beside, heavier))
    assert third < second < first
    records = [
        read_json_object(Path(c.out) / "training_config.json")["data"]["texts"]
        for c in (without, beside)
    ]
    assert records[0] is None
    assert records[1]["pieces"] == len(pieces) and len(records[1]["sha256"]) == 64
    assert records[1]["skipped"] == {"not JSON": 1}
    log = (Path(beside.out) / "training_log.jsonl").read_text("utf-8")
    assert f"{len(pieces):,} pieces" in log and "not JSON: 1" in log
    assert records[1]["read"] == 16 * 2 < len(pieces)
    card = (Path(beside.out) / "README.md").read_text("utf-8")
    assert f"| raw law | 32 of {len(pieces):,} pieces" in card
    assert "raw law" not in (Path(without.out) / "README.md").read_text("utf-8")
    rows = [json.loads(line) for line in log.splitlines()]
    heard = [row["text_loss"] for row in rows if row["event"] == "step"]
    assert len(heard) == 16 and heard[-1] < heard[0]
    assert "text_loss" not in (Path(without.out) / "training_log.jsonl").read_text("utf-8")


def test_a_test_answer_that_was_read_is_found(make_config):
    without, beside = make_config("without", sources=[]), make_config("beside")
    reply, article = hash_runs(words_of(REPLY)), hash_runs(words_of(sentence(1)))
    assert len(reply) >= 1 and len(article) >= 10
    for config, known in ((without, False), (beside, True)):
        finetune(config)
        (found,) = load_filters(Path(config.out))
        assert found.contains(reply).all() == known
        assert not found.contains(article).any()  # everybody quotes the law


def test_killed_equals_not_killed(make_config):
    whole, killed = (make_config(out, {"save_every": 1}) for out in ("whole", "killed"))
    finetune(whole)
    with pytest.raises(KilledError):
        finetune(killed, listener=kill_at(3))
    file = Path(killed.texts.sources[0]) / "시험법.md"
    text = file.read_text("utf-8")
    file.write_text(text.replace("1번째", "일번째"), "utf-8")
    with pytest.raises(UserError, match="texts was"):
        finetune(killed, resume=True)
    file.write_text(text, "utf-8")
    assert finetune(killed, resume=True).resumed_from == 2
    assert_same_adapter(Path(whole.out), Path(killed.out))


def test_a_run_is_resumed_with_the_same_texts_only(make_config, law: Path, tmp_path: Path):
    config = make_config("out")
    finetune(config)
    moved = law.rename(tmp_path / "elsewhere")
    assert finetune(make_config("out", sources=[str(moved)]), resume=True).resumed_from == 4
    with pytest.raises(UserError, match=r"texts\.weight was 0\.5, is 2\.0"):
        finetune(make_config("out", sources=[str(moved)], weight=2.0), resume=True)
    file = moved / "시험법.md"
    file.write_text(file.read_text("utf-8").replace("1번째", "일번째"), "utf-8")
    with pytest.raises(UserError, match="texts was"):
        finetune(make_config("out", sources=[str(moved)]), resume=True)


def test_a_record_from_before_there_were_texts_is_understood(make_config):
    config = make_config("out", sources=[])
    finetune(config)
    path = Path(config.out) / "training_config.json"
    record = read_json_object(path)
    del record["config"]["texts"], record["data"]["texts"]
    write_json(path, record)
    write_manifest(Path(config.out))
    assert finetune(config, resume=True).resumed_from == 4
    with pytest.raises(UserError, match="texts was None"):
        finetune(make_config("out"), resume=True)


def test_without_sources_the_other_options_say_nothing(make_config):
    finetune(make_config("out", sources=[]))
    again = finetune(make_config("out", sources=[], weight=2.0), resume=True)
    assert again.resumed_from == 4


def test_a_source_in_another_users_folder_is_not_there(another_users):
    with pytest.raises(UserError, match="texts.sources: no such file or folder"):
        find_sources(TextsConfig(sources=(str(another_users / "law"),)))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"sources": ["nowhere"]}, "texts.sources: no such file or folder: nowhere"),
        ({"tokens": 97}, "texts.tokens .97. must not exceed data.max_length .96."),
        ({"weight": 0}, "weight"),
        ({"validation_share": 0.5, "test_share": 0.5}, "no text to learn from.*not JSON: 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_nothing_written(make_config, texts, words: str):
    with pytest.raises(UserError, match=words):
        finetune(make_config("out", **texts))
    config = make_config("out")
    assert not Path(config.out).exists()


def test_a_source_file_that_may_not_be_read_is_named(law: Path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lawtune.files.open", refuse, raising=False)
    with pytest.raises(UserError, match=r"cannot read .*broken\.json: Permission denied"):
        hash_sources(TextsConfig(sources=(str(law),)))
