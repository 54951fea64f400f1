"""The result as aligned plain text: a table, and the whole on one screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from lawtune.eval.evaluation import Evaluation
from lawtune.eval.groups import grouped
from lawtune.eval.texts import texts
from lawtune.eval.verdict import detectable, headline, interval, judge, number, statements

LINES, COLUMNS = 40, 100
"""A screen, in terminal cells; a Hangul syllable takes two."""

TYPE_METRICS = ("bits_per_byte", "accuracy", "chrf")
"""Shown for each question type and law."""


def format_summary(evaluation: Evaluation, lang: str = "ko") -> str:
    """The whole result on one screen. What does not fit, however many metrics and types there are,
    is left to the page, and that is said."""
    run = evaluation.run
    words = texts(lang, "compared" in run)
    head = [
        f"{words['title']}  {created(run)}  {run.get('model', '')}",
        counts(evaluation.n, run, words),
        words["headlines"][headline(evaluation.metrics)],
    ]
    found = statements(evaluation.metrics, run, words, evaluation.contamination)
    # The reservations share a paragraph.
    reserved = " ".join(said.text for said in found if said.judgement == "neutral")
    judged = [said.text for said in found if said.judgement != "neutral"]
    for text in filter(None, [*judged, reserved]):
        head += _wrapped(f"  - {text}", COLUMNS)
    table = _metric_rows(evaluation.metrics, words)
    types = _type_rows(evaluation, words)
    lines = _screen(head, _align(table), _align(types), words)
    return "\n".join(_fit(line, COLUMNS) for line in lines) + "\n"


def format_table(evaluation: Evaluation, lang: str = "ko") -> str:
    """The figures as aligned plain text: each metric with its base, difference and intervals, then
    the main ones by question type."""
    words = texts(lang, "compared" in evaluation.run)
    lines = [*_align(_metric_rows(evaluation.metrics, words))]
    told = baseline_lines(evaluation.metrics, words) + detectable(evaluation.metrics, words)
    for line in told:
        lines += _wrapped(line, COLUMNS)
    lines.append("")
    return "\n".join([*lines, *_align(_type_rows(evaluation, words))])


def created(run: Mapping[str, Any]) -> str:
    """When the evaluation was made, to the minute."""
    return f"{run['created'][:16].replace('T', ' ')} UTC" if run.get("created") else ""


def counts(n: int, run: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """How many questions, of how many sources, and how many of them were answered in full."""
    # A multiple-choice test has no answers to generate.
    template = words["counts_choices" if "questions_cut" in run else "counts"]
    return template.format(
        n=n,
        groups=run.get("groups", "-"),
        generated=run.get("generated", "-"),
        resamples=run.get("config", {}).get("bootstrap", "-"),
    )


def baseline_lines(metrics: Mapping[str, Any], words: Mapping[str, Any]) -> list[str]:
    """What the figures are to be read beside: what accuracy is to be compared with, and how much of
    the gold answers the tokenizer does not know."""
    lines = []
    accuracy = metrics.get("accuracy", {})
    if accuracy.get("chance") is not None:
        chance = number("accuracy", accuracy["chance"])
        overlap = number("accuracy", accuracy.get("word_overlap_baseline"))
        lines.append(words["baselines"].format(chance=chance, overlap=overlap))
    unknown = metrics.get("bits_per_byte", {}).get("unknown_bytes")
    if unknown is not None:
        lines.append(words["unknown_share"].format(share=f"{unknown:.2%}"))
    return lines


def _metric_rows(metrics: Mapping[str, Any], words: Mapping[str, Any]) -> list[list[str]]:
    compared = headline(metrics) != "alone"
    heads = [words["metric"], "n", words["alone"], words["interval"]]
    if compared:
        heads[2:3] = [words["base"], words["tuned"]]
        heads += [words["difference"], words["interval"], words["verdict"]]
    rows = [heads]
    brief = {**words["judgements"], **words["brief_judgements"]}
    for name in (name for names in grouped(metrics).values() for name in names):
        entry = metrics[name]
        row = [words["metrics"].get(name, name), str(entry["n"]), number(name, entry["value"])]
        row.append(interval(name, entry["ci95"]))
        if compared:
            row.insert(2, number(name, entry["base"]))
            row += [number(name, entry["delta"], signed=True)]
            row += [interval(name, entry["delta_ci95"], signed=True)]
            row.append(brief[judge(name, entry)])
        rows.append(row)
    return rows


def _type_rows(evaluation: Evaluation, words: Mapping[str, Any]) -> list[list[str]]:
    compared = headline(evaluation.metrics) != "alone"
    shown = [name for name in TYPE_METRICS if name in evaluation.metrics]
    rows = [[words["type"], "n", *(words["metrics"][name] for name in shown)]]
    for kind, part in evaluation.by_question_type.items():
        row = [words["types"].get(kind, kind), str(part["n"])]
        for name in shown:
            entry = part["metrics"][name]
            value = number(name, entry["value"])
            told = f"{number(name, entry['base'])} -> {value}" if compared else value
            # Answers are generated for a sample only.
            row.append(told if entry["n"] == part["n"] else f"{told} (n={entry['n']})")
        rows.append(row)
    return rows


def _screen(
    head: list[str], table: list[str], types: list[str], words: Mapping[str, Any]
) -> list[str]:
    """The loosest arrangement that fits: blank lines go first, then the rules under the heads,
    then the types, then metrics from the table's end."""
    files = [words["files"]]
    told = [words["types_elsewhere"], *files]
    arrangements = (
        [*head, "", *table, "", *types, "", *files],
        [*head, *table, *types, *files],
        [*head, table[0], *table[2:], types[0], *types[2:], *files],
        [*head, "", *table, "", *told],
        [*head, *table, *told],
    )
    for lines in arrangements:
        if len(lines) <= LINES:
            return lines
    room = max(LINES - len(head) - len(told) - 1, 3)
    more = words["metrics_elsewhere"].format(count=len(table) - room)
    return [*head[: LINES - len(told) - 4], *table[:room], more, *told]


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            text + " " * (width - cell_len(text)) if place == 0 else _right(text, width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [line(rows[0]), rule, *(line(row) for row in rows[1:])]


def _wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` cells, further ones set in, where its blanks allow."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}"
        if cell_len(joined) > width and lines[-1].strip():
            lines.append(f"    {word}")
        else:
            lines[-1] = joined
    return [line.removeprefix(" ") if place == 0 else line for place, line in enumerate(lines)]


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _fit(line: str, width: int) -> str:
    return line if cell_len(line) <= width else set_cell_size(line, width - 3).rstrip() + "..."
