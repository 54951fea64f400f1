"""Tokenizers for the starter model, tried at equal cost: the table in docs/pretraining.md.

    python tools/choose_tokenizer.py ROWS.jsonl --runs DIR [--trials NAME…] [--seeds N…]

The sources of recipes/pretrain_starter.yaml are read once, and each trial's tokenizer is trained on
all of their training documents. A model then learns from as many of them, drawn by its seed, as
`--operations` pay for: a larger vocabulary takes layers' place, and its tokens are longer. A row
that stands in ROWS.jsonl is not computed again, and what DIR keeps of a run that was stopped is
gone on from. The table of all rows is printed.
"""

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lawtune.config import PretrainConfig
from lawtune.data.corpus import Document
from lawtune.data.encode import encode_text
from lawtune.files import atomic_path, read_jsonl, write_json
from lawtune.model.load import load_tokenizer
from lawtune.options import load_config
from lawtune.records import evenly
from lawtune.train.outcome import versions
from lawtune.train.pretrain import pretrain
from lawtune.train.pretrain_text import (
    CORPUS_FOLDER,
    TOKENS_FILE,
    prepare_text,
    text_settings,
    training_documents,
)
from lawtune.train.throughput import training_flops
from lawtune.train.tokenizer import (
    BOS,
    EOS,
    PAD,
    RESERVED,
    as_fast_tokenizer,
    train_tokenizer,
)
from lawtune.train.tokens import Tokens, encode_documents

RECIPE = Path(__file__).parents[1] / "recipes" / "pretrain_starter.yaml"
UNKNOWN = "<unk>"
COVERED = 0.9995
"""Of a Unigram tokenizer's training text: rarer characters get no piece (SentencePiece's default).
The library's trainer would give every one of them a piece."""


@dataclass(frozen=True)
class Trial:
    """A tokenizer of `vocabulary` tokens, and how many layers keep the model's size with it."""

    kind: str
    vocabulary: int
    layers: int


TRIALS = {
    "bpe-8k": Trial("bpe", 8_192, 7),
    "bpe-16k": Trial("bpe", 16_384, 5),
    "bpe-24k": Trial("bpe", 24_576, 4),
    "bpe-32k": Trial("bpe", 32_768, 2),
    "unigram-16k": Trial("unigram", 16_384, 5),
}


def train_unigram(texts: Sequence[str], vocabulary: int, context: int) -> Any:
    """A Unigram tokenizer (Kudo 2018, arXiv:1804.10959) that falls back on bytes, so that no text
    is unknown to it either; as `train_tokenizer` otherwise."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never"), decoders.Fuse()]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary - 256,
        special_tokens=[BOS, EOS, PAD, UNKNOWN, *RESERVED],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    rare = dict.fromkeys(_rare_characters(texts), "\n")
    tokenizer.train_from_iterator((text.translate(rare) for text in texts), trainer)
    # The trainer knows no bytes. Their score is nobody's: they stand in for what has no piece.
    made = json.loads(tokenizer.to_str())
    made["model"]["vocab"] += [[f"<0x{byte:02X}>", -100.0] for byte in range(256)]
    made["model"]["byte_fallback"] = True
    fast = as_fast_tokenizer(Tokenizer.from_str(json.dumps(made)), context)
    fast.unk_token = UNKNOWN
    return fast


def _rare_characters(texts: Iterable[str]) -> Iterator[int]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    enough, covered = COVERED * counts.total(), 0
    for character, count in counts.most_common():
        if covered > enough:
            yield ord(character)
        covered += count


def attempt(name: str, seed: int, operations: float, runs: Path) -> dict[str, Any]:
    """A row: what the tokenizer makes of held-out text, and what the model learnt with it."""
    trial, recipe = TRIALS[name], load_config(PretrainConfig, RECIPE)
    prepared = replace(recipe, out=str(runs / "prepared"))
    held_out = prepare_text(prepared, resume=True).held_out
    documents = Path(prepared.out) / CORPUS_FOLDER
    whole = runs / name
    if not whole.exists():
        _encode(trial, recipe, documents, whole)
    config = replace(
        recipe,
        model=replace(recipe.model, vocabulary=trial.vocabulary, layers=trial.layers),
        train=replace(recipe.train, epochs=1, max_minutes=None, samples=0, seed=seed),
        out=str(runs / f"{name}-{seed}-{operations:g}"),
    )
    if not (Path(config.out) / CORPUS_FOLDER).exists():
        _draw(config, documents, whole, operations)
    model = pretrain(config, resume=True)
    return {
        "trial": name,
        **vars(trial),
        "seed": seed,
        "operations": operations,
        "parameters": model.parameters,
        "target_tokens": model.target_tokens,
        "bytes_per_token": _bytes_per_token(held_out, load_tokenizer(whole)),
        "bits_per_byte": dict(model.bits_per_byte),
        "versions": versions(),
    }


def _encode(trial: Trial, recipe: PretrainConfig, documents: Path, target: Path) -> None:
    """Write the trial's tokenizer, and every training document in its tokens."""
    train = {"bpe": train_tokenizer, "unigram": train_unigram}[trial.kind]
    learnt = list(training_documents(documents))
    texts = [document.text for _, document in learnt]
    tokenizer = train(texts, trial.vocabulary, recipe.model.context)
    limit = recipe.corpus.max_document_tokens
    with atomic_path(target) as folder:
        tokenizer.save_pretrained(folder)
        encode_documents(learnt, tokenizer, limit).save(folder / TOKENS_FILE)


