"""`lawtune evaluate --mcq`: multiple choice, four ways to read a choice from a model, its base
beside it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from lawtune.config import ScoreConfig
from lawtune.errors import UserError
from lawtune.eval.ask import Model, Progress, Request, ask_likelihoods
from lawtune.eval.calibration import Taken, calibration, take
from lawtune.eval.choice import overlap_wins, pick
from lawtune.eval.evaluate import observe_unknown
from lawtune.eval.evaluation import SAMPLES, Evaluation, describe_setting, sign
from lawtune.eval.sample import spread, type_of
from lawtune.eval.stats import Bootstrap
from lawtune.eval.summed import Statistics, bits_statistics, per_record
from lawtune.eval.table import Observed, group_of, tabulate
from lawtune.eval.text import utf8_bytes
from lawtune.records import ChoiceQuestion, QAPair, composed


@dataclass(frozen=True)
class _Asked:
    """A question as it is put to a model: alone, left out, and with its choices by letter. `cut`
    says that the head of the question was left out for want of room."""

    item: ChoiceQuestion
    prompt: str
    empty: str
    lettered: str
    cut: bool

    def requests(self) -> list[Request]:
        """All that a model is asked of it."""
        letters = ascii_uppercase[: len(self.item.choices)]
        return [
            *((self.prompt, choice) for choice in self.item.choices),
            *((self.empty, choice) for choice in self.item.choices),
            *((self.lettered, letter) for letter in letters),
        ]


Likelihood = Mapping[Request, float]

READINGS: Mapping[str, Callable[[_Asked, Likelihood, int], float]] = {
    "accuracy": lambda asked, nats, place: (
        nats[asked.prompt, asked.item.choices[place]] - nats[asked.empty, asked.item.choices[place]]
    ),
    "accuracy_raw": lambda asked, nats, place: (
        nats[asked.prompt, asked.item.choices[place]] / utf8_bytes(asked.item.choices[place])
    ),
    "accuracy_sum": lambda asked, nats, place: nats[asked.prompt, asked.item.choices[place]],
    "accuracy_letter": lambda asked, nats, place: nats[asked.lettered, ascii_uppercase[place]],
}
"""What a choice scores under each metric: the model takes the highest."""


def evaluate_choices(
    model: Model,
    questions: Sequence[ChoiceQuestion],
    config: ScoreConfig,
    progress: Progress | None = None,
) -> Evaluation:
    """Score `model` on multiple-choice questions, and its base too if it has an adapter.

    Of the config only `bootstrap` and `seed` count: nothing is generated, no citation checked.
    Every question counts. One that does not fit the model's context is put without its head; the
    report's `run` lists it under `questions_cut`.

    Raises:
        UserError: `questions` is empty.
    """
    if not questions:
        raise UserError("nothing to evaluate: the file holds no question")
    # What else an evaluation's config holds has no part in the figures, nor in their signature.
    config = ScoreConfig(bootstrap=config.bootstrap, seed=config.seed)
    started = time.monotonic()
    report_progress = progress or (lambda stage, done, total: None)
    asked = [_put(model, _cleaned(question)) for question in questions]
    requests = list(dict.fromkeys(request for one in asked for request in one.requests()))

    def ask(prefix: str) -> Likelihood:
        stage = f"{prefix}likelihood"
        return ask_likelihoods(
            model, requests, lambda done: report_progress(stage, done, len(requests))
        )

    tuned, base = ask(""), None
    if model.has_adapter:
        with model.base_only():
            base = ask("base ")
    pairs = [one.item.pair() for one in asked]
    golds = [pair.answer for pair in pairs]
    observed = _observe(asked, tuned, base, observe_unknown(model, golds))
    bootstrap = Bootstrap(config.bootstrap, config.seed)
    tables = tabulate(observed, pairs, bootstrap)
    rows = [_row(one, tuned, base) for one in asked]
    return Evaluation(
        n=len(pairs),
        signature=sign(observed, _every_choice(asked), config),
        metrics=tables[None],
        by_question_type={
            kind: {"n": sum(type_of(pair) == kind for pair in pairs), "metrics": table}
            for kind, table in tables.items()
            if kind is not None
        },
        samples=[_sample(pairs[place], rows[place]) for place in spread(pairs, SAMPLES)],
        run=describe_setting(pairs, config)
        | {
            "model": model.name,
            "compared_with_base": model.has_adapter,
            "questions_cut": [one.item.id for one in asked if one.cut],
            "seconds": round(time.monotonic() - started, 1),
        },
        predictions=rows,
        calibration=calibration(
            _taken(asked, tuned),
            _taken(asked, base) if base else None,
            [group_of(pair, place) for place, pair in enumerate(pairs)],
            bootstrap,
        ),
    )


def _cleaned(question: ChoiceQuestion) -> ChoiceQuestion:
    choices = tuple(composed(choice) for choice in question.choices)
    return replace(question, question=composed(question.question), choices=choices)


def _put(model: Model, item: ChoiceQuestion) -> _Asked:
    letters = ascii_uppercase[: len(item.choices)]
    listed = "".join(
        f"\n{letter}. {choice}" for letter, choice in zip(letters, item.choices, strict=True)
    )

    def alone(question: str) -> str:
        return model.render(question, item.type, None)

    def lettered(question: str) -> str:
        return alone(question + listed)

    def excess(text: str) -> int:
        return model.overflow(alone(text), item.choices)

    def lettered_excess(text: str) -> int:
        return model.overflow(lettered(text), letters)

    return _Asked(
        item,
        prompt=alone(_fitting(item.question, excess)),
        empty=alone(""),
        lettered=lettered(_fitting(item.question, lettered_excess)),
        cut=excess(item.question) > 0 or lettered_excess(item.question) > 0,
    )


def _fitting(question: str, overflow: Callable[[str], int]) -> str:
    """The longest tail of the question that fits; all of it where none does (the head of the whole
    prompt is then cut when it is scored)."""
    if not overflow(question) or overflow(""):
        return question
    low, high = 0, len(question)  # Cut at `low` it does not fit, at `high` it does.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if overflow(question[middle:]) else (low, middle)
    return question[high:]


def _observe(
    asked: Sequence[_Asked], tuned: Likelihood, base: Likelihood | None, unknown: Statistics
) -> dict[str, Observed]:
    everyone = list(range(len(asked)))
    chance = {"chance": per_record([1 / len(one.item.choices) for one in asked])}
    overlap = {"word_overlap_baseline": per_record([_overlaps(one.item) for one in asked])}

    def both(compute: Callable[[Likelihood], Statistics]) -> tuple[Statistics, Statistics | None]:
        return compute(tuned), compute(base) if base else None

    def bits(nats: Likelihood) -> Statistics:
        golds = [one.item.choices[one.item.answer] for one in asked]
        values = [nats[one.prompt, gold] for one, gold in zip(asked, golds, strict=True)]
        return bits_statistics(values, golds)

    def right(name: str) -> Callable[[Likelihood], Statistics]:
        return lambda nats: per_record(
            [float(_picked(one, nats, name) == one.item.answer) for one in asked]
        )

    found = {"bits_per_byte": Observed(everyone, *both(bits), {"unknown_bytes": unknown})}
    for name in READINGS:
        extra = chance | overlap if name == "accuracy" else chance
        found[name] = Observed(everyone, *both(right(name)), extra)
    return found


def _picked(one: _Asked, nats: Likelihood, name: str) -> int:
    return pick(_scores(one, nats, name), one.item.answer)


def _taken(asked: Sequence[_Asked], nats: Likelihood) -> Taken:
    scores = [_scores(one, nats, "accuracy") for one in asked]
    return take(scores, [one.item.answer for one in asked])


def _scores(one: _Asked, nats: Likelihood, name: str) -> list[float]:
    return [READINGS[name](one, nats, place) for place in range(len(one.item.choices))]


def _overlaps(item: ChoiceQuestion) -> float:
    others = [choice for place, choice in enumerate(item.choices) if place != item.answer]
    return float(overlap_wins(item.question, [item.choices[item.answer], *others]))


def _every_choice(asked: Sequence[_Asked]) -> list[QAPair]:
    """What the data's fingerprint is taken of: the right choice of each question, then all."""
    return [
        replace(one.item.pair(), answer=choice)
        for one in asked
        for choice in (one.item.choices[one.item.answer], *one.item.choices)
    ]


def _row(one: _Asked, tuned: Likelihood, base: Likelihood | None) -> dict[str, Any]:
    """A line of `predictions.jsonl`: the text of the choice taken, its place, and the places taken
    under each of the metrics."""
    row: dict[str, Any] = {"id": one.item.id, "answer": one.item.answer}
    for prefix, nats in (("", tuned), ("base_", base)):
        if nats:
            picked = {name: _picked(one, nats, name) for name in READINGS}
            row[f"{prefix}prediction"] = one.item.choices[picked["accuracy"]]
            row |= {f"{prefix}choice": picked["accuracy"], f"{prefix}choices": picked}
    return row


def _sample(pair: QAPair, row: Mapping[str, Any]) -> dict[str, Any]:
    known = {"id": pair.id, "type": pair.type, "question": pair.question, "gold": pair.answer}
    return known | {
        "prediction": row["prediction"],
        "base_prediction": row.get("base_prediction"),
    }
