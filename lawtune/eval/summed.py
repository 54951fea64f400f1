"""What every metric is made of: a short vector of counts per record, summed and then scored.

The figure over a file and every figure of a bootstrap over its groups are computed the same way,
from the same per-record vectors.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lawtune.eval.text import utf8_bytes

Statistics = NDArray[np.float64]
"""Shape [records, k], or [..., k] once summed over records."""


def ratio(summed: Statistics) -> NDArray[np.float64]:
    """Σ first ÷ Σ second; a mean over records when the second is 1 for each. NaN over nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(summed[..., 1] > 0, summed[..., 0] / summed[..., 1], np.nan)


def per_record(values: Sequence[float]) -> Statistics:
    """Statistics of a mean over records, [records, 2]."""
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return np.hstack([column, np.ones_like(column)])


def shares(counts: Iterable[tuple[float, float]]) -> Statistics:
    """Statistics of a share over all records, (part, whole) each; [records, 2]."""
    return np.asarray(list(counts), dtype=np.float64).reshape(-1, 2)


def bits_statistics(nats: Sequence[float], texts: Sequence[str]) -> Statistics:
    """Bits that each text costs, from its log-likelihood, and its bytes; [records, 2]."""
    bits = -np.asarray(nats, dtype=np.float64) / math.log(2)
    return np.column_stack([bits, [utf8_bytes(text) for text in texts]])
