"""The optimiser of pre-training: Muon for the layers' matrices, AdamW for everything else."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

BETAS = (0.9, 0.95)
"""AdamW's, as is usual where steps are few and batches large."""


class MuonWithAdamW:
    """`torch.optim.Muon` (Jordan et al. 2024) on the matrices of the transformer's layers and
    `torch.optim.AdamW` on embeddings, norms and biases, seen by the loop as one optimiser.

    Muon orthogonalises a matrix's update, so a matrix that is several in one is taken apart: GPT-2
    keeps query, key and value side by side in `c_attn`. Its update is scaled to the size of AdamW's
    (`match_rms_adamw`, Liu et al. 2025, arXiv:2502.16982), whichever way round a layer keeps its
    weight, so one learning rate serves both.
    """

    def __init__(self, model: nn.Module, weight_decay: float):
        matrices = {n: p for n, p in model.named_parameters() if p.dim() == 2 and ".h." in n}
        rest = [p for n, p in model.named_parameters() if n not in matrices]
        self._pieces = [(p, _columns(n, p)) for n, p in matrices.items()]
        self._muon = torch.optim.Muon(
            [piece for _, pieces in self._pieces for piece in pieces],
            lr=0.0,
            weight_decay=weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.dim() >= 2], "weight_decay": weight_decay},
                {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=BETAS,
        )
        whole = {"params": list(matrices.values()), "lr": 0.0}
        self.param_groups = [whole, *self._adamw.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As `torch.optim.Optimizer.zero_grad`."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take a step at the learning rates that stand in `param_groups`."""
        for group in self._muon.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        for parameter, pieces in self._pieces:
            parts = parameter.grad.chunk(len(pieces), dim=1)
            for piece, part in zip(pieces, parts, strict=True):
                piece.grad = part
        self._muon.step()
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' states under one numbering, in the form of torch's own."""
        first, second = self._muon.state_dict(), self._adamw.state_dict()
        moved = {self._offset + index: state for index, state in second["state"].items()}
        groups = [*first["param_groups"], *second["param_groups"]]
        return {"state": first["state"] | moved, "param_groups": groups}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        state, groups, cut = saved["state"], saved["param_groups"], len(self._muon.param_groups)
        own = {index: values for index, values in state.items() if index < self._offset}
        moved = {i - self._offset: values for i, values in state.items() if i >= self._offset}
        self._muon.load_state_dict({"state": own, "param_groups": groups[:cut]})
        self._adamw.load_state_dict({"state": moved, "param_groups": groups[cut:]})
        # Loading gives the optimiser new group dictionaries.
        self.param_groups[1:] = self._adamw.param_groups

    @property
    def _offset(self) -> int:
        return sum(len(pieces) for _, pieces in self._pieces)


def _columns(name: str, matrix: nn.Parameter) -> list[nn.Parameter]:
    """The matrices that a parameter is made of, as views of it."""
    parts = matrix.detach().chunk(3, dim=1) if name.endswith("attn.c_attn.weight") else [matrix]
    return [nn.Parameter(part.detach()) for part in parts]
