"""The report in its four forms: JSON for machines, a screenful of text, a page, and the answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size

from lawtune.eval.charts import ForestRow, curve, forest
from lawtune.eval.evaluate import Evaluation
from lawtune.eval.metrics import METRICS
from lawtune.eval.texts import texts
from lawtune.eval.verdict import difference, headline, interval, judge, number, statements
from lawtune.files import write_json, write_jsonl, write_text

REPORT_FILE = "evaluation_report.json"
SUMMARY_FILE = "evaluation_summary.txt"
PREDICTIONS_FILE = "predictions.jsonl"
PAGE_FILE = "report.html"

COLUMNS = 100
"""Width of the summary in terminal cells; a Hangul syllable takes two."""

TYPE_METRICS = ("bits_per_byte", "accuracy", "chrf")
"""Shown for each question type in the summary."""


def write_reports(
    evaluation: Evaluation,
    out: Path,
    lang: str = "ko",
    curve: Sequence[Mapping[str, Any]] = (),
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write `evaluation_report.json`, `evaluation_summary.txt`, `predictions.jsonl` and
    `report.html` into `out`.

    Args:
        lang: ko or en, for the summary and the page.
        curve: the training log's rows, with `step`, `loss` and `validation_loss` where known.
        run: what else is needed to reproduce the evaluation (data file and hash, base, command);
            joined with the evaluation's own account.

    Raises:
        UserError: the folder cannot be written to, or there is no such language.
    """
    words = texts(lang)
    evaluation = replace(evaluation, run={**evaluation.run, **(run or {})})
    report = plain(evaluation.to_json())
    page = render_page(report, curve, words, lang)
    write_jsonl(out / PREDICTIONS_FILE, evaluation.predictions)
    write_text(out / SUMMARY_FILE, format_summary(evaluation, lang))
    write_text(out / PAGE_FILE, page)
    write_json(out / REPORT_FILE, report)


