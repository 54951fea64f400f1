"""What the figures say in words: better, worse, or no difference shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lawtune.eval.metrics import METRICS
from lawtune.eval.stats import LEVEL

Judgement = Literal["better", "worse", "none", "unknown", "neutral", "warning"]

DIGITS = {"chrf": 2, "bleu": 2, "bleu_morpheme": 2, "response_length": 1}
"""Decimals shown of a metric; 3 of the others."""

MOST_UNKNOWN = 0.001
"""The largest share of bytes under `<unk>` with which bits per byte still compare across
tokenizers."""

FEW_GROUPS = 20
"""Below this many groups, percentile intervals are noticeably too narrow."""

Entry = Mapping[str, Any]
"""A metric's entry in the report."""


@dataclass(frozen=True)
class Statement:
    """One sentence of the verdict, and what it amounts to (for its mark and colour)."""

    judgement: Judgement
    text: str


def judge(name: str, entry: Entry) -> Judgement:
    """A metric's verdict on its difference: shown only if its interval lies on one side of 0 and
    its p-value, corrected over the metrics where there are several, is small; `unknown` without
    an interval, `neutral` where neither direction is better."""
    better = METRICS[name].better
    if better is None:
        return "neutral"
    if entry["delta_ci95"] is None:
        return "unknown"
    low, high = entry["delta_ci95"]
    by_chance = entry.get("p_holm")
    if low <= 0 <= high or (by_chance is not None and by_chance > LEVEL):
        return "none"
    return "better" if (low > 0) == (better == "higher") else "worse"


def headline(metrics: Mapping[str, Entry]) -> str:
    """Which of the texts' `headlines` holds, from bits_per_byte and accuracy."""
    kinds = [
        judge(name, metrics[name]) if name in metrics else "unknown"
        for name in ("bits_per_byte", "accuracy")
    ]
    bits, accuracy = kinds
    if all(entry["base"] is None for entry in metrics.values()):
        return "alone"
    if "better" in kinds and "worse" in kinds:
        return "mixed"
    for kind in ("better", "worse"):
        if bits == accuracy == kind:
            return kind
        if bits == kind:
            return f"{kind}_bits"
        if accuracy == kind:
            return f"{kind}_accuracy"
    return "none" if "none" in kinds else "unknown"


def statements(
    metrics: Mapping[str, Entry],
    run: Mapping[str, Any],
    words: Mapping[str, Any],
    contamination: Mapping[str, Any] | None = None,
) -> list[Statement]:
    """The sentences under the headline: the two differences, accuracy against chance and against
    word overlap, and every reservation."""
    said = []
    for name in ("bits_per_byte", "accuracy"):
        entry = metrics.get(name)
        if entry and entry["base"] is not None:
            kind = judge(name, entry)
            text = (
                f"{words['metrics'][name]}: {number(name, entry['base'])} ->"
                f" {number(name, entry['value'])}, {words['difference']} {difference(name, entry)}"
                f" (n={entry['n']}): {words['judgements'][kind]}"
            )
            said.append(Statement(kind, text))
    said += _against_baselines(metrics.get("accuracy"), words)
    reservations = []
    if run.get("groups", FEW_GROUPS) < FEW_GROUPS:
        reservations.append(words["few_groups"].format(groups=run["groups"]))
    unknown = metrics.get("bits_per_byte", {}).get("unknown_bytes")
    if unknown and unknown > MOST_UNKNOWN:
        reservations.append(words["unknown_bytes"].format(share=f"{unknown:.2%}"))
    if run.get("accuracy_excluded"):
        reservations.append(words["excluded"].format(count=len(run["accuracy_excluded"])))
    if run.get("distractors_rechosen"):
        reservations.append(words["rechosen"].format(count=run["distractors_rechosen"]))
    for key in ("questions_cut", "missing", "unknown_ids", "answers_cut"):
        if run.get(key):
            reservations.append(words[key].format(count=len(run[key])))
    if left_out := run.get("excluded"):
        counts = (f"{words['metrics'][name]} {len(ids)}" for name, ids in left_out.items())
        reservations.append(words["nothing_to_know"].format(counts=", ".join(counts)))
    said += [Statement("neutral", text) for text in reservations]
    return said + ([contaminated(contamination, words)] if contamination else [])


def contaminated(account: Mapping[str, Any], words: Mapping[str, Any]) -> Statement:
    """What the model had read of the answers. What is not known is never said to be clean."""
    table, names = words["contamination"], words["contamination"]["texts"]
    unknown = ", ".join(names[name] for name in account["unknown"])
    if not account["checked"]:
        return Statement("unknown", table["unknown"].format(texts=unknown))
    text = table["found" if account["contaminated"] else "clean"].format(
        texts=", ".join(names[name] for name in account["checked"]),
        count=account["contaminated"],
        judged=account["judged"],
        n=account["n"],
    )
    if unknown:
        text += " " + table["partly"].format(texts=unknown)
    return Statement("warning" if account["contaminated"] else "neutral", text)


def _against_baselines(entry: Entry | None, words: Mapping[str, Any]) -> list[Statement]:
    if not entry or entry["ci95"] is None:
        return []
    low, high = entry["ci95"]
    said = []
    for key, table in (("chance", "chance"), ("word_overlap_baseline", "overlap")):
        other = entry.get(key)
        if other is None:
            continue
        side = "above" if low > other else "below" if high < other else "same"
        kind: Judgement = {"above": "better", "below": "worse", "same": "none"}[side]
        value = f"{number('accuracy', entry['value'])} {interval('accuracy', entry['ci95'])}"
        text = words[table][side].format(value=value, other=number("accuracy", other))
        said.append(Statement(kind, text))
    return said


def number(name: str, value: float | None, signed: bool = False) -> str:
    """A figure of metric `name` in its decimals; "-" where undefined."""
    if value is None:
        return "-"
    sign = "+" if signed and value else ""  # No difference at all has no sign.
    return f"{value:{sign}.{DIGITS.get(name, 3)}f}"


def last_decimal(name: str) -> float:
    """What one in the last decimal shown of a metric is worth."""
    return 10.0 ** -DIGITS.get(name, 3)


def interval(name: str, bounds: list[float] | None, signed: bool = False) -> str:
    """`[low, high]`; empty where undefined."""
    if bounds is None:
        return ""
    low, high = (number(name, bound, signed) for bound in bounds)
    return f"[{low}, {high}]"


def difference(name: str, entry: Entry) -> str:
    """The difference with its interval: `-0.120 [-0.150, -0.090]`."""
    shown = number(name, entry["delta"], signed=True)
    return f"{shown} {interval(name, entry['delta_ci95'], signed=True)}".strip()
