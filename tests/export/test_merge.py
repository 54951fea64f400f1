"""The chain base → adapted → merged → reloaded, and that a wrong merge is never left behind."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from lawtune.data.ngram_filter import FILTER_FILE, load_filters, write_ngram_filter
from lawtune.errors import UserError
from lawtune.export import merge
from lawtune.export.merge import export_merged
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import identify
from lawtune.model.manager import ModelManager

IDS = torch.tensor([[5, 60, 70, 80, 90]])


def fresh_process_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back in this process (seconds faster): for tests that are not about the process."""

    def read_back(folder: Path, probes: merge.Probes) -> merge.Logits:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        return merge.probe_logits(model, probes)

    monkeypatch.setattr(merge, "_logits_in_fresh_process", read_back)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt2-rows", "llama", "llama-tied"])
@pytest.mark.parametrize("targets", [("lm_head",), "all-linear", "mixed"])
def test_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, targets: str | tuple
):
    fresh_process_is_this_one(monkeypatch)
    tokenizer = tiny.make_tokenizer(reserved=0 if architecture == "gpt2-rows" else 12)
    if architecture.startswith("gpt2"):
        model = tiny.make_gpt2(tokenizer)
    else:
        model = tiny.make_llama(tokenizer, tied=architecture == "llama-tied")
    if targets == "mixed":
        targets = ("lm_head", "c_attn" if architecture.startswith("gpt2") else "q_proj")
    base = tiny.save_base(tmp_path / "base", model, tokenizer)
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", base, targets)
    adapted = LegalModel.load(adapter)

    report = export_merged(str(adapter), tmp_path / "merged")

    tied = architecture != "llama"
    assert report.untied == (tied and "lm_head" in targets)
    assert report.parity.to_adapter <= 1e-5 < 0.01 < report.parity.to_base
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert plain.dtype == torch.float32
    expected, before = adapted.model(IDS).logits, model(IDS).logits
    assert (plain(IDS).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    width = before.shape[-1]
    assert (plain(IDS).logits[..., :width] - before).abs().max() > 0.1
    # The embedding is the base's (with its rows): merging a tied matrix in place would change it.
    ours = adapted.model.get_base_model().get_input_embeddings().weight
    assert torch.equal(plain.get_input_embeddings().weight, ours)

    whole = LegalModel.load(tmp_path / "merged")
    assert not whole.has_adapter and whole.template == adapted.template
    pair = (adapted.render("질문"), tiny.SENTENCES[0])
    assert whole.log_likelihood(*pair) == pytest.approx(adapted.log_likelihood(*pair), rel=1e-5)


def test_in_a_fresh_process_and_self_describing(tmp_path: Path, gpt2_base: Path):
    adapter = tiny.save_adapter_folder(tmp_path / "runs" / "adapter", gpt2_base)
    out = tmp_path / "runs" / "merged"
    report = export_merged(str(adapter), out)
    described = json.loads((out / "export.json").read_text())
    assert described["format"] == "merged" and described["base"]["name"] == str(gpt2_base)
    assert described["parity"]["to_adapter"] == report.parity.to_adapter <= 1e-5
    assert described["training"]["config"]["lora"]["alpha"] == 12
    manager = ModelManager(tmp_path / "runs")
    assert manager.verify("merged") == []
    kinds = {entry.name: entry.kind for entry in manager.list()}
    assert kinds == {"adapter": "adapter", "merged": "export"}


def test_an_adapter_that_peft_alone_has_saved_is_of_the_base_that_was_given(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh_process_is_this_one(monkeypatch)
    gone = shutil.copytree(gpt2_base, tmp_path / "gone")
    model = tiny.randomise(tiny.with_lora(AutoModelForCausalLM.from_pretrained(gone), ["c_attn"]))
    model.save_pretrained(tmp_path / "adapter")
    shutil.rmtree(gone)
    report = export_merged(str(tmp_path / "adapter"), tmp_path / "merged", str(gpt2_base))
    described = json.loads((tmp_path / "merged" / "export.json").read_text())
    assert described["base"] == identify(str(gpt2_base)).to_json()
    assert report.base == str(gpt2_base)


def test_what_both_parts_have_read_goes_with_the_merge(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh_process_is_this_one(monkeypatch)
    base = shutil.copytree(gpt2_base, tmp_path / "base")
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", base, ("c_attn",))
    write_ngram_filter([tiny.SENTENCES[0]], adapter / FILTER_FILE)
    # What the base has read is unknown: what the merged model has read is, too.
    assert load_filters(export_merged(str(adapter), tmp_path / "first").out) == []
    write_ngram_filter([tiny.SENTENCES[1]], base / FILTER_FILE)
    report = export_merged(str(adapter), tmp_path / "second")
    assert len(load_filters(report.out)) == 2
    assert report.size == (report.out / "model.safetensors").stat().st_size


def test_a_merge_that_is_not_equal_is_refused(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh_process_is_this_one(monkeypatch)
    # The classic mistake: lm_head merged into the matrix it shares with the embedding.
    monkeypatch.setattr(merge, "_untie", lambda model: False)
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    with pytest.raises(UserError, match=r"logits differ by \d\.\d+e[+-]\d+ relative"):
        export_merged(str(adapter), tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_an_adapter_that_changes_nothing_is_refused(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh_process_is_this_one(monkeypatch)
    monkeypatch.setattr(tiny, "randomise", lambda model, seed: model)
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    with pytest.raises(UserError, match="changes nothing"):
        export_merged(str(adapter), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_folder_that_does_not_load_is_refused(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    monkeypatch.setattr(merge, "save_tokenizer", lambda folder, tokenizer: None)
    with pytest.raises(UserError, match="does not load: the saved tokenizer spells"):
        export_merged(str(adapter), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_what_cannot_be_merged_or_overwritten(tmp_path: Path, gpt2_base: Path):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    with pytest.raises(UserError, match="not an adapter folder"):
        export_merged(str(gpt2_base), tmp_path / "merged")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for out in (tmp_path / "mine", adapter, tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(UserError, match="no earlier export"):
            export_merged(str(adapter), out)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_full_disk_is_told_and_nothing_left(tmp_path: Path, gpt2_base: Path, monkeypatch):
    folder = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)

    def fill_up(*_: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merge, "save_tokenizer", fill_up)
    with pytest.raises(UserError, match="no space left on the disk of .*give the command again"):
        export_merged(str(folder), tmp_path / "merged")
    assert not list(tmp_path.glob("*merged*"))


def test_a_damaged_adapter_is_not_exported(tmp_path: Path, gpt2_base: Path):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    path = adapter / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged \(adapter_model.safetensors: changed"):
        export_merged(str(adapter), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_proof_runs_nothing_from_the_folder_that_one_stands_in(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    (tmp_path / "random.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert export_merged(str(adapter), tmp_path / "merged").parity.to_adapter <= 1e-5


def test_an_export_is_replaced_unless_something_was_added_to_it(tmp_path: Path, gpt2_base: Path):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    out = tmp_path / "merged"
    export_merged(str(adapter), out)
    export_merged(str(adapter), out)
    (out / "evaluation").mkdir()
    with pytest.raises(UserError, match=r"no export wrote \(evaluation\)"):
        export_merged(str(adapter), out)
    assert (out / "evaluation").is_dir()


def test_a_part_of_the_model_is_not_written_over(
    tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
):
    """An export may be the base of the next adapter."""
    fresh_process_is_this_one(monkeypatch)
    first = tiny.save_adapter_folder(tmp_path / "first", gpt2_base, ("lm_head",))
    export_merged(str(first), tmp_path / "base")
    second = tiny.save_adapter_folder(tmp_path / "second", tmp_path / "base", ("lm_head",))
    weights = tmp_path / "base" / "model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(UserError, match="holds the base itself"):
        export_merged(str(second), tmp_path / "base")
    assert weights.read_bytes() == before
    with pytest.raises(UserError, match="no earlier export"):
        export_merged(str(second), second)
