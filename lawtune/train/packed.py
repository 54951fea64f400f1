"""Examples one after another in a single row, without padding, each attending to itself alone.

transformers calls a model's attention by the name in its configuration. Within `packed` that name
is ours: queries, keys and values are cut at the examples' ends, so that no example sees another.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from lawtune.model.attention import attention_named

Lengths = Sequence[int] | None

LONGEST_PLAIN = 512
"""Above it, attention's [length, length] matrices are not kept for the way back."""

_NAME = "lawtune_packed"
_CHANGING = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What some models ask of attention beyond the usual."""

_lengths: ContextVar[Lengths] = ContextVar("lengths", default=None)


@contextmanager
def packed(trunk: nn.Module, lengths: Lengths) -> Iterator[dict[str, torch.Tensor]]:
    """Within the context, `trunk` takes one row with examples of these lengths, and the arguments
    that this yields. With None, nothing is changed."""
    if lengths is None:
        yield {}
        return
    device = next(trunk.parameters()).device
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    token = _lengths.set(lengths)
    try:
        with attention_named(trunk, _NAME):
            yield {"position_ids": positions[None]}
    finally:
        _lengths.reset(token)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention by example, as transformers calls it.

    Args:
        query: [1, heads, tokens, head width]; key, value: the same, with perhaps fewer heads.

    Returns:
        [1, tokens, heads, head width].

    Raises:
        ValueError: the model asks for more than this.
    """
    asked = [name for name in _CHANGING if options.get(name) is not None]
    if attention_mask is not None or asked or options.get("dropout"):
        raise ValueError(f"{asked} with packed examples")
    # Rotated by positions in float32, they would else meet a value in bfloat16.
    query, key = query.to(value.dtype), key.to(value.dtype)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    parts = (x[0].split(_lengths.get(), dim=1) for x in (query, key, value))
    outputs = [_attend(*example, factor).transpose(0, 1) for example in zip(*parts, strict=True)]
    return torch.cat(outputs)[None], None


AttentionInterface.register(_NAME, _attention)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> torch.Tensor:
    """One example, all [heads, length, head width]."""
    if query.shape[1] <= LONGEST_PLAIN:
        return _Plain.apply(query, key, value, scaling)
    alone = (x[None] for x in (query, key, value))
    return nn.functional.scaled_dot_product_attention(*alone, is_causal=True, scale=scaling)[0]


class _Plain(torch.autograd.Function):
    """Attention by its definition: for texts of Q&A's length, on a CPU, forwards and back twice as
    fast in bfloat16 as the kernel that never writes the probabilities down. Scores and soft-max are
    float32 as there: in bfloat16 they would double the error of the gradients."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        exact = torch.promote_types(query.dtype, torch.float32)
        scores = torch.bmm(query.to(exact) * scaling, key.to(exact).transpose(1, 2))
        scores.add_(_causal(scores.shape[-1], exact, scores.device))
        weights = scores.softmax(-1).to(value.dtype)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scaling = scaling
        return torch.bmm(weights, value)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        grad = grad.contiguous()
        grad_value = torch.bmm(weights.transpose(1, 2), grad)
        towards = torch.bmm(grad, value.transpose(1, 2))
        towards = torch._softmax_backward_data(towards, weights, -1, weights.dtype)
        towards.mul_(ctx.scaling)
        return torch.bmm(towards, key), torch.bmm(towards.transpose(1, 2), query), grad_value, None


@lru_cache(maxsize=64)
def _causal(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[length, length]: 0 where a token may look, −∞ where it may not."""
    with torch.inference_mode(False):
        return torch.full((length, length), -torch.inf, dtype=dtype, device=device).triu_(1)
