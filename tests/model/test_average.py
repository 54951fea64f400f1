"""Averages of adapters: the exact mean of what they change, as PEFT makes it, or a refusal."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lawtune.cli import main
from lawtune.config import FinetuneConfig
from lawtune.data.ngram_filter import FILTER_FILE, load_filters, write_ngram_filter
from lawtune.errors import UserError
from lawtune.export.merge import export_merged
from lawtune.files import sha256, write_json
from lawtune.model.adapter import load_adapter
from lawtune.model.average import average_adapters
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import load_base
from lawtune.model.manager import ModelManager
from lawtune.model.manifest import write_manifest
from lawtune.options import validate
from lawtune.prompt import PromptTemplate
from lawtune.quickstart import describe
from lawtune.train.run import finetune

IDS = torch.tensor([[5, 60, 70, 80, 90]])
TARGETS = ("c_attn", "c_proj")


@pytest.fixture
def members(tmp_path: Path, gpt2_base: Path) -> list[Path]:
    """Three adapters on the same layers, with other values each."""
    return [
        tiny.save_adapter_folder(tmp_path / f"run{seed}", gpt2_base, TARGETS, seed)
        for seed in (1, 2, 3)
    ]


def average(members: list[Path], out: Path, scale: float = 1.0) -> Path:
    average_adapters([str(member) for member in members], out, scale)
    return out


def changes(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds to every weight of its base, by merging it."""
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in plain.state_dict().items()}
    merged = PeftModel.from_pretrained(plain, adapter).merge_and_unload().state_dict()
    return {name: merged[name] - weight for name, weight in before.items()}


def test_a_full_disk_is_told_and_nothing_left(tmp_path: Path, members: list[Path], monkeypatch):
    def fill_up(*_: object, **__: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lawtune.model.average.save_file", fill_up)
    with pytest.raises(UserError, match="no space left on the disk of .*give the command again"):
        average(members[:2], tmp_path / "mean")
    assert not list(tmp_path.glob("*mean*"))


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_every_weight_changes_by_the_mean_of_the_members_changes(
    tmp_path: Path, gpt2_base: Path, members: list[Path], scale: float
):
    found = changes(gpt2_base, average(members, tmp_path / "mean", scale))
    parts = [changes(gpt2_base, member) for member in members]
    moved = 0
    for name, change in found.items():
        mean = sum(part[name] for part in parts) / 3 * scale
        torch.testing.assert_close(change, mean, atol=1e-5, rtol=1e-5)
        moved += bool(mean.abs().max() > 0.1)
    assert moved == 6, "c_attn and both c_proj of two layers"


def test_it_is_what_peft_makes_of_them(tmp_path: Path, gpt2_base: Path, members: list[Path]):
    plain = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.float32)
    peer = PeftModel.from_pretrained(plain, members[0], adapter_name="0")
    peer.load_adapter(members[1], "1")
    peer.add_weighted_adapter(["0", "1"], [0.5, 0.5], "mean", combination_type="cat")
    peer.set_adapter("mean")
    ours = load_adapter(load_base(str(gpt2_base)), average(members[:2], tmp_path / "mean"))
    torch.testing.assert_close(ours(IDS).logits, peer.eval()(IDS).logits, atol=1e-5, rtol=1e-5)


def test_the_mean_of_an_adapter_and_itself_is_that_adapter(
    tmp_path: Path, gpt2_base: Path, members: list[Path]
):
    twin = Path(shutil.copytree(members[0], tmp_path / "twin"))
    mean = average([members[0], twin], tmp_path / "mean")
    logits = [load_adapter(load_base(str(gpt2_base)), f)(IDS).logits for f in (members[0], mean)]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


