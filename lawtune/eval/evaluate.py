"""`lawtune evaluate`: a model against the gold answers, beside the base it was tuned from."""

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lawtune import __version__
from lawtune.config import EvaluateConfig, ScoreConfig, to_dict
from lawtune.errors import UserError
from lawtune.eval.answers import Answers, list_excluded, observe_answers
from lawtune.eval.ask import Model, Outputs, Plan, Progress, ask
from lawtune.eval.calibration import Taken, calibration, take
from lawtune.eval.choice import gold_wins, overlap_wins, resolve_choices
from lawtune.eval.citation_index import CitationIndex, load_index
from lawtune.eval.contamination import Filters, contamination
from lawtune.eval.exhibits import exhibit, worst
from lawtune.eval.metrics import METRICS
from lawtune.eval.sample import by_law, sample_indices, spread, type_of
from lawtune.eval.stats import Bootstrap
from lawtune.eval.summed import Statistics, bits_statistics, per_record
from lawtune.eval.table import Observed, group_of, tables, tabulate
from lawtune.eval.text import clean, utf8_bytes
from lawtune.records import QAPair, fingerprint
from lawtune.starter import CORPUS

SAMPLES = 10
"""Answers shown in full in the report."""


@dataclass(frozen=True)
class Evaluation:
    """Figures, answers and what made them; the shape of `evaluation_report.json` but for
    `predictions`, which are the lines of `predictions.jsonl`."""

    n: int
    signature: str
    metrics: Mapping[str, Mapping[str, Any]]
    by_question_type: Mapping[str, Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]
    run: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]] = ()
    by_law: Mapping[str, Mapping[str, Any]] | None = None
    calibration: Mapping[str, Any] | None = None
    worst: Sequence[Mapping[str, Any]] | None = None
    contamination: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; a part that was not looked into is absent."""
        names = ("n", "signature", "metrics", "by_question_type", "samples", "run")
        parts = ("by_law", "calibration", "worst", "contamination")
        found = {name: part for name in parts if (part := getattr(self, name))}
        return {name: getattr(self, name) for name in names} | found


def evaluate(
    model: Model,
    pairs: Sequence[QAPair],
    config: EvaluateConfig,
    progress: Progress | None = None,
    pool: Sequence[QAPair] | None = None,
    filters: Filters | None = None,
) -> Evaluation:
    """Score `model` on `pairs`, and its base too if it has an adapter.

    Args:
        pool: the records among which distractors are looked up, by id; `pairs` if None.
        filters: of what the model has read (`known_text`), to find contaminated answers by.

    Raises:
        UserError: `pairs` is empty, or two records with different answers share an id.
    """
    if not pairs:
        raise UserError("nothing to evaluate: the data holds no record")
    _refuse_ambiguous_ids(pool or pairs)
    started = time.monotonic()
    report_progress = progress or (lambda stage, done, total: None)
    # Cleaned once, here: a file in NFD or with CRLF scores as its NFC twin everywhere below.
    pairs = [cleaned(pair) for pair in pairs]
    pool = [cleaned(pair) for pair in pool] if pool is not None else pairs
    index = law_index(config)
    chosen = resolve_choices(pairs, pool, config.seed)
    asked = sample_indices(pairs, config.generate, config.seed)
    plan = Plan(pairs, chosen, asked, config)

    tuned = ask(model, plan, report_progress, prefix="")
    base = None
    if model.has_adapter:
        with model.base_only():
            base = ask(model, plan, report_progress, prefix="base ")
    said = [
        Answers(out.texts, [one.stopped for one in out.answers]) for out in (tuned, base) if out
    ]
    observed = in_order(_observe(plan, tuned, base) | observe_answers(pairs, asked, said, index))
    bootstrap = Bootstrap(config.bootstrap, config.seed)
    figures, laws = tabulate(observed, pairs, bootstrap), by_law(pairs)
    answers = [_answers(pairs[i], tuned, base, place) for place, i in enumerate(asked)]
    exhibits = [exhibit(pairs[i], row, index) for i, row in zip(asked, answers, strict=True)]
    shown = spread([pairs[i] for i in asked], SAMPLES)
    run = describe_run(model, pairs, config) | {
        "generated": len(asked),
        "accuracy_excluded": list(chosen.excluded),
        "excluded": list_excluded(observed, pairs, asked),
        "distractors_rechosen": len(chosen.rechosen),
        "citation_index_as_of": index.as_of,
        "seconds": round(time.monotonic() - started, 1),
    }
    return Evaluation(
        n=len(pairs),
        signature=sign(observed, pairs, config, index),
        metrics=figures[None],
        by_question_type=by_type(figures, pairs),
        samples=[exhibits[place] for place in shown],
        run=run,
        predictions=answers,
        by_law={
            law: {"n": len(laws[law]), "metrics": entries}
            for law, entries in tables(observed, pairs, bootstrap, laws).items()
        },
        calibration=calibration(
            _taken(plan, tuned),
            _taken(plan, base) if base else None,
            [group_of(pairs[i], i) for i in chosen.choices],
            bootstrap,
        ),
        worst=worst(exhibits),
        contamination=contamination(pairs, filters, observed, bootstrap) if filters else None,
    )


def _refuse_ambiguous_ids(pool: Sequence[QAPair]) -> None:
    answers: dict[str, str] = {}
    for pair in pool:
        if answers.setdefault(pair.id, pair.answer) != pair.answer:
            raise UserError(
                f"two records with different answers have the id {pair.id!r}: predictions and"
                " distractors could not be told apart. Give every record an id of its own"
            )


def in_order(observed: Mapping[str, Observed]) -> dict[str, Observed]:
    """The metrics in the order in which reports show them."""
    return {name: observed[name] for name in METRICS if name in observed}


def by_type(
    tables: Mapping[str | None, Mapping[str, Any]], pairs: Sequence[QAPair]
) -> dict[str, dict[str, Any]]:
    """The report's `by_question_type`."""
    return {
        kind: {"n": sum(type_of(pair) == kind for pair in pairs), "metrics": table}
        for kind, table in tables.items()
        if kind is not None
    }


