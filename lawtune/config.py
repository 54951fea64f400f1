"""Every option of lawtune and its default, as frozen dataclasses: the only place for a default.

A config file is YAML with the same nesting as the dataclasses; `--section.key value` on the command
line overrides it, the value read as YAML. Unknown keys and values of the wrong type are refused.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt

from lawtune.errors import UserError
from lawtune.files import read_text

Config = TypeVar("Config")

Count = Annotated[int, Ge(1)]
Tokens = Annotated[int, Ge(2)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NotNegative = Annotated[float, Ge(0), Lt(math.inf)]
Seed = Annotated[int, Ge(0), Lt(2**63)]
Share = Annotated[float, Ge(0), Lt(1)]

QUESTION_TYPES = {
    "law_explanation": "법령 설명",
    "law_interpretation": "법령 해석",
    "law_application": "법령 적용",
    "precedent_analysis": "판례 분석",
    "precedent_impact": "판례 영향",
}
"""The five question types and the Korean names that reports show."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PromptConfig:
    """How a question becomes a prompt: `lawtune`'s templates, the model's own `chat` template,
    or `auto`: `chat` where the tokenizer brings one, else `lawtune`."""

    template: Literal["lawtune", "chat", "auto"] = "lawtune"


@dataclass(frozen=True)
class DataConfig:
    """Q&A files (JSON Lines or CSV) and the longest example, in tokens."""

    train: str | None = None
    validation: str | None = None
    max_length: Tokens = 512


