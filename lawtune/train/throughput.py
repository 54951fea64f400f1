"""How much of what the machine can do a pre-training run uses."""

import time
from collections.abc import Iterable

import torch

from lawtune.config import ArchitectureConfig
from lawtune.train.precision import Precision, row_dtype

_SIDES = (1024, 1024, 2048)
"""Rows, inner and outer size of the product that the peak is measured with."""

_SECONDS = 0.5
"""How long the peak is looked for: the first products of a process are slow, and so is one that
another process disturbs."""


def training_flops(model: ArchitectureConfig, vocabulary: int, lengths: Iterable[int]) -> int:
    """Floating-point operations of the matrix products that training on windows of these lengths
    needs: forward, and twice that backward (Kaplan et al. 2020, arXiv:2001.08361).

    A token costs 2 · (12 · width² · layers + width · vocabulary) forward, and causal attention of
    a window of n tokens 2 · n² · width a layer: the half of the square that the mask leaves.
    """
    matrices = 12 * model.width**2 * model.layers + model.width * vocabulary
    total = 0
    for length in lengths:
        n = int(length)
        total += 3 * (2 * n * matrices + 2 * n * n * model.width * model.layers)
    return total


def measured_peak(device: torch.device, precision: Precision) -> float:
    """Operations a second of the best large matrix product in `precision` in half a second."""
    dtype = row_dtype(precision)
    rows, inner, outer = _SIDES
    left = torch.ones(rows, inner, device=device, dtype=dtype)
    right = torch.ones(inner, outer, device=device, dtype=dtype)
    repeats = 100 if device.type == "cuda" else 1
    best, begun = 0.0, time.perf_counter()
    while time.perf_counter() - begun < _SECONDS:
        _finish(device)
        started = time.perf_counter()
        for _ in range(repeats):
            left @ right
        _finish(device)
        best = max(best, 2 * rows * inner * outer * repeats / (time.perf_counter() - started))
    return best


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
