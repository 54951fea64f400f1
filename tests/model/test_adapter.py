"""The adapter folder: small, loadable by plain PEFT, tied to its base, whole or refused."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, GPT2LMHeadModel

from lawtune.config import LoraConfig
from lawtune.data.ngram_filter import FILTER_FILE
from lawtune.errors import UserError
from lawtune.model.adapter import (
    add_marker_rows,
    load_adapter,
    save_adapter,
    verify_manifest,
    write_manifest,
)
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import load_base, load_tokenizer
from lawtune.model.lora import attach_lora
from lawtune.model.manager import ModelManager
from lawtune.prompt import make_template, missing_markers

IDS = torch.tensor([[5, 60, 70, 80, 90]])


@pytest.fixture(scope="module")
def bare_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose tokenizer has no reserved tokens, so that markers need rows."""
    tokenizer = tiny.make_tokenizer(reserved=0)
    return tiny.save_base(
        tmp_path_factory.mktemp("bare") / "base", tiny.make_gpt2(tokenizer), tokenizer
    )


@pytest.mark.parametrize(
    "targets", [("lm_head",), ("c_attn",), ("c_attn", "lm_head"), "all-linear"]
)
def test_plain_peft_gives_the_same_logits(tmp_path: Path, gpt2_base: Path, targets):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base, targets)
    ours = load_adapter(load_base(str(gpt2_base)), folder)(IDS).logits
    plain = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.float32)
    before = plain(IDS).logits
    theirs = PeftModel.from_pretrained(plain, folder).eval()(IDS).logits
    assert torch.equal(ours, theirs)
    assert (ours - before).abs().max() > 0.1, "the adapter changes nothing"


def test_peft_finds_the_base_by_itself(tmp_path: Path, gpt2_base: Path):
    from peft import AutoPeftModelForCausalLM

    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    theirs = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    ours = load_adapter(load_base(str(gpt2_base)), folder)
    assert torch.equal(theirs(IDS).logits, ours(IDS).logits)


def test_the_kogpt2_recipes_adapter_is_small(tmp_path: Path):
    # The shape of KoGPT-2 in one layer: an adapter on lm_head is the same for twelve.
    tokenizer = tiny.make_tokenizer()
    config = tiny.GPT2Config(vocab_size=51_200, n_embd=768, n_layer=1, n_head=12)
    model = attach_lora(
        GPT2LMHeadModel(config), LoraConfig(16, 32, 0.1, target_modules=("lm_head",))
    )
    save_adapter(tmp_path, model, tokenizer, make_template("lawtune", tokenizer))
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert 831_488 * 4 < size <= 3_500_000
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as file:
        assert {k.split(".")[-2] for k in file.keys()} == {"lora_A", "lora_B"}  # noqa: SIM118


@pytest.mark.skipif(
    not Path(os.environ.get("LAWTUNE_KOGPT2", "/nonexistent")).is_dir(), reason="no KoGPT-2"
)
def test_kogpt2s_tokenizer_has_markers_to_spare(tmp_path: Path):
    folder = Path(os.environ["LAWTUNE_KOGPT2"])
    tokenizer = load_tokenizer(folder)
    template = make_template("lawtune", tokenizer)
    assert missing_markers(template, tokenizer) == {} and template.prefix == ""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    adapted = attach_lora(model, LoraConfig(16, 32, 0.1, target_modules=("lm_head",)))
    assert adapted.get_nb_trainable_parameters() == (831_488, 125_995_520)


def test_two_saves_are_the_same_bytes(tmp_path: Path, gpt2_base: Path):
    first, second = (
        tiny.save_adapter_folder(tmp_path / name, gpt2_base, "all-linear") for name in "ab"
    )
    assert (first / "manifest.json").read_text() == (second / "manifest.json").read_text()
    names = {path.name for path in first.iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "prompt_templates.json",
        "training_config.json",
    }
    assert "added_rows.safetensors" not in names and "README.md" not in names


