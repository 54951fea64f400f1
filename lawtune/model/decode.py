"""Decoding: tokens one after another with a key/value cache, and text as it can be shown."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lawtune.config import AnswerConfig
from lawtune.data.privacy import mask

Pick = Callable[[torch.Tensor], torch.Tensor]
"""Logits [rows, vocabulary] in float32 → the chosen token of each row."""

_BOUNDARY = re.compile(r"[^0-9A-Za-z@._%+\-–()\s]|[A-Za-z]\s")
"""After this, no earlier character can be part of a number or address that is still growing."""


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
    takes = inspect.signature(whole.forward).parameters
    device = whole.get_input_embeddings().weight.device
    ids, attention = (tensor.to(device) for tensor in _pad_left(prompts))
    rows = list(range(len(prompts)))
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    inputs: dict[str, Any] = {"past_key_values": None, "use_cache": True}
    if "logits_to_keep" in takes:
        inputs["logits_to_keep"] = 1
    step = 0
    while rows:
        inputs |= {"input_ids": ids, "attention_mask": attention}
        if "position_ids" in takes:
            inputs["position_ids"] = positions
        # Not around the whole generator: inference mode must not leak out at a yield.
        with torch.inference_mode():
            output = whole(**inputs)
            tokens = pick(output.logits[:, -1].float())
        step += 1
        made = tokens.tolist()
        yield list(zip(rows, made, strict=True))
        running = [
            place
            for place, (row, token) in enumerate(zip(rows, made, strict=True))
            if token not in stop_ids and step < budgets[row]
        ]
        cache = output.past_key_values
        if len(running) < len(rows):
            rows = [rows[place] for place in running]
            keep = torch.tensor(running, device=device, dtype=torch.long)
            tokens, attention = tokens[keep], attention[keep]
            if rows:
                cache.batch_select_indices(keep)
        attention = torch.cat([attention, attention.new_ones(len(rows), 1)], dim=1)
        positions = attention.sum(dim=1, keepdim=True) - 1
        ids, inputs["past_key_values"] = tokens[:, None], cache


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most likely token of each row."""
    return logits.argmax(dim=-1)


def sampler(config: AnswerConfig, device: torch.device) -> Pick:
    """Greedy at temperature 0; else tokens drawn, with the config's seed, from the smallest set
    that holds `top_p` of the probability."""
    if config.temperature <= 0:
        return greedy
    generator = torch.Generator(device).manual_seed(config.seed)

    def draw(logits: torch.Tensor) -> torch.Tensor:
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
        boundary = max((match.end() for match in _BOUNDARY.finditer(text)), default=0)
        masked = mask(text[:boundary])[0]
        if len(masked) > len(shown) and masked.startswith(shown):
            yield masked[len(shown) :]
            shown = masked
    rest = mask(decode(ids))[0][len(shown) :]
    if rest:
        yield rest


def _pad_left(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, attention mask), both [rows, longest]."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention[row, width - len(prompt) :] = 1
    return ids, attention
