"""In what precision a run computes, while weights, gradients of them and sums stay float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """The precision that `train.precision` names; `auto` is bf16 only where the hardware
    multiplies in it (emulated on a CPU, it is a hundred times slower), else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Builds without oneDNN (Apple's) lack the question, and the products too.
        has_library = torch.backends.mkldnn.is_available()
        native = has_library and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if native else "fp32"


def row_dtype(precision: Precision) -> torch.dtype:
    """The type in which rows enter a product."""
    return torch.float32 if precision == "fp32" else torch.bfloat16


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """Where products are computed in `precision`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