class TestAddedRows:
    def test_a_row_is_the_mean_of_its_text(self, bare_base: Path):
        base = load_base(str(bare_base))
        before = base.model.transformer.wte.weight.detach().clone()
        spelled = base.tokenizer("법령 설명", add_special_tokens=False)["input_ids"]
        assert add_marker_rows(base.model, base.tokenizer, {"<|x|>": "법령 설명"}) == ["<|x|>"]
        after = base.model.transformer.wte.weight
        assert torch.equal(after[:-1], before)
        torch.testing.assert_close(after[-1], before[spelled].mean(dim=0))
        assert base.model.lm_head.weight is after, "no longer tied"
        assert base.tokenizer("<|x|>")["input_ids"] == [len(before)]

    def test_spare_rows_are_used_first(self, bare_base: Path):
        base = load_base(str(bare_base))
        rows = len(base.tokenizer) + 5
        base.model.resize_token_embeddings(rows)
        add_marker_rows(base.model, base.tokenizer, {"<|x|>": "법령"})
        assert base.model.config.vocab_size == rows

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("targets", [("lm_head",), ("q_proj",)])
    def test_rows_come_back(self, tmp_path: Path, tied: bool, targets: tuple[str, ...]):
        tokenizer = tiny.make_tokenizer(reserved=0)
        model = tiny.make_llama(tokenizer, tied=tied)
        base_folder = tiny.save_base(tmp_path / "base", model, tokenizer)
        folder = tiny.save_adapter_folder(tmp_path / "adapter", base_folder, targets)
        base = load_base(str(base_folder))
        template = make_template("lawtune", base.tokenizer)
        added = add_marker_rows(
            base.model, base.tokenizer, missing_markers(template, base.tokenizer)
        )
        assert len(added) == 9
        lora = LoraConfig(r=4, alpha=12, target_modules=targets)
        expected = tiny.randomise(attach_lora(base.model, lora)).eval()
        fresh = load_base(str(base_folder))
        found = load_adapter(fresh, folder)
        ids = torch.tensor([[5, len(tokenizer), len(tokenizer) + 8]])
        assert torch.equal(found(ids).logits, expected(ids).logits)
        assert fresh.tokenizer.get_vocab() == load_tokenizer(folder).get_vocab()
        size = (folder / "added_rows.safetensors").stat().st_size
        assert size < 9 * 32 * 4 * (1 if tied else 2) + 600


def test_another_base_is_refused_by_its_content(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    tokenizer = tiny.make_tokenizer()
    other = tiny.save_base(tmp_path / "other", tiny.make_gpt2(tokenizer, seed=9), tokenizer)
    with pytest.raises(UserError) as error:
        load_adapter(load_base(str(other)), folder)
    assert str(gpt2_base) in str(error.value) and str(other) in str(error.value)


def test_shapes_that_do_not_fit(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    (folder / "training_config.json").unlink()
    write_manifest(folder)
    tokenizer = tiny.make_tokenizer()
    other = tiny.save_base(tmp_path / "wide", tiny.make_gpt2(tokenizer, width=64), tokenizer)
    with pytest.raises(UserError, match="does not fit"):
        load_adapter(load_base(str(other)), folder)


def test_a_peft_adapter_of_another_type_is_refused(tmp_path: Path, gpt2_base: Path):
    """Its base would answer in its place: nobody would notice."""
    base = load_base(str(gpt2_base))
    prompted = PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    get_peft_model(base.model, prompted).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="PROMPT_TUNING"):
        load_adapter(load_base(str(gpt2_base)), tmp_path)


def test_an_adapter_without_all_its_weights_is_refused(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base, "all-linear")
    weights = load_file(folder / "adapter_model.safetensors")
    gone = min(weights)
    save_file({k: v for k, v in weights.items() if k != gone}, folder / "adapter_model.safetensors")
    write_manifest(folder)
    with pytest.raises(UserError, match=f"incomplete: no {re.escape(gone)}"):
        load_adapter(load_base(str(gpt2_base)), folder)


@pytest.mark.parametrize("size", [0, 700])
def test_weights_that_were_cut_off_are_told(tmp_path: Path, gpt2_base: Path, size: int):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="is damaged"):
        load_adapter(load_base(str(gpt2_base)), folder)
    (folder / "manifest.json").unlink()  # as of an adapter that was made elsewhere
    with pytest.raises(UserError, match="does not fit"):
        load_adapter(load_base(str(gpt2_base)), folder)
    (entry,) = ModelManager(tmp_path).list()
    assert "adapter_model.safetensors" in entry.damage


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "prompt_templates.json", "tokenizer.json"]
)
def test_an_adapter_that_was_changed_is_not_loaded(tmp_path: Path, gpt2_base: Path, name: str):
    """One flipped bit of a weight loads without a word, and answers otherwise."""
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"is damaged \({name}: changed"):
        LegalModel.load(folder, device="cpu")


