"""Keys and values of what a model has read, kept for the tokens that follow."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import (
    DynamicCache,
    DynamicLayer,
    LinearAttentionCacheLayerMixin,
)

from lawtune.errors import UserError
from lawtune.model.attention import attends_in_float32


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, [rows, heads, tokens, width], at the head of buffers with room
    for `room` tokens.

    transformers' own layer copies everything it holds at each token. Here a token is written where
    it belongs, and rows that leave cost the move of as many others at most. They are held in
    float32 if `exact`, else as they come.
    """

    def __init__(self, room: int, exact: bool = False):
        super().__init__()
        self.room, self.exact = room, exact

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the states of new tokens; return those of all (the signature is transformers')."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            states = (key_states, value_states)
            self._buffers = tuple((x.float() if self.exact else x)[:, :, :0] for x in states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._buffers = tuple(self._enlarge(buffer, end) for buffer in self._buffers)
            if start:
                self._buffers[0][:, :, :start] = self.keys
                self._buffers[1][:, :, :start] = self.values
        keys, values = self._buffers
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in this order; none may come from before the place that it takes."""
        places = indices.tolist()
        end = self.get_seq_length()
        for place, row in enumerate(places):
            assert row >= place, "a row would be overwritten before it is moved"
            if row != place:
                for buffer in self._buffers:
                    buffer[place, :, :end] = buffer[row, :, :end]
        self._buffers = tuple(buffer[: len(places)] for buffer in self._buffers)
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)

    def _enlarge(self, buffer: torch.Tensor, end: int) -> torch.Tensor:
        rows, heads, _, width = buffer.shape
        return buffer.new_empty(rows, heads, max(self.room, end + end // 2), width)


def new_cache(model: Any, room: int = 0) -> DynamicCache:
    """An empty cache for `model` (plain, not a PeftModel).

    Args:
        room: how many tokens a row will come to; 0 if nothing is added token by token.
    """
    cache = DynamicCache(config=model.config)
    if room:
        exact = attends_in_float32(model)
        # Layers of another kind (sliding windows, states of fixed size) keep to their own ways.
        cache.layers = [
            RoomyLayer(room, exact) if type(layer) is DynamicLayer else layer
            for layer in cache.layers
        ]
    return cache


def with_cache(
    forward: Callable[..., Any], ids: torch.Tensor, attention: torch.Tensor, cache: Any
) -> dict[str, Any]:
    """What `forward` is called with to read `ids` after what `cache` holds.

    Args:
        ids: [rows, new tokens].
        attention: [rows, cached and new tokens], 0 where there is padding. Positions count from
            each row's own first token.

    Raises:
        UserError: the model takes no cache of transformers' common kind (RWKV, Mamba).
    """
    takes = inspect.signature(forward).parameters
    # transformers has renamed it.
    name = next((name for name in ("cache", "past_key_values") if name in takes), None)
    if name is None:
        raise UserError("models that keep what they have read in a way of their own cannot answer")
    inputs = {"input_ids": ids, "attention_mask": attention, name: cache, "use_cache": True}
    if "position_ids" in takes:
        positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
        inputs["position_ids"] = positions[:, -ids.shape[1] :]
    return inputs


def keep_rows(cache: Any, rows: torch.Tensor) -> None:
    """Keep these rows of `cache`, in this order; one with room takes none from before its place
    (`RoomyLayer.batch_select_indices`)."""
    for layer in cache.layers:
        # Layers whose state has a fixed size are only ever reordered, to as many rows as asked.
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            layer.reorder_cache(rows)
        else:
            layer.batch_select_indices(rows)


def copy_rows(cache: Any, rows: torch.Tensor) -> Any:
    """A cache of its own with these rows of `cache` (made without room), some several times."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in chosen.layers:
        # States of several kinds lie in dictionaries, which a copy would share.
        vars(layer).update({k: dict(v) for k, v in vars(layer).items() if isinstance(v, dict)})
    keep_rows(chosen, rows)
    return chosen


def pad_left(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, attention mask), both [rows, longest]: what is added to a row comes right after it."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention[row, width - len(prompt) :] = 1
    return ids, attention
