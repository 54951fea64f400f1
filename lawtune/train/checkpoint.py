"""Checkpoints of a training run: `checkpoint-<step>/` folders that are whole or not there.

A folder holds the parameters that train and the optimiser's tensors as safetensors, everything
else as JSON, and a manifest with the hash of every file, written last. The folder gets its name
only when all of it is on disk.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lawtune.errors import UserError
from lawtune.files import atomic_path, read_json, write_json
from lawtune.model.manifest import MANIFEST_FILE, verify_manifest, write_manifest

PARAMETERS_FILE = "parameters.safetensors"
BEST_FILE = "best.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on, on the CPU.

    `parameters` and `best` (those of the best evaluation, if kept) map a parameter's name to its
    value; `optimizer` is what `Optimizer.state_dict()` returns; `state` is plain JSON data.
    """

    parameters: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    state: Mapping[str, Any]
    best: Mapping[str, torch.Tensor] = field(default_factory=dict)


def save_checkpoint(out: Path, step: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `out/checkpoint-<step>/`, then remove the others but for the `keep` - 1 before it.

    One of a later step is removed as well: it can only be damaged, or of a run given up. What
    other programs have put there under such a name stays.

    Raises:
        UserError: another program's checkpoint has that very name.
    """
    target = out / f"checkpoint-{step}"
    if target.exists() and not _is_ours(target):
        raise UserError(f"{target} is another program's and is left as it is: move it away")
    optimizer_tensors, optimizer_rest = _split_optimizer(checkpoint.optimizer)
    with atomic_path(target) as folder:
        folder.mkdir()
        save_file(_plain(checkpoint.parameters), folder / PARAMETERS_FILE)
        save_file(_plain(optimizer_tensors), folder / OPTIMIZER_FILE)
        if checkpoint.best:
            save_file(_plain(checkpoint.best), folder / BEST_FILE)
        write_json(folder / STATE_FILE, {"state": checkpoint.state, "optimizer": optimizer_rest})
        write_manifest(folder)
    folders = [folder for folder in _folders(out) if _is_ours(folder)]
    kept = folders[folders.index(target) :][: max(keep, 1)]
    # What a killed run was just writing goes too: one process writes, so it is nobody else's.
    for folder in (set(folders) - set(kept)) | set(out.glob(".checkpoint-*")):
        shutil.rmtree(folder, ignore_errors=True)
    return target


def newest_valid(out: Path) -> Path | None:
    """The checkpoint of the highest step whose files all match their hashes; None where there is
    no checkpoint at all.

    Raises:
        UserError: there are some, but none is whole: starting afresh would write over a run that
            may be mended, or another program's.
    """
    damage = []
    for folder in _folders(out):
        problems = verify_manifest(folder)
        if not problems:
            return folder
        damage.append(f"{folder.name}: {problems[0]}")
    if damage:
        raise UserError(
            f"{out} has checkpoints, but none that this run can go on from ({damage[0]}). Restore"
            " one, remove them to start afresh, or choose another --out"
        )
    return None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint that `newest_valid` found."""
    saved = read_json(folder / STATE_FILE)
    best = folder / BEST_FILE
    return Checkpoint(
        parameters=load_file(folder / PARAMETERS_FILE),
        optimizer=_join_optimizer(load_file(folder / OPTIMIZER_FILE), saved["optimizer"]),
        state=saved["state"],
        best=load_file(best) if best.is_file() else {},
    )


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that train, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def assign(model: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copy saved values into the parameters that train.

    Raises:
        UserError: names or shapes differ: the values are another configuration's.
    """
    parameters = trainable(model)
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    if shapes != {name: tuple(value.shape) for name, value in values.items()}:
        raise UserError("the checkpoint holds other parameters than this configuration trains")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _split_optimizer(
    state_dict: Mapping[str, Any],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors by "<parameter>/<name>", and the rest, which is JSON."""
    tensors, rest = {}, {}
    for index, values in state_dict["state"].items():
        for name, value in values.items():
            (tensors if torch.is_tensor(value) else rest)[f"{index}/{name}"] = value
    return tensors, {"values": rest, "param_groups": state_dict["param_groups"]}


def _join_optimizer(tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **rest["values"]}.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": rest["param_groups"]}


def _is_ours(folder: Path) -> bool:
    """Whether `save_checkpoint` has written it, be it whole by now or not."""
    return all((folder / name).is_file() for name in (STATE_FILE, MANIFEST_FILE))


def _folders(out: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    found = [(_NAME.fullmatch(path.name), path) for path in out.glob("checkpoint-*")]
    numbered = [(int(match[1]), path) for match, path in found if match and path.is_dir()]
    return [path for _, path in sorted(numbered, reverse=True)]
