"""Several adapters of one base averaged into one: a "model soup" (Wortsman et al. 2022,
arXiv:2203.05482).

The mean of products is not the product of means, so LoRA's factors are not averaged but put side
by side: the result's rank is the sum of all ranks, and what it changes in a layer the exact mean of
what they change there.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lawtune import __version__
from lawtune.data.ngram_filter import carry_filters
from lawtune.errors import UserError
from lawtune.files import (
    atomic_path,
    full_disk_is_told,
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
    find_adapter,
    read_added_rows,
    refuse_damaged,
    save_tokenizer,
)
from lawtune.model.card import CARD_FILE, adapter_card
from lawtune.model.load import load_tokenizer
from lawtune.model.manifest import write_manifest
from lawtune.prompt import TEMPLATES_FILE, PromptTemplate

_A, _B = ".lora_A.weight", ".lora_B.weight"

_NO_MATTER = {"auto_mapping", "base_model_name_or_path", "fan_in_fan_out", "inference_mode"}
_NO_MATTER |= {"layers_to_transform", "lora_alpha", "lora_dropout", "peft_version", "r"}
_NO_MATTER |= {"revision", "target_modules", "task_type"}
"""PEFT's settings that leave an adapter plain LoRA: what it changes is alpha ÷ r · B·A. Among the
others are those that change the base (PiSSA), scale columns (DoRA) or lay A and B out otherwise."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Member:
    """One adapter: its folder, PEFT's config, what lawtune has recorded of it, and its LoRA
    matrices by PEFT's names."""

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]
    tensors: Tensors


