"""`lawtune evaluate`: a model against the gold answers, beside the base it was tuned from."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lawtune.config import EvaluateConfig
from lawtune.errors import UserError
from lawtune.eval.answers import Answers, observe_answers
from lawtune.eval.ask import Model, Outputs, Plan, Progress, ask
from lawtune.eval.calibration import Taken, calibration, take
from lawtune.eval.choice import gold_wins, overlap_wins, resolve_choices
from lawtune.eval.contamination import Filters, contamination
from lawtune.eval.evaluation import (
    Answered,
    Evaluation,
    assemble,
    cleaned,
    law_index,
    refuse_ambiguous_ids,
)
from lawtune.eval.sample import sample_indices, type_of
from lawtune.eval.stats import Bootstrap
from lawtune.eval.summed import Statistics, bits_statistics, per_record, shares
from lawtune.eval.table import Observed, group_of
from lawtune.eval.text import utf8_bytes
from lawtune.records import QAPair


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
        pool: the records whose answers serve as distractors where a pair has none of its own;
            `pairs` if None.
        filters: of what the model has read (`known_text`), to find contaminated answers by.

    Raises:
        UserError: `pairs` is empty, or two different records share an id.
    """
    started = time.monotonic()
    report_progress = progress or (lambda stage, done, total: None)
    plan, index = prepare(pairs, config, pool), law_index(config)
    pairs, chosen, asked = plan.pairs, plan.chosen, plan.asked

    tuned = ask(model, plan, report_progress, prefix="")
    base = None
    if model.has_adapter:
        with model.base_only():
            base = ask(model, plan, report_progress, prefix="base ")
    said = [
        Answers(out.texts, [one.stopped for one in out.answers]) for out in (tuned, base) if out
    ]
    unknown = observe_unknown(model, [pair.answer for pair in pairs])
    observed = observe_likelihoods(plan, tuned, base, unknown) | observe_answers(
        pairs, asked, said, index
    )
    rows = [_row(pairs[i], tuned, base, place) for place, i in enumerate(asked)]
    run = {
        "model": model.name,
        "compared_with_base": model.has_adapter,
        "accuracy_excluded": list(chosen.excluded),
        "prompts_cut": list(tuned.cut),
        "not_numbers": tuned.not_numbers + (base.not_numbers if base else 0),
        "distractors_rechosen": len(chosen.rechosen),
        "seconds": round(time.monotonic() - started, 1),
    }
    bootstrap = Bootstrap(config.bootstrap, config.seed)
    return replace(
        assemble(Answered(pairs, asked, rows, index), observed, config, run),
        calibration=calibration(
            taken(plan, tuned),
            taken(plan, base) if base else None,
            [group_of(pairs[i], i) for i in chosen.choices],
            bootstrap,
        ),
        contamination=contamination(pairs, filters, observed, bootstrap) if filters else None,
    )


def prepare(
    pairs: Sequence[QAPair], config: EvaluateConfig, pool: Sequence[QAPair] | None = None
) -> Plan:
    """What every model is asked: the cleaned records, their choices, which to answer in full.

    Raises:
        UserError: `pairs` is empty, or two different records share an id.
    """
    if not pairs:
        raise UserError("nothing to evaluate: the data holds no record")
    refuse_ambiguous_ids(pool or pairs)
    # Cleaned once, here: a file in NFD or with CRLF scores as its NFC twin everywhere below.
    pairs = [cleaned(pair) for pair in pairs]
    pool = [cleaned(pair) for pair in pool] if pool is not None else pairs
    chosen = resolve_choices(pairs, pool, config.seed)
    return Plan(pairs, chosen, sample_indices(pairs, config.generate, config.seed), config)


def observe_unknown(model: Model, golds: Sequence[str]) -> Statistics:
    """Bytes under `<unk>` and all bytes of each gold answer, [n, 2]. Many unknown characters cost
    no more bits than one: a tokenizer with more than a trace of them is flattered."""
    return shares(zip(model.unknown_bytes(golds), map(utf8_bytes, golds), strict=True))


def observe_likelihoods(
    plan: Plan, tuned: Outputs, base: Outputs | None, unknown: Statistics
) -> dict[str, Observed]:
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
        "bits_per_byte": Observed(
            everyone, *both(lambda out: _bits(pairs, out)), {"unknown_bytes": unknown}
        ),
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


def taken(plan: Plan, out: Outputs) -> Taken:
    """The choices that one model takes, as `accuracy` reads them."""
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


def _row(pair: QAPair, tuned: Outputs, base: Outputs | None, place: int) -> dict[str, Any]:
    """A line of `predictions.jsonl`."""
    row: dict[str, Any] = {"id": pair.id}
    for prefix, out in (("", tuned), ("base_", base)):
        if out:
            said = out.answers[place]
            row |= {f"{prefix}prediction": said.text, f"{prefix}stopped": said.stopped}
            row[f"{prefix}tokens"] = said.tokens
    return row
