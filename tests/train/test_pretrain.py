"""Pre-training on a tiny corpus: what is held out stays out, and a run can be cut and resumed."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_distributed import losses, run_processes, saved
from transformers import AutoModelForCausalLM, AutoTokenizer

from lawtune.config import ArchitectureConfig, CorpusConfig, PretrainConfig, PretrainTrainConfig
from lawtune.data.corpus import CorpusReport, Document, build_documents
from lawtune.data.ngram_filter import load_filters
from lawtune.data.sources import ReadReport, read_source
from lawtune.data.split import article_group, assign_split
from lawtune.errors import UserError
from lawtune.files import sha256
from lawtune.model.decode import answer_greedily
from lawtune.train.architecture import build_model
from lawtune.train.held_out import HeldOut, sample_continuations
from lawtune.train.loss import LossEngine
from lawtune.train.outcome import versions
from lawtune.train.pretrain import pretrain
from lawtune.train.pretrain_text import Text, prepare_text, texts_read
from lawtune.train.throughput import training_flops
from lawtune.train.tokenizer import RESERVED, train_tokenizer
from lawtune.train.tokens import Tokens, Windows, encode_documents
from lawtune.train.unlikelihood import repeats

ARTICLES = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("law")
    lines = [
        "---",
        "제목: 시험법",
        "법령구분: 법률",
        "시행일자: 2026-01-01",
        "---",
        "",
        "# 시험법",
        "",
    ]
    for number in range(1, ARTICLES + 1):
        lines += [f"##### 제{number}조 (제목{number})", ""]
        lines += [f"임차인은 {number}일 이내에 임대인에게 {number * 3}만원을 지급하여야 한다.", ""]
    (folder / "시험법.md").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> PretrainConfig:
    return PretrainConfig(
        corpus=CorpusConfig(sources=(str(corpus),)),
        model=ArchitectureConfig(vocabulary=420, layers=1, width=16, heads=2, context=64),
        train=PretrainTrainConfig(
            epochs=2, batch_tokens=400, micro_batch_tokens=200, window=48, save_every=2
        ),
        out=str(tmp_path / "run"),
    )


def documents(config: PretrainConfig) -> list[Document]:
    records = list(read_source(Path(config.corpus.sources[0]), ReadReport()))
    return list(build_documents(lambda: records, config.corpus, CorpusReport()))


def encode(found, tokenizer, limit: int | None = None) -> Tokens:
    return encode_documents(enumerate(found, start=1), tokenizer, limit)


def test_held_out_articles_are_in_no_training_document(config: PretrainConfig):
    held_out = {
        number
        for number in range(1, ARTICLES + 1)
        if assign_split(article_group("시험법", f"제{number}조"), 42, 0.1, 0.1) != "train"
    }
    assert 4 <= len(held_out) <= 24
    training = "\n".join(d.text for d in documents(config) if d.split == "train")
    for number in range(1, ARTICLES + 1):
        assert (f"시험법 제{number}조(" in training) == (number not in held_out)


def test_the_filter_knows_what_was_read_and_no_more(config: PretrainConfig):
    tokenizer = train_tokenizer((d.text for d in documents(config)), 420, 64)
    text = " ".join(f"말{number}" for number in range(80))
    long, short = (
        Document("길다", "case", "train", text),
        Document("짧다", "case", "train", "말 하나"),
    )
    statute = documents(config)[0]
    limit = len(tokenizer(text)["input_ids"]) // 2
    tokens = encode([long, statute, short], tokenizer, limit)
    cut, whole = texts_read(Text(tokenizer, tokens, [], frozenset({2}), {}))
    assert text.startswith(cut) and 30 < len(cut.split()) < 50
    assert whole == short.text
    uncut = Text(tokenizer, encode([long], tokenizer), [], frozenset(), {})
    assert list(texts_read(uncut)) == [text]
    # Exactly what the windows hold, which begin with BOS.
    (window,) = Windows(encode([long], tokenizer, limit), 10_000)
    assert tokenizer.decode(window.ids, skip_special_tokens=True) == cut


def test_tokenizer_keeps_every_text_and_reserves_its_tokens(config: PretrainConfig):
    tokenizer = train_tokenizer((d.text for d in documents(config)), 420, 64)
    text = "제750조 ① 고의 또는 過失로 … 😀 €"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(len(tokenizer(name)["input_ids"]) == 1 for name in RESERVED)
    digits = tokenizer.convert_ids_to_tokens(tokenizer("12345")["input_ids"])
    assert digits == ["1", "2", "3", "4", "5"]


def test_windows_hold_one_document_each_and_all_of_it(config: PretrainConfig):
    found = documents(config)
    tokenizer = train_tokenizer((d.text for d in found), 420, 64)
    windows = Windows(encode(found, tokenizer), 48)
    assert [len(window.ids) for window in windows] == windows.lengths.tolist()
    assert max(windows.lengths) <= 48
    by_document = {}
    for window in windows:
        by_document.setdefault(window.name.split("@")[0], []).extend(window.ids)
    for line, document in enumerate(found, start=1):
        ids = by_document[f"line {line}"]
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids[1:-1]) == document.text


def test_windows_by_hand():
    tokens = Tokens(np.arange(9, dtype=np.uint16), np.array([4, 9]), np.array([1, 3]))
    windows = Windows(tokens, 3)
    # Each document starts anew, and its last token alone is no window: nothing predicts it.
    assert [(w.ids, w.name) for w in windows] == [
        ((0, 1, 2), "line 1@0"),
        ((4, 5, 6), "line 3@0"),
        ((7, 8), "line 3@3"),
    ]
    assert windows[1:] == [windows[1], windows[2]]


def test_operations_by_hand():
    model = ArchitectureConfig(vocabulary=420, layers=2, width=8, heads=2, context=64)
    # 2 × 12 × 8² in the layers and 8 × 420 in the projection, for 5 tokens; then attention.
    forward = 2 * 5 * (1536 + 3360) + 2 * 2 * 5 * 5 * 8
    assert training_flops(model, 420, [5]) == 3 * forward
    assert training_flops(model, 420, [5, 5]) == 6 * forward


def test_bits_per_byte_by_hand(config: PretrainConfig):
    found = documents(config)[:3]
    tokenizer = train_tokenizer((d.text for d in found), 420, 64)
    torch.manual_seed(0)
    model = build_model(config.model, tokenizer)
    nats, size = 0.0, 0
    for document in found:
        ids = tokenizer(document.text, add_special_tokens=False)["input_ids"][:47]
        tokens = torch.tensor([[tokenizer.bos_token_id, *ids]])
        logits = model(tokens).logits[0, :-1].log_softmax(-1)
        nats -= logits.gather(1, tokens[0, 1:, None]).sum().item()
        size += len(tokenizer.decode(ids).encode())
    engine = LossEngine(model, tokenizer.pad_token_id)
    measured = HeldOut(found, tokenizer, config.train.window, 100).bits_per_byte(engine)
    assert measured == {"statute": pytest.approx(nats / math.log(2) / size, rel=1e-5)}


def test_pretraining_learns_and_writes_a_loadable_model(config: PretrainConfig):
    rows = []
    longer = replace(config, train=replace(config.train, epochs=8))
    result = pretrain(longer, listener=rows.append)
    losses = [row["loss"] for row in rows if row["event"] == "step"]
    assert losses[0] == pytest.approx(math.log(420), abs=0.5)
    assert losses[-1] < losses[0] - 0.5
    model = AutoModelForCausalLM.from_pretrained(result.folder)
    tokenizer = AutoTokenizer.from_pretrained(result.folder)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    facts = json.loads((result.folder / "pretraining.json").read_text("utf-8"))
    assert facts["corpus"]["documents"]["statute/train"] > 30
    assert set(result.bits_per_byte) == {"statute"}
    assert 0 < facts["throughput"]["peak_share"] < 1
    assert facts["corpus"]["overlap"] == {}
    assert facts["versions"] == versions()
    assert facts["tokens_sha256"] == sha256(Path(config.out) / "corpus" / "tokens.safetensors")
    # The corpus is one statute: nothing of it is contamination.
    assert [known.runs for known in load_filters(result.folder)] == [0]
    assert len(prepare_text(config, resume=True).statutes) > 30


def test_loops_are_trained_away_in_the_decay_alone(config: PretrainConfig, tmp_path: Path):
    longer = replace(config, train=replace(config.train, epochs=12, decay_share=0.5))
    against = replace(
        longer,
        train=replace(longer.train, unlikelihood_every=1),
        out=str(tmp_path / "against"),
    )
    looping, mended = (Path(pretrain(run).folder) for run in (longer, against))
    before, after = losses(looping.parent), losses(mended.parent)
    # A step's loss is that of the model before it: the first to tell is the second of the decay.
    first = next(step for step, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    assert first == pytest.approx(len(before) / 2, abs=2)
    assert repeated(mended) < 0.5 * repeated(looping)


def repeated(folder: Path) -> float:
    """The share of tokens in repeated runs when the model goes on from a sentence's beginning."""
    model = AutoModelForCausalLM.from_pretrained(folder).float()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer.bos_token_id, *tokenizer("임차인은")["input_ids"]]
    [answer] = answer_greedily(model, [ids], [40], frozenset({tokenizer.eos_token_id}), 1)
    return sum(repeats(answer)) / len(answer)


