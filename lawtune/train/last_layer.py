"""The last layer's feed-forward network, for those rows alone that are read.

The projection reads the positions that predict a target. The last layer's attention needs the keys
and values of all the others, but what its feed-forward network makes of them nobody reads.
"""

from collections.abc import Callable, Iterator
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
    """The last layer of `model`. `reading` says which rows are read; otherwise all are.

    It is tried against the model itself, and nothing is left out where that makes a difference.

    Args:
        trunk: token ids [examples, longest] → the model's last hidden states.
    """

    def __init__(
        self, model: nn.Module, masks: ExampleMasks, trunk: Callable[[torch.Tensor], torch.Tensor]
    ):
        self._masks = masks
        self._read: tuple[torch.Tensor, Rows | None] | None = None
        layers = find_layers(model)
        network = getattr(layers[-1], "mlp", None) if layers else None
        if not isinstance(network, nn.Module):
            return
        whole = network.forward
        network.forward = partial(self._forward, whole)
        if not self._is_right(trunk, next(model.parameters()).device):
            network.forward = whole

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

    def _forward(self, network: Any, x: torch.Tensor, *rest: Any, **named: Any) -> Any:
        total = x.shape[:-1].numel()
        apart = self._read is not None and len(self._read[0]) <= MOST * total
        # A network that is told more than the rows may be told of all of them.
        if not apart or rest or named or x.dim() != 3:
            return network(x, *rest, **named)
        positions, rows = self._read
        with self._masks.over(rows):
            read = network(x.flatten(0, 1).index_select(0, positions)[None])[0]
        full = read.new_zeros(total, read.shape[-1]).index_copy(0, positions, read)
        return full.view(*x.shape[:2], -1)

    def _is_right(
        self, trunk: Callable[[torch.Tensor], torch.Tensor], device: torch.device
    ) -> bool:
        ids = torch.tensor([[0, 1, 2]], device=device)
        try:
            with torch.no_grad():
                expected = trunk(ids)[:, -1]
                with self.reading(torch.tensor([2], device=device), None):
                    found = trunk(ids)[:, -1]
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return False
        size = expected.abs().max()
        return bool(((found - expected).abs() <= 1e-3 * size).all())  # false of what is no number