def _draw(config: PretrainConfig, documents: Path, whole: Path, operations: float) -> None:
    """Write what `pretrain` then finds prepared: documents drawn by the seed, as many as the
    operations pay for.

    Raises:
        SystemExit: they would pay for more than there are.
    """
    tokens, size, model = Tokens.load(whole / TOKENS_FILE), config.train.window, config.model
    starts = np.concatenate([[0], tokens.ends[:-1]])
    drawn, spent = [], 0
    for place in np.random.default_rng(config.train.seed).permutation(len(starts)).tolist():
        length = int(tokens.ends[place] - starts[place])
        windows = [min(size, length - at) for at in range(0, length, size)]
        spent += training_flops(model, model.vocabulary, windows)
        if spent > operations:
            break
        drawn.append(place)
    else:
        raise SystemExit(f"all documents take {spent:.2g} operations: ask for fewer")
    drawn.sort()
    parts = [tokens.ids[starts[place] : tokens.ends[place]] for place in drawn]
    ends = np.cumsum([len(part) for part in parts])
    with atomic_path(Path(config.out) / CORPUS_FOLDER) as folder:
        folder.mkdir()
        Tokens(np.concatenate(parts), ends, tokens.lines[drawn]).save(folder / TOKENS_FILE)
        load_tokenizer(whole).save_pretrained(folder / "tokenizer")
        (folder / "documents.jsonl").hardlink_to(documents / "documents.jsonl")
        write_json(folder / "corpus.json", {"settings": text_settings(config)})


def _bytes_per_token(held_out: Iterable[Document], tokenizer: Any) -> dict[str, float]:
    """Of 200 held-out documents of each kind, evenly spread."""
    kinds: dict[str, list[str]] = {}
    for document in held_out:
        kinds.setdefault(document.source, []).append(document.text)
    shares = {}
    for kind, texts in sorted(kinds.items()):
        sample = evenly(texts, 200)
        count = sum(len(encode_text(tokenizer, text)) for text in sample)
        shares[kind] = sum(len(text.encode()) for text in sample) / count
    return shares


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown: bits per byte, and in brackets bytes a token, by kind of text."""
    kinds = list(rows[0]["bits_per_byte"]) if rows else []
    head = ["operations", "tokenizer", "layers", "parameters", "tokens learnt", "seed", *kinds]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        bits, size = row["bits_per_byte"], row["bytes_per_token"]
        line = [f"{row['operations']:.2g}", f"{row['kind']}, {row['vocabulary']:,}"]
        line += [str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M"]
        line += [f"{row['target_tokens'] / 1e6:.2f} M", str(row["seed"])]
        lines.append(line + [f"{bits[kind]:.3f} ({size[kind]:.2f})" for kind in kinds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="where what is made is kept")
    parser.add_argument("--trials", nargs="*", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--operations", type=float, default=6e13, help="of each run (default 6e13)")
    asked = parser.parse_args()
    rows = [row for _, row in read_jsonl(asked.rows)] if asked.rows.exists() else []
    done = {(row["trial"], row["seed"], row["operations"]) for row in rows}
    for name, seed in itertools.product(asked.trials, asked.seeds):
        if (name, seed, asked.operations) not in done:
            rows.append(attempt(name, seed, asked.operations, asked.runs))
            with asked.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