@pytest.mark.parametrize("gone", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_incomplete_folder_is_refused(tmp_path: Path, gpt2_base: Path, gone: str):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    (folder / gone).unlink()
    with pytest.raises(UserError, match=gone):
        load_adapter(load_base(str(gpt2_base)), folder)


def test_training_goes_on_from_a_saved_adapter(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    model = load_adapter(load_base(str(gpt2_base)), folder, trainable=True)
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 and all("lora_" in name for name in trainable)


def test_the_manifest_shows_every_change(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    (folder / "checkpoint-5").mkdir()
    (folder / "notes.txt").write_text("mine")
    assert verify_manifest(folder) == []
    (folder / "tokenizer.json").unlink()
    with open(folder / "adapter_model.safetensors", "ab") as file:
        file.write(b"\0")
    problems = verify_manifest(folder)
    assert problems == [
        "adapter_model.safetensors: changed since it was written",
        "tokenizer.json: missing",
    ]
    (folder / "manifest.json").write_text(json.dumps({"files": {"../x": "0"}}))
    assert verify_manifest(folder) == ["../x: not a file name"]
    (folder / "manifest.json").write_text("[1")
    assert "not JSON" in verify_manifest(folder)[0]


def test_only_what_a_model_is_made_of_can_be_damaged(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    for name in ("README.md", "training_curve.png", "train.log", "nohup.out", FILTER_FILE):
        (folder / name).write_text("as made")
    write_manifest(folder)
    (folder / "README.md").write_text("mine")
    (folder / "training_curve.png").unlink()
    # A console's log that lies there is written to after the manifest.
    (folder / "train.log").write_text("as made, and more")
    (folder / FILTER_FILE).write_text("of other texts")
    assert verify_manifest(folder) == [f"{FILTER_FILE}: changed since it was written"]
    (folder / FILTER_FILE).unlink()
    assert verify_manifest(folder) == [] and ModelManager(tmp_path).verify("adapter") == []
    load_adapter(load_base(str(gpt2_base)), folder)


def test_another_programs_manifest_tells_nothing(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    (folder / "manifest.json").write_text('{"schema": 1}')
    with pytest.raises(UserError, match="no list of files"):
        load_adapter(load_base(str(gpt2_base)), folder)
    (folder / "training_config.json").unlink()
    load_adapter(load_base(str(gpt2_base)), folder)


def test_a_save_over_an_old_folder_takes_its_manifest_away_first(tmp_path: Path, gpt2_base: Path):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    base = load_base(str(gpt2_base))
    model = attach_lora(base.model, LoraConfig(r=4))
    template = make_template("lawtune", base.tokenizer)
    save_adapter(folder, model, base.tokenizer, template)
    assert "no such file" in verify_manifest(folder)[0]
    write_manifest(folder)
    assert verify_manifest(folder) == []
    shutil.rmtree(folder)
