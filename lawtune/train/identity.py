"""What a run is: the settings and inputs that its result depends on."""

from pathlib import Path
from typing import Any

from lawtune.config import FinetuneConfig, PretrainConfig
from lawtune.data.encode import hash_windows
from lawtune.errors import UserError
from lawtune.files import sha256
from lawtune.model.adapter import ADAPTER_WEIGHTS
from lawtune.model.load import identify
from lawtune.options import to_dict
from lawtune.train.inputs import EncodedSplit
from lawtune.train.prepare import Subject, adapter_folder
from lawtune.train.texts import Texts, hash_sources

_FREE_TO_CHANGE = ("out", "data.train", "data.validation", "texts.sources")
_FREE_TO_CHANGE += ("train.device", "train.save_every")
_FREE_TO_CHANGE += ("train.keep_checkpoints", "train.tensorboard", "train.memory_limit")
_FREE_TO_CHANGE += ("train.cache_dir", "train.cache_budget", "train.shard")
"""Keys that a resumed run may have otherwise: they do not bear on the result (data is known
by its content)."""


def run_identity(
    config: FinetuneConfig,
    subject: Subject,
    precision: str,
    train: EncodedSplit,
    validation: EncodedSplit | None,
    texts: Texts | None,
) -> dict[str, Any]:
    """What must be the same for a run to be resumed, and in every process of it; JSON data."""
    return run_settings(to_dict(config)) | {
        "base": subject.base.identity.sha256,
        "adapter": subject.adapter,
        "precision": precision,
        "training data": train.split.sha256,
        "validation data": validation and validation.split.sha256,
        "texts": texts and texts.sha256,
        # The tokenizer and the templates are known by what they make of the data.
        "token ids": hash_windows([*train.windows, *(validation.windows if validation else ())]),
    }


def run_settings(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings of a fine-tuning (`to_dict` of its config) that its result depends on."""
    settings = _flatten(tree)
    free = _FREE_TO_CHANGE
    if not tree.get("texts", {}).get("sources"):
        free += tuple(key for key in settings if key.startswith("texts."))
    return {key: value for key, value in settings.items() if key not in free}


def finished_identity(record: dict[str, Any]) -> dict[str, Any]:
    """What a finished run was made of, from its `training_config.json`."""
    data = record["data"]
    texts = data.get("texts")
    return run_settings(record["config"]) | {
        "base": record["base"]["sha256"],
        "adapter": record["adapter"],
        "training data": data["train"]["sha256"],
        "validation data": data["validation"] and data["validation"]["sha256"],
        "texts": texts and texts["sha256"],
    }


def asked_identity(config: FinetuneConfig, adapter: str | None) -> dict[str, Any]:
    """The same of a run that is asked for, without loading anything.

    Raises:
        UserError: a file, the base or the adapter is not there.
    """
    data = config.data
    return run_settings(to_dict(config)) | {
        "base": identify(config.base).sha256,
        "adapter": adapter and sha256(adapter_folder(adapter) / ADAPTER_WEIGHTS),
        "training data": data.train and _content(data.train),
        "validation data": data.validation and _content(data.validation),
        "texts": hash_sources(config.texts),
    }


def _content(path: str) -> str:
    if not Path(path).is_file():
        raise UserError(f"no such file: {path}")
    return sha256(Path(path))


_FREE_IN_PRETRAINING = ("train.device", "train.save_every", "train.evaluate_every")
_FREE_IN_PRETRAINING += ("train.evaluate_windows", "train.samples")
_FREE_IN_PRETRAINING += ("train.epochs", "train.max_minutes")
_FREE_IN_PRETRAINING += ("train.decay_share", "train.unlikelihood_every")
"""Keys that a resumed pre-training may have otherwise: they do not bear on the model, or say how
long it learns and how it ends, so that one stable phase can have several endings."""


def pretraining_identity(config: PretrainConfig, precision: str) -> dict[str, Any]:
    """What must be the same for a pre-training to be resumed, the text aside
    (`lawtune.train.pretrain_text.prepare_text`); JSON data."""
    tree = to_dict(config)
    settings = _flatten({"model": tree["model"], "train": tree["train"]})
    kept = {key: value for key, value in settings.items() if key not in _FREE_IN_PRETRAINING}
    return kept | {"precision": precision}


def refuse_another(saved: dict[str, Any], current: dict[str, Any], where: str) -> None:
    """Make sure that a checkpoint is of this run.

    Raises:
        UserError: it is of one with other settings or inputs; each is named.
    """
    differing = [key for key in current if saved.get(key) != current[key]]
    if differing:
        changes = "; ".join(f"{k} was {saved.get(k)}, is {current[k]}" for k in differing)
        raise UserError(
            f"{where} is of a run with other settings ({changes}); resume with those it began"
            " with, or choose another --out"
        )


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