def average_adapters(names: Sequence[str], out: Path, scale: float = 1.0) -> int:
    """Write the mean of several adapters, as an adapter folder of its own.

    Args:
        names: their folders, or names in the model manager; each counts as much.
        out: where to; nothing may be there yet. All is written, or nothing.
        scale: what the mean change of every layer is multiplied by.

    Returns:
        The rank of the result.

    Raises:
        UserError: they are not two or more, and different ones; one is damaged, no plain LoRA or
            not made by lawtune; or they differ in their base, their layers, their tokenizer or
            their prompt templates. Or the disk is full.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"--scale must be a number above 0 (found {scale})")
    folders = [find_adapter(name).resolve() for name in names]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise UserError("give two adapters or more, each once")
    require_creatable(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: give another --out")
    members = [_read(folder) for folder in folders]
    _require_alike(members)
    tensors = _mean(members, scale)
    first, rank = members[0], sum(member.config["r"] for member in members)
    with full_disk_is_told(out, "give the command again"), atomic_path(out.resolve()) as folder:
        folder.mkdir()
        save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        # With alpha = r, B·A is added as it is.
        write_json(folder / ADAPTER_CONFIG, first.config | {"r": rank, "lora_alpha": rank})
        save_tokenizer(folder, _tokenizer(first))
        for name in (TEMPLATES_FILE, ADDED_ROWS):
            if (first.folder / name).is_file():
                shutil.copyfile(first.folder / name, folder / name)
        carry_filters(folders, folder)
        record = {
            "base": first.record["base"],
            "averaged": [_describe(member) for member in members],
            "scale": scale,
            "versions": {"lawtune": __version__},
        }
        write_json(folder / TRAINING_CONFIG, record)
        write_text(folder / CARD_FILE, adapter_card(out.resolve().name, record))
        write_manifest(folder)
    return rank


def _read(folder: Path) -> _Member:
    from peft import LoraConfig

    refuse_damaged(folder)
    config = read_json_object(folder / ADAPTER_CONFIG)
    plain = LoraConfig().to_dict()
    odd = [key for key in config if key not in _NO_MATTER and config[key] != plain.get(key)]
    if odd:
        raise UserError(f"{folder} has no plain LoRA adapter ({odd[0]} is {config[odd[0]]})")
    sizes = [config.get(key) for key in ("r", "lora_alpha")]
    if not all(type(size) in (int, float) and size > 0 for size in sizes):
        raise UserError(f"{folder / ADAPTER_CONFIG}: r and lora_alpha must be numbers above 0")
    training = folder / TRAINING_CONFIG
    record = read_json_object(training) if training.is_file() else {}
    base = record.get("base")
    if not (isinstance(base, dict) and base.get("name") and base.get("sha256")):
        raise UserError(f"{folder} does not say in {TRAINING_CONFIG} which base it belongs to")
    try:
        return _Member(folder, config, record, load_file(folder / ADAPTER_WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder / ADAPTER_WEIGHTS} is damaged: {error}") from error


def _require_alike(members: Sequence[_Member]) -> None:
    """Make sure that all change the same model and read a question alike.

    Raises:
        UserError: two do not; both are named.
    """
    first = members[0]
    files, template = _tokenizer_files(first), PromptTemplate.load(first.folder)
    tokens, rows = read_added_rows(first.folder)
    for other in members[1:]:
        both = f"{first.folder} and {other.folder}"
        if first.record["base"]["sha256"] != other.record["base"]["sha256"]:
            raise UserError(f"{both} are adapters of different bases")
        if _tokenizer_files(other) != files:
            raise UserError(f"{both} have different tokenizers")
        if PromptTemplate.load(other.folder) != template:
            raise UserError(f"{both} have different prompt templates")
        other_tokens, other_rows = read_added_rows(other.folder)
        same = (tokens, rows.keys()) == (other_tokens, other_rows.keys())
        if not (same and all(torch.equal(rows[name], other_rows[name]) for name in rows)):
            raise UserError(f"{both} have added different tokens to their base")


def _tokenizer_files(member: _Member) -> dict[str, bytes]:
    """What its tokenizer is saved as, by file."""
    with TemporaryDirectory() as scratch:
        save_tokenizer(Path(scratch), _tokenizer(member))
        return {path.name: path.read_bytes() for path in Path(scratch).iterdir()}


def _tokenizer(member: _Member) -> Any:
    return load_tokenizer(member.folder, member.record["base"]["name"])


def _mean(members: Sequence[_Member], scale: float) -> Tensors:
    """A [sum of r, in] and B [out, sum of r] for every layer, float32, so that B·A is `scale` times
    the mean of the members' alpha ÷ r · B·A."""
    names = set(members[0].tensors)
    layers = {name.removesuffix(_A) for name in names if name.endswith(_A)}
    if not layers or names != {layer + end for layer in layers for end in (_A, _B)}:
        raise UserError(f"{members[0].folder} holds other weights than two matrices for each layer")
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in sorted(names)}
    for member in members:
        if set(member.tensors) != names:
            odd = min(set(member.tensors) ^ names)
            raise UserError(f"{members[0].folder} and {member.folder}: only one adapts {odd}")
        rank = member.config["r"]
        share = member.config["lora_alpha"] / rank * scale / len(members)
        for layer in layers:
            a, b = member.tensors[layer + _A].float(), member.tensors[layer + _B].float()
            if a.dim() != 2 or b.dim() != 2 or not a.shape[0] == b.shape[1] == rank:
                raise UserError(f"{member.folder}: the matrices of {layer} are not of rank {rank}")
            parts[layer + _A].append(a * share)
            parts[layer + _B].append(b)
    try:
        mean = {
            name: torch.cat(some, dim=0 if name.endswith(_A) else 1) for name, some in parts.items()
        }
    except RuntimeError as error:
        raise UserError(f"the adapters' layers differ in size: {error}") from error
    if not all(tensor.isfinite().all() for tensor in mean.values()):
        raise UserError("the mean is not finite: one of the adapters, or --scale, is not")
    return mean


def _describe(member: _Member) -> dict[str, Any]:
    """What the record of an average keeps of a member: which it was, and how it was made."""
    weights = sha256(member.folder / ADAPTER_WEIGHTS)
    return {"name": member.folder.name, "sha256": weights, "training": member.record}