@pytest.mark.parametrize("against_loops", [None, 1])
def test_a_resumed_run_equals_one_that_never_stopped(
    config: PretrainConfig, tmp_path: Path, against_loops: int | None
):
    config = replace(config, train=replace(config.train, unlikelihood_every=against_loops))
    whole = pretrain(config)

    cut = replace(config, out=str(tmp_path / "cut"))
    with pytest.raises(PulledError):
        pretrain(cut, listener=pull_the_plug_at(5))
    resumed = pretrain(cut, resume=True)
    first, second = ((run.folder / "model.safetensors").read_bytes() for run in (whole, resumed))
    assert first == second


PRETRAIN = """
import sys
from pathlib import Path
from lawtune.config import PretrainConfig
from lawtune.options import load_config
from lawtune.train.pretrain import pretrain
pretrain(load_config(PretrainConfig, Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_two_processes_train_as_one(config: PretrainConfig, tmp_path: Path):
    config = replace(config, train=replace(config.train, precision="fp32"))
    pretrain(config)
    both = replace(config, out=str(tmp_path / "both"))
    for process in run_processes(2, [saved(both, tmp_path, "both")], PRETRAIN):
        assert process.returncode == 0, process.stderr
    alone, together = losses(Path(config.out)), losses(Path(both.out))
    assert together == pytest.approx(alone, rel=1e-5)
    first, second = (Path(c.out) / "model" / "pretraining.json" for c in (config, both))
    bits = [
        json.loads(path.read_text("utf-8"))["bits_per_byte"]["statute"] for path in (first, second)
    ]
    assert bits[1] == pytest.approx(bits[0], rel=1e-4)


def test_a_resumed_run_needs_no_sources_but_the_same_settings(
    config: PretrainConfig, corpus, tmp_path
):
    moved = tmp_path / "law"
    shutil.copytree(corpus, moved)
    config = replace(config, corpus=CorpusConfig(sources=(str(moved),)))
    pretrain(config)
    shutil.rmtree(moved)
    longer = replace(config, train=replace(config.train, epochs=3))
    rows = []
    pretrain(longer, resume=True, listener=rows.append)
    assert [row["step"] for row in rows if row["event"] == "start"] != [0]
    other = replace(longer, corpus=replace(config.corpus, max_document_tokens=8))
    with pytest.raises(UserError, match="other settings"):
        pretrain(other, resume=True)


def rates(rows: list[dict]) -> list[float]:
    return [row["learning_rate"] for row in rows if row["event"] == "step"]


def test_a_run_by_the_clock_that_its_epochs_end_decays_all_the_same(config: PretrainConfig):
    rows = []
    by_clock = replace(config, train=replace(config.train, epochs=6, max_minutes=600.0))
    pretrain(by_clock, listener=rows.append)
    by_steps = []
    other = replace(config, train=replace(config.train, epochs=6), out=config.out + "2")
    pretrain(other, listener=by_steps.append)
    assert rates(rows) == pytest.approx(rates(by_steps))
    assert rates(rows)[-1] < 0.2 * max(rates(rows))


@pytest.mark.parametrize("decay_share", [0.0, 0.3])
def test_a_finished_run_that_is_to_be_longer_goes_on(config: PretrainConfig, decay_share: float):
    def run(epochs: int, rows: list) -> int:
        train = replace(config.train, epochs=epochs, decay_share=decay_share)
        return pretrain(replace(config, train=train), True, rows.append).target_tokens

    first = run(3, [])
    rows = []
    assert run(6, rows) == 2 * first
    assert [row["step"] for row in rows if row["event"] == "start"] != [0]


class PulledError(Exception):
    pass


def pull_the_plug_at(step: int):
    def listener(row: dict) -> None:
        if row["event"] == "step" and row["step"] == step:
            raise PulledError

    return listener


def failing(error: Exception):
    def fail(*_: object, **__: object):
        raise error

    return fail


@pytest.mark.parametrize("part", ["pretrain_text.write_jsonl", "pretrain.write_ngram_filter"])
def test_a_full_disk_is_told(config: PretrainConfig, monkeypatch, part: str):
    full = failing(OSError(28, "No space left on device"))
    monkeypatch.setattr(f"lawtune.train.{part}", full)
    with pytest.raises(UserError, match="no space left on the disk of .*--resume"):
        pretrain(config)


def test_memory_that_runs_out_is_told(config: PretrainConfig, monkeypatch):
    monkeypatch.setattr(LossEngine, "accumulate", failing(MemoryError()))
    with pytest.raises(UserError, match=r"memory ran out .*train\.micro_batch_tokens"):
        pretrain(config)


def test_a_run_that_is_to_be_shorter_than_it_is_by_now_is_refused(config: PretrainConfig):
    def run(**changes):
        train = replace(config.train, decay_share=0.0, **changes)
        return replace(config, train=train)

    rows = []
    pretrain(replace(run(epochs=1), out=config.out + "-short"), listener=rows.append)
    epoch = sum(row["event"] == "step" for row in rows)
    with pytest.raises(PulledError):
        pretrain(run(epochs=4), listener=pull_the_plug_at(3 * epoch))
    left = sorted(path.name for path in Path(config.out).glob("checkpoint-*"))
    for shorter in (run(epochs=1), run(epochs=4, max_minutes=1e-9)):
        with pytest.raises(
            UserError, match=r"past the end .* more train\.epochs or train\.max_min"
        ):
            pretrain(shorter, resume=True)
        assert sorted(path.name for path in Path(config.out).glob("checkpoint-*")) == left
    pretrain(run(epochs=4), resume=True)
    # A finished run, too, does not become a shorter one.
    with pytest.raises(UserError, match="past the end"):
        pretrain(run(epochs=1), resume=True)


def test_a_run_without_a_state_from_before_its_decay_cannot_become_longer(config):
    late = replace(config, train=replace(config.train, decay_share=0.9, save_every=100))
    pretrain(late)
    with pytest.raises(UserError, match="it cannot become a longer run"):
        pretrain(replace(late, train=replace(late.train, epochs=40)), resume=True)


def test_a_state_from_before_the_decay_that_another_run_has_left_is_not_taken(config):
    late = replace(config, train=replace(config.train, decay_share=0.9, save_every=100))
    pretrain(late)
    other = replace(config.train, seed=7, decay_share=0.0)
    pretrain(replace(config, train=other, out=config.out + "-other"))
    shutil.copytree(Path(config.out + "-other") / "stable", Path(config.out) / "stable")
    with pytest.raises(UserError, match=r"stable/checkpoint-\d+ is of a run .*train.seed was 7"):
        pretrain(replace(late, train=replace(late.train, epochs=40)), resume=True)


@pytest.mark.parametrize("key", ["learning_rate", "max_grad_norm", "weight_decay", "max_minutes"])
def test_numbers_that_no_run_can_use_are_refused(config: PretrainConfig, key: str):
    with pytest.raises(UserError, match=f"train.{key}: input should be greater than"):
        pretrain(replace(config, train=replace(config.train, **{key: -1.0})))


def test_no_source_is_refused(config: PretrainConfig):
    with pytest.raises(UserError, match=r"corpus\.sources"):
        pretrain(replace(config, corpus=CorpusConfig()))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_tokens": 800}, "train.batch_tokens was 400, is 800"),
        ({"seed": 7, "learning_rate": 0.1}, "train.learning_rate was 0.004, is 0.1"),
        ({"window": 40}, "train.window was 48, is 40"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(config: PretrainConfig, changes, named):
    pretrain(config)
    with pytest.raises(UserError, match=named):
        pretrain(replace(config, train=replace(config.train, **changes)), resume=True)


def test_a_run_is_not_written_over(config: PretrainConfig):
    made = pretrain(config)
    before = (made.folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds a model"):
        pretrain(config)
    assert (made.folder / "model.safetensors").read_bytes() == before
    shutil.rmtree(made.folder)
    with pytest.raises(UserError, match="unfinished run"):
        pretrain(config)


def test_a_model_without_its_checkpoints_is_not_written_over(config: PretrainConfig):
    made = pretrain(config)
    for folder in Path(config.out).glob("checkpoint-*"):
        shutil.rmtree(folder)
    before = (made.folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="holds a model, but no checkpoint"):
        pretrain(config, resume=True)
    assert (made.folder / "model.safetensors").read_bytes() == before


def test_a_run_that_is_at_work_is_not_disturbed(config: PretrainConfig):
    refused = []

    def meanwhile(row: dict) -> None:
        if row["event"] == "step" and row["step"] == 1:
            for resume in (False, True):
                with pytest.raises(UserError, match="another run is at work") as error:
                    pretrain(config, resume)
                refused.append(error)

    pretrain(config, listener=meanwhile)
    assert len(refused) == 2


def test_a_window_longer_than_the_context_is_refused_before_anything_is_read(config):
    config = replace(config, train=replace(config.train, window=65))
    with pytest.raises(UserError, match=r"train\.window \(65\)"):
        pretrain(config)
    assert not (Path(config.out) / "corpus").exists()


def test_with_nothing_held_out_a_model_is_made_all_the_same(config: PretrainConfig):
    corpus = replace(config.corpus, validation_share=0.0, test_share=0.0)
    made = pretrain(replace(config, corpus=corpus))
    assert made.bits_per_byte == {}
    assert (made.folder / "model.safetensors").is_file()


def test_samples_fit_into_a_short_context(config: PretrainConfig):
    """The prompt of 200 characters has more tokens than these 64 positions."""
    tokenizer = train_tokenizer((d.text for d in documents(config)), 420, 64)
    model = build_model(config.model, tokenizer)
    text = "임차인은 임대인에게 지급하여야 한다. " * 30
    article = Document("시험법 제1조", "statute", "test", text)
    [sample] = sample_continuations(model, tokenizer, [article], 1, seed=1)
    assert article.text.startswith(sample["prompt"]) and sample["prompt"]
    assert len(tokenizer(sample["prompt"])["input_ids"]) <= 32
