"""Averages of adapters: the exact mean of what they change, as PEFT makes it, or a refusal."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lawtune.cli import main
from lawtune.config import FinetuneConfig
from lawtune.errors import UserError
from lawtune.files import write_json
from lawtune.model.adapter import load_adapter
from lawtune.model.average import average_adapters
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import load_base
from lawtune.model.manager import ModelManager
from lawtune.model.manifest import write_manifest
from lawtune.options import validate
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


def test_rank_stabilised_adapters_count_by_their_own_scaling(
    tmp_path: Path, gpt2_base: Path, members: list[Path]
):
    for member in members:
        _edit(member, use_rslora=True)
    found = changes(gpt2_base, average(members[:2], tmp_path / "mean"))
    parts = [changes(gpt2_base, member) for member in members[:2]]
    for name, change in found.items():
        mean = (parts[0][name] + parts[1][name]) / 2
        torch.testing.assert_close(change, mean, atol=1e-5, rtol=1e-5)


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
    with pytest.raises(UserError, match="is of no run that could go on"):
        finetune(validate(FinetuneConfig, tree | {"out": str(mean)}, "test"), resume=True)
    further = validate(FinetuneConfig, tree | {"out": str(tmp_path / "further")}, "test")
    assert finetune(further, adapter=str(mean)).metrics["steps"] == 1


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
    path = member / "prompt_templates.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    write_manifest(member)


def _other_base(member: Path) -> None:
    record = json.loads((member / "training_config.json").read_text(encoding="utf-8"))
    record["base"]["sha256"] = "0" * 64
    write_json(member / "training_config.json", record)
    write_manifest(member)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop_a_layer, "same layers|only .* has an adapter on"),
        (_other_prompts, "prompt_templates.json differ"),
        (_other_base, "different bases"),
        (lambda member: _edit(member, use_dora=True), "another kind than plain LoRA"),
        (lambda member: _edit(member, rank_pattern={"c_attn": 2}), "another kind"),
        (lambda member: _edit(member, peft_type="LOHA"), "another kind"),
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
        with pytest.raises(UserError, match="two different adapters"):
            average(some, tmp_path / "mean")
    with pytest.raises(UserError, match="not empty"):
        average(members, members[0])
    for scale in ("0", "-1", "nan"):
        arguments = ["average", *map(str, members), "--out", str(tmp_path / "m")]
        assert main([*arguments, "--scale", scale]) == 2
        assert "--scale must be a number above 0" in capsys.readouterr().err
