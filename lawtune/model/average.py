"""Several adapters of one base averaged into one: a "model soup" (Wortsman et al. 2022,
arXiv:2203.05482).

Runs of one recipe that differ in their seed alone err in different places; the mean of what they
change predicts better than each, and costs no more to run. The mean of products is not the product
of means, so the factors are not averaged but put side by side: the result's rank is the sum of all
ranks, and its change of every layer the exact mean of theirs. What a layer changes is linear in
that, so `scale` makes the whole change larger or smaller.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lawtune import __version__
from lawtune.data.ngram_filter import carry_filters
from lawtune.errors import UserError
from lawtune.files import (
    atomic_path,
    read_json_object,
    require_creatable,
    sha256,
    write_json,
    write_text,
)
from lawtune.model.adapter import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    ADDED_ROWS,
    TRAINING_CONFIG,
    save_tokenizer,
)
from lawtune.model.card import CARD_FILE, average_card
from lawtune.model.load import has_tokenizer, load_tokenizer
from lawtune.model.manager import ModelManager
from lawtune.model.manifest import MANIFEST_FILE, verify_manifest, write_manifest
from lawtune.prompt import TEMPLATES_FILE

_READ_BY = ("tokenizer.json", TEMPLATES_FILE, ADDED_ROWS)
"""What decides how a question becomes tokens: the same in all, or their mean has no meaning."""

_A, _B = ".lora_A.weight", ".lora_B.weight"

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Member:
    """One adapter: its folder, what PEFT and lawtune have written of it, and how much of B·A it
    adds to a layer."""

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]
    scaling: float

    @property
    def base(self) -> str | None:
        """Its base, by content where that is known, else by name."""
        base = self.record.get("base") or {}
        return base.get("sha256") or self.config.get("base_model_name_or_path")

    def tensors(self) -> Tensors:
        """Its LoRA matrices, by PEFT's names."""
        try:
            return load_file(self.folder / ADAPTER_WEIGHTS)
        except SafetensorError as error:
            raise UserError(f"{self.folder / ADAPTER_WEIGHTS} is damaged: {error}") from error


def average_adapters(names: Sequence[str], out: Path, scale: float = 1.0) -> int:
    """Write the mean of several adapters, as an adapter folder of its own.

    Args:
        names: their folders, or names in the model manager; each counts as much.
        out: where to; nothing may be there yet. All is written, or nothing.
        scale: what the mean change of every layer is multiplied by.

    Returns:
        The rank of the result.

    Raises:
        UserError: fewer than two, one of them twice, one is damaged or no plain LoRA, or they
            differ in their base, their layers, their tokenizer or their prompt templates.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"--scale must be a number above 0 (found {scale})")
    members = [_read(name) for name in names]
    if len({member.folder.resolve() for member in members}) < max(2, len(members)):
        raise UserError("an average needs two different adapters, or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty: give another --out")
    require_creatable(out)
    first = members[0]
    for other in members[1:]:
        _require_alike(first, other)
    tensors = _mean([member.tensors() for member in members], members, scale)
    rank = sum(member.config["r"] for member in members)
    with atomic_path(out.resolve()) as folder:
        folder.mkdir()
        save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        # With alpha = r, B·A is added as it is.
        write_json(folder / ADAPTER_CONFIG, first.config | {"r": rank, "lora_alpha": rank})
        if has_tokenizer(first.folder):
            save_tokenizer(folder, load_tokenizer(first.folder))
        for name in (TEMPLATES_FILE, ADDED_ROWS):
            if (first.folder / name).is_file():
                shutil.copyfile(first.folder / name, folder / name)
        carry_filters([member.folder for member in members], folder)
        record = _describe(members, scale)
        write_json(folder / TRAINING_CONFIG, record)
        write_text(folder / CARD_FILE, average_card(out.resolve().name, record))
        write_manifest(folder)
    return rank


def _read(name: str) -> _Member:
    folder = ModelManager().resolve(name)
    files = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    if not (isinstance(folder, Path) and all((folder / file).is_file() for file in files)):
        raise UserError(f"{name} is not an adapter folder")
    # A folder without a manifest was made elsewhere: there is nothing to compare.
    damage = verify_manifest(folder) if (folder / MANIFEST_FILE).is_file() else []
    if damage:
        raise UserError(f"{folder} is damaged ({damage[0]})")
    config = read_json_object(folder / ADAPTER_CONFIG)
    special = [key for key in ("use_dora", "rank_pattern", "alpha_pattern") if config.get(key)]
    if config.get("peft_type") != "LORA" or special:
        kind = special[0] if special else config.get("peft_type")
        raise UserError(f"{folder} has an adapter of another kind than plain LoRA ({kind})")
    training = folder / TRAINING_CONFIG
    record = read_json_object(training) if training.is_file() else {}
    rank, alpha = config["r"], config["lora_alpha"]
    scaling = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return _Member(folder, config | {"use_rslora": False}, record, scaling)


def _require_alike(first: _Member, other: _Member) -> None:
    both = f"{first.folder} and {other.folder}"
    if first.base != other.base:
        raise UserError(f"{both} are adapters of different bases: their mean has no meaning")
    for name in _READ_BY:
        found = [member.folder / name for member in (first, other)]
        hashes = [path.is_file() and sha256(path) for path in found]
        if hashes[0] != hashes[1]:
            raise UserError(f"{both} do not read a question alike: their {name} differ")


def _mean(parts: Sequence[Tensors], members: Sequence[_Member], scale: float) -> Tensors:
    """A and B for every layer, so that B·A = scale · mean of (scaling · B·A) over `members`."""
    names = set(parts[0])
    layers = {name.removesuffix(_A) for name in names if name.endswith(_A)}
    if names != {layer + end for layer in layers for end in (_A, _B)}:
        raise UserError(f"{members[0].folder} holds more than LoRA's two matrices for each layer")
    tensors = {}
    for layer in sorted(layers):
        try:
            downs = [
                part[layer + _A].float() * (member.scaling * scale / len(members))
                for part, member in zip(parts, members, strict=True)
            ]
            ups = [part[layer + _B].float() for part in parts]
            tensors[layer + _A] = torch.cat(downs, dim=0)
            tensors[layer + _B] = torch.cat(ups, dim=1)
        except (KeyError, RuntimeError) as error:
            raise UserError(f"the adapters are not on the same layers: {layer}") from error
    for part, member in zip(parts[1:], members[1:], strict=True):
        if added := set(part) - names:
            raise UserError(f"only {member.folder} has an adapter on {min(added)}")
    return tensors


def _describe(members: Sequence[_Member], scale: float) -> dict[str, Any]:
    """`training_config.json`: the base, and for each member what it was and how it was made."""
    averaged = [
        {
            "name": member.folder.resolve().name,
            "sha256": sha256(member.folder / ADAPTER_WEIGHTS),
            "training": member.record,
        }
        for member in members
    ]
    base = members[0].record.get("base") or {"name": members[0].base}
    return {
        "base": base,
        "averaged": averaged,
        "scale": scale,
        "versions": {"lawtune": __version__, "torch": torch.__version__},
    }
