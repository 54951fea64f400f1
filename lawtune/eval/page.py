"""The report as a page: one HTML file that needs nothing else, for a screen, a phone and paper."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from lawtune.eval.charts import ForestRow, PairRow, curve, forest, pairs, reliability
from lawtune.eval.contamination import FEWEST_RUNS
from lawtune.eval.exhibits import false_citations
from lawtune.eval.groups import grouped
from lawtune.eval.marks import SIGNS, answer_views
from lawtune.eval.metrics import METRICS
from lawtune.eval.sample import NO_LAW, OTHER_LAWS
from lawtune.eval.summary import TYPE_METRICS, baseline_lines, counts, created
from lawtune.eval.verdict import (
    contaminated,
    difference,
    headline,
    interval,
    judge,
    last_decimal,
    number,
    statements,
)

Report = Mapping[str, Any]
Words = Mapping[str, Any]

BY_PART = (*TYPE_METRICS, "legal_relevance", "citation_f1")
"""Metrics set side by side for each question type and law; all of them are folded below."""

CHARTED = TYPE_METRICS[:2]
"""Those whose differences are drawn by question type and law."""

LISTED = 10
"""Items of a list (of excluded records, say) that the page names; the JSON has all."""


def render_page(report: Report, rows: Sequence[Mapping[str, Any]], words: Words, lang: str) -> str:
    """The page of a report (as plain JSON data) and a training log's rows."""
    # Imported here: jinja2 is of no use to those who only want the table.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "number": _typographic(number),
        "interval": _typographic(interval),
        "judge": judge,
        "views": answer_views,
        "false_citations": false_citations,
        "percent": lambda share: "–" if share is None else f"{100 * share:.1f} %",
    }
    source = files("lawtune.eval").joinpath("report.html.j2").read_text(encoding="utf-8")
    metrics, run = report["metrics"], report["run"]
    compared = headline(metrics) != "alone"
    names = [words["base"], words["tuned"]] if compared else [words["alone"]]
    contamination, calibrated = report.get("contamination"), report.get("calibration")
    return environment.from_string(source).render(
        lang=lang,
        words=words,
        report=report,
        model=run.get("model", ""),
        created=created(run),
        compared=compared,
        headline=headline(metrics),
        statements=statements(metrics, run, words, contamination),
        counts=counts(report["n"], run, words),
        baselines=baseline_lines(metrics, words),
        grouped=grouped(metrics),
        tested=any(entry.get("p_holm") is not None for entry in metrics.values()),
        figures=_figures(metrics, names, words),
        parts=_parts(report, words),
        by_part=[name for name in BY_PART if name in metrics],
        contamination=contamination,
        contamination_told=contamination and contaminated(contamination, words).text,
        fewest_runs=FEWEST_RUNS,
        calibration=calibrated,
        reliability=calibrated and reliability(calibrated, names, words),
        worst=report.get("worst", ()),
        curve=curve(rows, words),
        signs=SIGNS,
        known=METRICS,
        command=_command(run),
        settings=_flatten(run),
        signatures=report["signature"].split("; "),
    )


def _figures(metrics: Mapping[str, Any], names: Sequence[str], words: Words) -> list[Any]:
    """For each group of metrics both models' figures and, beside them, their differences."""
    charts, sides = [], (words["worse_side"], words["better_side"])
    for group, members in grouped(metrics).items():
        known = [name for name in members if metrics[name]["value"] is not None]
        levels = [_pair_row(name, metrics[name], words) for name in known]
        moved = [
            _forest_row(words["metrics"].get(name, name), name, metrics[name]) for name in known
        ]
        if levels:
            title = words["groups"][group]
            drawn = {"title": title, "levels": pairs(levels, names, title)}
            told = f"{title}: {words['forest_heading']}"
            any_side = any(row.judgement != "neutral" for row in moved)
            drawn["moved"] = forest(moved, told, sides, shared_scale=False) if any_side else None
            charts.append(drawn)
    return charts


