"""`lawtune data build`: sources → pairs → filters → split → files, with every loss counted."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lawtune.config import QUESTION_TYPES, SPLITS, BuildConfig, to_dict
from lawtune.data.distractors import choose_distractors
from lawtune.data.open_api import OpenApiClient, fetch_records, is_api_source
from lawtune.data.privacy import mask
from lawtune.data.qa import Library, make_pairs
from lawtune.data.quality import rejection
from lawtune.data.quotes import QuotationIndex
from lawtune.data.sources import ReadReport, Record, read_source
from lawtune.data.split import assign_split, drop_near_duplicates
from lawtune.errors import UserError
from lawtune.files import require_writable, write_json, write_text
from lawtune.records import QAPair, fingerprint, read_qa, write_qa

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
    read, rejected, masked = ReadReport(), Counter(), Counter()

    def split_of(group: str) -> str:
        return assign_split(group, config.seed, config.validation_share, config.test_share)

    library = Library.of(_records(sources, read))
    quotations = QuotationIndex(library.statutes.values(), split_of)
    splits: dict[str, list[QAPair]] = {name: [] for name in SPLITS}
    seen: set[str] = set()
    for pair in _candidates(library, sources, split_of, rejected):
        pair = _without_personal_data(pair, masked)
        split = split_of(pair.group or pair.id)
        reason = rejection(pair, count_tokens, config)
        if reason is None and quotations.quotes_another_split(pair.answer, split):
            reason = "answer quotes an article of another split"
        if reason is None and (key := fingerprint(pair.question, pair.answer)) in seen:
            reason = "identical pair"
        if reason:
            rejected[f"{pair.type or 'general'}: {reason}"] += 1
            continue
        seen.add(key)
        splits[split].append(pair)
    if config.per_type is not None:
        splits = {name: _capped(pairs, name, config) for name, pairs in splits.items()}
    splits, repeats = drop_near_duplicates(splits, config.near_duplicate)
    for name in ("validation", "test"):
        splits[name] = choose_distractors(splits[name], config.seed)
    if not any(splits.values()):
        raise UserError(f"no question could be built from {', '.join(sources)}")
    statistics = _statistics(splits, count_tokens, config)
    statistics["sources"] = {
        "read": dict(read.read),
        "skipped": dict(read.skipped),
        "skipped_examples": read.examples,
    }
    statistics["rejected"] = dict(sorted(rejected.items()))
    statistics["near_duplicates_dropped"] = [
        {"id": a, "split": b, "repeats": c} for a, b, c in repeats
    ]
    statistics["personal_data_masked"] = dict(masked)
    return Built(splits, statistics)


def write_built(built: Built, out: Path) -> None:
    """Write the three JSONL files, `statistics.json` and the data card into `out`."""
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
    for kind, name in QUESTION_TYPES.items():
        counts = [str(statistics["splits"][s]["types"].get(kind, 0)) for s in SPLITS]
        lines.append(f"| {name} (`{kind}`) | " + " | ".join(counts) + " |")
    dates = statistics["dates"]
    lines += ["", f"Dates of the sources: {dates['first']} to {dates['last']}.", ""]
    lines += [
        "The split is by source (an article, a decision, a reply): a hash of its name decides.",
        "Answers quote an article's text only from a source of their own split.",
        "Near-duplicates across splits were dropped: "
        f"{len(statistics['near_duplicates_dropped'])}.",
        "",
        "## Left out",
        "",
    ]
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
    library: Library,
    sources: Sequence[str],
    split_of: Callable[[str], str],
    rejected: Counter[str],
) -> Iterator[QAPair]:
    yield from make_pairs(library, split_of, rejected)
    for source in sources:
        if not is_api_source(source) and Path(source).suffix.lower() in QA_SUFFIXES:
            yield from read_qa(Path(source))


def _without_personal_data(pair: QAPair, masked: Counter[str]) -> QAPair:
    question, in_question = mask(pair.question)
    answer, in_answer = mask(pair.answer)
    found = in_question + in_answer
    if not found:
        return pair
    masked.update(found)
    return replace(pair, question=question, answer=answer)


def _capped(pairs: Iterable[QAPair], split: str, config: BuildConfig) -> list[QAPair]:
    """At most this split's share of `per_type` pairs of each type, chosen by hash."""
    held_out = config.validation_share + config.test_share
    shares = {"validation": config.validation_share, "test": config.test_share}
    limit = round(config.per_type * shares.get(split, 1 - held_out))
    by_type: dict[str | None, list[QAPair]] = defaultdict(list)
    for pair in pairs:
        by_type[pair.type].append(pair)
    kept = []
    for members in by_type.values():
        ranked = sorted(members, key=lambda pair: _rank(pair.id, config.seed))
        chosen = {pair.id for pair in ranked[:limit]}
        kept += [pair for pair in members if pair.id in chosen]
    return kept


def _rank(name: str, seed: int) -> str:
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
            "groups": len({pair.group for pair in pairs}),
            "types": dict(Counter(pair.type or "general" for pair in pairs)),
            "answer_tokens": {
                "median": lengths[len(lengths) // 2] if lengths else None,
                "longest": lengths[-1] if lengths else None,
            },
            "with_distractors": sum(bool(pair.distractors) for pair in pairs),
        }
    span = {"first": dates[0] if dates else None, "last": dates[-1] if dates else None}
    return {"config": to_dict(config), "splits": summary, "dates": span}