def law_index(config: ScoreConfig) -> CitationIndex:
    """What citations are checked against: the config's sources, or the law that ships."""
    return _load_index(config.sources or (str(CORPUS),))


@lru_cache(maxsize=1)
def _load_index(sources: tuple[str, ...]) -> CitationIndex:
    return load_index([Path(source) for source in sources])


def sign(
    names: Iterable[str],
    pairs: Sequence[QAPair],
    config: ScoreConfig,
    index: CitationIndex | None = None,
) -> str:
    """What must be equal for two reports to be compared: data, settings, the law that citations
    were checked against, and each metric's own signature."""
    data = fingerprint(*(text for pair in pairs for text in (pair.question, pair.answer)))
    head = f"lawtune:{__version__}|data:{data}|seed:{config.seed}"
    if isinstance(config, EvaluateConfig):
        generate = "all" if config.generate is None else config.generate
        head += f"|generate:{generate}|max_new_tokens:{config.max_new_tokens}"
    head += f"|bootstrap:{config.bootstrap} by group, studentised"
    if index:
        head += f"|law:{len(index.statutes)} statutes, {len(index.cases)} decisions, {index.as_of}"
    return "; ".join([head, *(f"{name} = {METRICS[name].signature()}" for name in names)])


def _observe(plan: Plan, tuned: Outputs, base: Outputs | None) -> dict[str, Observed]:
    """The metrics of likelihood."""
    pairs, chosen = plan.pairs, plan.chosen
    everyone, choosers = list(range(len(pairs))), list(chosen.choices)
    baselines = {
        "chance": per_record([1 / len(chosen.choices[i]) for i in choosers]),
        "word_overlap_baseline": per_record(
            [overlap_wins(pairs[i].question, chosen.choices[i]) for i in choosers]
        ),
    }

    def both(compute: Callable[[Outputs], Statistics]) -> tuple[Statistics, Statistics | None]:
        return compute(tuned), compute(base) if base else None

    return {
        "bits_per_byte": Observed(everyone, *both(lambda out: _bits(pairs, out))),
        "accuracy": Observed(choosers, *both(lambda out: _right(plan, out, _gain)), baselines),
        "accuracy_raw": Observed(choosers, *both(lambda out: _right(plan, out, _raw))),
    }


def _bits(pairs: Sequence[QAPair], out: Outputs) -> Statistics:
    golds = [pair.answer for pair in pairs]
    asked = zip(out.prompts, golds, strict=True)
    return bits_statistics([out.likelihood[request] for request in asked], golds)


def _right(
    plan: Plan, out: Outputs, value: Callable[[Outputs, str, str, str], float]
) -> Statistics:
    return per_record([gold_wins(row) for row in _scores(plan, out, value)])


def _taken(plan: Plan, out: Outputs) -> Taken:
    return take(_scores(plan, out, _gain), [0] * len(plan.chosen.choices))


def _scores(
    plan: Plan, out: Outputs, value: Callable[[Outputs, str, str, str], float]
) -> list[list[float]]:
    """What each choice of each question scores, the gold one first."""
    return [
        [value(out, out.prompts[i], choice, type_of(plan.pairs[i])) for choice in choices]
        for i, choices in plan.chosen.choices.items()
    ]


def _gain(out: Outputs, prompt: str, choice: str, kind: str) -> float:
    return out.likelihood[prompt, choice] - out.likelihood[out.empty_prompts[kind], choice]


def _raw(out: Outputs, prompt: str, choice: str, kind: str) -> float:
    return out.likelihood[prompt, choice] / max(utf8_bytes(choice), 1)


def _answers(pair: QAPair, tuned: Outputs, base: Outputs | None, place: int) -> dict[str, Any]:
    """A line of `predictions.jsonl`."""
    row: dict[str, Any] = {"id": pair.id}
    for prefix, out in (("", tuned), ("base_", base)):
        if out:
            said = out.answers[place]
            row |= {f"{prefix}prediction": said.text, f"{prefix}stopped": said.stopped}
            row[f"{prefix}tokens"] = said.tokens
    return row


def describe_run(model: Model, pairs: Sequence[QAPair], config: EvaluateConfig) -> dict[str, Any]:
    """What an evaluation says of itself: model, settings, number of groups, versions."""
    about = {"model": model.name, "compared_with_base": model.has_adapter}
    return about | describe_setting(pairs, config)


def describe_setting(pairs: Sequence[QAPair], config: ScoreConfig) -> dict[str, Any]:
    """Settings, number of groups, versions."""
    versions = {"lawtune": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "sacrebleu", "kiwipiepy", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "config": to_dict(config),
        "groups": len({pair.group or f"\x00{index}" for index, pair in enumerate(pairs)}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
    }


def cleaned(pair: QAPair) -> QAPair:
    """The pair as its twins in NFD or with other line ends are read."""
    context = clean(pair.context) if pair.context else None
    return replace(pair, question=clean(pair.question), answer=clean(pair.answer), context=context)
