"""The report in its four forms: JSON for machines, a screenful of text, a page, and the answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lawtune.eval.evaluation import Evaluation
from lawtune.eval.page import render_page
from lawtune.eval.summary import format_summary, format_table
from lawtune.eval.texts import texts
from lawtune.files import write_json, write_jsonl, write_text

__all__ = ["format_summary", "format_table", "plain", "render_page", "write_reports"]

REPORT_FILE = "evaluation_report.json"
SUMMARY_FILE = "evaluation_summary.txt"
PREDICTIONS_FILE = "predictions.jsonl"
PAGE_FILE = "report.html"


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
    words = texts(lang, "compared" in evaluation.run)
    evaluation = replace(evaluation, run={**evaluation.run, **(run or {})})
    report = plain(evaluation.to_json())
    page = render_page(report, curve, words, lang)
    # A record that stands in the data twice is counted twice, but has one answer to be read again.
    write_jsonl(out / PREDICTIONS_FILE, {row["id"]: row for row in evaluation.predictions}.values())
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
