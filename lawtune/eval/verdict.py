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
"""Below this many groups behind a judged metric, intervals on skewed data are noticeably too
narrow."""

HEADLINE = ("bits_per_byte", "accuracy")
"""The metrics that the headline is drawn from."""

SMALL = 0.1
"""A test set that need not show a difference of a tenth of a bit a byte, or of ten questions in a
hundred, is small."""

Entry = Mapping[str, Any]
"""A metric's entry in the report."""


@dataclass(frozen=True)
class Statement:
    """One sentence of the verdict, and what it amounts to (for its mark and colour)."""

    judgement: Judgement
    text: str


def judge(name: str, entry: Entry) -> Judgement:
    """A metric's verdict on its difference: shown only if its interval lies on one side of 0 and
    its p-value, corrected over the metrics where there are several, is small; of recipes with
    several runs, only if their spread leaves it standing, too. `unknown` without an interval,
    `neutral` where neither direction is better."""
    better = METRICS[name].better
    if better is None:
        return "neutral"
    if entry["delta_ci95"] is None:
        return "unknown"
    by_seed = entry.get("seeds", {}).get("delta_ci95")
    bounds = [entry["delta_ci95"], *([by_seed] if by_seed else [])]
    p = entry.get("p_holm")
    if any(low <= 0 <= high for low, high in bounds) or (p is not None and p > LEVEL):
        return "none"
    return "better" if (entry["delta_ci95"][0] > 0) == (better == "higher") else "worse"


def headline(metrics: Mapping[str, Entry]) -> str:
    """Which of the texts' `headlines` holds, from bits_per_byte and accuracy; where there are but
    answers, from all that is said of them."""
    kinds = [judge(name, metrics[name]) if name in metrics else "unknown" for name in HEADLINE]
    bits, accuracy = kinds
    if all(entry["base"] is None for entry in metrics.values()):
        return "alone"
    answers_only = not any(name in metrics for name in HEADLINE)
    if answers_only:
        kinds = [judge(name, entry) for name, entry in metrics.items()]
    if "better" in kinds and "worse" in kinds:
        return "mixed"
    for kind in ("better", "worse"):
        if answers_only and kind in kinds:
            return f"{kind}_answers"
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
    for name in HEADLINE:
        entry = metrics.get(name)
        if entry and entry["base"] is not None:
            kind = judge(name, entry)
            text = (
                f"{words['metrics'][name]}: {number(name, entry['base'])} ->"
                f" {number(name, entry['value'])}, {words['difference']} {difference(name, entry)}"
                f" (n={entry['n']}): {words['judgements'][kind]}"
            )
            said.append(Statement(kind, text))
            if "seeds" in entry:
                said.append(Statement("neutral", _spread(name, entry["seeds"], words)))
    said += _against_baselines(metrics.get("accuracy"), words)
    reservations = []
    main = {name: metrics[name] for name in HEADLINE if name in metrics}
    if shown := _sizes(main, words):
        largest = max(entry.get("minimum_detectable") or 0 for entry in main.values())
        text = words["small" if largest > SMALL else "large"]
        reservations.append(text.format(groups=run.get("groups", "-"), sizes=shown))
    if few := [
        words["metrics"].get(name, name)
        for name, entry in metrics.items()
        if METRICS[name].better and 0 < entry["groups"] < FEW_GROUPS
    ]:
        shown = ", ".join(few[:3]) + (", …" if len(few) > 3 else "")
        reservations.append(words["few_groups"].format(most=FEW_GROUPS, metrics=shown))
    unknown = metrics.get("bits_per_byte", {}).get("unknown_bytes")
    if unknown and unknown > MOST_UNKNOWN:
        reservations.append(words["unknown_bytes"].format(share=f"{unknown:.2%}"))
    if run.get("not_numbers"):
        said.append(Statement("warning", words["not_numbers"].format(count=run["not_numbers"])))
    if run.get("accuracy_excluded"):
        reservations.append(words["excluded"].format(count=len(run["accuracy_excluded"])))
    if run.get("distractors_rechosen"):
        reservations.append(words["rechosen"].format(count=run["distractors_rechosen"]))
    for key in ("questions_cut", "prompts_cut", "missing", "unknown_ids", "answers_cut"):
        if run.get(key):
            reservations.append(words[key].format(count=len(run[key])))
    if left_out := run.get("excluded"):
        counts = (f"{words['metrics'][name]} {len(ids)}" for name, ids in left_out.items())
        reservations.append(words["nothing_to_know"].format(counts=", ".join(counts)))
    by_seed = [
        words["metrics"].get(name, name)
        for name, entry in metrics.items()
        if judge(name, entry) == "none" != judge(name, {**entry, "seeds": {}})
    ]
    if by_seed:
        reservations.append(words["by_seed"].format(metrics=", ".join(by_seed)))
    for name, reason in run.get("not_compared", {}).items():
        metric = words["metrics"].get(name, name)
        reservations.append(words["not_compared"][reason].format(metric=metric))
    for name, count in run.get("missing_answers", {}).items():
        reservations.append(words["missing_answers"].format(name=name, count=count))
    said += [Statement("neutral", text) for text in reservations]
    return said + ([contaminated(contamination, words)] if contamination else [])


