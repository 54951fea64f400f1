"""Recipes for the starter model, tried on validation questions: the table in docs/recipe.md.

    python tools/choose_recipe.py ROWS.jsonl [--trials NAME…] [--seeds N…] [--splits test]

Every trial learns from all of the starter's training pairs. A row that stands in ROWS.jsonl, of the
same settings and as many pairs and questions, at least as many of them answered, is not computed
again; the table of all rows is printed (with `--trials` and no name, no more than that). Several of
these, each with rows of its own, can run side by side; `cat` joins their rows. With `--runs DIR`
what was trained stays, and the same command goes on from what a run that was stopped has saved.
"""

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lawtune.config import (
    DataConfig,
    EvaluateConfig,
    FinetuneConfig,
    LoraConfig,
    TextsConfig,
    TrainConfig,
)
from lawtune.data.encode import token_counter
from lawtune.eval.contamination import known_text
from lawtune.eval.evaluate import evaluate
from lawtune.files import read_jsonl
from lawtune.model.average import average_adapters
from lawtune.model.legal_model import LegalModel
from lawtune.options import load_config
from lawtune.records import read_qa
from lawtune.starter import CORPUS, QA
from lawtune.train.run import finetune

RECIPE = Path(__file__).parents[1] / "recipes" / "starter.yaml"
ATTENTION = ("c_attn", "attn.c_proj")
NEXT_MEMBER = 100
"""What the members of a mean have between their seeds."""
METRICS = (
    "bits_per_byte",
    "accuracy",
    "repetition",
    "stopped",
    "rougeL",
    "chrf",
    "legal_relevance",
)


@dataclass(frozen=True)
class Trial:
    """What is tried: the mean of `members` runs, times `scale`. Alpha is twice r; `texts` is the
    raw law of the starter's corpus beside the pairs."""

    targets: str | tuple[str, ...]
    r: int
    dropout: float
    learning_rate: float
    epochs: int
    unlikelihood_every: int | None
    unlikelihood_after: float = 0.0
    texts: bool = False
    members: int = 1
    scale: float = 1.0

    @classmethod
    def of(cls, recipe: FinetuneConfig) -> "Trial":
        """What `recipe` has of it: one run."""
        lora, train = recipe.lora, recipe.train
        trial = cls(
            lora.target_modules,
            lora.r,
            lora.dropout,
            train.learning_rate,
            train.epochs,
            train.unlikelihood_every,
            train.unlikelihood_after,
            bool(recipe.texts.sources),
        )
        tried = trial.config(train.seed, Path(recipe.out))
        # A trial goes on to its end.
        trained = replace(train, early_stopping_patience=tried.train.early_stopping_patience)
        texts = replace(recipe.texts, sources=tried.texts.sources)
        wanted = (lora, trained, texts)
        assert (tried.lora, tried.train, tried.texts) == wanted, f"no trial stands for {recipe}"
        return trial

    def config(self, seed: int, out: Path) -> FinetuneConfig:
        """One of the runs that it stands for."""
        return FinetuneConfig(
            base="starter",
            data=DataConfig(str(QA / "train.jsonl"), str(QA / "validation.jsonl")),
            lora=LoraConfig(
                r=self.r,
                alpha=2 * self.r,
                dropout=self.dropout,
                target_modules=self.targets,
            ),
            train=TrainConfig(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=8,
                gradient_accumulation=1,
                early_stopping_patience=0,
                unlikelihood_every=self.unlikelihood_every,
                unlikelihood_after=self.unlikelihood_after,
                seed=seed,
            ),
            texts=TextsConfig(sources=(str(CORPUS),) if self.texts else ()),
            out=str(out),
        )


PLAIN = Trial(
    "all-linear", r=16, dropout=0.1, learning_rate=2e-3, epochs=1, unlikelihood_every=None
)
CHOSEN = Trial.of(load_config(FinetuneConfig, RECIPE))
TRIALS = {
    "plain": PLAIN,
    "plain, lm_head": replace(PLAIN, targets=("lm_head",)),
    "plain, attention": replace(PLAIN, targets=ATTENTION),
    "plain, r 64": replace(PLAIN, r=64),
    "plain, lr 5e-4": replace(PLAIN, learning_rate=5e-4),
    "chosen": CHOSEN,
    "raw law, two runs": replace(CHOSEN, texts=True, members=2, scale=1.1),
}


