"""The multiple-choice test inside an evaluation: gold answers against hard distractors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawtune.data.distractors import choose_distractors
from lawtune.data.quality import overlap
from lawtune.records import QAPair


@dataclass(frozen=True)
class ChoiceSet:
    """Answers to choose from, by record index. `rechosen` lists the records that came without
    distractors, which were chosen anew; `excluded` those without suitable ones."""

    choices: Mapping[int, tuple[str, ...]]
    rechosen: tuple[str, ...]
    excluded: tuple[str, ...]


def resolve_choices(pairs: Sequence[QAPair], pool: Sequence[QAPair], seed: int) -> ChoiceSet:
    """Each record's gold answer, first, with its distractors.

    Records without stored distractors get theirs chosen from `pool` by `seed`; where four suitable
    ones do not exist the record is excluded and listed.
    """
    lacking = [index for index, pair in enumerate(pairs) if not pair.distractors]
    found = choose_distractors([pairs[index] for index in lacking], seed, pool) if lacking else []
    rechosen = {
        index: pair.distractors
        for index, pair in zip(lacking, found, strict=True)
        if pair.distractors
    }
    wrong = {index: rechosen.get(index, pair.distractors) for index, pair in enumerate(pairs)}
    return ChoiceSet(
        choices={i: (pairs[i].answer, *texts) for i, texts in wrong.items() if texts},
        rechosen=tuple(pairs[index].id for index in rechosen),
        excluded=tuple(pairs[index].id for index, texts in wrong.items() if not texts),
    )


def pick(scores: Sequence[float], answer: int) -> int:
    """The place of the highest score. A tie with the right choice, at `answer`, goes against it,
    and so does a score that is not a number."""

    def strength(place: int) -> tuple[float, bool]:
        wrong = place != answer
        score = scores[place]
        return (math.inf if wrong else -math.inf) if math.isnan(score) else score, wrong

    return max(range(len(scores)), key=strength)


def gold_wins(scores: Sequence[float]) -> bool:
    """Whether the first choice, the gold one, is picked."""
    return pick(scores, 0) == 0


def overlap_wins(question: str, choices: Sequence[str]) -> bool:
    """Whether counting character bigrams shared with the question finds the gold choice."""
    return gold_wins([overlap(question, choice) for choice in choices])