def test_members_of_another_rank_and_alpha_count_by_their_own(
    tmp_path: Path, gpt2_base: Path, members: list[Path]
):
    _edit(members[0], lora_alpha=2)
    tensors = load_file(members[1] / "adapter_model.safetensors")
    # Half of its rank is left, at the same alpha.
    halved = {n: (t[:2] if "lora_A" in n else t[:, :2]).contiguous() for n, t in tensors.items()}
    save_file(halved, members[1] / "adapter_model.safetensors", metadata={"format": "pt"})
    _edit(members[1], r=2)
    mean = average(members, tmp_path / "mean")
    config = json.loads((mean / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"]) == (10, 10)
    found = changes(gpt2_base, mean)
    parts = [changes(gpt2_base, member) for member in members]
    for name, change in found.items():
        torch.testing.assert_close(
            change, sum(part[name] for part in parts) / 3, atol=1e-5, rtol=1e-5
        )


def test_added_rows_and_what_was_read_come_along(tmp_path: Path):
    tokenizer = tiny.make_tokenizer(reserved=0)
    base = tiny.save_base(tmp_path / "base", tiny.make_gpt2(tokenizer), tokenizer)
    members = [
        tiny.save_adapter_folder(tmp_path / f"run{seed}", base, TARGETS, seed) for seed in (1, 2)
    ]
    rows = "added_rows.safetensors"
    # The same rows, in a file of other bytes.
    tensors = load_file(members[1] / rows)
    with safe_open(members[1] / rows, framework="pt") as file:
        tokens = file.metadata()["tokens"]
    save_file(tensors, members[1] / rows, metadata={"note": "", "format": "pt", "tokens": tokens})
    for number, member in enumerate(members):
        write_ngram_filter([f"{number}번 사건의 판결문" * 20], member / FILTER_FILE)
        write_manifest(member)
    mean = average(members, tmp_path / "mean")
    assert (mean / rows).read_bytes() == (members[0] / rows).read_bytes()
    assert len(load_filters(mean)) == 2
    assert LegalModel.load(str(mean)).model(IDS).logits.isfinite().all()
    tensors["input"] = tensors["input"] + 1
    save_file(tensors, members[1] / rows, metadata={"format": "pt", "tokens": tokens})
    write_manifest(members[1])
    with pytest.raises(UserError, match="added different tokens"):
        average(members, tmp_path / "other")
    (members[0] / FILTER_FILE).unlink()
    shutil.copyfile(members[0] / rows, members[1] / rows)
    for member in members:
        write_manifest(member)
    assert not load_filters(average(members, tmp_path / "unknown"))


def test_an_average_is_averaged_merged_and_described_like_any_adapter(
    tmp_path: Path, gpt2_base: Path, members: list[Path]
):
    pair = average(members[:2], tmp_path / "pair", 0.5)
    both = average([pair, members[2]], tmp_path / "both")
    found = changes(gpt2_base, both)
    parts = [changes(gpt2_base, member) for member in members]
    for name, change in found.items():
        mean = (parts[0][name] + parts[1][name]) / 8 + parts[2][name] / 2
        torch.testing.assert_close(change, mean, atol=1e-5, rtol=1e-5)
    export_merged(str(both), tmp_path / "merged")
    assert "run1, SHA-256" in (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    facts = describe(both, both / "manifest.json")["averaged"]
    assert (list(facts["members"]), facts["scale"]) == (["pair", "run3"], 1.0)


def test_the_folder_describes_itself_and_answers(tmp_path: Path, members: list[Path], capsys):
    out = tmp_path / "mean"
    assert main(["average", *map(str, members), "--out", str(out), "--scale", "1.5"]) == 0
    assert "rank 12" in capsys.readouterr().out
    manager = ModelManager(tmp_path)
    assert manager.verify("mean") == []
    shown = manager.show("mean")["training_config"]
    names = [member["name"] for member in shown["averaged"]]
    assert (names, shown["scale"]) == (["run1", "run2", "run3"], 1.5)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "mean of 3 LoRA adapters" in card
    assert "3 adapters, times 1.5" in card
    assert str(tmp_path) not in card
    assert isinstance(LegalModel.load(str(out)).answer("질문"), str)


def test_training_can_go_on_from_it_but_not_resume_it(
    tmp_path: Path, gpt2_base: Path, members: list[Path]
):
    mean = average(members[:2], tmp_path / "mean")
    pairs = [{"id": str(i), "question": f"제{i}조?", "answer": f"{i}이다."} for i in range(4)]
    data = tmp_path / "train.jsonl"
    data.write_text("\n".join(json.dumps(pair) for pair in pairs), encoding="utf-8")
    tree = {"base": str(gpt2_base), "data": {"train": str(data), "max_length": 96}}
    tree |= {"train": {"max_steps": 1}}
    with pytest.raises(UserError, match="is an average of adapters, not a run"):
        finetune(validate(FinetuneConfig, tree | {"out": str(mean)}, "test"), resume=True)
    further = validate(FinetuneConfig, tree | {"out": str(tmp_path / "further")}, "test")
    tuned = finetune(further, adapter=str(mean))
    record = json.loads((tuned.folder / "training_config.json").read_text(encoding="utf-8"))
    assert record["adapter"] == sha256(mean / "adapter_model.safetensors")


def _edit(member: Path, **changed) -> None:
    config = json.loads((member / "adapter_config.json").read_text(encoding="utf-8"))
    write_json(member / "adapter_config.json", config | changed)
    write_manifest(member)


def _drop_a_layer(member: Path) -> None:
    tensors = load_file(member / "adapter_model.safetensors")
    kept = {name: t for name, t in tensors.items() if ".h.1." not in name}
    save_file(kept, member / "adapter_model.safetensors")
    write_manifest(member)


def _other_prompts(member: Path) -> None:
    template = PromptTemplate.load(member)
    replace(template, prefix="<s>").save(member)
    write_manifest(member)


def _other_tokenizer(member: Path) -> None:
    path = member / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, config | {"bos_token": config["eos_token"], "pad_token": None})
    write_manifest(member)


def _infinite(member: Path) -> None:
    tensors = load_file(member / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = torch.inf
    save_file(tensors, member / "adapter_model.safetensors")
    write_manifest(member)


def _no_weights(member: Path) -> None:
    save_file({}, member / "adapter_model.safetensors")
    write_manifest(member)


def _no_safetensors(member: Path) -> None:
    (member / "adapter_model.safetensors").write_bytes(b"nothing")
    write_manifest(member)


def _foreign(member: Path) -> None:
    (member / "training_config.json").unlink()
    write_manifest(member)


def _other_base(member: Path) -> None:
    record = json.loads((member / "training_config.json").read_text(encoding="utf-8"))
    record["base"]["sha256"] = "0" * 64
    write_json(member / "training_config.json", record)
    write_manifest(member)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop_a_layer, "only one adapts"),
        (_other_prompts, "different prompt templates"),
        (_other_tokenizer, "different tokenizers"),
        (_other_base, "different bases"),
        (_infinite, "not finite"),
        (_no_weights, "only one adapts|other weights than two"),
        (_no_safetensors, "is damaged"),
        (_foreign, "does not say in training_config.json which base"),
        (lambda member: _edit(member, use_dora=True), "no plain LoRA"),
        (lambda member: _edit(member, use_rslora=True), "no plain LoRA"),
        (lambda member: _edit(member, init_lora_weights="pissa"), "no plain LoRA"),
        (lambda member: _edit(member, rank_pattern={"c_attn": 2}), "no plain LoRA"),
        (lambda member: _edit(member, peft_type="LOHA"), "no plain LoRA"),
        (lambda member: _edit(member, r=None), "must be numbers"),
        (lambda member: _edit(member, r="4"), "must be numbers"),
        (lambda member: _edit(member, r=0), "must be numbers above 0"),
        (lambda member: _edit(member, r=8), "not of rank 8"),
        (lambda member: (member / "tokenizer.json").unlink(), "damaged"),
        (lambda member: shutil.rmtree(member), "not an adapter folder"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_has_no_mean_is_refused_and_nothing_written(
    tmp_path: Path, members: list[Path], spoil, message: str, place: int
):
    spoil(members[place])
    with pytest.raises(UserError, match=message):
        average(members[:2], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_an_average_needs_two_and_a_place_of_its_own(tmp_path: Path, members: list[Path], capsys):
    for some in ([members[0]], [members[0], members[0]], [*members, members[1]]):
        with pytest.raises(UserError, match="two adapters or more"):
            average(some, tmp_path / "mean")
    with pytest.raises(UserError, match="not empty"):
        average(members, members[0])
    for scale in ("0", "-1", "nan"):
        arguments = ["average", *map(str, members), "--out", str(tmp_path / "m")]
        assert main([*arguments, "--scale", scale]) == 2
        assert "--scale must be a number above 0" in capsys.readouterr().err
