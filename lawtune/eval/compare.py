"""`lawtune compare`: two models on the same questions, or two recipes by several runs of each.

A stands where the base stands in an evaluation, B where the tuned model does. Of several runs on
one side the statistics are summed, so that the side's figure is its runs' together.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lawtune.config import EvaluateConfig
from lawtune.data.privacy import mask
from lawtune.errors import UserError
from lawtune.eval.answers import Answers, observe_answers
from lawtune.eval.ask import Model, Outputs, Plan, Progress, ask
from lawtune.eval.calibration import calibration
from lawtune.eval.contamination import Filters, contamination
from lawtune.eval.evaluate import observe_likelihoods, observe_unknown, prepare, taken
from lawtune.eval.evaluation import (
    Answered,
    Evaluation,
    assemble,
    cleaned,
    law_index,
    name_data,
)
from lawtune.eval.report import REPORT_FILE
from lawtune.eval.score import read_predictions
from lawtune.eval.stats import Bootstrap
from lawtune.eval.summed import Statistics
from lawtune.eval.table import Observed, group_of
from lawtune.eval.verdict import MOST_UNKNOWN
from lawtune.files import read_json_object
from lawtune.records import QAPair

SIDES = ("A", "B")


@dataclass(frozen=True)
class Run:
    """What was observed of one model alone, and its answers to the records asked. `outputs` and
    `filters` are None for answers made elsewhere: nobody knows what is behind them. `missing`,
    `unknown` and `cut` say what was amiss with those: how many records they do not answer, the ids
    of other records, and those of answers cut for their length."""

    name: str
    observed: Mapping[str, Observed]
    texts: Sequence[str]
    outputs: Outputs | None = None
    filters: Filters | None = None
    missing: int = 0
    unknown: Sequence[str] = ()
    cut: Sequence[str] = ()


Source = Callable[[Plan, Progress], Run]
"""Where a run comes from: called when its turn comes, so that one model is held at a time."""


def answers_of_model(model: Model, filters: Filters, plan: Plan, progress: Progress) -> Run:
    """Ask a model, its adapter on."""
    out = ask(model, plan, progress, prefix="")
    unknown = observe_unknown(model, [pair.answer for pair in plan.pairs])
    said = Answers(out.texts, [one.stopped for one in out.answers])
    observed = observe_likelihoods(plan, out, None, unknown) | _observe_texts(plan, said)
    return Run(model.name, observed, out.texts, out, filters)


def answers_of_file(path: Path, plan: Plan) -> Run:
    """Read a predictions file; a question that it does not answer counts as answered by nothing.

    Raises:
        UserError: it cannot be read, or answers none of them.
    """
    asked = [plan.pairs[place] for place in plan.asked]
    predictions = read_predictions(path, asked)
    texts = [mask(predictions.texts.get(pair.id, ""))[0] for pair in asked]
    missing = sum(pair.id not in predictions.texts for pair in asked)
    observed = _observe_texts(plan, Answers(texts))
    # Nobody knows whether they were ended or cut.
    del observed["stopped"]
    return Run(
        str(path),
        observed,
        texts,
        missing=missing,
        unknown=predictions.unknown,
        cut=predictions.cut,
    )


def compare(
    a: Sequence[Source],
    b: Sequence[Source],
    pairs: Sequence[QAPair],
    config: EvaluateConfig,
    progress: Progress | None = None,
    pool: Sequence[QAPair] | None = None,
) -> Evaluation:
    """The evaluation of B beside A.

    Only figures that both sides have are compared; `run` lists the others under `not_compared`,
    with the reason: `missing` on a side, or `tokenizers` that do not know different bytes.

    Args:
        a, b: one source for each model, or for each run of one recipe.
        pool: the data that `pairs` is a sample of: its answers serve as distractors where a pair
            has none of its own, and its ids are known; `pairs` if None.

    Raises:
        UserError: `pairs` is empty, or two different records share an id.
    """
    started = time.monotonic()
    report_progress = progress or (lambda stage, done, total: None)
    # A source of law that is not there must not show after an hour's work.
    plan, index = prepare(pairs, config, pool), law_index(config)
    sides = [
        [source(plan, _labelled(report_progress, key, place)) for place, source in enumerate(side)]
        for key, side in zip(SIDES, (a, b), strict=True)
    ]
    runs = [run for side in sides for run in side]
    apart = _not_compared(runs)
    # A sample asks for fewer answers than a file may hold to the same data.
    known = {pair.id for pair in pool or pairs}
    observed = {
        name: pool_runs(*([run.observed[name] for run in side] for side in sides))
        for name in runs[0].observed
        if name not in apart
    }
    about = {
        "model": " | ".join(f"{key}: {', '.join(names)}" for key, names in _names(sides).items()),
        "compared": _names(sides),
        "not_compared": apart,
        "missing_answers": {run.name: run.missing for run in runs if run.missing},
        "unknown_ids": sorted({name for run in runs for name in run.unknown} - known),
        "answers_cut": sorted({name for run in runs for name in run.cut}),
        "prompts_cut": sorted({name for run in runs if run.outputs for name in run.outputs.cut}),
        "not_numbers": sum(run.outputs.not_numbers for run in runs if run.outputs),
        "accuracy_excluded": list(plan.chosen.excluded) if "accuracy" in observed else [],
        "distractors_rechosen": len(plan.chosen.rechosen) if "accuracy" in observed else 0,
        "seconds": round(time.monotonic() - started, 1),
    }
    rows = [_row(plan.pairs[i], place, sides) for place, i in enumerate(plan.asked)]
    answered = Answered(plan.pairs, plan.asked, rows, index)
    bootstrap = Bootstrap(config.bootstrap, config.seed)
    filters = _joined([run.filters for run in runs])
    return replace(
        assemble(answered, observed, config, about),
        calibration=_calibration(plan, sides, bootstrap),
        contamination=contamination(plan.pairs, filters, observed, bootstrap) if filters else None,
    )


def pool_runs(a: Sequence[Observed], b: Sequence[Observed]) -> Observed:
    """One metric of all runs: B's summed as the tuned side, A's as the base's. A record that has no
    part in the figure of some runs adds nothing to theirs."""
    index = sorted({place for seen in (*a, *b) for place in seen.index})
    rows = {place: row for row, place in enumerate(index)}

    def aligned(seen: Observed, statistics: Statistics) -> Statistics:
        whole = np.zeros((len(index), statistics.shape[1]))
        whole[[rows[place] for place in seen.index]] = statistics
        return whole

    runs, base_runs = ([aligned(seen, seen.tuned) for seen in side] for side in (b, a))
    extra = {}
    for key in b[0].extra:
        own, other = (sum(aligned(seen, seen.extra[key]) for seen in side) for side in (b, a))
        # What stands beside is B's; A's where B has no part in the record.
        present = np.isin(index, [place for seen in b for place in seen.index])
        extra[key] = np.where(present[:, None], own, other)
    several = max(len(a), len(b)) > 1
    return Observed(
        index,
        sum(runs),
        sum(base_runs),
        extra,
        runs if several else (),
        base_runs if several else (),
    )


def require_one_test(
    paths: Sequence[Path],
    max_new_tokens: int | None = None,
    pairs: Sequence[QAPair] | None = None,
) -> None:
    """Predictions that lie beside a report must come from one test.

    Args:
        max_new_tokens: of the models that they are compared with, where there are any.
        pairs: the records that they are to be held against, where these are no sample.

    Raises:
        UserError: the signatures differ in what decides the answers, or one cannot be read.
    """
    here = {"max_new_tokens": str(max_new_tokens)} if max_new_tokens else {}
    if pairs:
        here["data"] = name_data([cleaned(pair) for pair in pairs])
    found = {"this comparison": here} if here else {}
    for path in paths:
        report = path.with_name(REPORT_FILE)
        if report.is_file():
            signature = read_json_object(report).get("signature", "")
            if not isinstance(signature, str):
                raise UserError(
                    f"{report}: its signature is no text (found {signature!r}): evaluate again, or"
                    f" move {path.name} away from it"
                )
            found[str(path)] = _settings(signature)
    for key in ("data", "max_new_tokens"):
        known = {name: settings[key] for name, settings in found.items() if key in settings}
        if len(set(known.values())) > 1:
            told = ", ".join(f"{name} {value}" for name, value in known.items())
            raise UserError(f"answers to compare must come from one test; {key} differs: {told}")


def _settings(signature: str) -> dict[str, str]:
    head = signature.split("; ")[0].split("|")
    return dict(part.split(":", 1) for part in head if ":" in part)


def _labelled(progress: Progress, key: str, place: int) -> Progress:
    label = f"{key}{place + 1 if place else ''}"
    return lambda stage, done, total: progress(f"{label} {stage}", done, total)


def _observe_texts(plan: Plan, said: Answers) -> dict[str, Observed]:
    return observe_answers(plan.pairs, plan.asked, [said], law_index(plan.config))


def _not_compared(runs: Sequence[Run]) -> dict[str, str]:
    """The metrics left out, and why."""
    names = dict.fromkeys(name for run in runs for name in run.observed)
    apart = {name: "missing" for name in names if any(name not in run.observed for run in runs)}
    if "bits_per_byte" in names and "bits_per_byte" not in apart:
        unknown = [run.observed["bits_per_byte"].extra["unknown_bytes"] for run in runs]
        some = max(one[:, 0].sum() / one[:, 1].sum() for one in unknown) > MOST_UNKNOWN
        if some and any((one != unknown[0]).any() for one in unknown):
            apart["bits_per_byte"] = "tokenizers"
    return apart


def _names(sides: Sequence[Sequence[Run]]) -> dict[str, list[str]]:
    return {key: [run.name for run in side] for key, side in zip(SIDES, sides, strict=True)}


def _row(pair: QAPair, place: int, sides: Sequence[Sequence[Run]]) -> dict[str, Any]:
    """A line of `predictions.jsonl`: the first run's answers, and all where there are more."""
    row: dict[str, Any] = {"id": pair.id}
    for prefix, side in zip(("base_", ""), sides, strict=True):
        row[f"{prefix}prediction"] = side[0].texts[place]
        if len(side) > 1:
            row[f"{prefix}predictions"] = [run.texts[place] for run in side]
    return row


def _calibration(
    plan: Plan, sides: Sequence[Sequence[Run]], bootstrap: Bootstrap
) -> dict[str, Any] | None:
    """Of single models only: the mean of several runs' probabilities is no model's."""
    outputs = [side[0].outputs for side in sides if len(side) == 1 and side[0].outputs]
    if len(outputs) < len(sides):
        return None
    base, tuned = (taken(plan, out) for out in outputs)
    groups = [group_of(plan.pairs[i], i) for i in plan.chosen.choices]
    return calibration(tuned, base, groups, bootstrap)


def _joined(filters: Sequence[Filters | None]) -> Filters | None:
    """What any of the models has read; a text that is unknown of one of them is unknown."""
    if any(found is None for found in filters):
        return None
    names = dict.fromkeys(name for found in filters for name in found)
    joined = {}
    for name in names:
        parts = [found[name] for found in filters if name in found]
        joined[name] = [one for part in parts for one in part] if all(parts) else []
    return joined
