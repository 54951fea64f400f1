"""`finetune` on a tiny base: what it writes, what it keeps, what it refuses."""

import gc
import json
import shutil
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lawtune.config import FinetuneConfig, TrainConfig
from lawtune.data.ngram_filter import FILTER_FILE, load_filters
from lawtune.data.ngrams import hash_runs, words_of
from lawtune.errors import UserError
from lawtune.model.adapter import load_adapter, verify_manifest
from lawtune.model.load import load_base
from lawtune.options import to_dict, validate
from lawtune.prompt import PromptTemplate
from lawtune.records import read_qa
from lawtune.train.checkpoint import newest_valid
from lawtune.train.inputs import encode_split, read_splits
from lawtune.train.loss import LossEngine
from lawtune.train.precision import resolve_precision
from lawtune.train.prepare import four_bit_settings
from lawtune.train.run import finetune

FILES = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "manifest.json",
    "prompt_templates.json",
    "tokenizer.json",
    "README.md",
    "training_config.json",
    "training_curve.png",
    "training_log.jsonl",
}


def write_pairs(path: Path, numbers: range, group: str | None = None) -> Path:
    rows = []
    for number in numbers:
        sentence = tiny.SENTENCES[number % len(tiny.SENTENCES)]
        row = {"id": f"q{number}", "question": f"제{number}조?", "answer": f"{number} {sentence}"}
        rows.append(row | ({"group": f"{group}{number}"} if group else {}))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def make_config(tmp_path: Path, gpt2_base: Path):
    train = write_pairs(tmp_path / "train.jsonl", range(10))
    validation = write_pairs(tmp_path / "validation.jsonl", range(10, 14))

    def make(base: Path = gpt2_base, out: str = "out", **sections) -> FinetuneConfig:
        tree = {
            "base": str(base),
            "data": {"train": str(train), "validation": str(validation), "max_length": 96},
            "lora": {"r": 4, "alpha": 6, "dropout": 0.2, "target_modules": ["c_attn", "lm_head"]},
            # In float32 wherever it runs: losses are compared to 1e-6.
            "train": {
                "epochs": 3,
                "learning_rate": 0.02,
                "gradient_accumulation": 4,
                "precision": "fp32",
            },
            "out": str(tmp_path / out),
        }
        for name, values in sections.items():
            tree[name] = tree.get(name, {}) | values
        return validate(FinetuneConfig, tree, "test")

    return make


def read_rows(out: Path, event: str) -> list[dict]:
    lines = (out / "training_log.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter_model.safetensors")


def validation_loss(config: FinetuneConfig) -> float:
    """The loss of the saved folder, from disk, by a fresh engine."""
    out = Path(config.out)
    base = load_base(config.base)
    model = load_adapter(base, out)
    _, split = read_splits(config)
    template = PromptTemplate.load(out)
    encoded = encode_split(split, template, base.tokenizer, config.data.max_length)
    precision = resolve_precision(config.train.precision, torch.device("cpu"))
    return LossEngine(model, base.tokenizer.pad_token_id, precision).mean_loss(encoded.windows)


def test_the_folder_is_complete_and_describes_itself(make_config, gpt2_base: Path):
    config = make_config()
    result = finetune(config)
    assert {p.name for p in result.folder.iterdir() if p.is_file()} >= FILES
    assert verify_manifest(result.folder) == []
    record = json.loads((result.folder / "training_config.json").read_text("utf-8"))
    assert record["config"]["train"]["learning_rate"] == 0.02
    assert record["base"]["sha256"] and len(record["data"]["train"]["sha256"]) == 64
    assert record["data"]["train"]["records"] == 10 and record["data"]["validation"]["kept"] == 4
    assert record["parameters"] == result.parameters
    assert record["metrics"] == result.metrics
    assert {"lawtune", "torch", "peft", "transformers"} <= set(record["versions"])
    assert record["metrics"]["best_validation_loss"] < record["metrics"]["initial_validation_loss"]
    assert result.metrics["steps"] == 9 and result.metrics["stopped"] == "epochs"
    assert (result.folder / "training_curve.png").read_bytes().startswith(b"\x89PNG")
    assert not [p for p in result.folder.rglob("*") if p.suffix in (".pt", ".pkl", ".bin")]


