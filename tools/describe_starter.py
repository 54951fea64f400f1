"""The starter model's card, from the run that made it: its facts, its curve, its samples.

    python tools/describe_starter.py RUN MACHINE

RUN is the folder of `lawtune pretrain`; the card is written to its `model/README.md`. MACHINE is
what it was trained on, and what befell the run, in words. In the card that ships, what stands above
the curve was mended by hand: that curve is of fewer documents than the figures.
"""

import sys
from pathlib import Path
from typing import Any

from lawtune.files import atomic_path, read_json, read_jsonl
from lawtune.train.monitor import LOG_FILE

CURVE_ROWS = 12

CARD = """---
license: apache-2.0
language: ko
library_name: transformers
pipeline_tag: text-generation
---

# The lawtune starter model

A small GPT-2-architecture language model for Korean law, with its own tokenizer, trained from \
scratch so that all of lawtune can be tried without a download and freely used. It writes in \
the manner of statutes and decisions, not always grammatically, and knows little of what they say: \
its answers are not legal advice, and often not even law.

| | |
|---|---|
| parameters | {parameters:,} ({layers} layers, width {width}, {heads} heads, context {context:,}; \
embeddings tied) |
| tokenizer | byte-level BPE, {vocabulary:,} tokens, NFC, digits apart, `<unused0>`…`<unused99>` \
reserved |
| weights | bf16, safetensors |
| licence | Apache-2.0 |

## Training

    lawtune pretrain --config recipes/pretrain_starter.yaml

{tokens:,} tokens ({passes:.2f} passes over {corpus_tokens:,}) in {steps:,} steps, \
{minutes:.0f} minutes of optimiser steps on {machine}; seed {seed}, settings in \
`pretraining.json`. {rate:,.0f} tokens a second, {share:.0%} of the peak of the machine's own \
matrix product{uncounted}. The learning rate followed the clock, so the run is not repeatable to \
the bit.{against_loops}

What was read, from where, and what was left out: `docs/pretraining-corpus.md` in lawtune's \
repository. Every document whose source belongs to the validation or test side of the split was \
left out; with seed {split_seed} and shares of {validation_share} and {test_share} those are the \
very sources that `lawtune data build` holds out, so none of the validation and test questions \
that ship is of a source in the training text. Sentences of other documents that repeat held-out \
ones were cut. Of the 13-word runs of held-out documents that stand in no statute, these shares \
stand in the training text all the same: {overlap}. `ngrams.safetensors` knows the 13-word runs \
of that text, so that an evaluation can tell which test answers stood in it.

## Measured

Bits per byte of held-out documents (the first {window:,} tokens of up to {windows} documents a \
kind):

{figures}

`measured` is a kind of text that is not in the training text at all (see the corpus's page).

## What more time would buy

Bits per byte on the way, of the same documents. The learning rate fell to \
zero over the last {decay:.0%} of the run; before that it stood, so longer training can go on from \
there.

{curve}

## Samples

The first 200 characters of {count} held-out articles, evenly spread, and what the model makes of \
them (top-p 0.95, seed {seed}); none was selected.

{samples}
"""

AGAINST_LOOPS = """ In the decay, every {every}. step also trained against loops: what the model \
itself said again and again, going on from the step's texts, was made less likely."""


def describe(run: Path, machine: str) -> str:
    """The card's text."""
    facts = read_json(run / "model" / "pretraining.json")
    rows = [row for _, row in read_jsonl(run / LOG_FILE)]
    config, corpus = facts["config"], facts["corpus"]
    train, model = config["train"], config["model"]
    every = train["unlikelihood_every"]
    validations = [row for row in rows if row["event"] == "validation"]
    return CARD.format(
        **model,
        parameters=facts["parameters"],
        tokens=facts["target_tokens"],
        corpus_tokens=corpus["tokens"],
        passes=facts["target_tokens"] / (corpus["tokens"] - facts["windows"]),
        steps=max(row.get("step", 0) for row in rows),
        minutes=facts["minutes"],
        machine=machine,
        seed=train["seed"],
        rate=facts["throughput"]["target_tokens_per_second"],
        share=facts["throughput"]["peak_share"],
        uncounted=", the time against loops taken in and its products left out" if every else "",
        against_loops=AGAINST_LOOPS.format(every=every) if every else "",
        split_seed=config["corpus"]["seed"],
        validation_share=config["corpus"]["validation_share"],
        test_share=config["corpus"]["test_share"],
        overlap=", ".join(f"{kind} {share:.1%}" for kind, share in corpus["overlap"].items()),
        window=train["window"] - 1,
        windows=train["evaluate_windows"],
        figures=table(["kind", "bits per byte"], sorted(facts["bits_per_byte"].items())),
        decay=train["decay_share"],
        curve=curve(rows, validations),
        count=len(facts["samples"]),
        samples="\n\n".join(map(sample, facts["samples"])),
    )


def curve(rows: list[dict[str, Any]], validations: list[dict[str, Any]]) -> str:
    """Bits per byte by tokens learnt, at most `CURVE_ROWS` of the measurements."""
    seen, learnt = 0, {}
    for row in rows:
        if row["event"] == "step":
            seen += row["target_tokens"]
            learnt[row["step"]] = seen
    every = -(-len(validations) // CURVE_ROWS)
    shown = validations[::-1][::every][::-1]
    kinds = sorted(shown[0]["bits_per_byte"])
    lines = [
        (f"{learnt[row['step']] / 1e6:.1f}", *(row["bits_per_byte"][kind] for kind in kinds))
        for row in shown
    ]
    return table(["million tokens", *kinds], lines)


def table(head: list[str], lines: list[tuple[Any, ...]]) -> str:
    """Markdown; figures with three decimals."""
    cells = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells])


def sample(made: dict[str, str]) -> str:
    """A prompt, an arrow, and what the model made of it."""
    prompt, text = (" ".join(made[key].split()) for key in ("prompt", "continuation"))
    return f"> {prompt} **→** {text}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with atomic_path(folder / "model" / "README.md") as temporary:
        temporary.write_text(describe(folder, sys.argv[2]), encoding="utf-8")