def plain(value: Any) -> Any:
    """JSON data with every number that is not finite as null: undefined is never 0."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def format_summary(evaluation: Evaluation, lang: str = "ko") -> str:
    """The whole result on one screen: at most 40 lines of 100 columns."""
    words, run = texts(lang), evaluation.run
    lines = [
        f"{words['title']}  {_created(run)}  {run.get('model', '')}",
        _counts(evaluation.n, run, words),
        "",
        words["headlines"][headline(evaluation.metrics)],
        *(f"  - {said.text}" for said in statements(evaluation.metrics, run, words)),
        "",
        format_table(evaluation, lang),
        "",
        words["files"],
    ]
    text = "\n".join(lines)
    return "\n".join(_fit(line, COLUMNS) for line in text.split("\n")) + "\n"


def format_table(evaluation: Evaluation, lang: str = "ko") -> str:
    """The figures as aligned plain text: each metric with its base, difference and intervals, then
    the main ones by question type."""
    words = texts(lang)
    compared = headline(evaluation.metrics) != "alone"
    heads = [words["metric"], "n", words["alone"], words["interval"]]
    if compared:
        heads[2:3] = [words["base"], words["tuned"]]
        heads += [words["difference"], words["interval"], words["verdict"]]
    rows = [heads]
    brief = {**words["judgements"], **words["brief_judgements"]}
    for name, entry in evaluation.metrics.items():
        row = [words["metrics"][name], str(entry["n"]), number(name, entry["value"])]
        row.append(interval(name, entry["ci95"]))
        if compared:
            row.insert(2, number(name, entry["base"]))
            row += [number(name, entry["delta"], signed=True)]
            row += [interval(name, entry["delta_ci95"], signed=True)]
            row.append(brief[judge(name, entry)])
        rows.append(row)
    tables = [_align(rows), *_baseline_lines(evaluation.metrics, words)]
    return "\n".join([*tables, "", _format_types(evaluation, words, compared)])


def render_page(
    report: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    words: Mapping[str, Any],
    lang: str,
) -> str:
    """The self-contained HTML page of a report (as plain JSON data) and a training curve."""
    # Imported here: jinja2 is of no use to those who only want the table.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "number": _typographic(number),
        "interval": _typographic(interval),
        "judge": judge,
    }
    source = files("lawtune.eval").joinpath("report.html.j2").read_text(encoding="utf-8")
    metrics, run = report["metrics"], report["run"]
    return environment.from_string(source).render(
        lang=lang,
        words=words,
        report=report,
        model=run.get("model", ""),
        created=_created(run),
        compared=headline(metrics) != "alone",
        headline=headline(metrics),
        statements=statements(metrics, run, words),
        counts=_counts(report["n"], run, words),
        baselines=_baseline_lines(metrics, words),
        charts=_forests(report, words),
        curve=curve(rows, words),
        known=METRICS,
        settings=_flatten(run),
        signatures=report["signature"].split("; "),
    )


def _created(run: Mapping[str, Any]) -> str:
    return f"{run['created'][:16].replace('T', ' ')} UTC" if run.get("created") else ""


def _counts(n: int, run: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    # A multiple-choice test has no answers to generate.
    counts = words["counts_choices" if "questions_cut" in run else "counts"]
    return counts.format(
        n=n,
        groups=run.get("groups", "-"),
        generated=run.get("generated", "-"),
        resamples=run.get("config", {}).get("bootstrap", "-"),
    )


def _baseline_lines(metrics: Mapping[str, Any], words: Mapping[str, Any]) -> list[str]:
    entry = metrics.get("accuracy", {})
    if entry.get("chance") is None:
        return []
    chance = number("accuracy", entry["chance"])
    overlap = number("accuracy", entry.get("word_overlap_baseline"))
    return [words["baselines"].format(chance=chance, overlap=overlap)]


def _format_types(evaluation: Evaluation, words: Mapping[str, Any], compared: bool) -> str:
    shown = [name for name in TYPE_METRICS if name in evaluation.metrics]
    rows = [[words["type"], "n", *(words["metrics"][name] for name in shown)]]
    for kind, part in evaluation.by_question_type.items():
        row = [words["types"].get(kind, kind), str(part["n"])]
        for name in shown:
            entry = part["metrics"][name]
            value = number(name, entry["value"])
            row.append(f"{number(name, entry['base'])} -> {value}" if compared else value)
        rows.append(row)
    return _align(rows)


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            text + " " * (width - cell_len(text)) if place == 0 else _right(text, width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(rows[0]), rule, *(line(row) for row in rows[1:])])


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _fit(line: str, width: int) -> str:
    return line if cell_len(line) <= width else set_cell_size(line, width - 3).rstrip() + "..."


def _forests(report: Mapping[str, Any], words: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = (words["worse_side"], words["better_side"])
    overall = [
        _forest_row(words["metrics"][name], name, entry, words)
        for name, entry in report["metrics"].items()
        if METRICS[name].better and entry["delta"] is not None
    ]
    charts = [(words["forest_heading"], overall, False)]
    for name in TYPE_METRICS[:2]:
        rows = [
            _forest_row(words["types"].get(kind, kind), name, part["metrics"][name], words)
            for kind, part in report["by_question_type"].items()
            if part["metrics"].get(name, {}).get("delta") is not None
        ]
        title = words["forest_by_type"].format(metric=words["metrics"].get(name, name))
        charts.append((title, rows, True))
    return [
        {"title": title, "svg": forest(rows, title, sides, shared_scale=shared)}
        for title, rows, shared in charts
        if rows
    ]


def _forest_row(
    label: str, name: str, entry: Mapping[str, Any], words: Mapping[str, Any]
) -> ForestRow:
    return ForestRow(
        label=label,
        delta=entry["delta"],
        bounds=entry["delta_ci95"],
        text=_typographic(difference)(name, entry),
        judgement=judge(name, entry),
        flip=METRICS[name].better == "lower",
    )


def _typographic(render: Any) -> Any:
    """The same text with real minus signs, for the page."""

    def rendered(*values: Any, signed: bool = False) -> str:
        text = render(*values, signed=True) if signed else render(*values)
        return "–" if text == "-" else text.replace("-", "−")

    return rendered


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(prefix, "–" if value is None else str(value))]
    return [
        row
        for key, item in value.items()
        for row in _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    ]
