"""What a fine-tuning run reads, checked before any hours are spent: options, folders, examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lawtune.config import BuildConfig, FinetuneConfig
from lawtune.data.encode import EncodeReport, Window, encode_pairs
from lawtune.data.privacy import mask
from lawtune.data.split import near_duplicates_across
from lawtune.errors import UserError
from lawtune.files import require_creatable, sha256
from lawtune.model.adapter import ADAPTER_WEIGHTS
from lawtune.model.manager import TRAINING_CONFIG as TRAINING_CONFIG_FILE
from lawtune.model.manifest import MANIFEST_FILE, verify_manifest
from lawtune.options import to_dict, validate
from lawtune.prompt import PromptTemplate
from lawtune.records import QAPair, fingerprint, read_qa
from lawtune.train.checkpoint import newest_valid

LISTED = 5
"""How many examples an error message lists."""


@dataclass(frozen=True)
class Split:
    """One data file. `duplicates` are the ids of pairs that an earlier one equals (normalised),
    `near_duplicates` those of a validation file whose answers nearly repeat a training answer;
    `masked` counts the personal data that was masked, by kind."""

    path: str
    sha256: str
    pairs: Sequence[QAPair]
    duplicates: Sequence[str]
    near_duplicates: Sequence[str] = ()
    masked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedSplit:
    """A data file as windows, with what was cut and dropped."""

    split: Split
    windows: Sequence[Window]
    report: EncodeReport

    def remarks(self) -> list[str]:
        """What a user should know of this file, one sentence each."""
        counts = {
            "repeat an earlier one": self.split.duplicates,
            "nearly repeat an answer of the training file": self.split.near_duplicates,
            "lost the head of their prompt": self.report.prompt_cut,
            "lost the tail of their answer and their end token": self.report.answer_cut,
            "were dropped: no answer, or no room for one in data.max_length": (
                self.report.dropped_empty
            ),
        }
        total = len(self.split.pairs)
        remarks = [
            f"{self.split.path}: {len(ids)} of {total} examples {what} (listed in"
            f" {TRAINING_CONFIG_FILE})"
            for what, ids in counts.items()
            if ids
        ]
        if self.split.masked:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.split.masked.items())
            remarks.append(f"{self.split.path}: personal data masked: {kinds}")
        return remarks

    def to_json(self) -> dict[str, Any]:
        """What the model folder records of its data."""
        facts = {"path": self.split.path, "sha256": self.split.sha256}
        facts |= {"records": len(self.split.pairs), "duplicates": list(self.split.duplicates)}
        facts["near_duplicates"] = list(self.split.near_duplicates)
        facts["personal_data_masked"] = dict(self.split.masked)
        facts["target_tokens"] = sum(window.targets for window in self.windows)
        return facts | asdict(self.report)


def check_settings(config: FinetuneConfig) -> None:
    """Refuse what no run could use, also in a config that was made in Python.

    Raises:
        UserError: a value is out of its range, or two do not go together.
    """
    validate(FinetuneConfig, to_dict(config), "the settings")
    if config.train.shard and config.train.unlikelihood_every:
        raise UserError(
            "train.unlikelihood_every and train.shard do not go together: a process alone cannot"
            " answer questions with layers that are spread over all of them"
        )
    if config.texts.sources and config.texts.tokens > config.data.max_length:
        raise UserError(
            f"texts.tokens ({config.texts.tokens}) must not exceed data.max_length"
            f" ({config.data.max_length})"
        )


def check_out(out: Path, resume: bool) -> None:
    """Prove that `out` can be written to, without creating it, and that it holds no other run.

    Raises:
        UserError: it cannot, or it holds a model or checkpoints and `resume` is not asked for, or
            `resume` is, and what it holds is damaged and cannot be made again from a checkpoint.
    """
    if out == Path():
        raise UserError("out is empty: give the folder to write to (. for this one is not enough)")
    require_creatable(out)
    if resume:
        newest, model = newest_valid(out), (TRAINING_CONFIG_FILE, ADAPTER_WEIGHTS)
        if newest is None and all((out / name).is_file() for name in model):
            damage = "; ".join(verify_manifest(out))
            raise UserError(
                f"{out} holds a model that is damaged ({damage}), and no checkpoint to make it"
                " again from: restore what is damaged, or choose another --out"
            )
        return
    if (out / MANIFEST_FILE).exists() or (out / TRAINING_CONFIG_FILE).exists():
        raise UserError(f"{out} already holds a model; choose another --out, or remove it first")
    refuse_unfinished(out)


def refuse_unfinished(out: Path) -> None:
    """Make sure that a new run does not take the place of an unfinished one.

    Raises:
        UserError: `out` holds checkpoints.
    """
    if next(out.glob("checkpoint-*"), None):
        raise UserError(
            f"{out} holds the checkpoints of an unfinished run; go on with --resume, choose"
            " another --out, or remove it first"
        )


def is_finished(out: Path) -> bool:
    """Whether `out` holds a model that was written to the end and is undamaged."""
    return (out / TRAINING_CONFIG_FILE).is_file() and not verify_manifest(out)


def read_splits(config: FinetuneConfig) -> tuple[Split, Split | None]:
    """Read the training and the validation file (None if there is none).

    Raises:
        UserError: a file is missing or holds a bad record, or validation shares a pair or a
            group with training.
    """
    if config.data.train is None:
        raise UserError("data.train is not set: give the training file (--data.train FILE)")
    train = _read_split(config.data.train)
    if config.data.validation is None:
        return train, None
    validation = _read_split(config.data.validation)
    refuse_leaks(train, validation)
    files = {"train": train.pairs, "validation": validation.pairs}
    found = near_duplicates_across(files, BuildConfig().near_duplicate)
    ids = dict.fromkeys(validation_id for _, validation_id in found)
    return train, replace(validation, near_duplicates=tuple(ids))


def refuse_leaks(train: Split, validation: Split) -> None:
    """A validation loss over pairs or sources that were trained on measures memory.

    Raises:
        UserError: a validation pair equals a training pair after normalisation, or is of its
            group; files and ids are named.
    """
    seen = {fingerprint(pair.question, pair.answer): pair.id for pair in train.pairs}
    groups = {pair.group: pair.id for pair in train.pairs if pair.group}
    identical, shared = [], []
    for pair in validation.pairs:
        twin = seen.get(fingerprint(pair.question, pair.answer))
        if twin is not None:
            identical.append(f"{pair.id} = {twin}")
        elif pair.group in groups:
            shared.append(f"{pair.id} and {groups[pair.group]} of {pair.group!r}")
    for what, found in (("are identical to", identical), ("share their group with", shared)):
        if found:
            more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
            raise UserError(
                f"{len(found)} pairs of {validation.path} {what} pairs of {train.path}:"
                f" {'; '.join(found[:LISTED])}{more}. Remove them from one of the two"
            )


def encode_split(
    split: Split, template: PromptTemplate, tokenizer: Any, max_length: int
) -> EncodedSplit:
    """Encode a file.

    Raises:
        UserError: not one example is left.
    """
    windows, report = encode_pairs(split.pairs, template, tokenizer, max_length)
    if not windows:
        raise UserError(
            f"{split.path}: not one of its {len(split.pairs)} answers has a token that fits into"
            f" data.max_length ({max_length}) beside the end of its prompt"
        )
    return EncodedSplit(split, windows, report)


def _read_split(path: str) -> Split:
    masked: Counter[str] = Counter()
    pairs = [_masked(pair, masked) for pair in read_qa(Path(path))]
    seen: Counter[str] = Counter()
    duplicates = []
    for pair in pairs:
        name = fingerprint(pair.question, pair.answer)
        if seen[name]:
            duplicates.append(pair.id)
        seen[name] += 1
    return Split(path, sha256(Path(path)), pairs, duplicates, masked=dict(masked))


def _masked(pair: QAPair, found: Counter[str]) -> QAPair:
    """The pair without personal data: what is learnt can be said."""
    texts = {}
    for name in ("question", "answer", "context"):
        if text := getattr(pair, name):
            texts[name], kinds = mask(text)
            found.update(kinds)
    return replace(pair, **texts)
