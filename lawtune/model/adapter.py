"""The adapter on disk: a folder that plain PEFT loads, and rows for markers where a tokenizer has
no reserved tokens to spare."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lawtune.errors import UserError
from lawtune.files import atomic_path, make_folder, read_json_object, write_json
from lawtune.model.load import Base
from lawtune.model.lora import quiet_peft
from lawtune.model.manager import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TRAINING_CONFIG,
    ModelManager,
)
from lawtune.model.manifest import MANIFEST_FILE, verify_manifest, write_manifest
from lawtune.prompt import PromptTemplate

__all__ = [
    "add_marker_rows",
    "load_adapter",
    "save_adapter",
    "verify_manifest",
    "write_manifest",
]

ADDED_ROWS = "added_rows.safetensors"


def add_marker_rows(model: Any, tokenizer: Any, missing: Mapping[str, str]) -> list[str]:
    """Add special tokens with an embedding row each, before an adapter is attached.

    A row starts as the mean of the rows of the text that the token stands for: the same on every
    machine, unlike a random one, and it stays frozen. Where the model pads its vocabulary, spare
    rows are used before any is added.

    Args:
        missing: token → the text it stands for (`lawtune.prompt.missing_markers`).

    Returns:
        The tokens added, in order; pass them to `save_adapter`.
    """
    if not missing:
        return []
    # A text that the tokenizer cannot spell at all stands for the mean of the whole vocabulary.
    every = list(range(len(tokenizer)))
    described = {
        token: tokenizer(text, add_special_tokens=False)["input_ids"] or every
        for token, text in missing.items()
    }
    _extend(model, tokenizer, list(missing))
    with torch.no_grad():
        for token, ids in described.items():
            row = tokenizer.convert_tokens_to_ids(token)
            for matrix in _vocabulary_tensors(model).values():
                matrix[row] = matrix[ids].float().mean(dim=0).to(matrix.dtype)
    return list(missing)


def save_adapter(
    folder: Path,
    model: Any,
    tokenizer: Any,
    template: PromptTemplate,
    added_tokens: Sequence[str] = (),
) -> None:
    """Write the adapter, its tokenizer and its prompt templates into `folder`.

    Each file is whole or absent; a manifest of what was there before is removed first, so that a
    folder caught between two states does not pass for a finished one. The embedding is never
    saved: PEFT's "auto" would store all of it (157 MB for KoGPT-2) as soon as `lm_head` is a
    target. With added rows, plain PEFT needs the resized base; `load_adapter` makes it.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    make_folder(folder)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_path(folder / ADAPTER_WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    if added_tokens:
        rows = [tokenizer.convert_tokens_to_ids(token) for token in added_tokens]
        tensors = {
            name: matrix[rows].detach().cpu().contiguous()
            for name, matrix in _vocabulary_tensors(model.get_base_model()).items()
        }
        with atomic_path(folder / ADDED_ROWS) as temporary:
            metadata = {"format": "pt", "tokens": json.dumps(list(added_tokens))}
            save_file(tensors, temporary, metadata=metadata)
    save_tokenizer(folder, tokenizer)
    template.save(folder)
    # Last: without it, nobody takes the folder for an adapter.
    write_json(folder / ADAPTER_CONFIG, _config_json(model))


def save_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Write the tokenizer's files into `folder`, each atomically."""
    with TemporaryDirectory() as scratch:
        tokenizer.save_pretrained(scratch)
        for path in sorted(p for p in Path(scratch).iterdir() if p.is_file()):
            with atomic_path(folder / path.name) as temporary:
                shutil.copyfile(path, temporary)


def find_adapter(name: str | Path) -> Path:
    """The folder of an adapter: a path, or its name in the model manager. Whether it is whole is
    seen when it is read (`load_adapter`, `refuse_damaged`).

    Raises:
        UserError: no adapter lies there.
    """
    folder = ModelManager().resolve(name)
    files = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    if not (isinstance(folder, Path) and all((folder / file).is_file() for file in files)):
        raise UserError(f"{name} is not an adapter folder")
    return folder


def refuse_damaged(folder: Path) -> None:
    """Make sure that a model folder is as it was written.

    Raises:
        UserError: a file that bears on the model is not what its manifest knows. (A folder without
            one of ours was made elsewhere: there is nothing to compare.)
    """
    sealed = all((folder / name).is_file() for name in (MANIFEST_FILE, TRAINING_CONFIG))
    if sealed and (damage := verify_manifest(folder)):
        raise UserError(f"{folder} is damaged ({damage[0]}): restore it, or train it anew")


def load_adapter(base: Base, folder: Path, trainable: bool = False) -> Any:
    """Put a saved adapter on its base (whose model and tokenizer change in place).

    Args:
        trainable: whether training goes on from it.

    Returns:
        The PeftModel, in evaluation mode.

    Raises:
        UserError: the folder holds no adapter, it is damaged, it was trained on other weights than
            this base's, or its shapes do not fit.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no complete adapter: there is no {name}")
    refuse_damaged(folder)
    kind = read_json_object(folder / ADAPTER_CONFIG).get("peft_type")
    if kind != "LORA":
        raise UserError(f"the adapter in {folder} is of PEFT's type {kind}; lawtune knows LORA")
    check_base(base, folder)
    _restore_rows(base, folder)
    try:
        with quiet_peft(), safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            adapted = PeftModel.from_pretrained(base.model, folder, is_trainable=trainable)
            missing = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
            missing -= set(file.keys())
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        message = " ".join(str(error).split())[:300]
        raise UserError(
            f"the adapter in {folder} does not fit {base.identity.name}: {message}"
        ) from error
    if missing:
        # PEFT would leave them as they were drawn, and only warn.
        raise UserError(f"the adapter in {folder} is incomplete: no {min(missing)}")
    return adapted.eval()


def check_base(base: Base, folder: Path) -> None:
    """Refuse a base whose weights are not those that the adapter was trained on.

    An adapter made elsewhere, without `training_config.json`, has nothing to compare.

    Raises:
        UserError: they differ; both are named.
    """
    if not (folder / TRAINING_CONFIG).is_file():
        return
    recorded = read_json_object(folder / TRAINING_CONFIG).get("base")
    recorded = recorded if isinstance(recorded, dict) else {}
    expected, found = recorded.get("sha256"), base.identity.sha256
    if expected and expected != found:
        raise UserError(
            f"the adapter in {folder} was trained on {recorded.get('name')} with weights"
            f" {expected[:12]}…, but {base.identity.name} has weights {found[:12]}…: give the base"
            " it was trained on"
        )


def read_added_rows(folder: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    """The tokens that an adapter added to its base, and their rows [tokens, width] of every matrix
    that has a row for each token; nothing where it added none.

    Raises:
        UserError: the file is damaged.
    """
    if not (folder / ADDED_ROWS).is_file():
        return [], {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / ADDED_ROWS, framework="pt") as file:
            tokens = json.loads(file.metadata()["tokens"])
            return tokens, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{folder / ADDED_ROWS} is damaged: {error}") from error


def _restore_rows(base: Base, folder: Path) -> None:
    tokens, saved = read_added_rows(folder)
    if not tokens:
        return
    _extend(base.model, base.tokenizer, tokens)
    rows = [base.tokenizer.convert_tokens_to_ids(token) for token in tokens]
    with torch.no_grad():
        for name, matrix in _vocabulary_tensors(base.model).items():
            matrix[rows] = saved[name].to(matrix)


def _extend(model: Any, tokenizer: Any, tokens: list[str]) -> None:
    """Give the tokenizer these special tokens, and the model a row for each that has none."""
    tokenizer.add_tokens(tokens, special_tokens=True)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        # mean_resizing draws random rows around the mean; ours are set by the caller.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)


def _vocabulary_tensors(model: Any) -> dict[str, torch.Tensor]:
    """What has a row for each token: the embedding and, where they are its own, the vocabulary
    projection's weight and bias."""
    inputs = model.get_input_embeddings().weight
    tensors = {"input": inputs}
    head = model.get_output_embeddings()
    head = getattr(head, "base_layer", head)
    if head is not None and head.weight is not inputs:
        tensors["output"] = head.weight
    if getattr(head, "bias", None) is not None:
        tensors["output_bias"] = head.bias
    return {name: tensor.data for name, tensor in tensors.items()}


def _config_json(model: Any) -> dict[str, Any]:
    """PEFT's adapter config as JSON, ready for inference, with its sets in a fixed order."""
    config = model.peft_config[model.active_adapter].to_dict()
    config["inference_mode"] = True
    return {
        key: sorted(value) if isinstance(value, (set, frozenset)) else value
        for key, value in sorted(config.items())
    }
