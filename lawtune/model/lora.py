"""The LoRA adapter: which modules it goes on, and how many parameters that makes.

PEFT holds the adapter, so that what lawtune trains is a plain PEFT adapter to everyone else.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lawtune.config import LoraConfig
from lawtune.errors import UserError

ALL_LINEAR = "all-linear"

HANDLED_WARNINGS = (
    "fan_in_fan_out is set",
    "Model has `tie_word_embeddings=True`",
    "Model with `tie_word_embeddings=True`",
    "Input and output embeddings are no longer tied",
    "`is_gradient_checkpointing` is deprecated",
)
"""PEFT's warnings that say nothing to a user of lawtune: about tied embeddings and transposed
weights, which lawtune deals with itself, and about what PEFT calls in transformers."""


def attach_lora(model: Any, config: LoraConfig) -> Any:
    """Put a fresh adapter on `model` (changed in place) and return the PeftModel.

    Only the adapter is trainable, and it is float32 whatever the model's own type. A tied `lm_head`
    stays tied to the embedding: untying copies the matrix, which is for merging only.

    Raises:
        UserError: a target is not a linear layer of this model (those it has are listed), no layer
            is left, a layer number is too high, or PEFT cannot adapt these layers of this model.
    """
    import peft
    from transformers.pytorch_utils import Conv1D

    modules = target_names(model, config)
    transposed = {isinstance(model.get_submodule(name), Conv1D) for name in modules}
    peft_config = peft.LoraConfig(
        task_type=peft.TaskType.CAUSAL_LM,
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        # Full names, so that the adapter goes there and nowhere else: PEFT's own filter by layer
        # drops what lies in no numbered layer, such as `lm_head`; its `all-linear` takes in the
        # fused experts of a mixture; and a bare text would be a regular expression.
        target_modules=modules,
        # GPT-2's Conv1D keeps its weight transposed. Where Conv1D and Linear are both targeted,
        # PEFT settles it module by module.
        fan_in_fan_out=transposed == {True},
    )
    try:
        with quiet_peft():
            adapted = peft.get_peft_model(model, peft_config)
    except ValueError as error:
        raise UserError(f"PEFT cannot put LoRA on this model: {error}") from None
    if set(adapted.targeted_module_names) != set(modules):
        odd = sorted(set(adapted.targeted_module_names) ^ set(modules))
        raise UserError(
            f"PEFT would put LoRA on other layers than asked ({', '.join(odd[:3])}); name layers"
            " in lora.target_modules that no other layer's name ends with"
        )
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return adapted


def describe_lora(model: Any) -> dict[str, Any]:
    """The settings of the adapter that `model` has, as PEFT holds them; JSON data."""
    held = model.peft_config[model.active_adapter]
    targets = held.target_modules
    return {
        "r": held.r,
        "alpha": held.lora_alpha,
        "dropout": held.lora_dropout,
        # A string is a regular expression over the modules' names.
        "target_modules": targets if isinstance(targets, str) else sorted(targets),
    }


def count_parameters(model: Any) -> tuple[int, int]:
    """(trainable, total) parameters; a matrix that two layers share counts once."""
    sizes = [(p.numel() * _packed(p), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trainable in sizes if trainable), sum(n for n, _ in sizes)


def _packed(parameter: torch.nn.Parameter) -> int:
    """How many weights an element holds: bitsandbytes packs two 4-bit ones in a byte."""
    return 2 * parameter.element_size() if type(parameter).__name__ == "Params4bit" else 1


def target_names(model: Any, config: LoraConfig) -> list[str]:
    """The full names of the modules that the adapter goes on, in the model's order.

    Raises:
        UserError: see `attach_lora`.
    """
    names = _linear_names(model)
    targets = config.target_modules
    targets = (targets,) if isinstance(targets, str) else targets
    chosen = {name for target in targets for name in _matching(model, names, target)}
    if not chosen:
        raise UserError(f"lora.target_modules is empty; {_advice(names)}")
    if config.layers_to_transform is not None:
        chosen = _keep_layers(chosen, config.layers_to_transform)
        if not chosen:
            raise UserError("lora.layers_to_transform leaves no layer to adapt")
    return [name for name in names if name in chosen]


@contextmanager
def quiet_peft() -> Iterator[None]:
    """A context without `HANDLED_WARNINGS`."""
    with warnings.catch_warnings():
        for beginning in HANDLED_WARNINGS:
            warnings.filterwarnings("ignore", message=re.escape(beginning))
        yield


def _linear_names(model: Any) -> list[str]:
    from transformers.pytorch_utils import Conv1D

    return [n for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, Conv1D))]


def _of_decoder(model: Any, names: list[str]) -> set[str]:
    """Those of `names` that lie in the part that reads text: an eye beside it learns nothing from
    questions and answers."""
    decoder = model.get_decoder()
    inside = {n for n, m in model.named_modules() if m is decoder}
    if "" in inside or not inside:
        return set(names)
    return {name for name in names if any(name.startswith(f"{part}.") for part in inside)}


def _matching(model: Any, names: list[str], target: str) -> list[str]:
    """Those of `names` that one of `target_modules` stands for."""
    if target == ALL_LINEAR:
        head, decoder = model.get_output_embeddings(), _of_decoder(model, names)
        return [name for name in decoder if model.get_submodule(name) is not head]
    matched = [name for name in names if name == target or name.endswith(f".{target}")]
    if not matched:
        raise UserError(
            f"lora.target_modules: this model has no linear layer {target!r}; {_advice(names)}"
        )
    return matched


def _advice(names: list[str]) -> str:
    leaves = dict.fromkeys(name.rpartition(".")[2] for name in names)
    return f"it has {', '.join(leaves)} (or {ALL_LINEAR} for every one but the vocabulary's)"


def _keep_layers(names: set[str], layers: tuple[int, ...]) -> set[str]:
    """Those of `names` in the given layers; a name outside any numbered layer stays."""
    numbers = {name: re.search(r"\.(\d+)\.", name) for name in names}
    there = {int(match[1]) for match in numbers.values() if match}
    unknown = sorted(set(layers) - there)
    if unknown:
        raise UserError(
            f"lora.layers_to_transform: no layer {unknown[0]} among the targets; they lie in layers"
            f" {min(there, default='-')} to {max(there, default='-')}"
        )
    return {name for name, match in numbers.items() if not match or int(match[1]) in layers}
