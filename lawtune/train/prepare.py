"""The model that a fine-tuning run starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lawtune.config import FinetuneConfig, TrainConfig
from lawtune.errors import UserError
from lawtune.files import sha256
from lawtune.model.adapter import ADAPTER_WEIGHTS, add_marker_rows, load_adapter
from lawtune.model.load import Base, load_base, max_positions, resolve_device
from lawtune.model.lora import attach_lora
from lawtune.model.manager import ModelManager
from lawtune.prompt import TEMPLATES_FILE, PromptTemplate, make_template, missing_markers
from lawtune.train.precision import resolve_precision


@dataclass(frozen=True)
class Subject:
    """What is tuned: a base with an adapter on it (`model`), its prompts, and the tokens added to
    the base. `adapter` is the hash of the adapter that training goes on from, if any, and `earlier`
    its folder."""

    base: Base
    model: Any
    template: PromptTemplate
    added_tokens: list[str]
    adapter: str | None
    earlier: Path | None = None

    @property
    def tokenizer(self) -> Any:
        """The base's, with the added tokens."""
        return self.base.tokenizer


def prepare(config: FinetuneConfig, adapter: str | None) -> Subject:
    """Load the base, make or read the templates, add what tokens they need, and put the adapter
    on: a fresh one, or that of the model folder `adapter`.

    Raises:
        UserError: there is no such base or adapter, they do not belong together, `max_length` is
            beyond the base's positions, or it lacks a target module.
    """
    device = resolve_device(config.train.device)
    # Layers that are to be spread over several GPUs may be too large for the one.
    home = "cpu" if config.train.shard else str(device)
    four_bit = four_bit_settings(config.train, device) if config.train.load_in_4bit else None
    base = load_base(config.base, torch.float32, home, four_bit)
    longest = max_positions(base.model)
    if config.data.max_length > longest:
        raise UserError(
            f"data.max_length is {config.data.max_length}, but {config.base} reads at most"
            f" {longest} tokens"
        )
    folder = adapter_folder(adapter) if adapter else None
    # An adapter's initial values are drawn at random: they, too, belong to the seed.
    torch.manual_seed(config.train.seed)
    if folder and (folder / TEMPLATES_FILE).is_file():
        template = PromptTemplate.load(folder)
        added = list(missing_markers(template, base.tokenizer))  # load_adapter brings their rows
    else:
        template = make_template(config.prompt.template, base.tokenizer)
        missing = missing_markers(template, base.tokenizer)
        added = add_marker_rows(base.model, base.tokenizer, missing)
    if folder:
        model = load_adapter(base, folder, trainable=True)
        return Subject(base, model, template, added, sha256(folder / ADAPTER_WEIGHTS), folder)
    return Subject(base, attach_lora(base.model, config.lora), template, added, None)


def four_bit_settings(settings: TrainConfig, device: torch.device) -> Any:
    """How transformers is to hold the base in 4 bits (NF4, with quantised constants).

    Raises:
        UserError: there is no GPU or no bitsandbytes, or the layers are to be sharded as well.
    """
    if device.type != "cuda":
        raise UserError(
            "train.load_in_4bit needs a CUDA GPU, and this run is on the CPU; leave it off here"
        )
    if settings.shard:
        raise UserError("train.load_in_4bit and train.shard do not go together; choose one")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise UserError(
            "train.load_in_4bit is on, but the bitsandbytes package is not installed:"
            " pip install 'lawtune[gpu]'"
        ) from None
    from transformers import BitsAndBytesConfig

    exact = resolve_precision(settings.precision, device) == "fp32"
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if exact else torch.bfloat16,
    )


def adapter_folder(name: str) -> Path:
    """The folder of an adapter, given as a path or by its name in the model manager.

    Raises:
        UserError: there is none.
    """
    folder = ModelManager().resolve(name)
    if not isinstance(folder, Path):
        raise UserError(f"--adapter {name}: there is no model folder of that name")
    return folder