def test_the_log_has_a_row_a_step_and_the_base_before_them(make_config):
    result = finetune(make_config())
    steps = read_rows(result.folder, "step")
    assert [row["step"] for row in steps] == list(range(1, 10))
    assert {"loss", "learning_rate", "grad_norm", "rss_mb", "target_tokens_per_second"} <= set(
        steps[0]
    )
    assert [row["step"] for row in read_rows(result.folder, "validation")] == [0, 3, 6, 9]
    assert [round(row["epoch"], 2) for row in steps[:3]] == [0.33, 0.67, 1.0]


def test_plain_peft_loads_the_folder(make_config, gpt2_base: Path):
    config = make_config()
    result = finetune(config)
    plain = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.float32)
    plain = PeftModel.from_pretrained(plain, result.folder).eval()
    ours = load_adapter(load_base(str(gpt2_base)), result.folder)
    ids = torch.tensor([[20, 30, 40, 50]])
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, ours(ids).logits)


def test_the_best_adapter_is_the_one_saved(make_config):
    """A learning rate that ruins the model late: the best is not the last."""
    config = make_config(
        train={"learning_rate": 0.5, "scheduler": "constant", "evaluate_every": 1, "epochs": 2}
    )
    result = finetune(config)
    rows = read_rows(result.folder, "validation")[1:]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert best["step"] != rows[-1]["step"]
    assert result.metrics["best_step"] == best["step"]
    assert validation_loss(config) == pytest.approx(best["validation_loss"], rel=1e-6)


def test_early_stopping(make_config):
    config = make_config(
        train={
            "learning_rate": 1.0,
            "scheduler": "constant",
            "evaluate_every": 1,
            "epochs": 20,
            "early_stopping_patience": 2,
        }
    )
    result = finetune(config)
    assert result.metrics["stopped"] == "early_stopping"
    assert result.metrics["steps"] == result.metrics["best_step"] + 2


class KilledError(Exception):
    """Stands for `kill -9`."""


def kill_at(step: int):
    def listener(row: dict) -> None:
        if row["event"] == "step" and row["step"] == step:
            raise KilledError

    return listener


@pytest.mark.parametrize("against_loops", [None, 2])
@pytest.mark.parametrize("step", [1, 4, 5, 9])
def test_resumed_equals_never_stopped(make_config, step: int, against_loops: int | None):
    settings = {"save_every": 2, "evaluate_every": 3, "batch_size": 2, "gradient_accumulation": 2}
    settings |= {"unlikelihood_every": against_loops, "unlikelihood_after": 0.3}
    whole = finetune(make_config(out="whole", train=settings))
    config = make_config(out="killed", train=settings)
    with pytest.raises(KilledError):
        finetune(config, listener=kill_at(step))
    resumed = finetune(config, resume=True)
    assert resumed.resumed_from == {1: None, 4: 2, 5: 4, 9: 8}[step]
    expected, found = weights(whole.folder), weights(resumed.folder)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    times = {"training_seconds": 0}
    assert whole.metrics | times == resumed.metrics | times
    for event in ("step", "validation"):
        numbers = [[row["step"] for row in read_rows(r.folder, event)] for r in (whole, resumed)]
        assert numbers[0] == numbers[1]


KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from lawtune.config import FinetuneConfig
from lawtune.options import load_config
from lawtune.train import checkpoint
from lawtune.train.run import finetune

def kill(folder, write=checkpoint.write_manifest):
    if folder.name == "checkpoint-4":
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder)

