"""The multiple-choice test inside an evaluation: gold answers against hard distractors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lawtune.data.distractors import choose_distractors
from lawtune.eval.text import overlap
from lawtune.records import QAPair


@dataclass(frozen=True)
class ChoiceSet:
    """Answers to choose from, by record index. `rechosen` lists the records whose stored
    distractors were missing, in whole or part, and were chosen anew; `excluded` those without
    suitable ones."""

    choices: Mapping[int, tuple[str, ...]]
    rechosen: tuple[str, ...]
    excluded: tuple[str, ...]


def resolve_choices(pairs: Sequence[QAPair], pool: Sequence[QAPair], seed: int) -> ChoiceSet:
    """Each record's gold answer, first, with its distractors' answers, looked up in `pool`.

    Records without stored distractors, or with one that `pool` lacks (a shortened file), get
    theirs chosen from `pool` by `seed`; where four suitable ones do not exist the record is
    excluded and listed.
    """
    answers = {pair.id: pair.answer for pair in pool}
    stored = {
        index: pair.distractors
        for index, pair in enumerate(pairs)
        if pair.distractors and all(name in answers for name in pair.distractors)
    }
    rechosen: dict[int, tuple[str, ...]] = {}
    if len(stored) < len(pairs):
        chosen = {pair.id: pair.distractors for pair in choose_distractors(pool, seed)}
        rechosen = {
            index: names
            for index, pair in enumerate(pairs)
            if index not in stored and (names := chosen.get(pair.id))
        }
    names_of = stored | rechosen
    return ChoiceSet(
        choices={
            index: (pairs[index].answer, *(answers[name] for name in names_of[index]))
            for index in sorted(names_of)
        },
        rechosen=tuple(pairs[index].id for index in sorted(rechosen)),
        excluded=tuple(pair.id for index, pair in enumerate(pairs) if index not in names_of),
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
