"""Recipes for the starter model, tried on validation questions: the table in docs/recipe.md.

    python tools/choose_recipe.py ROWS.jsonl [--trials NAME…] [--seeds N…] [--split test]

Every trial learns from all of the starter's training pairs. A row that stands in ROWS.jsonl is not
computed again; the table of all rows is printed.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
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
from lawtune.data.encode import encode_text
from lawtune.eval.contamination import known_text
from lawtune.eval.evaluate import evaluate
from lawtune.files import read_jsonl
from lawtune.model.legal_model import LegalModel
from lawtune.records import read_qa
from lawtune.starter import QA
from lawtune.train.run import finetune

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
    learning_rate: float
    epochs: int
    unlikelihood_every: int | None

    def config(self, seed: int, out: Path) -> FinetuneConfig:
        """The run that it stands for."""
        return FinetuneConfig(
            base="starter",
            data=DataConfig(str(QA / "train.jsonl"), str(QA / "validation.jsonl")),
            lora=LoraConfig(r=self.r, alpha=2 * self.r, target_modules=self.targets),
            train=TrainConfig(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                batch_size=8,
                gradient_accumulation=1,
                early_stopping_patience=0,
                unlikelihood_every=self.unlikelihood_every,
                seed=seed,
            ),
            out=str(out),
        )


CHOSEN = Trial("all-linear", 16, 2e-3, 2, 4)
TRIALS = {
    "chosen": CHOSEN,
    "without unlikelihood": replace(CHOSEN, unlikelihood_every=None),
    "lm_head": replace(CHOSEN, targets=("lm_head",)),
    "attention": replace(CHOSEN, targets=ATTENTION),
    "lr 5e-4": replace(CHOSEN, learning_rate=5e-4),
    "r 64": replace(CHOSEN, r=64),
    "1 epoch": replace(CHOSEN, epochs=1),
    "4 epochs": replace(CHOSEN, epochs=4),
}


def attempt(name: str, seed: int, split: str, generate: int) -> dict[str, Any]:
    """One row: the recipe, what training cost and how the model answers."""
    with tempfile.TemporaryDirectory() as folder:
        made = finetune(TRIALS[name].config(seed, Path(folder) / "model"))
        model = LegalModel.load(str(made.folder))
        pairs = read_qa(QA / f"{split}.jsonl")
        config = EvaluateConfig(generate=generate)
        found = evaluate(model, pairs, config, filters=known_text(model.folders))
    golds = {pair.id: len(encode_text(model.tokenizer, pair.answer)) for pair in pairs}
    lengths = [row["tokens"] / golds[row["id"]] for row in found.predictions]
    row = {"trial": name, "seed": seed, "split": split, **vars(TRIALS[name])}
    row |= {key: made.metrics[key] for key in ("best_step", "steps", "training_seconds")}
    row["length"] = statistics.median(lengths)
    return row | {"metrics": {key: found.metrics[key] for key in METRICS}}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown: of the tuned model; of the base, the first row."""
    head = ["trial", "seed", "split", *METRICS, "length"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        found = [row["metrics"][key] for key in METRICS]
        if not any(line[0] == "base" and line[2] == row["split"] for line in lines):
            base = [f"{entry['base']:.3f}" for entry in found]
            lines.append(["base", "", row["split"], *base, ""])
        tuned = [f"{entry['value']:.3f}" for entry in found]
        who = [row["trial"], str(row["seed"]), row["split"]]
        lines.append([*who, *tuned, f"{row['length']:.2f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--trials", nargs="*", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--split", default="validation", choices=("validation", "test"))
    parser.add_argument("--generate", type=int, default=60, help="questions answered in full")
    asked = parser.parse_args()
    rows = [row for _, row in read_jsonl(asked.rows)] if asked.rows.exists() else []
    known = {(row["trial"], row["seed"], row["split"]) for row in rows}
    for name in asked.trials:
        for seed in asked.seeds:
            if (name, seed, asked.split) not in known:
                rows.append(attempt(name, seed, asked.split, asked.generate))
                with asked.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
