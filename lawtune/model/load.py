"""The base model: from the starter, a local folder or the Hub, with an identity that is kept.

What is trained on a base is only valid on that base, so every base is named by the hash of its
weights and not by its path alone.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lawtune.errors import MissingBaseError, UserError
from lawtune.files import exists, is_folder, read_json
from lawtune.model.manager import ADAPTER_CONFIG, STARTER, ModelManager

STARTER_FOLDER = Path(__file__).resolve().parent.parent / "starter" / "model"

# What these bases' own files leave out: the licence, which must travel with everything tuned on
# them, and the special tokens, which KoGPT-2's model card passes by hand (BOS = EOS on purpose).
WELL_KNOWN = {
    "skt/kogpt2-base-v2": {
        "licence": "cc-by-nc-sa-4.0",
        "tokens": {
            "bos_token": "</s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
    },
    "skt/ko-gpt-trinity-1.2b-v0.5": {"licence": "cc-by-nc-sa-4.0"},
    "openai-community/gpt2": {"licence": "mit"},
    "gpt2": {"licence": "mit"},
}

UNBOUNDED = 1_000_000
"""What `max_positions` says of a model whose config sets no limit."""


@dataclass(frozen=True)
class BaseIdentity:
    """Which base: its name as given (a local folder's absolute path, a Hub id or `starter`), the
    Hub revision if it has one, SHA-256 over config and weights, its licence if one is stated, and
    the folder that holds it."""

    name: str
    revision: str | None
    sha256: str
    licence: str | None
    path: Path

    def to_json(self) -> dict[str, str | None]:
        """What a model folder records of its base; the local path is nobody else's business."""
        return {
            "name": self.name,
            "revision": self.revision,
            "sha256": self.sha256,
            "licence": self.licence,
        }


@dataclass(frozen=True)
class Base:
    """A causal language model in evaluation mode, its tokenizer, and what they are."""

    model: Any
    tokenizer: Any
    identity: BaseIdentity


def load_base(
    name: str, dtype: torch.dtype = torch.float32, device: str = "cpu", quantization: Any = None
) -> Base:
    """Load a base model.

    Args:
        name: `starter`, a local Hugging Face folder, a name the model manager knows, or a Hub id.
        dtype: always applied, whatever the folder's own (transformers 5 would keep bf16 as bf16).
        device: `cpu`, `cuda` or `auto`.
        quantization: how transformers is to quantise the layers as it loads them, if at all.

    Raises:
        UserError: there is no such base, it is no causal language model, its weights are
            incomplete, or its tokenizer does not fit it.
    """
    identity = identify(name)
    tokenizer = load_tokenizer(identity.path, identity.name)
    model = _load_model(identity, dtype, resolve_device(device), quantization)
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens but the model only {rows} embedding"
            " rows; are these files of one model?"
        )
    if _looks_ahead(model.eval()):
        raise UserError(
            f"{name} is no causal language model but an encoder: what it makes of a token depends"
            " on those that follow, so it would learn to copy its answers. Give a GPT, a Llama or"
            " the like"
        )
    return Base(model, tokenizer, identity)


def find_tokenizer(name: str) -> Any:
    """The tokenizer of a base, which may be named in every way that `load_base` knows; a folder
    needs to hold nothing but the tokenizer.

    Raises:
        UserError: there is no such base, or no tokenizer in it.
    """
    folder, full_name, _ = _locate(name)
    return load_tokenizer(folder, full_name)


def identify(name: str) -> BaseIdentity:
    """Find a base's folder (downloading it from the Hub if that is where it is) and hash it.

    Raises:
        UserError: there is no such base, or the folder holds no model.
    """
    folder, full_name, revision = _locate(name)
    if not (folder / "config.json").is_file():
        adapter = (folder / ADAPTER_CONFIG).is_file()
        what = "an adapter, not a base model" if adapter else "no model folder"
        raise UserError(f"{name} is {what}: there is no config.json in {folder}")
    return BaseIdentity(full_name, revision, hash_weights(folder), _licence(folder, name), folder)