def _spread(name: str, seeds: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """The figures of each side's runs, and whether their spread explains the difference."""
    sides = [", ".join(number(name, figure) for figure in seeds[key]) for key in ("base", "value")]
    bounds = interval(name, seeds["delta_ci95"], signed=True) or "-"
    metric = words["metrics"][name]
    return words["seeds"].format(metric=metric, a=sides[0], b=sides[1], bounds=bounds)


def detectable(metrics: Mapping[str, Entry], words: Mapping[str, Any]) -> list[str]:
    """The differences that the test set can show, of every metric that is judged; no line where
    nothing is compared."""
    sizes = _sizes(metrics, words)
    return [words["smallest_shown"].format(sizes=sizes)] if sizes else []


def _sizes(metrics: Mapping[str, Entry], words: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{words['metrics'].get(name, name)} {number(name, entry['minimum_detectable'])}"
        for name, entry in metrics.items()
        if METRICS[name].better and entry.get("minimum_detectable")
    )


def contaminated(account: Mapping[str, Any], words: Mapping[str, Any]) -> Statement:
    """What the model had read of the answers. What is not known is never said to be clean."""
    table, names = words["contamination"], words["contamination"]["texts"]
    unknown = ", ".join(names[name] for name in account["unknown"])
    if not account["checked"]:
        return Statement("unknown", table["unknown"].format(texts=unknown))
    if not account["judged"]:
        kind, judgement = "unjudged", "unknown"
    elif account["contaminated"]:
        kind, judgement = "found", "warning"
    else:
        kind, judgement = "clean", "neutral"
    text = table[kind].format(
        texts=", ".join(names[name] for name in account["checked"]),
        count=account["contaminated"],
        judged=account["judged"],
    )
    if unknown:
        text += " " + table["partly"].format(texts=unknown)
    return Statement(judgement, text)


def _against_baselines(entry: Entry | None, words: Mapping[str, Any]) -> list[Statement]:
    if not entry or entry["ci95"] is None:
        return []
    said = []
    for key, table in (("chance", "chance"), ("word_overlap_baseline", "overlap")):
        other = entry.get(key)
        if other is None:
            continue
        # Chance is a constant; counting words is right and wrong on these very questions.
        low, high = (bound - other for bound in entry["ci95"])
        if bounds := entry.get(f"{key}_delta_ci95"):
            low, high = bounds
        p = entry.get(f"{key}_p")
        shown = p is None or p <= LEVEL
        side = "above" if shown and low > 0 else "below" if shown and high < 0 else "same"
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