@dataclass(frozen=True)
class LoraConfig:
    """The adapter. `target_modules` are names of modules, or `all-linear`: every linear layer
    but the vocabulary projection. `layers_to_transform` keeps to some layers, counted from 0."""

    r: Count = 16
    alpha: Positive = 32
    dropout: Share = 0.1
    target_modules: str | tuple[str, ...] = "all-linear"
    layers_to_transform: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation. A step is `batch_size` × `gradient_accumulation` examples, cut by length
    into micro-batches of at most `micro_batch_tokens` with padding (`auto`: 1024 on a CPU, 8192 on
    a GPU), which moves memory and time and not the loss. `warmup_steps: auto` is 10 % of the
    steps; a number that the run cannot finish is refused. `max_steps` ends a run early. Every
    `unlikelihood_every`-th step also lets the model answer its questions itself and makes what it
    repeats less likely; null: none does. `evaluate_every` and `save_every` are in steps,
    `early_stopping_patience` in evaluations without a better loss (0: never).
    `precision: auto` is bf16 where the hardware multiplies in it, else fp32; adapters and sums
    stay in float32. What the frozen layers make of the examples is kept in memory up to
    `cache_budget` MB, on disk above that; with a `cache_dir`, there, for later runs too; with LoRA
    on `lm_head` alone, logits are kept in memory as well if all fits. Where memory comes near
    `memory_limit` MB (`auto`: what is free; null: never), of the GPU where one is used, less is
    computed at once. `gradient_checkpointing` computes each layer twice to keep less of it;
    `load_in_4bit` holds the frozen base in 4 bits (bitsandbytes, on a GPU); `shard`
    spreads the frozen layers over the processes of a run."""

    epochs: Count = 3
    learning_rate: Positive = 2e-4
    batch_size: Count = 1
    gradient_accumulation: Count = 8
    micro_batch_tokens: Count | Literal["auto"] = "auto"
    warmup_steps: int | Literal["auto"] = "auto"
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: NotNegative = 0.0
    max_grad_norm: Positive = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_steps: Count | None = None
    evaluate_every: Count | Literal["epoch"] = "epoch"
    save_every: Count = 500
    keep_checkpoints: Count = 2
    early_stopping_patience: Annotated[int, Ge(0)] = 3
    unlikelihood_every: Count | None = None
    cache_dir: str | None = None
    cache_budget: Annotated[int, Ge(0)] = 2000
    memory_limit: Count | Literal["auto"] | None = "auto"
    gradient_checkpointing: bool = False
    load_in_4bit: bool = False
    shard: bool = False
    seed: Seed = 42
    tensorboard: bool = False


@dataclass(frozen=True)
class FinetuneConfig:
    """`lawtune finetune`: what `recipes/*.yaml` hold."""

    base: str = "starter"
    prompt: PromptConfig = field(default_factory=PromptConfig)
    data: DataConfig = field(default_factory=DataConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    out: str = "runs/lawtune"


@dataclass(frozen=True)
class BuildConfig:
    """`lawtune data build`. Lengths are in tokens of `tokenizer`. `per_type` caps each question
    type (after the split, so that its 80/10/10 holds); null keeps all. The split of a source is a
    pure function of its name and `seed`: adding documents never moves an old one."""

    tokenizer: str = "starter"
    seed: Seed = 42
    validation_share: Share = 0.1
    test_share: Share = 0.1
    per_type: Count | None = None
    min_answer_tokens: Count = 8
    max_answer_tokens: Count = 320
    max_question_tokens: Count = 160
    near_duplicate: Annotated[float, Gt(0), Le(1)] = 0.8


@dataclass(frozen=True)
class CorpusConfig:
    """What `pretrain` reads: source folders, and the seed and shares of the split whose validation
    and test sources are kept out (the same as the Q&A build's). Of a long document the first
    `max_document_tokens` are read; null reads all. `measured` are folders of another kind of text,
    never learnt from, that the model is measured on too."""

    sources: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    max_document_tokens: Count | None = 1024
    seed: Seed = 42
    validation_share: Share = 0.1
    test_share: Share = 0.1


@dataclass(frozen=True)
class ArchitectureConfig:
    """A GPT-2-architecture model and its tokenizer's size. `context` is in tokens."""

    vocabulary: Annotated[int, Ge(400)] = 10_000
    layers: Count = 6
    width: Count = 256
    heads: Count = 4
    context: Count = 1024


@dataclass(frozen=True)
class PretrainTrainConfig:
    """Pre-training from scratch. `batch_tokens` is the tokens of an optimiser step, `window` the
    longest training window. A run ends after `epochs`, or by the clock after `max_minutes`,
    whichever comes first; the learning rate follows whatever will end it, so that its decay always
    completes. The rate warms up over `warmup_share` of the run, stands, and falls to zero over the
    last `decay_share`.
    In the decay, every `unlikelihood_every`-th step also lets the model go on with the step's texts
    itself and makes what it repeats less likely; null: none does.
    `evaluate_windows` held-out documents of each source measure the model; at the end it goes on
    with `samples` held-out articles, for the model card."""

    epochs: Count = 1
    max_minutes: Positive | None = None
    learning_rate: Positive = 4e-3
    warmup_share: Share = 0.02
    decay_share: Share = 0.3
    weight_decay: NotNegative = 0.1
    batch_tokens: Count = 8192
    micro_batch_tokens: Count = 4096
    window: Tokens = 512
    max_grad_norm: Positive = 1.0
    unlikelihood_every: Count | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_every: Count = 50
    evaluate_every: Count = 200
    evaluate_windows: Count = 100
    samples: Annotated[int, Ge(0)] = 20
    seed: Seed = 42


@dataclass(frozen=True)
class PretrainConfig:
    """`lawtune pretrain`: a small causal LM and its tokenizer from raw legal text."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    model: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    train: PretrainTrainConfig = field(default_factory=PretrainTrainConfig)
    out: str = "runs/pretrain"


@dataclass(frozen=True)
class ScoreConfig:
    """`lawtune score`. Citations are checked against `sources`, files and folders of statutes and
    decisions; without any, against those that ship with lawtune."""

    sources: tuple[str, ...] = ()
    bootstrap: Count = 2000
    seed: Seed = 42


@dataclass(frozen=True)
class EvaluateConfig(ScoreConfig):
    """`lawtune evaluate`. `generate` caps the questions that are answered in full (a fixed sample
    by seed; null answers all); likelihood metrics use every question of `--limit`."""

    generate: Count | None = None
    max_new_tokens: Count = 256
    batch_size: Count = 64


@dataclass(frozen=True)
class QuickstartConfig:
    """`lawtune quickstart`: few enough examples and answers for five minutes on two cores. The
    whole of the built data is kept; `train_examples` of it are learnt from, `generate` test
    questions are answered in full, and the likelihood metrics use every test question."""

    data: BuildConfig = field(default_factory=lambda: BuildConfig(per_type=450))
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(r=64, alpha=128))
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            epochs=1,
            learning_rate=2e-3,
            batch_size=8,
            gradient_accumulation=1,
            unlikelihood_every=2,
        )
    )
    evaluate: EvaluateConfig = field(default_factory=lambda: EvaluateConfig(generate=100))
    train_examples: Count = 800
    validation_examples: Count = 100
    max_length: Tokens = 512


@dataclass(frozen=True)
class AnswerConfig:
    """How `LegalModel.answer` decodes: greedy at temperature 0, else sampled with top-p."""

    max_new_tokens: Count = 256
    temperature: NotNegative = 0.0
    top_p: Annotated[float, Gt(0), Le(1)] = 0.95
    seed: Seed = 42


def load_config(
    schema: type[Config], path: Path | None, overrides: Mapping[str, str] | None = None
) -> Config:
    """Build `schema` from a YAML file (or nothing) and dotted overrides.

    Args:
        overrides: dotted key → value as written on the command line, read as YAML.

    Raises:
        UserError: the file is missing or not a YAML mapping, a key is unknown (the valid ones are
            listed), or a value does not fit its field.
    """
    tree = _read_yaml_mapping(path) if path else {}
    for key, text in (overrides or {}).items():
        _set_dotted(tree, key, text, schema)
    return validate(schema, tree, str(path) if path else "the command line")


def validate(schema: type[Config], tree: Mapping[str, Any], origin: str) -> Config:
    """Turn a plain mapping into `schema`, checking every key and type (see `load_config`)."""
    # Imported here: pydantic costs a tenth of a second, which `--help` need not pay.
    from pydantic import TypeAdapter, ValidationError

    _refuse_unknown_keys(schema, tree, origin)
    try:
        return TypeAdapter(schema).validate_python(_over_defaults(schema, tree))
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic also names the union member it tried; only our own names help the reader.
        names = {part for key in valid_keys(schema) for part in key.split(".")}
        key = ".".join(str(part) for part in first["loc"] if str(part) in names)
        raise UserError(
            f"{origin}: {key}: {first['msg'].lower()} (found {first['input']!r})"
        ) from None


def valid_keys(schema: type) -> dict[str, Any]:
    """Every dotted key of `schema` with its default, in order."""

    def walk(config: Any, prefix: str) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        for name, value in _fields(config).items():
            if dataclasses.is_dataclass(value):
                keys |= walk(value, f"{prefix}{name}.")
            else:
                keys[f"{prefix}{name}"] = value
        return keys

    return walk(schema(), prefix="")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain data for JSON or YAML; tuples become lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    return plain(dataclasses.asdict(config))


def _over_defaults(schema: type, tree: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with what it leaves open filled from `schema`'s own defaults. Left to themselves, the
    other keys of a section would fall back to the section's class, not to its owner's values."""

    def merge(defaults: Any, branch: Mapping[str, Any]) -> dict[str, Any]:
        merged = _fields(defaults)
        for key, value in branch.items():
            # A section with nothing below it keeps its defaults.
            inner = dataclasses.is_dataclass(merged[key]) and isinstance(value, Mapping | None)
            merged[key] = merge(merged[key], value or {}) if inner else value
        return merged

    return merge(schema(), tree)


def _fields(config: Any) -> dict[str, Any]:
    return {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}


def _read_yaml_mapping(path: Path) -> dict[str, Any]:
    tree = _parse_yaml(read_text(path), str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping of options, found {type(tree).__name__}")
    return tree


def _parse_yaml(text: str, origin: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that comes twice: of two sections `train`, the first would be lost."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise yaml.YAMLError(f"{twice} stands there twice")
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: not YAML: {' '.join(str(error).split())}") from None


def _set_dotted(tree: dict[str, Any], key: str, text: str, schema: type) -> None:
    if key not in valid_keys(schema):
        raise _unknown(key, schema, "the command line")
    *sections, leaf = key.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
        schema = _types(schema)[section]
    kind = _types(schema)[leaf]
    # A path is taken as typed: a folder may well be called 20240501 or [민법].
    is_text = kind is str or (kind == str | None and text != "null")
    tree[leaf] = text if is_text else _parse_yaml(text, f"--{key}")


def _types(schema: type) -> dict[str, Any]:
    return {entry.name: entry.type for entry in dataclasses.fields(schema)}


def _refuse_unknown_keys(schema: type, tree: Mapping[str, Any], origin: str) -> None:
    def walk(kind: type, branch: Mapping[str, Any], prefix: str) -> None:
        kinds = {entry.name: entry.type for entry in dataclasses.fields(kind)}
        for key, value in branch.items():
            if key not in kinds:
                raise _unknown(f"{prefix}{key}", schema, origin)
            if dataclasses.is_dataclass(kinds[key]) and isinstance(value, Mapping):
                walk(kinds[key], value, f"{prefix}{key}.")

    walk(schema, tree, prefix="")


def _unknown(key: str, schema: type, origin: str) -> UserError:
    keys: Sequence[str] = list(valid_keys(schema))
    close = difflib.get_close_matches(key, keys, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return UserError(f"{origin}: unknown key {key}{hint}; valid keys: {', '.join(keys)}")
