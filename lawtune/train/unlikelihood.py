"""Training against loops: what a model itself answers, where it repeats itself, made less likely.

A small model that is tuned on gold answers alone, decoded greedily, soon says the same words over
and over. Sequence-level unlikelihood training (Welleck et al. 2020, arXiv:1908.04319) shows it its
own greedy answers and takes probability from every token of a repeated run, for all tokens but
that which ends an answer; decoding stays as it is.
"""

from collections.abc import Sequence
from typing import Any

import torch

from lawtune.data.encode import Window
from lawtune.model.decode import answer_greedily
from lawtune.model.load import max_positions

RUN = 6
"""Tokens in a run that is a repetition when it comes again, some four words: of the starter's gold
answers 1 token in 40 stands in one, of a loop all."""

ROOM, LONGEST = 2, 128
"""An answer is heard out to this many times the gold one's length, and to so many tokens: by then
it loops or stops, and the longest one of a batch is what the batch costs."""

LEAST = 0.001
"""What 1 − p is at least taken for, so that −log(1 − p) is a number. Its derivative by the token's
logit is p as far as that, and below it fades with 1 − p: a greater one leaves the surest loops."""


def unlikelihood(losses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """−log(1 − p) for tokens whose −log p is `losses`, and its derivative by −log p."""
    left = (-torch.expm1(-losses)).clamp(min=LEAST)
    return -left.log(), -torch.exp(-losses) / left


def spare(logits: torch.Tensor, token: int | None) -> torch.Tensor:
    """`logits` [rows, vocabulary], in place, without `token`, which no gradient then reaches.

    Probability that is taken from a loop goes to all other tokens as they are likely. Were the end
    of an answer among them, answers would learn to end early; it is gold answers that teach where.
    """
    if token is not None:
        logits[:, token] = torch.finfo(logits.dtype).min
    return logits


def repeats(tokens: Sequence[int], run: int = RUN) -> tuple[bool, ...]:
    """Which tokens belong to a run of `run` tokens that stood before in `tokens`."""
    marks, seen = [False] * len(tokens), set()
    for end in range(run, len(tokens) + 1):
        found = tuple(tokens[end - run : end])
        if found in seen:
            marks[end - run : end] = [True] * run
        seen.add(found)
    return tuple(marks)


def own_answers(model: Any, windows: Sequence[Window], end_id: int) -> list[Window]:
    """What `model` answers, greedily, where `windows` have the gold answer; only answers that
    repeat themselves, with the tokens marked that do."""
    prompts = [window.ids[: window.target_start] for window in windows]
    # A batch is as wide as its longest prompt, and some models (GPT-Neo, MPT) count the padding.
    left = max_positions(model) - max(map(len, prompts), default=0)
    budgets = [max(1, min(ROOM * window.targets, LONGEST, left)) for window in windows]
    answers = answer_greedily(model, prompts, budgets, frozenset({end_id}), len(windows))
    own = []
    for window, prompt, answer in zip(windows, prompts, answers, strict=True):
        marks = repeats(answer)
        if any(marks):
            own.append(Window((*prompt, *answer), len(prompt), window.name, marks))
    return own
