"""Decoding: tokens one after another with a key/value cache, and text as it can be shown."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lawtune.config import AnswerConfig
from lawtune.data.privacy import DASHES, mask
from lawtune.errors import UserError
from lawtune.model.cache import keep_rows, new_cache, pad_left, with_cache

Pick = Callable[[torch.Tensor], torch.Tensor]
"""Logits [rows, vocabulary] in float32 → the chosen token of each row."""

CACHED_TOKENS = 16_384
"""Tokens whose keys and values a batch may come to hold: 1.2 GB for KoGPT-2 in float32."""

COLDEST = 1e-3
"""A temperature below this is greedy: dividing by it leaves no other token, or no number."""

_BOUNDARY = re.compile(rf"[^\dA-Za-z@._%+()\s{re.escape(DASHES)}]|[A-Za-z]\s")
"""After this, no earlier character can be part of a number or address that is still growing, unless
the number's bank is being named behind it."""

_BANK_TO_COME = re.compile(r"\d\s?\([가-힣 ]{0,12}$")
"""A number, and behind it what may become the name of its bank (`lawtune.data.privacy`)."""


@dataclass(frozen=True)
class Generation:
    """One answer: its text, how many tokens it took (the end token not counted), and whether the
    model ended it itself rather than being cut off."""

    text: str
    tokens: int
    stopped: bool


def continue_prompts(
    model: Any,
    prompts: Sequence[Sequence[int]],
    budgets: Sequence[int],
    stop_ids: frozenset[int],
    pick: Pick,
) -> Iterator[list[tuple[int, int]]]:
    """Decode a batch; yield after each step the (row, token) pairs of the rows still running.

    A row ends with a stop token, which is yielded, or after `budgets[row]` ≥ 1 tokens; it then
    leaves the batch, so that short answers do not wait for long ones. Prompts are padded on the
    left and masked, and positions count from each prompt's own first token: a row's answer does not
    depend on its neighbours.
    """
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    device = whole.get_input_embeddings().weight.device
    ids, attention = (tensor.to(device) for tensor in pad_left(prompts))
    cache = new_cache(whole, room=ids.shape[1] + max(budgets))
    last_only = {}
    if "logits_to_keep" in inspect.signature(whole.forward).parameters:
        last_only["logits_to_keep"] = 1
    rows = list(range(len(prompts)))
    step = 0
    while True:
        # Not around the whole generator: inference mode must not leak out at a yield.
        with torch.inference_mode():
            output = whole(**with_cache(whole.forward, ids, attention, cache), **last_only)
            tokens = pick(output.logits[:, -1].float())
        step += 1
        made = tokens.tolist()
        yield list(zip(rows, made, strict=True))
        running = [
            place
            for place, (row, token) in enumerate(zip(rows, made, strict=True))
            if token not in stop_ids and step < budgets[row]
        ]
        if not running:
            return
        if len(running) < len(rows):
            places = _close_up(running)
            rows = [rows[place] for place in places]
            keep = torch.tensor(places, device=device)
            tokens, attention = tokens[keep], attention[keep]
            with torch.inference_mode():
                keep_rows(cache, keep)
        attention = torch.cat([attention, attention.new_ones(len(rows), 1)], dim=1)
        ids = tokens[:, None]


def answer_greedily(
    model: Any,
    prompts: Sequence[Sequence[int]],
    budgets: Sequence[int],
    stop_ids: frozenset[int],
    batch_size: int,
) -> list[list[int]]:
    """Each prompt's most likely tokens, in order, a stop token that ended them included.

    A batch has at most `batch_size` prompts, and fewer where they and their answers may grow long.
    """
    # Prompts of like length together: padding is work for nothing.
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    answers: list[list[int]] = [[] for _ in prompts]
    while order:
        longest = len(prompts[order[0]]) + max(budgets)
        rows = max(1, min(batch_size, CACHED_TOKENS // longest))
        places, order = order[:rows], order[rows:]
        batch = [prompts[place] for place in places], [budgets[place] for place in places]
        for step in continue_prompts(model, *batch, stop_ids, greedy):
            for row, token in step:
                answers[places[row]].append(token)
    return answers


def _close_up(places: list[int]) -> list[int]:
    """The same ascending places in an order in which few move: the last ones take those of the
    missing."""
    kept, rest = set(places), list(places)
    return [place if place in kept else rest.pop() for place in range(len(places))]


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most likely token of each row."""
    return logits.argmax(dim=-1)


def sampler(config: AnswerConfig, device: torch.device) -> Pick:
    """Greedy at temperature 0; else tokens drawn, with the config's seed, from the smallest set
    that holds `top_p` of the probability."""
    if config.temperature < COLDEST:
        return greedy
    generator = torch.Generator(device).manual_seed(config.seed)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        if not logits.isfinite().any(dim=-1).all():
            raise UserError("the model's logits are no numbers: its weights are damaged")
        chances, order = (logits / config.temperature).softmax(dim=-1).sort(descending=True)
        # A token stays if those before it have not yet filled the share: the first always does.
        chances = chances.masked_fill(chances.cumsum(dim=-1) - chances >= config.top_p, 0.0)
        place = torch.multinomial(chances, 1, generator=generator)
        return order.gather(-1, place).squeeze(-1)

    return draw


def shown_text(tokens: Iterable[int], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """Text pieces of a growing answer, personal data masked; joined, they are the masked answer.

    What could still change is held back: a character whose bytes have not all come, and a run of
    characters that may turn out to be the head of a number or address to be masked.
    """
    ids: list[int] = []
    shown = ""
    for token in tokens:
        ids.append(token)
        text = decode(ids).rstrip("\ufffd")
        open_number = _BANK_TO_COME.search(text)
        settled = text[: open_number.start()] if open_number else text
        boundary = max((match.end() for match in _BOUNDARY.finditer(settled)), default=0)
        masked = mask(text[:boundary])[0]
        if len(masked) > len(shown) and masked.startswith(shown):
            yield masked[len(shown) :]
            shown = masked
    rest = mask(decode(ids))[0][len(shown) :]
    if rest:
        yield rest
