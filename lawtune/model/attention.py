"""Attention of the newest token, in float32.

transformers calls a model's attention by the name in its configuration. For one query, on a CPU,
torch's kernel for bfloat16 takes several times as long as the one for float32, and most of the time
in which a small model decodes an answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME, _USUAL = "lawtune_newest", "sdpa"


@contextmanager
def attention_named(model: Any, name: str) -> Iterator[None]:
    """Within the context, `model` computes attention as what is registered under `name` does; no
    other thread may use it meanwhile."""
    config = model.config.get_text_config()
    before, config._attn_implementation = config._attn_implementation, name
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def newest_in_float32(model: Any) -> Iterator[None]:
    """Within the context, `model` (plain, no PeftModel) does so if it is on a CPU and has torch's
    attention; no other thread may use it meanwhile."""
    name = model.config.get_text_config()._attn_implementation
    if name == _USUAL and model.device.type == "cpu":
        name = _NAME
    with attention_named(model, name):
        yield


def attends_in_float32(model: Any) -> bool:
    """Whether `model` is within that context, and best handed keys and values in float32."""
    return model.config.get_text_config()._attn_implementation == _NAME


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' own, [rows, heads, tokens, head width] → [rows, tokens, heads, head width]."""
    newest = query.shape[2] == 1
    dtype = torch.promote_types(query.dtype, torch.float32) if newest else query.dtype
    states = (x.to(dtype) for x in (query, key, value))
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.to(dtype)
    with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu") and not newest):
        output, _ = sdpa_attention_forward(module, *states, attention_mask, **options)
    return output.to(query.dtype), None


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, sdpa_mask)