checkpoint.write_manifest = kill
finetune(load_config(FinetuneConfig, Path(sys.argv[1])))
"""


def test_a_kill_while_a_checkpoint_is_written_costs_only_that_checkpoint(
    make_config, tmp_path: Path
):
    whole = finetune(make_config(out="whole", train={"save_every": 2}))
    config = make_config(train={"save_every": 2})
    (tmp_path / "config.yaml").write_text(json.dumps(to_dict(config)), "utf-8")
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path / "config.yaml")]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert list((tmp_path / "out").glob(".checkpoint-4.*"))
    resumed = finetune(config, resume=True)
    assert resumed.resumed_from == 2
    for name, value in weights(whole.folder).items():
        assert torch.equal(value, weights(resumed.folder)[name])
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_run_agrees_with_the_cpu(make_config, precision: str):
    lora = {"dropout": 0.0}  # a GPU draws other masks
    on_cpu = finetune(make_config(out="cpu", lora=lora, train={"device": "cpu"}))
    settings = {"device": "cuda", "precision": precision}
    on_gpu = finetune(make_config(out="gpu", lora=lora, train=settings))
    tolerance = 1e-3 if precision == "fp32" else 5e-2
    for name in ("initial_validation_loss", "best_validation_loss"):
        assert on_gpu.metrics[name] == pytest.approx(on_cpu.metrics[name], rel=tolerance)
    assert "gpu_mb" in read_rows(on_gpu.folder, "step")[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_base_in_four_bits_is_learnt_on(make_config, llama_base: Path):
    pytest.importorskip("bitsandbytes")
    lora = {"target_modules": "all-linear", "dropout": 0.0}
    whole = finetune(make_config(base=llama_base, out="whole", lora=lora))
    settings = {"load_in_4bit": True, "gradient_checkpointing": True, "device": "cuda"}
    packed = finetune(make_config(base=llama_base, out="packed", lora=lora, train=settings))
    assert packed.parameters == whole.parameters
    name = "initial_validation_loss"
    assert packed.metrics[name] == pytest.approx(whole.metrics[name], rel=0.1)
    assert packed.metrics[name] != whole.metrics[name]
    assert packed.metrics["best_validation_loss"] < packed.metrics[name]


def test_four_bits_need_a_gpu_and_a_package_and_whole_layers(make_config, monkeypatch):
    with pytest.raises(UserError, match="load_in_4bit needs a CUDA GPU"):
        finetune(make_config(train={"load_in_4bit": True, "device": "cpu"}))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    gpu = torch.device("cuda")
    with pytest.raises(UserError, match=r"pip install 'lawtune\[gpu\]'"):
        four_bit_settings(TrainConfig(load_in_4bit=True), gpu)
    with pytest.raises(UserError, match="do not go together"):
        four_bit_settings(TrainConfig(load_in_4bit=True, shard=True), gpu)


def test_one_process_has_nobody_to_spread_layers_over(make_config):
    with pytest.raises(UserError, match="only one process; start it with `torchrun"):
        finetune(make_config(train={"shard": True}))
    assert not Path(make_config().out).exists()


def test_training_against_loops_shows_in_the_weights(make_config):
    plain = finetune(make_config(out="plain"))
    against = finetune(make_config(out="against", train={"unlikelihood_every": 1}))
    assert plain.metrics["steps"] == against.metrics["steps"]
    one, other = weights(plain.folder), weights(against.folder)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match="unlikelihood_every"):
        finetune(make_config(out="no", train={"unlikelihood_every": 0}))
    with pytest.raises(UserError, match="do not go together"):
        finetune(make_config(out="no", train={"unlikelihood_every": 1, "shard": True}))


def test_training_against_loops_may_begin_after_a_share_of_the_run(make_config):
    def norms(**settings) -> list[float]:
        run = finetune(make_config(out=f"run{len(settings)}", train={"epochs": 6} | settings))
        return [row["grad_norm"] for row in read_rows(run.folder, "step")]

    plain, whole = norms(), norms(unlikelihood_every=1)
    half = norms(unlikelihood_every=1, unlikelihood_after=0.5)
    assert len(plain) == 18
    assert whole[0] != plain[0]
    assert half[:9] == plain[:9]
    assert half[9] != plain[9]


def test_resume_without_a_checkpoint_starts_afresh_and_says_so(make_config):
    rows = []
    result = finetune(make_config(), resume=True, listener=rows.append)
    assert result.resumed_from is None and result.metrics["steps"] == 9
    assert any("starting afresh" in row.get("text", "") for row in rows)


def test_resume_passes_over_a_damaged_checkpoint_and_clears_it_away(make_config):
    settings = {"save_every": 2}
    whole = finetune(make_config(out="whole", train=settings))
    config = make_config(train=settings)
    with pytest.raises(KilledError):
        finetune(config, listener=kill_at(5))
    newest = Path(config.out) / "checkpoint-4" / "optimizer.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    resumed = finetune(config, resume=True)
    assert resumed.resumed_from == 2
    assert all(
        torch.equal(value, weights(resumed.folder)[name])
        for name, value in weights(whole.folder).items()
    )
    assert len(list(resumed.folder.glob("checkpoint-*"))) == 2


def test_resume_on_a_finished_run_does_nothing(make_config):
    config = make_config()
    first = finetune(config)
    before = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")}
    rows = []
    again = finetune(config, resume=True, listener=rows.append)
    assert again.resumed_from == 9 and again.metrics == first.metrics
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*")} == before
    assert "finished" in rows[-1]["text"]


def test_a_finished_run_whose_card_was_edited_is_finished(make_config):
    config = make_config()
    folder = finetune(config).folder
    (folder / "README.md").write_text("mine")
    (folder / "training_curve.png").unlink()
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    assert finetune(config, resume=True).resumed_from == 9
    assert (folder / "README.md").read_text() == "mine"


def test_a_damaged_model_is_made_again_from_a_checkpoint_or_left_alone(make_config):
    config = make_config()
    folder = finetune(config).folder
    path = folder / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    finetune(config, resume=True)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    with pytest.raises(UserError, match=r"is damaged \(adapter_model.safetensors: changed"):
        finetune(config, resume=True)
    assert path.read_bytes() == whole[:-1]


def test_a_finished_run_is_not_taken_for_one_with_other_settings(make_config):
    finetune(make_config())
    with pytest.raises(UserError, match=r"train.epochs was 3, is 4"):
        finetune(make_config(train={"epochs": 4}), resume=True)
    # These do not bear on the result.
    assert finetune(make_config(train={"save_every": 7}), resume=True).resumed_from == 9


def test_a_finished_run_is_not_taken_for_one_of_other_data(make_config, tmp_path: Path):
    config = make_config()
    finetune(config)
    write_pairs(tmp_path / "train.jsonl", range(20, 26))
    with pytest.raises(UserError, match="training data was"):
        finetune(config, resume=True)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(UserError, match="no such file"):
        finetune(config, resume=True)
    write_pairs(tmp_path / "train.jsonl", range(10))
    assert finetune(config, resume=True).resumed_from == 9
    with pytest.raises(UserError, match="no model folder of that name"):
        finetune(config, resume=True, adapter="nowhere")


def test_an_empty_out_is_not_this_folder(make_config):
    with pytest.raises(UserError, match="out is empty"):
        finetune(replace(make_config(), out=""))


def test_a_run_lets_go_of_its_engine(make_config, tmp_path: Path, monkeypatch):
    engines = []

    class Seen(LossEngine):
        def __init__(self, *given):
            super().__init__(*given)
            engines.append(weakref.ref(self))

    monkeypatch.setattr("lawtune.train.run.LossEngine", Seen)
    finetune(
        make_config(
            train={"cache_dir": str(tmp_path / "kept")}, lora={"target_modules": ["lm_head"]}
        )
    )
    gc.collect()
    assert len(engines) == 1 and engines[0]() is None


def test_a_run_is_not_resumed_with_another_tokenizer(make_config, gpt2_base: Path, tmp_path: Path):
    base = shutil.copytree(gpt2_base, tmp_path / "base")
    config = make_config(base=base, train={"save_every": 2})
    with pytest.raises(KilledError):
        finetune(config, listener=kill_at(4))
    tiny.make_tokenizer(merges=20).save_pretrained(base)
    with pytest.raises(UserError, match="token ids was"):
        finetune(config, resume=True)


def test_resume_with_other_settings_is_refused(make_config):
    with pytest.raises(KilledError):
        finetune(make_config(train={"save_every": 2}), listener=kill_at(4))
    with pytest.raises(UserError, match=r"train.learning_rate was 0.02, is 0.01"):
        finetune(make_config(train={"save_every": 2, "learning_rate": 0.01}), resume=True)


def test_without_validation_the_last_adapter_is_kept_and_this_is_said(make_config):
    rows = []
    config = make_config(data={"validation": None})
    result = finetune(config, listener=rows.append)
    assert result.metrics["best_validation_loss"] is None
    assert any("last adapter is kept" in row.get("text", "") for row in rows)
    last = load_file(newest_valid(result.folder) / "parameters.safetensors")
    saved = weights(result.folder)
    assert sorted(v.sum().item() for v in last.values()) == sorted(
        v.sum().item() for v in saved.values()
    )


def test_going_on_from_an_adapter(make_config):
    first = finetune(make_config(out="first"))
    config = make_config(out="second", train={"learning_rate": 1e-9})
    second = finetune(config, adapter=str(first.folder))
    assert second.metrics["initial_validation_loss"] == pytest.approx(
        first.metrics["best_validation_loss"], rel=1e-6
    )
    changed = weights(second.folder)
    for name, value in weights(first.folder).items():
        assert torch.allclose(value, changed[name], atol=1e-6)
    # Its own settings, whatever the config says.
    other = make_config(out="third", lora={"r": 2, "target_modules": ["c_fc"]})
    third = finetune(other, adapter=str(first.folder))
    record = json.loads((third.folder / "training_config.json").read_text("utf-8"))
    found = record["resolved"]["lora"]
    modules = found.pop("target_modules")
    assert found == {"r": 4, "alpha": 6, "dropout": 0.2}
    assert modules and not any("c_fc" in name for name in modules)


def test_what_was_learnt_can_be_found_again(make_config):
    def runs(text: str):
        return hash_runs(words_of(text))

    pairs = read_qa(Path(make_config().data.train))
    first = finetune(make_config(out="first"))
    (known,) = load_filters(first.folder)
    learnt = {pair.answer: known.contains(runs(pair.answer)) for pair in pairs}
    assert any(found.size for found in learnt.values())
    assert all(found.all() for found in learnt.values())
    assert not known.contains(runs(" ".join(f"새말{n}" for n in range(40)))).any()
    assert verify_manifest(first.folder) == []

    second = finetune(make_config(out="second"), adapter=str(first.folder))
    assert len(load_filters(second.folder)) == 2
    # What an adapter without a filter has read is unknown, and so is what is made of it.
    (first.folder / FILTER_FILE).unlink()
    third = finetune(make_config(out="third"), adapter=str(first.folder))
    assert load_filters(third.folder) == []


def test_an_adapter_of_another_base_is_refused(make_config, tmp_path: Path):
    first = finetune(make_config(out="first"))
    tokenizer = tiny.make_tokenizer()
    other = tiny.save_base(tmp_path / "other", tiny.make_gpt2(tokenizer, seed=9), tokenizer)
    with pytest.raises(UserError, match="trained on"):
        finetune(make_config(base=other, out="second"), adapter=str(first.folder))
    assert not (tmp_path / "second").exists()


def test_added_marker_rows_travel_with_the_adapter(make_config, tmp_path: Path):
    tokenizer = tiny.make_tokenizer(reserved=0)
    base = tiny.save_base(tmp_path / "plain", tiny.make_gpt2(tokenizer), tokenizer)
    config = make_config(base=base)
    result = finetune(config)
    assert validation_loss(config) == pytest.approx(
        result.metrics["best_validation_loss"], rel=1e-6
    )
    again = finetune(
        make_config(base=base, out="second", train={"learning_rate": 1e-9}),
        adapter=str(result.folder),
    )
    assert again.metrics["initial_validation_loss"] == pytest.approx(
        result.metrics["best_validation_loss"], rel=1e-6
    )


def test_llama_trains_too(make_config, llama_base: Path):
    targets = ["q_proj", "v_proj", "lm_head"]
    config = make_config(base=llama_base, lora={"target_modules": targets})
    result = finetune(config)
    assert result.metrics["best_validation_loss"] < result.metrics["initial_validation_loss"]
    assert validation_loss(config) == pytest.approx(
        result.metrics["best_validation_loss"], rel=1e-6
    )


def test_a_first_loss_above_a_uniform_guess_is_warned_of(make_config, tmp_path: Path):
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight.mul_(30)
    base = tiny.save_base(tmp_path / "sharp", model, tokenizer)
    finetune(make_config(base=base, train={"max_steps": 1}))
    assert any("uniform guess" in row["text"] for row in read_rows(tmp_path / "out", "note"))


def test_a_diverging_run_keeps_its_last_good_state(make_config, tmp_path: Path):
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.wte.weight[tokenizer("7", add_special_tokens=False)["input_ids"]] = float(
            "nan"
        )
    base = tiny.save_base(tmp_path / "broken", model, tokenizer)
    broken = write_pairs(tmp_path / "broken.jsonl", range(17, 18))
    config = make_config(base=base, data={"validation": None})
    with pytest.raises(UserError, match="the loss is not a finite number in step 1.*q"):
        finetune(config)
    assert newest_valid(tmp_path / "out").name == "checkpoint-0"
    with pytest.raises(UserError, match="not a finite number even before training"):
        finetune(make_config(base=base, out="validated", data={"validation": str(broken)}))


BAD = {
    "no such file": ({"data": {"train": "absent.jsonl"}}, "no such file: absent.jsonl"),
    "no training file": ({"data": {"train": None}}, "data.train is not set"),
    "target the model lacks": ({"lora": {"target_modules": ["q_proj"]}}, "c_attn"),
    "fixed warm-up": ({"train": {"warmup_steps": 100}}, "longest that fits is 9"),
    "beyond the model": ({"data": {"max_length": 129}}, "at most 128 tokens"),
    "no room for an answer": ({"data": {"max_length": 16}}, r"fits into data.max_length \(16\)"),
    "no epochs": (
        {"train": {"epochs": 0}},
        "train.epochs: input should be greater than or equal to 1",
    ),
    "no rate": (
        {"train": {"learning_rate": 0.0}},
        "train.learning_rate: input should be greater than 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_nothing_written(make_config, tmp_path: Path, case: str):
    sections, message = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        finetune(make_config(out="deep/out", **sections))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_training_file_is_refused(make_config, tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(UserError, match="no records"):
        finetune(make_config())


def test_an_identical_validation_pair_is_refused(make_config, tmp_path: Path):
    row = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[3])
    row |= {"id": "leak", "answer": "  " + row["answer"].replace(" ", "\n")}
    (tmp_path / "validation.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    with pytest.raises(UserError, match=r"1 pairs of .*validation.jsonl are identical.*leak = q3"):
        finetune(make_config())


def test_a_shared_group_is_refused(make_config, tmp_path: Path):
    write_pairs(tmp_path / "train.jsonl", range(5), group="민법 제")
    row = {"id": "v", "question": "?", "answer": "달리", "group": "민법 제2"}
    (tmp_path / "validation.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    with pytest.raises(UserError, match="share their group .*v and q2 of '민법 제2'"):
        finetune(make_config())


def test_another_runs_folder_is_not_overwritten(make_config, tmp_path: Path):
    config = make_config(train={"save_every": 2})
    with pytest.raises(KilledError):
        finetune(config, listener=kill_at(4))
    with pytest.raises(UserError, match="--resume"):
        finetune(config)
    shutil.rmtree(config.out)
    finetune(config)
    with pytest.raises(UserError, match="already holds a model"):
        finetune(config)


def test_out_that_is_a_file_is_refused(make_config, tmp_path: Path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError, match="out"):
        finetune(make_config())


def test_cuts_and_duplicates_are_counted_and_listed(make_config, tmp_path: Path):
    lines = (tmp_path / "train.jsonl").read_text("utf-8")
    (tmp_path / "train.jsonl").write_text(lines + lines.splitlines()[0] + "\n", "utf-8")
    rows = []
    result = finetune(make_config(data={"max_length": 40}), listener=rows.append)
    record = json.loads((result.folder / "training_config.json").read_text("utf-8"))
    assert record["data"]["train"]["duplicates"] == ["q0"]
    assert len(record["data"]["train"]["answer_cut"]) > 5
    notes = [row["text"] for row in rows if row["event"] == "note"]
    assert any("1 of 11 examples repeat an earlier one" in text for text in notes)
    assert any("lost the tail of their answer" in text for text in notes)


def test_near_duplicates_of_training_answers_are_listed(make_config, tmp_path: Path):
    first = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[0])
    twin = {"id": "twin", "question": "전혀 다른 물음입니까?", "answer": first["answer"] + " 끝"}
    lines = (tmp_path / "validation.jsonl").read_text("utf-8")
    row = json.dumps(twin, ensure_ascii=False)
    (tmp_path / "validation.jsonl").write_text(f"{lines}{row}\n", "utf-8")
    result = finetune(make_config())
    record = json.loads((result.folder / "training_config.json").read_text("utf-8"))
    assert "twin" in record["data"]["validation"]["near_duplicates"]