def hash_weights(folder: Path) -> str:
    """Hex SHA-256 over `config.json` and the weight files, names and contents, sorted by name.

    Raises:
        UserError: the folder has no weights.
    """
    weights = weight_files(folder)
    if not weights:
        raise UserError(f"{folder} has a config.json but no weights (*.safetensors)")
    total = hashlib.sha256()
    for path in [folder / "config.json", *weights]:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256")
        total.update(path.name.encode() + b"\0" + content.digest())
    return total.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads the weights from, sorted.

    safetensors where there are any. Some bases on the Hub (KoGPT-2 is one) only have
    `pytorch_model.bin`: transformers reads those with torch's `weights_only=True`, which runs no
    pickled code and is sound from torch 2.10 on, the least that lawtune installs with. Nothing of
    lawtune's own reads or writes pickle.
    """
    safe = sorted(folder.glob("model*.safetensors"))
    return safe or sorted(folder.glob("pytorch_model*.bin"))


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_TOKENIZER_FILES += ("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json")


def has_tokenizer(folder: Path) -> bool:
    """Whether a model folder holds a tokenizer of its own."""
    return any((folder / name).is_file() for name in _TOKENIZER_FILES)


def load_tokenizer(folder: Path, name: str = "") -> Any:
    """The tokenizer of a model folder.

    Args:
        name: the base's name, for the special tokens of bases that do not state them.

    Raises:
        UserError: there is none, it is damaged, it has no end-of-sequence token or it drops Hangul.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # transformers would make up an empty one.
    if not has_tokenizer(folder):
        raise UserError(f"{folder} holds no tokenizer (no tokenizer.json or the like)")
    try:
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        elif (folder / "tokenizer.json").is_file():
            # Without tokenizer_config.json, AutoTokenizer would guess the class by the model's
            # type, which for KoGPT-2 is a byte-level one that spells every word wrong.
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
            tokenizer.add_special_tokens(_special_tokens(folder, name, tokenizer))
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain ones
        raise UserError(f"cannot load the tokenizer of {folder}: {_first_line(error)}") from error
    if not tokenizer("민법 제1조", add_special_tokens=False)["input_ids"]:
        raise UserError(f"the tokenizer of {folder} makes no token of Hangul")
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of {folder} has no end-of-sequence token (eos_token)")
    return tokenizer


def max_positions(model: Any) -> int:
    """The longest input in tokens, prompt and answer together; `UNBOUNDED` where none is set."""
    config = model.config.get_text_config()
    # MPT's name for it, whose ALiBi ends there, too.
    stated = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", 0)
    return int(stated or UNBOUNDED)


def resolve_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one, else the CPU.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UserError(f"device must be auto, cpu or cuda (found {device})")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no CUDA device here; use cpu or auto")
    return torch.device(device)


def _locate(name: str) -> tuple[Path, str, str | None]:
    """(folder, full name, Hub revision) of a base."""
    if name == STARTER:
        if not STARTER_FOLDER.is_dir():
            raise MissingBaseError(
                "this installation of lawtune has no starter model; give another base, or make one"
                " with `lawtune pretrain`"
            )
        return STARTER_FOLDER, STARTER, None
    folder = Path(ModelManager().resolve(name)).expanduser()
    if is_folder(folder):
        return folder.resolve(), str(folder.resolve()), None
    if exists(folder):
        raise MissingBaseError(f"{name} is a file; a base is a folder in Hugging Face's layout")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII) or name.startswith((".", "/")):
        raise MissingBaseError(f"no such base: there is no folder {name}, and it is no Hub id")
    snapshot = _download(name)
    return snapshot, name, snapshot.name


