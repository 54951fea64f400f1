"""`lawtune data check`: what is wrong with Q&A files, before anything is trained on them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lawtune.config import QUESTION_TYPES
from lawtune.data.privacy import mask
from lawtune.data.split import near_duplicates_across, repeated
from lawtune.errors import UserError
from lawtune.records import QAPair, fingerprint, read_qa


@dataclass
class CheckReport:
    """Findings over several files. Leaks fail a check; everything else is a warning.

    `identical` are (file, id, file, id) of pairs equal after normalisation, `shared_groups` the
    groups that stand in more than one file, with those files.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    repeated_ids: dict[str, dict[str, int]] = field(default_factory=dict)
    repeated_pairs: dict[str, int] = field(default_factory=dict)
    personal_data: dict[str, Counter[str]] = field(default_factory=dict)
    identical: list[tuple[str, str, str, str]] = field(default_factory=list)
    shared_groups: dict[str, list[str]] = field(default_factory=dict)
    near_duplicates: list[tuple[str, str]] = field(default_factory=list)

    @property
    def leaks(self) -> int:
        """Identical pairs and shared groups between files."""
        return len(self.identical) + len(self.shared_groups)


def check_files(paths: Sequence[Path], near_duplicate: float) -> CheckReport:
    """Read and compare Q&A files.

    Raises:
        UserError: a file or record cannot be read (naming its line), or one file is named twice.
    """
    names = [str(path) for path in paths]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"a file is named twice: {', '.join(names)}")
    files = {name: read_qa(path) for name, path in zip(names, paths, strict=True)}
    report = CheckReport()
    for name, pairs in files.items():
        _check_one(name, pairs, report)
    report.identical = _identical(files)
    report.shared_groups = _shared_groups(files)
    report.near_duplicates = near_duplicates_across(files, near_duplicate)
    return report


def describe(report: CheckReport) -> str:
    """The findings as text, one a line; what is clean is said too."""
    lines = []
    for name, counts in report.counts.items():
        kinds = ", ".join(f"{QUESTION_TYPES.get(k, k)} {n}" for k, n in sorted(counts.items()))
        lines.append(f"{name}: {counts.total()} records ({kinds})")
        if ids := report.repeated_ids.get(name):
            lines.append(f"  warning: {len(ids)} ids occur more than once: {_some(list(ids))}")
        if again := report.repeated_pairs.get(name):
            lines.append(f"  warning: {again} pairs repeat an earlier one of the file")
        if found := report.personal_data.get(name):
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.items()))
            lines.append(f"  warning: personal data: {kinds}")
    for first, first_id, second, second_id in report.identical[:10]:
        lines.append(f"LEAK: {second_id} in {second} is identical to {first_id} in {first}")
    for group, files in list(report.shared_groups.items())[:10]:
        lines.append(f"LEAK: the group {group!r} stands in {' and '.join(files)}")
    if report.near_duplicates:
        shown = [f"{second} ~ {first}" for first, second in report.near_duplicates]
        lines.append(
            f"warning: {len(shown)} answers nearly repeat one of another file: {_some(shown)}"
        )
    lines.append(
        f"{len(report.identical)} identical pairs and {len(report.shared_groups)} shared groups"
        f" between files, {len(report.near_duplicates)} near-duplicates"
    )
    return "\n".join(lines)


def _check_one(name: str, pairs: Sequence[QAPair], report: CheckReport) -> None:
    report.counts[name] = Counter(pair.type or "general" for pair in pairs)
    report.repeated_ids[name] = repeated(pair.id for pair in pairs)
    prints = [fingerprint(pair.question, pair.answer) for pair in pairs]
    report.repeated_pairs[name] = len(prints) - len(set(prints))
    found: Counter[str] = Counter()
    for pair in pairs:
        for text in (pair.question, pair.answer, pair.context or "", *pair.distractors):
            found.update(mask(text)[1])
    report.personal_data[name] = found


def _identical(files: Mapping[str, Sequence[QAPair]]) -> list[tuple[str, str, str, str]]:
    first_seen: dict[str, tuple[str, str]] = {}
    found = []
    for name, pairs in files.items():
        for pair in pairs:
            earlier = first_seen.setdefault(
                fingerprint(pair.question, pair.answer), (name, pair.id)
            )
            if earlier[0] != name:
                found.append((*earlier, name, pair.id))
    return found


def _shared_groups(files: Mapping[str, Sequence[QAPair]]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = defaultdict(list)
    for name, pairs in files.items():
        for group in sorted({pair.group for pair in pairs if pair.group}):
            where[group].append(name)
    return {group: names for group, names in where.items() if len(names) > 1}


def _some(items: Sequence[str]) -> str:
    more = len(items) - 5
    return ", ".join(items[:5]) + (f" and {more} more" if more > 0 else "")
