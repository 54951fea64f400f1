"""The last layer's feed-forward network, for those rows alone that are read.

The projection reads the positions that predict a target. The last layer's attention needs the keys
and values of all the others, but what its feed-forward network makes of them nobody reads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from lawtune.train.dropout import ExampleMasks, Rows
from lawtune.train.prefix import find_layers

MOST = 0.9
"""If more of the rows than this are read, to pick them out does not pay."""


class LastLayer:
    """The last layer of `model`. `reading` says which rows are read; otherwise all are."""

    def __init__(self, model: nn.Module, masks: ExampleMasks):
        self._masks = masks
        self._read: tuple[torch.Tensor, Rows | None] | None = None
        layers = find_layers(model)
        network = getattr(layers[-1], "mlp", None) if layers else None
        if network is not None and _takes_rows_apart(network, _width(model)):
            network.forward = partial(self._forward, network.forward)

    @contextmanager
    def reading(self, positions: torch.Tensor, rows: Rows | None) -> Iterator[None]:
        """Within the context, of the hidden states [examples, longest, width] only those at
        `positions`, counted over examples and positions, are right; they are the examples' `rows`
        (None: dropout is off)."""
        self._read = (positions, rows)
        try:
            yield
        finally:
            self._read = None

    def _forward(self, network: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.shape[0] * x.shape[1]
        if self._read is None or len(self._read[0]) > MOST * total:
            return network(x)
        positions, rows = self._read
        with self._masks.over(rows):
            read = network(x.flatten(0, 1).index_select(0, positions)[None])[0]
        full = read.new_zeros(total, read.shape[-1]).index_copy(0, positions, read)
        return full.view(*x.shape[:2], -1)


def _width(model: nn.Module) -> int:
    return model.config.get_text_config().hidden_size


def _takes_rows_apart(network: nn.Module, width: int) -> bool:
    """Whether a row comes out as it does alone."""
    parameter = next(network.parameters())
    rows = torch.linspace(-1, 1, 3 * width, device=parameter.device).view(1, 3, width)
    try:
        with torch.no_grad(), torch.autocast(parameter.device.type, dtype=torch.bfloat16):
            together, alone = network(rows)[:, 1:2], network(rows[:, 1:2])
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return False
    size = together.abs().max().item()
    return torch.allclose(together, alone, rtol=1e-2, atol=1e-2 * size)
