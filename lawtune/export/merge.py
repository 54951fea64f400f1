"""Adapter and base in one plain model folder, proven equal before anyone sees it.

Merging goes wrong quietly: LoRA on a tied `lm_head` merged into the shared matrix changes the
embedding too, and a merged matrix that the config still calls tied is thrown away on reload. So a
merge only counts once a fresh process has loaded it and found the same logits.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lawtune import __version__
from lawtune.config import QUESTION_TYPES
from lawtune.data.encode import encode_text
from lawtune.data.ngram_filter import carry_filters
from lawtune.errors import UserError
from lawtune.files import (
    atomic_path,
    exists,
    full_disk_is_told,
    read_json_object,
    require_creatable,
    sha256,
    write_json,
    write_text,
)
from lawtune.model.adapter import ADAPTER_WEIGHTS, TRAINING_CONFIG, find_adapter, save_tokenizer
from lawtune.model.card import CARD_FILE, merged_card
from lawtune.model.legal_model import LegalModel
from lawtune.model.load import BaseIdentity, hash_weights, max_positions, weight_files
from lawtune.model.lora import quiet_peft
from lawtune.model.manifest import MANIFEST_FILE, unlisted, write_manifest

TOLERANCE = 1e-5
"""The largest difference of two logits, relative to the largest logit, that counts as equal."""

PROBES = (
    "민법 제750조의 불법행위 책임이 성립하기 위한 요건은 무엇인가?",
    "임대인이 임차인의 계약갱신 요구를 거절할 수 있는 사유를 설명하시오.",
    "대법원은 통상임금에 해당하는지를 어떠한 기준으로 판단하는가?",
    "The lessee may request renewal within 6 months. 제1항 12,345원",
)
"""Texts whose logits are compared, as they stand and as questions in the model's own template."""

Logits = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Probe:
    """A text and its token ids (which may end before the text does)."""

    text: str
    ids: list[int]


Probes = dict[str, Probe]


@dataclass(frozen=True)
class Parity:
    """How a merged model compares, over all probes: the largest |difference of logits| ÷ the
    largest |logit|, against adapter-on-base (must be ≤ `tolerance`) and against the base alone
    (must be above it: an adapter that changes nothing is no model)."""

    to_adapter: float
    to_base: float
    tolerance: float
    probes: int
    positions: int


@dataclass(frozen=True)
class MergeReport:
    """Where the merged model lies, what it was made of, and the proof. `size` is its weights'
    bytes; `untied` whether the vocabulary projection got a matrix of its own."""

    out: Path
    adapter: str
    base: str
    parity: Parity
    size: int
    untied: bool


def export_merged(model: str, out: Path, base: str | None = None) -> MergeReport:
    """Merge an adapter into its base, in float32, and write it as a plain Hugging Face folder.

    The folder appears only if a fresh process, with transformers alone, loads it and gets the
    logits of adapter-on-base within `TOLERANCE` relative, and other logits than the base's.

    Args:
        model: an adapter folder, or its name in the model manager.
        base: where its base lies, if it has moved since training.

    Raises:
        UserError: it is no adapter, `out` is in the way, or the merged model is not equal (the
            figure is said); nothing is left at `out` then. Or the disk is full.
    """
    # `.` and a link to nothing cannot be replaced by their own names.
    folder, out = find_adapter(model), out.resolve()
    _require_free(out)
    require_creatable(out)
    loaded = LegalModel.load(folder, "cpu", torch.float32, base)
    for part, home in loaded.folders.items():
        if out.resolve() in (home.resolve(), *home.resolve().parents):
            raise UserError(f"{out} holds the {part} itself: give another --out")
    probes = _encode_probes(loaded)
    expected = probe_logits(loaded.model, probes)
    with loaded.base_only():
        unchanged = probe_logits(loaded.model, probes)
    untied = _untie(loaded.model)
    with quiet_peft():
        merged = loaded.model.merge_and_unload()
    with full_disk_is_told(out, "give the command again"), atomic_path(out) as temporary:
        merged.save_pretrained(temporary)
        save_tokenizer(temporary, loaded.tokenizer)
        loaded.template.save(temporary)
        carry_filters(loaded.folders.values(), temporary)
        found = _logits_in_fresh_process(temporary, probes)
        parity = _compare(found, expected, unchanged)
        described = _describe(folder, loaded.base, temporary, parity, untied)
        write_json(temporary / "export.json", described)
        write_text(temporary / CARD_FILE, merged_card(out.name, described))
        write_manifest(temporary)
        size = sum(path.stat().st_size for path in weight_files(temporary))
    return MergeReport(out, str(folder), described["base"]["name"], parity, size, untied)


@torch.inference_mode()
def probe_logits(model: Any, probes: Probes) -> Logits:
    """The logits [tokens, vocabulary] of every probe, float32."""
    return {
        name: model(input_ids=torch.tensor([probe.ids])).logits[0].float().contiguous()
        for name, probe in probes.items()
    }


