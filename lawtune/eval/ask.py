"""What an evaluation asks of a model and of its base alike: likelihoods and whole answers.

A model is known by the protocol here only, so that nothing of `lawtune.eval` needs torch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from lawtune.config import EvaluateConfig
from lawtune.data.privacy import mask
from lawtune.eval.choice import ChoiceSet
from lawtune.eval.sample import type_of
from lawtune.records import QAPair

LIKELIHOOD_CHUNK = 128
"""Likelihoods asked for at a time, so that progress is seen."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stages are named like "likelihood" and "base generation"."""

Request = tuple[str, str]
"""(prompt, answer)"""


class Generation(Protocol):
    """One generated answer: its text, its tokens, and whether the model ended it itself."""

    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True)
class Answer:
    """A generation as an evaluation keeps it: personal data in its text is masked."""

    text: str
    tokens: int
    stopped: bool


class Model(Protocol):
    """What an evaluation asks of a model; `LegalModel` has it."""

    name: str
    has_adapter: bool

    def render(self, question: str, type: str | None, context: str | None) -> str:
        """The prompt's text."""

    def log_likelihoods(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """Σ log p over each answer's tokens, in nats, EOS left out."""

    def generate(
        self, prompts: Sequence[str], max_new_tokens: int, batch_size: int
    ) -> Sequence[Generation]:
        """One answer a prompt, in order."""

    def overflow(self, prompt: str, answers: Sequence[str], max_new_tokens: int = 0) -> int:
        """By how many tokens a prompt is too long for the longest of its answers, or for one of up
        to `max_new_tokens`."""

    def unknown_bytes(self, texts: Sequence[str]) -> list[int]:
        """How many UTF-8 bytes of each text stand under the tokenizer's `<unk>`."""

    def base_only(self) -> AbstractContextManager[Any]:
        """While it lasts, the adapter is off."""


@dataclass(frozen=True)
class Plan:
    """What is asked of a model and of its base alike. `asked` are the records to answer in full."""

    pairs: Sequence[QAPair]
    chosen: ChoiceSet
    asked: Sequence[int]
    config: EvaluateConfig


@dataclass(frozen=True)
class Outputs:
    """What one model said: a log-likelihood a request, and an answer a sampled question. `cut` are
    the ids of the records whose prompt lost its head for want of room."""

    likelihood: Mapping[Request, float]
    answers: Sequence[Answer]
    prompts: Sequence[str]
    empty_prompts: Mapping[str, str]
    cut: Sequence[str]

    @property
    def texts(self) -> list[str]:
        """The answers' texts."""
        return [answer.text for answer in self.answers]

    @property
    def not_numbers(self) -> int:
        """How many likelihoods are no finite number: a model that gives such is broken."""
        return sum(not math.isfinite(value) for value in self.likelihood.values())


def ask(model: Model, plan: Plan, progress: Progress, prefix: str) -> Outputs:
    """Every likelihood and answer of `plan`; progress is reported under `prefix` + stage."""
    pairs = plan.pairs
    prompts = [model.render(pair.question, pair.type, pair.context) for pair in pairs]
    # Without a question there is nothing for a context to bear on: it is left out too.
    empty = {type_of(pair): model.render("", pair.type, None) for pair in pairs}
    wanted = dict.fromkeys(
        (prompt, pair.answer) for prompt, pair in zip(prompts, pairs, strict=True)
    )
    for index, choices in plan.chosen.choices.items():
        for choice in choices:
            wanted[prompts[index], choice] = None
            wanted[empty[type_of(pairs[index])], choice] = None
    asked, cut = set(plan.asked), []
    for index, (prompt, pair) in enumerate(zip(prompts, pairs, strict=True)):
        alternatives = (pair.answer, *plan.chosen.choices.get(index, ()))
        tokens = plan.config.max_new_tokens if index in asked else 0
        if model.overflow(prompt, alternatives, tokens):
            cut.append(pair.id)
    likelihood = ask_likelihoods(
        model, list(wanted), lambda done: progress(f"{prefix}likelihood", done, len(wanted))
    )
    answers = _generate(
        model,
        [prompts[index] for index in plan.asked],
        plan.config,
        lambda done: progress(f"{prefix}generation", done, len(plan.asked)),
    )
    return Outputs(likelihood, answers, prompts, empty, cut)


def ask_likelihoods(
    model: Model, requests: Sequence[Request], progress: Callable[[int], None]
) -> dict[Request, float]:
    """The log-likelihood of each of the distinct `requests`; `progress` hears how many are done."""
    longest: dict[str, int] = {}
    for prompt, answer in requests:
        longest[prompt] = max(longest.get(prompt, 0), len(prompt) + len(answer))
    # All answers to a prompt together: the model reads it once for them. Longest first: chunks of
    # like length waste least on padding, and a shortage of memory shows at once.
    ordered = sorted(requests, key=lambda r: (-longest[r[0]], r[0], -len(r[1])))
    found: dict[Request, float] = {}
    for start in range(0, len(ordered), LIKELIHOOD_CHUNK):
        chunk = ordered[start : start + LIKELIHOOD_CHUNK]
        values = model.log_likelihoods([r[0] for r in chunk], [r[1] for r in chunk])
        found |= zip(chunk, values, strict=True)
        progress(len(found))
    return found


def _generate(
    model: Model, prompts: Sequence[str], config: EvaluateConfig, progress: Callable[[int], None]
) -> list[Answer]:
    answers: dict[int, Answer] = {}
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    for start in range(0, len(order), config.batch_size):
        places = order[start : start + config.batch_size]
        batch = [prompts[place] for place in places]
        made = model.generate(batch, config.max_new_tokens, config.batch_size)
        for place, generation in zip(places, made, strict=True):
            # What a user would be shown: personal data is masked in every answer.
            text = mask(generation.text)[0]
            answers[place] = Answer(text, generation.tokens, generation.stopped)
        progress(len(answers))
    return [answers[place] for place in range(len(prompts))]