def _pair_row(name: str, entry: Mapping[str, Any], words: Words) -> PairRow:
    value = _typographic(number)(name, entry["value"])
    if entry["base"] is not None:
        value = f"{_typographic(number)(name, entry['base'])} → {value}"
    note = f"{words['arrows'][METRICS[name].better]} · n={entry['n']}"
    span = (METRICS[name].low, METRICS[name].high)
    return PairRow(words["metrics"].get(name, name), note, entry, value, span, last_decimal(name))


def _parts(report: Report, words: Words) -> list[dict[str, Any]]:
    """The report by question type and by law, each with its charts."""
    laws = {OTHER_LAWS: words["other_laws"], NO_LAW: words["no_law"]}
    found = [
        ("type", report["by_question_type"], words["types"]),
        ("law", report.get("by_law") or {}, laws),
    ]
    return [
        {
            "id": f"by-{name}",
            "title": words[f"by_{name}_heading"],
            "head": words[name],
            "rows": [(labels.get(key, key), part) for key, part in rows.items()],
            "charts": _part_charts(rows, labels, words),
        }
        for name, rows, labels in found
        if rows
    ]


def _part_charts(
    parts: Mapping[str, Any], labels: Mapping[str, str], words: Words
) -> list[dict[str, Any]]:
    charts, sides = [], (words["worse_side"], words["better_side"])
    for name in CHARTED:
        rows = [
            _forest_row(f"{labels.get(key, key)} ({entry['n']})", name, entry)
            for key, part in parts.items()
            if (entry := part["metrics"].get(name)) and entry["delta"] is not None
        ]
        if rows:
            title = words["forest_by_part"].format(metric=words["metrics"][name])
            charts.append({"title": title, "svg": forest(rows, title, sides, shared_scale=True)})
    return charts


def _forest_row(label: str, name: str, entry: Mapping[str, Any]) -> ForestRow:
    if entry["delta"] is None:
        # The row stands all the same, so that charts abreast stay level.
        return ForestRow(label, 0.0, None, "–", "neutral", flip=False)
    return ForestRow(
        label=label,
        delta=entry["delta"],
        bounds=entry["delta_ci95"],
        text=_typographic(difference)(name, entry),
        judgement=judge(name, entry),
        flip=METRICS[name].better == "lower",
        unit=last_decimal(name),
    )


def _typographic(render: Callable[..., str]) -> Callable[..., str]:
    """The same text with real minus signs, for the page."""

    def rendered(*values: Any, signed: bool = False) -> str:
        text = render(*values, signed=True) if signed else render(*values)
        return "–" if text == "-" else text.replace("-", "−")

    return rendered


def _command(run: Mapping[str, Any]) -> str | None:
    """The command that makes this report again; None where the run does not say enough."""
    if not run.get("model") or not run.get("data"):
        return None
    if "predictions_sha256" in run:
        words = ["lawtune", "score", "--predictions", run["model"], "--data", run["data"]]
    elif "compared" in run:
        words = ["lawtune", "compare", *(",".join(side) for side in run["compared"].values())]
        words += ["--data", run["data"]]
    else:
        words = ["lawtune", "evaluate", "--model", run["model"]]
        words += ["--mcq" if "questions_cut" in run else "--data", run["data"]]
    for option, said in (("--base", "base_given"), ("--limit", "limit")):
        if run.get(said):
            words += [option, run[said]]
    for key, value in run.get("config", {}).items():
        if value != []:
            words += [f"--{key}", "null" if value is None else value]
    return shlex.join(map(str, words))


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A tree as rows of dotted name and text; of a long list its length and how it begins."""
    if not isinstance(value, Mapping):
        if isinstance(value, list) and len(value) > LISTED:
            return [(prefix, f"{len(value)}: {', '.join(map(str, value[:LISTED]))}, …")]
        return [(prefix, "–" if value is None else str(value))]
    return [
        row
        for key, item in value.items()
        for row in _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    ]
