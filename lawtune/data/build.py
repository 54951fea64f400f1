"""`lawtune data build`: sources → pairs → filters → split → files, with every loss counted."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lawtune.config import QUESTION_TYPES, SPLITS, BuildConfig
from lawtune.data.distractors import choose_distractors, said
from lawtune.data.library import Library, case_key
from lawtune.data.open_api import OpenApiClient, fetch_records, is_api_source
from lawtune.data.privacy import mask
from lawtune.data.qa import make_pairs
from lawtune.data.quality import unfit, unsound
from lawtune.data.quotes import QuotationIndex
from lawtune.data.references import law_key
from lawtune.data.sources import Losses, ReadReport, Record, read_source
from lawtune.data.split import assign_split, drop_near_duplicates
from lawtune.errors import UserError
from lawtune.files import full_disk_is_told, require_writable, write_json, write_text
from lawtune.options import to_dict
from lawtune.records import (
    Case,
    Guidance,
    QAPair,
    Statute,
    fingerprint,
    read_qa,
    write_qa,
)

HELD_OUT = ("validation", "test")
POOL = 10
"""Wrong choices are looked for among so many times the pairs of a type that a split may hold."""
QA_SUFFIXES = (".jsonl", ".csv")


@dataclass(frozen=True)
class Built:
    """The finished splits and the statistics that `statistics.json` holds."""

    splits: Mapping[str, Sequence[QAPair]]
    statistics: Mapping[str, Any]


def build(sources: Sequence[str], config: BuildConfig, count_tokens: Callable[[str], int]) -> Built:
    """Build leak-free questions and answers from sources of any kind that lawtune reads.

    Args:
        sources: folders or files of statutes, decisions and replies, Q&A files (JSONL, CSV), or
            `law.go.kr:KIND:QUERY`.
        count_tokens: the length of a text in tokens of the tokenizer that `config` names.

    Raises:
        UserError: a source cannot be read, or nothing is left of all of them.
    """
    if config.validation_share + config.test_share >= 1:
        raise UserError("validation_share and test_share leave nothing to train on: lower them")
    read, rejected, masked = ReadReport(), Losses(), Counter()

    def split_of(group: str) -> str:
        return assign_split(group, config.seed, config.validation_share, config.test_share)

    count_tokens = cache(count_tokens)
    library = Library.of(_first_of_each(_records(sources, read), read))
    quotations = QuotationIndex(library.statutes.values(), split_of)
    candidates: dict[str, list[QAPair]] = {name: [] for name in SPLITS}
    for pair in _distinct(_candidates(library, sources, rejected), masked, rejected):
        candidates[split_of(pair.group or pair.id)].append(pair)
    considered = sum(map(len, candidates.values())) + rejected.total()

    def objection(pair: QAPair) -> str | None:
        """Why to leave a pair out; the tokenizer, much the slowest, is asked last."""
        if reason := unsound(pair):
            return reason
        if quotations.quotes_another_split(pair.answer, split_of(pair.group or pair.id)):
            return "answer quotes an article of another split"
        return unfit(pair, count_tokens, config)

    splits, spare, capped = _fill(candidates, objection, config, rejected)
    splits, repeats = drop_near_duplicates(splits, config.near_duplicate)
    learnt = {said(pair.answer) for pair in splits["train"]}
    spare = [p for p in spare if said(p.answer) not in learnt]
    for name in HELD_OUT:
        splits[name] = choose_distractors(splits[name], config.seed, spare)
    if not any(splits.values()):
        told = _told([read.skipped, rejected])
        raise UserError(f"no question could be built from {', '.join(sources)}{told}")
    statistics = _statistics(splits, count_tokens, config)
    statistics["sources"] = {
        "read": dict(read.read),
        "skipped": dict(read.skipped),
        "skipped_examples": read.examples,
    }
    # considered = kept + rejected + over the cap + near-duplicates
    statistics["considered"] = considered
    statistics["over_per_type"] = capped
    statistics["rejected"] = dict(sorted(rejected.items()))
    statistics["rejected_examples"] = dict(sorted(rejected.examples.items()))
    statistics["near_duplicates_dropped"] = [
        {"id": a, "split": b, "repeats": c} for a, b, c in repeats
    ]
    statistics["personal_data_masked"] = dict(masked)
    return Built(splits, statistics)


def _told(losses: Sequence[Losses]) -> str:
    """The commonest losses in brackets, each with its first example, where one is kept: nothing is
    written that could be looked into."""
    told = []
    for reason, count in sum(losses, Counter()).most_common(5):
        example = next((one.examples[reason][0] for one in losses if reason in one.examples), None)
        told.append(f"{reason} ({count}{f': {example}' if example else ''})")
    return f" ({'; '.join(told)})" if told else ""


def write_built(built: Built, out: Path) -> None:
    """Write the three JSONL files, `statistics.json` and the data card into `out`.

    Raises:
        UserError: it cannot be written to, or its disk is full.
    """
    with full_disk_is_told(out, "give the command again"):
        require_writable(out)
        for name in SPLITS:
            write_qa(out / f"{name}.jsonl", built.splits[name])
        write_json(out / "statistics.json", built.statistics)
        write_text(out / "DATA_CARD.md", data_card(built))


def data_card(built: Built) -> str:
    """A Markdown card: what the data is, how it was split, what was left out and why."""
    statistics = built.statistics
    lines = ["# Data card", "", "Questions and answers built by `lawtune data build`.", ""]
    lines += ["| type | " + " | ".join(SPLITS) + " |", "|---|" + "---:|" * len(SPLITS)]
    found = {kind for name in SPLITS for kind in statistics["splits"][name]["types"]}
    for kind, name in {**QUESTION_TYPES, "general": "일반"}.items():
        if kind not in found:
            continue
        counts = [str(statistics["splits"][s]["types"].get(kind, 0)) for s in SPLITS]
        lines.append(f"| {name} (`{kind}`) | " + " | ".join(counts) + " |")
    dates = statistics["dates"]
    if dates["first"]:
        lines += ["", f"Dates of the sources: {dates['first']} to {dates['last']}."]
    lines += [
        "",
        "The split is by source (an article, a decision, a reply): a hash of its name decides.",
        "Answers quote an article's text only from a source of their own split.",
        "Near-duplicates across splits were dropped: "
        f"{len(statistics['near_duplicates_dropped'])}.",
        "",
        "## Left out",
        "",
    ]
    if statistics["over_per_type"]:
        lines.append(f"- beyond `per_type`, not looked into: {statistics['over_per_type']}")
    lines += [f"- {reason}: {count}" for reason, count in statistics["rejected"].items()]
    for reason, count in statistics["sources"]["skipped"].items():
        lines.append(f"- source skipped, {reason}: {count}")
    masked = statistics["personal_data_masked"] or "none found"
    lines += ["", "## Personal data masked", "", str(masked), "", "## Settings", ""]
    lines += [f"- `{key}`: {value}" for key, value in statistics["config"].items()]
    return "\n".join(lines) + "\n"


def _records(sources: Sequence[str], report: ReadReport) -> Iterator[Record]:
    for source in sources:
        if is_api_source(source):
            for record in fetch_records(source, OpenApiClient.from_environment(), report.skip):
                report.read[type(record).__name__] += 1
                yield record
        elif Path(source).suffix.lower() not in QA_SUFFIXES:
            yield from read_source(Path(source), report)


def _candidates(
    library: Library, sources: Sequence[str], rejected: Counter[str]
) -> Iterator[QAPair]:
    yield from make_pairs(library, rejected)
    for source in sources:
        if not is_api_source(source) and Path(source).suffix.lower() in QA_SUFFIXES:
            yield from read_qa(Path(source))


def _first_of_each(records: Iterable[Record], report: ReadReport) -> Iterator[Record]:
    """Pass on each statute and decision once; a further one of its name is counted, and so is
    guidance, which neither asks nor answers."""
    seen: set[str | tuple[str, str]] = set()
    for record in records:
        if isinstance(record, Guidance):
            report.skip("guidance: no question in it", record.origin)
            continue
        if isinstance(record, (Statute, Case)):
            is_statute = isinstance(record, Statute)
            key = law_key(record.name) if is_statute else case_key(record)
            if key in seen:
                report.skip("statute or decision read before under this name", record.origin)
                continue
            seen.add(key)
        yield record


def _distinct(pairs: Iterable[QAPair], masked: Counter[str], rejected: Losses) -> Iterator[QAPair]:
    """The pairs with personal data masked, without exact repeats, each under an id of its own."""
    seen: set[str] = set()
    ids: set[str] = set()
    for pair in pairs:
        pair = _without_personal_data(pair, masked)
        key = fingerprint(pair.question, pair.answer)
        if key in seen:
            rejected.note(_of_type(pair, "identical pair"), pair.id)
            continue
        seen.add(key)
        if pair.id in ids:
            # Two files of a user's may both count from 1.
            pair = replace(pair, id=f"{pair.id}-{key}")
        ids.add(pair.id)
        yield pair


def _of_type(pair: QAPair, reason: str) -> str:
    return f"{pair.type or 'general'}: {reason}"


def _without_personal_data(pair: QAPair, masked: Counter[str]) -> QAPair:
    found = Counter()

    def masking(text: str) -> str:
        clean, kinds = mask(text)
        found.update(kinds)
        return clean

    changes = {
        "question": masking(pair.question),
        "answer": masking(pair.answer),
        "context": pair.context and masking(pair.context),
        "distractors": tuple(map(masking, pair.distractors)),
    }
    masked.update(found)
    return replace(pair, **changes) if found else pair


def _limit(split: str, config: BuildConfig) -> int | None:
    """How many pairs of a type a split may hold: its share of `per_type`."""
    if config.per_type is None:
        return None
    held_out = config.validation_share + config.test_share
    shares = {"validation": config.validation_share, "test": config.test_share}
    return round(config.per_type * shares.get(split, 1 - held_out))


def _fill(
    candidates: Mapping[str, Sequence[QAPair]],
    objection: Callable[[QAPair], str | None],
    config: BuildConfig,
    rejected: Losses,
) -> tuple[dict[str, list[QAPair]], list[QAPair], int]:
    """Each split's pairs; the sound ones of validation and test whether kept or not, for wrong
    choices from sources that no model has learnt from; and how many were over the caps."""
    splits, spare, capped = {}, [], 0
    for name, pairs in candidates.items():
        limit = _limit(name, config)
        if name in HELD_OUT:
            most = None if limit is None else POOL * limit
            pairs, over = _select(pairs, most, objection, config.seed, rejected)
            spare += pairs
            capped += over
        splits[name], over = _select(pairs, limit, objection, config.seed, rejected)
        capped += over
    return splits, spare, capped


def _select(
    pairs: Sequence[QAPair],
    limit: int | None,
    objection: Callable[[QAPair], str | None],
    seed: int,
    rejected: Losses,
) -> tuple[list[QAPair], int]:
    """Up to `limit` sound pairs of each type, and how many were beyond it.

    Pairs are looked into in the order of a hash, and no further than the limit: of a large corpus
    most are never tokenized. `rejected` counts what was found unsound on the way.
    """
    by_type: dict[str | None, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        by_type[pair.type].append(index)
    kept, over = [], 0
    for members in by_type.values():
        chosen: list[int] = []
        ranked = sorted(members, key=lambda index: rank(pairs[index].id, seed))
        for place, index in enumerate(ranked):
            if len(chosen) == limit:
                over += len(ranked) - place
                break
            pair = pairs[index]
            if reason := objection(pair):
                rejected.note(_of_type(pair, reason), pair.id)
            else:
                chosen.append(index)
        kept += [pairs[index] for index in sorted(chosen)]
    return kept, over


def rank(name: str, seed: int) -> str:
    """Where a pair stands among others of which a cap takes only some: a hash, that none of its
    neighbours moves."""
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _statistics(
    splits: Mapping[str, Sequence[QAPair]],
    count_tokens: Callable[[str], int],
    config: BuildConfig,
) -> dict[str, Any]:
    everything = [pair for pairs in splits.values() for pair in pairs]
    dates = sorted(pair.source.date for pair in everything if pair.source and pair.source.date)
    summary = {}
    for name, pairs in splits.items():
        lengths = sorted(count_tokens(pair.answer) for pair in pairs)
        summary[name] = {
            "pairs": len(pairs),
            "groups": len({pair.group or pair.id for pair in pairs}),
            "types": dict(Counter(pair.type or "general" for pair in pairs)),
            "answer_tokens": {
                "median": lengths[len(lengths) // 2] if lengths else None,
                "longest": lengths[-1] if lengths else None,
            },
            "with_distractors": sum(bool(pair.distractors) for pair in pairs),
        }
    span = {"first": dates[0] if dates else None, "last": dates[-1] if dates else None}
    return {"config": to_dict(config), "splits": summary, "dates": span}
