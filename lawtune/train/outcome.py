"""What a finished run leaves: the model folder, which describes itself."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from lawtune import __version__
from lawtune.config import FinetuneConfig
from lawtune.data.ngram_filter import FILTER_FILE, carry_filters, write_ngram_filter
from lawtune.files import write_json, write_text
from lawtune.model.adapter import save_adapter, write_manifest
from lawtune.model.card import CARD_FILE, adapter_card
from lawtune.options import to_dict
from lawtune.train.curve import draw_curve
from lawtune.train.inputs import TRAINING_CONFIG_FILE, EncodedSplit
from lawtune.train.monitor import Row
from lawtune.train.prepare import Subject
from lawtune.train.texts import Texts

CURVE_FILE = "training_curve.png"

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")


@dataclass(frozen=True)
class Outcome:
    """A run's result. `resolved` is what `auto` became in its settings; `parameters` and `metrics`
    are as in `training_config.json`."""

    config: FinetuneConfig
    subject: Subject
    train: EncodedSplit
    validation: EncodedSplit | None
    texts: Texts | None
    resolved: dict[str, Any]
    parameters: dict[str, int]
    metrics: dict[str, Any]

    def write(self, out: Path, rows: list[Row]) -> None:
        """Fill the model folder, its manifest last; `rows` are those of the training log."""
        subject = self.subject
        data = {"train": self.train.to_json()}
        data["validation"] = self.validation and self.validation.to_json()
        data["texts"] = self.texts and self.texts.to_json(self.metrics["steps"])
        save_adapter(out, subject.model, subject.tokenizer, subject.template, subject.added_tokens)
        self._record_text(out)
        draw_curve(rows, out / CURVE_FILE)
        record = {
            "config": to_dict(self.config),
            "resolved": self.resolved,
            "base": subject.base.identity.to_json(),
            "adapter": subject.adapter,
            "data": data,
            "parameters": self.parameters,
            "metrics": self.metrics,
            "versions": versions(),
        }
        write_json(out / TRAINING_CONFIG_FILE, record)
        write_text(out / CARD_FILE, adapter_card(out.resolve().name, record))
        write_manifest(out)

    def _record_text(self, out: Path) -> None:
        """Leave word of what was learnt, for evaluations to find what the adapter has read."""
        earlier = self.subject.earlier
        if earlier and not carry_filters([earlier], out):
            return  # What that adapter had read is unknown, and so is what this one has.
        pairs = self.train.split.pairs
        said = (text for pair in pairs for text in (pair.question, pair.context, pair.answer))
        raw = self.texts.learnt(self.subject.tokenizer) if self.texts else ()
        write_ngram_filter(chain(filter(None, said), raw), out / FILTER_FILE)


def versions() -> dict[str, str]:
    """What computed the result."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"lawtune": __version__, "python": platform.python_version(), **libraries}
