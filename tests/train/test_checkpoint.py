"""Checkpoints come back bit for bit, and damaged ones are passed over."""

from pathlib import Path

import pytest
import torch

from lawtune.errors import UserError
from lawtune.train.checkpoint import (
    Checkpoint,
    assign,
    load_checkpoint,
    newest_valid,
    save_checkpoint,
    trainable,
)


def make_training() -> tuple[torch.nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    groups = [
        {"params": [model[0].weight, model[1].weight], "weight_decay": 0.1},
        {"params": [model[1].bias], "weight_decay": 0.0},
    ]
    return model, torch.optim.AdamW(groups, lr=0.1)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.tensor([[1.0, -2.0, 0.3]])).square().sum().backward()
    optimizer.step()


def snapshot(model, optimizer, state=None) -> Checkpoint:
    values = {name: p.detach().clone() for name, p in trainable(model).items()}
    return Checkpoint(values, optimizer.state_dict(), state or {"step": 1}, best=values)


def test_round_trip_goes_on_bit_for_bit(tmp_path: Path):
    model, optimizer = make_training()
    step(model, optimizer)
    save_checkpoint(tmp_path, 1, snapshot(model, optimizer, {"step": 1, "lr": 0.1}), keep=2)
    step(model, optimizer)
    other, other_optimizer = make_training()
    loaded = load_checkpoint(newest_valid(tmp_path))
    assert loaded.state == {"step": 1, "lr": 0.1}
    assign(other, loaded.parameters)
    other_optimizer.load_state_dict(loaded.optimizer)
    step(other, other_optimizer)
    for name, parameter in trainable(model).items():
        assert torch.equal(parameter, trainable(other)[name])
    assert sorted(loaded.best) == sorted(trainable(model))


def test_keeps_the_newest_by_number_not_by_name(tmp_path: Path):
    model, optimizer = make_training()
    step(model, optimizer)
    for number in (9, 10, 100):
        save_checkpoint(tmp_path, number, snapshot(model, optimizer), keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-100"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "lost file", "torn json"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str):
    model, optimizer = make_training()
    step(model, optimizer)
    for number in (1, 2):
        save_checkpoint(tmp_path, number, snapshot(model, optimizer), keep=2)
    newest = tmp_path / "checkpoint-2"
    tensors, manifest = newest / "parameters.safetensors", newest / "manifest.json"
    raw = tensors.read_bytes()
    if damage == "truncate":
        tensors.write_bytes(raw[:-1])
    elif damage == "flip":
        tensors.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "lost file":
        (newest / "optimizer.safetensors").unlink()
    else:
        manifest.write_text(manifest.read_text()[:20])
    assert newest_valid(tmp_path) == tmp_path / "checkpoint-1"


def test_with_none_that_is_whole_nothing_is_started_over(tmp_path: Path):
    model, optimizer = make_training()
    step(model, optimizer)
    folder = save_checkpoint(tmp_path, 1, snapshot(model, optimizer), keep=2)
    (folder / "optimizer.safetensors").unlink()
    with pytest.raises(UserError, match="none that .* go on from .checkpoint-1: optim.*missing"):
        newest_valid(tmp_path)


def test_another_programs_checkpoints_stay(tmp_path: Path):
    theirs = tmp_path / "checkpoint-500"
    theirs.mkdir()
    (theirs / "trainer_state.json").write_text("{}")
    with pytest.raises(UserError, match="none that this run can go on from"):
        newest_valid(tmp_path)
    model, optimizer = make_training()
    step(model, optimizer)
    for number in (1, 2, 501):
        save_checkpoint(tmp_path, number, snapshot(model, optimizer), keep=1)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["checkpoint-500", "checkpoint-501"]
    with pytest.raises(UserError, match="another program's"):
        save_checkpoint(tmp_path, 500, snapshot(model, optimizer), keep=1)
    assert [path.name for path in theirs.iterdir()] == ["trainer_state.json"]


def test_nothing_there(tmp_path: Path):
    assert newest_valid(tmp_path) is None
    assert newest_valid(tmp_path / "absent") is None


def test_another_configurations_values_are_refused(tmp_path: Path):
    model, _ = make_training()
    with pytest.raises(UserError, match="other parameters"):
        assign(model, {"0.weight": torch.zeros(4, 3)})


def test_no_pickle_on_disk(tmp_path: Path):
    model, optimizer = make_training()
    step(model, optimizer)
    folder = save_checkpoint(tmp_path, 1, snapshot(model, optimizer), keep=1)
    assert {p.suffix for p in folder.iterdir()} == {".safetensors", ".json"}