def _require_free(out: Path) -> None:
    if not exists(out):
        return
    if not (out / "export.json").is_file() and any(_contents(out)):
        raise UserError(f"{out} exists and is no earlier export: give another --out")
    # An evaluation of the model, say: replacing the folder would delete it.
    if (out / MANIFEST_FILE).is_file() and (added := unlisted(out)):
        raise UserError(
            f"{out} holds what no export wrote ({', '.join(added)}): give another --out"
        )


def _contents(out: Path) -> list[Path]:
    return list(out.iterdir()) if out.is_dir() else [out]


def _encode_probes(model: LegalModel) -> Probes:
    """The probes by name, within the model's context."""
    types = [None, *QUESTION_TYPES]
    texts = {f"plain-{i}": text for i, text in enumerate(PROBES)}
    texts |= {
        f"question-{i}": model.render(text, types[i % len(types)]) for i, text in enumerate(PROBES)
    }
    limit = min(128, max_positions(model.model))
    return {
        name: Probe(text, encode_text(model.tokenizer, text)[:limit])
        for name, text in texts.items()
    }


def _untie(model: Any) -> bool:
    """Give the vocabulary projection its own matrix if it has an adapter and shares the
    embedding's; the config then says so, or a reload would tie them again."""
    whole = model.get_base_model()
    head, embedding = whole.get_output_embeddings(), whole.get_input_embeddings()
    adapted = [getattr(layer, "base_layer", None) for layer in (head, embedding)]
    plain = [inner or layer for inner, layer in zip(adapted, (head, embedding), strict=True)]
    if not any(adapted) or plain[0].weight is not plain[1].weight:
        return False
    plain[0].weight = torch.nn.Parameter(plain[0].weight.detach().clone(), requires_grad=False)
    whole.config.get_text_config().tie_word_embeddings = False
    whole.config.tie_word_embeddings = False
    return True


def _logits_in_fresh_process(folder: Path, probes: Probes) -> Logits:
    """What `lawtune.export.check` finds in `folder`: another process, so that nothing of this
    one's state can stand in for what was saved."""
    from safetensors.torch import load_file

    with TemporaryDirectory() as scratch:
        request, answer = Path(scratch) / "probes.json", Path(scratch) / "logits.safetensors"
        content = {name: asdict(probe) for name, probe in probes.items()}
        request.write_text(json.dumps(content), encoding="utf-8")
        # This package first, wherever it was imported from; the folder is local, so no network.
        given = os.environ.get("PYTHONPATH")
        search = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), given)))
        environment = os.environ | {"PYTHONPATH": search, "HF_HUB_OFFLINE": "1"}
        # -P: no module of that name in the folder that the user happens to stand in.
        command = [sys.executable, "-P", "-m", "lawtune.export.check", folder, request, answer]
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the merged model does not load: {last}; nothing was written")
        return load_file(answer)


def _compare(found: Logits, expected: Logits, unchanged: Logits) -> Parity:
    parity = Parity(
        to_adapter=_difference(found, expected),
        to_base=_difference(found, unchanged),
        tolerance=TOLERANCE,
        probes=len(expected),
        positions=sum(len(logits) for logits in expected.values()),
    )
    # Written so that a NaN fails too.
    if not parity.to_adapter <= TOLERANCE:
        raise UserError(
            f"the merged model is not equal to the adapter on its base: its logits differ by"
            f" {parity.to_adapter:.2e} relative, {TOLERANCE:.0e} is allowed; nothing was written"
        )
    if not parity.to_base > TOLERANCE:
        raise UserError(
            f"the merged model is no other than its base: their logits differ by"
            f" {parity.to_base:.2e} relative, so this adapter changes nothing; nothing was written"
        )
    return parity


def _difference(found: Logits, expected: Logits) -> float:
    gap = max(float((found[name] - logits).abs().max()) for name, logits in expected.items())
    return gap / max(float(logits.abs().max()) for logits in expected.values())


def _describe(
    adapter: Path, loaded: BaseIdentity, folder: Path, parity: Parity, untied: bool
) -> dict[str, Any]:
    """`export.json`: all that the merged folder has to say of itself."""
    training = adapter / TRAINING_CONFIG
    described = read_json_object(training) if training.is_file() else {}
    # What PEFT alone has saved says too little of its base, and maybe where it no longer lies.
    base = described.get("base") or loaded.to_json()
    return {
        "format": "merged",
        "dtype": "float32",
        "base": base,
        "licence": base.get("licence"),
        "adapter": {"name": adapter.resolve().name, "sha256": sha256(adapter / ADAPTER_WEIGHTS)},
        "sha256": hash_weights(folder),
        "untied": untied,
        "parity": asdict(parity),
        "training": described,
        "versions": {"lawtune": __version__, "torch": torch.__version__},
    }
