"""More training pairs for the starter's Q&A than its corpus gives, from larger source folders.

    python tools/extend_qa.py --source STATUTES DECISIONS

Validation and test stay what `lawtune data build` makes of the corpus, and so do the first pairs of
`train.jsonl`. Behind these it puts what the same builder makes of the corpus and the given sources
for training. The split of a source is a hash of its name, whatever else is read, so none of these
pairs is of a source that is held out; what nearly repeats a held-out answer is left out.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from lawtune.config import QUESTION_TYPES, QuickstartConfig
from lawtune.data.build import HELD_OUT, build, data_card
from lawtune.data.encode import token_counter
from lawtune.data.split import near_duplicates_across
from lawtune.files import write_text
from lawtune.model.load import find_tokenizer
from lawtune.records import QAPair, fingerprint, write_qa
from lawtune.starter import CORPUS, QA

PER_TYPE = 660
"""Of the pairs of a type, eight in ten for training: no type has more than half as many again as
the rarest."""


def main() -> None:
    """Build twice, join, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", nargs="+", required=True, metavar="PATH")
    sources = parser.parse_args().source
    config = QuickstartConfig().data
    count = token_counter(find_tokenizer(config.tokenizer))
    built = build([str(CORPUS)], config, count)
    wider = build([*sources, str(CORPUS)], replace(config, per_type=PER_TYPE), count)
    held_out = [pair for name in HELD_OUT for pair in built.splits[name]]
    more = further(built.splits["train"], wider.splits["train"], held_out, config.near_duplicate)
    write_qa(QA / "train.jsonl", [*built.splits["train"], *more])
    write_text(QA / "DATA_CARD.md", data_card(built) + section(more))
    print(f"{len(built.splits['train'])} training pairs of the corpus, {len(more)} further ones")


def further(
    known: Sequence[QAPair], found: Sequence[QAPair], held_out: Sequence[QAPair], threshold: float
) -> list[QAPair]:
    """Those of `found` that are not `known`, and nearly repeat no held-out answer."""
    seen = {fingerprint(pair.question, pair.answer) for pair in known}
    ids = {pair.id for pair in [*known, *held_out]}
    new = [p for p in found if fingerprint(p.question, p.answer) not in seen and p.id not in ids]
    twins = near_duplicates_across({"held out": held_out, "training": new}, threshold)
    repeating = {training for _, training in twins}
    return [pair for pair in new if pair.id not in repeating]


def section(more: Sequence[QAPair]) -> str:
    """What the data card says of the further pairs."""
    counts, groups = Counter(pair.type for pair in more), {pair.group for pair in more}
    dates = sorted(pair.source.date for pair in more if pair.source and pair.source.date)
    lines = [
        "",
        "## Further training pairs",
        "",
        f"All of the above is what the starter's corpus gives. `train.jsonl` goes on with"
        f" {len(more):,} pairs that `tools/extend_qa.py` made in the same way of {len(groups):,}"
        " sources: articles of the corpus and of other statutes, decrees and rules, and decisions"
        f" of all courts, with `per_type` {PER_TYPE}; dates: {dates[0]} to {dates[-1]}. They are of"
        " no source that validation or test ask about, and none nearly repeats an answer of theirs."
        " The texts are law.go.kr's, public domain under article 7 of the Korean Copyright Act;"
        " each pair names its source.",
        "",
        "| type | further pairs |",
        "|---|---:|",
    ]
    lines += [f"| {name} (`{kind}`) | {counts[kind]} |" for kind, name in QUESTION_TYPES.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
