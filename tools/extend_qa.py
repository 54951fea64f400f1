"""More pairs for the starter's Q&A than its corpus gives, from larger source folders.

    python tools/extend_qa.py --source STATUTES DECISIONS

Validation stays what `lawtune data build` makes of the corpus, and so do the first pairs of
`train.jsonl` and `test.jsonl`. Behind these it puts what the same builder makes of the corpus and
the given sources: for training, because a model learns more from it, and for the test, because of
two hundred questions too few tell small differences from chance. The split of a source is a hash of
its name, whatever else is read, so the splits have no source in common; what nearly repeats another
split's answer is left out, and for training what is a wrong choice of another split's question.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lawtune.config import QUESTION_TYPES, SPLITS, QuickstartConfig
from lawtune.data.build import build, data_card, rank
from lawtune.data.distractors import said
from lawtune.data.encode import token_counter
from lawtune.data.split import near_duplicates_across
from lawtune.files import write_text
from lawtune.model.load import find_tokenizer
from lawtune.records import QAPair, fingerprint, write_qa
from lawtune.starter import CORPUS, QA

PER_TYPE = {"test": 600, "train": 2000}
"""`per_type` of the build that a split's further pairs are taken from: the test's share is one in
ten, and of training pairs there are to be as many as `MOST` lets in."""
MOST = 1.5
"""How often a type may have as many training pairs as the rarest."""


def main() -> None:
    """Build twice, join, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", nargs="+", required=True, metavar="PATH")
    sources = parser.parse_args().source
    config = QuickstartConfig().data
    count = token_counter(find_tokenizer(config.tokenizer))
    built = build([str(CORPUS)], config, count)
    splits, more = dict(built.splits), {}
    # The test first: what is learnt gives way to what is asked.
    for name in ("test", "train"):
        others = [pair for other, pairs in splits.items() if other != name for pair in pairs]
        wider = build([*sources, str(CORPUS)], replace(config, per_type=PER_TYPE[name]), count)
        more[name] = further(splits[name], wider.splits[name], others, config.near_duplicate)
        if name == "train":
            new = without_wrong_choices(more[name], others)
            more[name] = balanced(splits[name], new, config.seed)
        splits[name] = [*splits[name], *more[name]]
        write_qa(QA / f"{name}.jsonl", splits[name])
        print(f"{name}: {len(built.splits[name])} pairs of the corpus, {len(more[name])} further")
    write_text(QA / "DATA_CARD.md", data_card(built) + section(more))


def further(
    known: Sequence[QAPair], found: Sequence[QAPair], others: Sequence[QAPair], threshold: float
) -> list[QAPair]:
    """Those of `found` that are not `known`, and nearly repeat no answer of `others`, the pairs of
    the other splits."""
    seen = {fingerprint(pair.question, pair.answer) for pair in known}
    ids = {pair.id for pair in [*known, *others]}
    new = [p for p in found if fingerprint(p.question, p.answer) not in seen and p.id not in ids]
    twins = near_duplicates_across({"others": others, "new": new}, threshold)
    repeating = {mine for _, mine in twins}
    return [pair for pair in new if pair.id not in repeating]


def without_wrong_choices(new: Sequence[QAPair], asked: Sequence[QAPair]) -> list[QAPair]:
    """Those of `new` whose answer is no distractor of `asked`: what a model has learnt to say, it
    would choose. A build sees to that for its own training pairs alone."""
    wrong = {said(text) for pair in asked for text in pair.distractors}
    return [pair for pair in new if said(pair.answer) not in wrong]


def balanced(known: Sequence[QAPair], new: Sequence[QAPair], seed: int) -> list[QAPair]:
    """Of `new`, by their rank, as many of each type as leave it with at most `MOST` times the
    pairs, `known` and new, of the rarest."""
    most = int(MOST * min(Counter(pair.type for pair in [*known, *new]).values()))
    counts, kept = Counter(pair.type for pair in known), set()
    for pair in sorted(new, key=lambda pair: rank(pair.id, seed)):
        if counts[pair.type] < most:
            counts[pair.type] += 1
            kept.add(pair.id)
    return [pair for pair in new if pair.id in kept]


def section(more: Mapping[str, Sequence[QAPair]]) -> str:
    """What the data card says of the further pairs."""
    everything = [pair for pairs in more.values() for pair in pairs]
    groups = {pair.group for pair in everything}
    dates = sorted(p.source.date for p in everything if p.source and p.source.date)
    columns = [name for name in SPLITS if name in more]
    counts = {name: Counter(pair.type for pair in pairs) for name, pairs in more.items()}
    lines = [
        "",
        "## Further pairs",
        "",
        "All of the above is what the starter's corpus gives. `train.jsonl` goes on with"
        f" {len(more['train']):,} pairs and `test.jsonl` with {len(more['test']):,} that"
        f" `tools/extend_qa.py` made in the same way of {len(groups):,} sources: articles of the"
        " corpus and of other statutes, decrees and rules, and decisions of all courts, with"
        f" `per_type` {PER_TYPE['train']:,} for training, of which no type may have more than"
        f" {MOST} times as many pairs as the rarest, and {PER_TYPE['test']} for the test; dates:"
        f" {dates[0]} to {dates[-1]}. The splits have no source in common, and no further pair"
        " nearly repeats another split's answer. The texts are"
        " law.go.kr's, public domain under article 7 of the Korean Copyright Act, by way of the"
        " collection that `docs/pretraining-corpus.md` in lawtune's repository names; each pair"
        " names its source. How they were read, and what was found: `docs/qa-quality.md` there.",
        "",
        "    python tools/extend_qa.py --source sources/law_api sources/precedents",
        "",
        f"| type | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    for kind, name in QUESTION_TYPES.items():
        numbers = " | ".join(str(counts[split][kind]) for split in columns)
        lines.append(f"| {name} (`{kind}`) | {numbers} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