def attempt(
    name: str, seed: int, splits: Sequence[str], generate: int | None, runs: Path
) -> Iterator[dict[str, Any]]:
    """A row for each split: the recipe, what training cost and how the model answers."""
    trial = TRIALS[name]
    seeds = [seed + NEXT_MEMBER * member for member in range(trial.members)]
    made = [finetune(trial.config(each, runs / f"{name}-{each}"), resume=True) for each in seeds]
    pairs = len(read_qa(QA / "train.jsonl"))
    row = {"trial": name, "seed": seed, "pairs": pairs, **vars(trial)}
    for key in ("best_step", "steps", "training_seconds"):
        row[key] = [run.metrics[key] for run in made]
    with tempfile.TemporaryDirectory() as scratch:
        folder = made[0].folder
        if trial.members > 1:
            folder = Path(scratch) / "mean"
            average_adapters([str(run.folder) for run in made], folder, trial.scale)
        model = LegalModel.load(str(folder))
        for split in splits:
            yield row | {"split": split} | judge(model, split, generate)


def judge(model: LegalModel, split: str, generate: int | None) -> dict[str, Any]:
    """How a tuned model and its base answer the questions of a split."""
    pairs = read_qa(QA / f"{split}.jsonl")
    config = EvaluateConfig(generate=generate)
    found = evaluate(model, pairs, config, filters=known_text(model.folders))
    count = token_counter(model.tokenizer)
    golds = {pair.id: count(pair.answer) for pair in pairs}
    lengths = [row["tokens"] / golds[row["id"]] for row in found.predictions]
    entries = {key: found.metrics[key] for key in METRICS}
    # One answer alone (the least that can be asked for) says nothing.
    return {
        "length": statistics.median(lengths) if generate != 1 else None,
        "metrics": {key: entry for key, entry in entries.items() if entry["n"] > 1},
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown: of the base, which is one for all of the same questions, and of the
    tuned models."""
    head = ["trial", "pairs", "seed", "split", "questions", *METRICS, "length", "answered"]
    lines = [head, ["---"] * len(head)]
    for asked in dict.fromkeys(map(_asked, rows)):
        fullest = max((row for row in rows if _asked(row) == asked), key=_answered)
        answered = str(_answered(fullest) or "")
        lines.append(["base", "", "", *asked, *_figures(fullest, "base"), "", answered])
    for row in rows:
        length = "" if row["length"] is None else f"{row['length']:.2f}"
        who = [row["trial"], f"{row['pairs']:,}", str(row["seed"]), *_asked(row)]
        lines.append([*who, *_figures(row, "value"), length, str(_answered(row) or "")])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _asked(row: dict[str, Any]) -> tuple[str, str]:
    """The split, and how many of its questions shipped then."""
    return row["split"], str(row["metrics"]["bits_per_byte"]["n"])


def _answered(row: dict[str, Any]) -> int:
    return row["metrics"].get("repetition", {"n": 0})["n"]


def _key(row: Mapping[str, Any], questions: tuple[str, str]) -> tuple[Any, ...]:
    """What makes a row's figures those of a trial: its name, seed, pairs, questions and settings.
    A row from before there was a setting has the default."""
    settings = (row.get(field.name, field.default) for field in fields(Trial))
    listed = (tuple(value) if isinstance(value, list) else value for value in settings)
    return row["trial"], row["seed"], row["pairs"], *questions, *listed


def _to_answer(generate: int | None, questions: int) -> int:
    """How many answers `--generate` asks for."""
    if generate == 1:
        return 0
    return questions if generate is None else min(generate, questions)


def _figures(row: dict[str, Any], key: str) -> list[str]:
    found = row["metrics"]
    return [f"{found[name][key]:.3f}" if name in found else "" for name in METRICS]


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--trials", nargs="*", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument(
        "--splits", nargs="*", default=["validation"], choices=("validation", "test")
    )
    parser.add_argument(
        "--generate",
        type=int,
        help="questions answered in full, 1: none; default: all",
    )
    parser.add_argument("--runs", type=Path, help="where runs are kept; default: nowhere")
    asked = parser.parse_args()
    rows = [row for _, row in read_jsonl(asked.rows)] if asked.rows.exists() else []
    answered: dict[tuple[Any, ...], int] = {}
    for row in rows:
        key = _key(row, _asked(row))
        answered[key] = max(answered.get(key, 0), _answered(row))
    pairs = len(read_qa(QA / "train.jsonl"))
    shipped = {split: len(read_qa(QA / f"{split}.jsonl")) for split in asked.splits}
    with tempfile.TemporaryDirectory() as scratch:
        runs = asked.runs or Path(scratch)
        for name, seed in itertools.product(asked.trials, asked.seeds):
            trial = {"trial": name, "seed": seed, "pairs": pairs, **vars(TRIALS[name])}
            missing = [
                split
                for split, count in shipped.items()
                if answered.get(_key(trial, (split, str(count))), -1)
                < _to_answer(asked.generate, count)
            ]
            for row in attempt(name, seed, missing, asked.generate, runs) if missing else ():
                rows.append(row)
                with asked.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