def _download(name: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    # transformers 5 keeps the chat template in a file of its own, chat_template.jinja.
    text = ["*.json", "*.jinja", "*.txt", "*.model", "README.md"]
    try:
        # Top-level files only: some repositories hold the same weights again in other formats.
        fetch = {"repo_id": name, "ignore_patterns": ["*/*"]}
        folder = Path(
            huggingface_hub.snapshot_download(**fetch, allow_patterns=[*text, "model*.safetensors"])
        )
        if not weight_files(folder):
            huggingface_hub.snapshot_download(**fetch, allow_patterns=["pytorch_model*.bin"])
        return folder
    except RepositoryNotFoundError as error:
        raise MissingBaseError(
            f"no such base: there is no folder {name} here, and the Hugging Face Hub has no model"
            f" of that name, or it is a private or gated one (then log in with `hf auth login`)"
        ) from error
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise MissingBaseError(
            f"cannot get the base {name}: there is no folder of that name, and the Hugging Face"
            f" Hub does not answer ({_first_line(error)}). Without a network, download the model"
            f" elsewhere (`hf download {name} --local-dir my-base`), copy the folder here and give"
            " its path as the base"
        ) from error


def _load_model(
    identity: BaseIdentity, dtype: torch.dtype, device: torch.device, quantization: Any
) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            identity.path,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            # Quantised layers are made on the device that they are for.
            device_map={"": device} if quantization else None,
            quantization_config=quantization,
        )
    except Exception as error:
        # Everything: what a broken folder provokes in transformers and torch has no common type.
        reason = _first_line(error)
        if type(error).__name__ == "UnpicklingError":
            # torch's own message advises to run the code.
            reason = "its weights file is a pickle that holds more than weights; it was not run"
        raise UserError(
            f"{identity.name} cannot be loaded as a causal language model: {reason}"
        ) from error
    if info["missing_keys"]:
        # transformers would fill them with random numbers and only warn.
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise UserError(f"the weights of {identity.name} are incomplete: no {missing}")
    # PEFT writes this name into adapter_config.json, where others look for the base.
    model.config._name_or_path = str(identity.path if identity.revision is None else identity.name)
    model.name_or_path = model.config._name_or_path
    return model if quantization else model.to(device)


@torch.no_grad()
def _looks_ahead(model: Any) -> bool:
    """Whether what follows a token changes its logits: transformers makes a "causal" model of an
    encoder (RoBERTa, BERT) as well, and does no more than log that it is none."""
    embeddings = model.get_input_embeddings().weight
    first, second, third = (embeddings.shape[0] * part // 4 for part in (1, 2, 3))
    ids = torch.tensor([[first, *[second] * 3], [first, *[third] * 3]], device=embeddings.device)
    one, other = model(input_ids=ids).logits[:, 0]
    # An encoder's change by far more; what is no number is told of where it is met.
    return bool((one - other).abs().max() > 0.02 * one.abs().max())


def _special_tokens(folder: Path, name: str, tokenizer: Any) -> dict[str, str]:
    known = _well_known(folder, name).get("tokens")
    if known:
        return known
    config = read_json(folder / "config.json")
    ids = {role: config.get(f"{role}_token_id") for role in ("bos", "eos", "pad")}
    return {
        f"{role}_token": tokenizer.convert_ids_to_tokens(index)
        for role, index in ids.items()
        if isinstance(index, int) and index < len(tokenizer)
    }


def _licence(folder: Path, name: str) -> str | None:
    """The licence of the model card's front matter or of an export's description."""
    if (folder / "README.md").is_file():
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
        front = re.match(r"---\r?\n(.*?)\r?\n---", card, flags=re.DOTALL)
        stated = front and re.search(r"^licen[sc]e:[ \t]*(\S.*)$", front[1], flags=re.MULTILINE)
        if stated:
            return stated[1].strip().strip("'\"")
    if (folder / "export.json").is_file():
        return read_json(folder / "export.json").get("licence")
    return _well_known(folder, name).get("licence")


def _well_known(folder: Path, name: str) -> dict[str, Any]:
    """The entry of a well-known base, by its Hub id or by a local folder of the same last name."""
    for known, entry in WELL_KNOWN.items():
        if name == known or ("/" in known and folder.name == known.split("/")[1]):
            return entry
    return {}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
