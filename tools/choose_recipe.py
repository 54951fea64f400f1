"""Recipes for the starter model, tried on validation questions: the table in docs/recipe.md.

    python tools/choose_recipe.py ROWS.jsonl [--trials NAME…] [--seeds N…] [--splits test]

Every trial learns from all of the starter's training pairs. A row that stands in ROWS.jsonl, of as
many pairs and questions, is not computed again; the table of all rows is printed (with `--trials`
and no name, no more than that). Several of these, each with rows of its own, can run side by side;
`cat` joins their rows.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lawtune.config import (
    DataConfig,
    EvaluateConfig,
    FinetuneConfig,
    LoraConfig,
    TrainConfig,
)
from lawtune.data.encode import token_counter
from lawtune.eval.contamination import known_text
from lawtune.eval.evaluate import evaluate
from lawtune.files import read_jsonl
from lawtune.model.legal_model import LegalModel
from lawtune.options import load_config
from lawtune.records import read_qa
from lawtune.starter import QA
from lawtune.train.run import finetune

RECIPE = Path(__file__).parents[1] / "recipes" / "starter.yaml"
ATTENTION = ("c_attn", "attn.c_proj")
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
    """What is tried; alpha is twice r."""

    targets: str | tuple[str, ...]
    r: int
    dropout: float
    learning_rate: float
    epochs: int
    unlikelihood_every: int | None
    unlikelihood_after: float = 0.0

    @classmethod
    def of(cls, recipe: FinetuneConfig) -> "Trial":
        """What `recipe` has of it."""
        lora, train = recipe.lora, recipe.train
        trial = cls(
            lora.target_modules,
            lora.r,
            lora.dropout,
            train.learning_rate,
            train.epochs,
            train.unlikelihood_every,
            train.unlikelihood_after,
        )
        tried = trial.config(train.seed, Path(recipe.out))
        # A trial goes on to its end.
        trained = replace(train, early_stopping_patience=tried.train.early_stopping_patience)
        assert (tried.lora, tried.train) == (lora, trained), f"no trial stands for {recipe}"
        return trial

    def config(self, seed: int, out: Path) -> FinetuneConfig:
        """The run that it stands for."""
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
            out=str(out),
        )


PLAIN = Trial(
    "all-linear", r=16, dropout=0.1, learning_rate=2e-3, epochs=1, unlikelihood_every=None
)
TRIALS = {
    "plain": PLAIN,
    "plain, lm_head": replace(PLAIN, targets=("lm_head",)),
    "plain, attention": replace(PLAIN, targets=ATTENTION),
    "plain, r 64": replace(PLAIN, r=64),
    "plain, lr 5e-4": replace(PLAIN, learning_rate=5e-4),
    "chosen": Trial.of(load_config(FinetuneConfig, RECIPE)),
}


def attempt(
    name: str, seed: int, splits: Sequence[str], generate: int | None
) -> Iterator[dict[str, Any]]:
    """A row for each split: the recipe, what training cost and how the model answers."""
    with tempfile.TemporaryDirectory() as folder:
        made = finetune(TRIALS[name].config(seed, Path(folder) / "model"))
        pairs = len(read_qa(QA / "train.jsonl"))
        row = {"trial": name, "seed": seed, "pairs": pairs, **vars(TRIALS[name])}
        row |= {key: made.metrics[key] for key in ("best_step", "steps", "training_seconds")}
        model = LegalModel.load(str(made.folder))
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
    asked = parser.parse_args()
    rows = [row for _, row in read_jsonl(asked.rows)] if asked.rows.exists() else []
    known = {(row["trial"], row["seed"], row["pairs"], *_asked(row)) for row in rows}
    pairs = len(read_qa(QA / "train.jsonl"))
    now = {split: (split, str(len(read_qa(QA / f"{split}.jsonl")))) for split in asked.splits}
    for name in asked.trials:
        for seed in asked.seeds:
            missing = [split for split in now if (name, seed, pairs, *now[split]) not in known]
            for row in attempt(name, seed, missing, asked.generate) if missing else ():
                rows.append(row)
                with asked.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
