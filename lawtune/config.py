"""Every option of lawtune and its default, as frozen dataclasses: the only place for a default.

`lawtune.options` reads them from YAML and the command line.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

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

SPLIT_SEED, HELD_OUT_SHARE = 42, 0.1
"""How sources are split: questions and raw text made of them must agree on it."""


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
class TextsConfig:
    """Raw law that is learnt beside the pairs: every step also reads `per_step` pieces, of at most
    `tokens` tokens, of the `sources` (files and folders of law, Markdown and JSON; none: no step).
    Their mean loss counts `weight` times as much as the answers'. What `data build` gives to
    validation and test by the same `seed` and shares is left out."""

    sources: tuple[str, ...] = ()
    per_step: Count = 4
    tokens: Tokens = 160
    weight: Positive = 0.5
    seed: Seed = SPLIT_SEED
    validation_share: Share = HELD_OUT_SHARE
    test_share: Share = HELD_OUT_SHARE


@dataclass(frozen=True)
class LoraConfig:
    """The adapter. `target_modules` are names of modules; `all-linear`, alone or among them, is
    every linear layer but the vocabulary projection. `layers_to_transform` keeps to some layers,
    counted from 0."""

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
    repeats less likely; null: none does, nor any of the first `unlikelihood_after`, a share of all
    steps. `evaluate_every` and `save_every` are in steps, `early_stopping_patience` in evaluations
    without a better loss (0: never).
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
    unlikelihood_after: Share = 0.0
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
    texts: TextsConfig = field(default_factory=TextsConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    out: str = "runs/lawtune"


@dataclass(frozen=True)
class BuildConfig:
    """`lawtune data build`. Lengths are in tokens of `tokenizer`. `per_type` caps each question
    type (after the split, so that its 80/10/10 holds); null keeps all. The split of a source is a
    pure function of its name and `seed`: adding documents never moves an old one."""

    tokenizer: str = "starter"
    seed: Seed = SPLIT_SEED
    validation_share: Share = HELD_OUT_SHARE
    test_share: Share = HELD_OUT_SHARE
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
    seed: Seed = SPLIT_SEED
    validation_share: Share = HELD_OUT_SHARE
    test_share: Share = HELD_OUT_SHARE


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
    evaluate: EvaluateConfig = field(default_factory=lambda: EvaluateConfig(generate=64))
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
