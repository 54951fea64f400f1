"""Where the frozen part of a model ends, and the model cut in two there.

Below the lowest layer that trains nothing changes, so its output for a text can be computed once.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lawtune.train.packed import Lengths, packed

Apply = Callable[[torch.Tensor, Lengths], torch.Tensor]


@dataclass(frozen=True)
class Parts:
    """A causal LM in parts: `head(trunk(ids))` are its logits, and `upper(lower(ids))` is
    `trunk(ids)`.

    Token ids are int64 [examples, longest], hidden states [examples, longest, width]. The second
    argument of each is None then; where the model `packs`, it may be the lengths of examples that
    stand one after another in a single row instead.

    `boundary` is how many of the `blocks` layers lie below: all of them where only the projection
    trains (then `upper` has nothing to do), 0 where there is no frozen part worth the name (then
    `lower` and `upper` are None).
    """

    trunk: Apply
    head: nn.Module
    boundary: int
    blocks: int
    lower: Apply | None = None
    upper: Apply | None = None
    packs: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the whole trunk is frozen."""
        return 0 < self.boundary == self.blocks


def split_model(model: nn.Module) -> Parts:
    """Cut `model` (with or without a PEFT adapter around it).

    Some models do more to their logits than the projection (they cap or scale them), and some
    carry more from layer to layer than hidden states. So every cut is tried against the model
    itself, and not made where a bit differs: then the whole model is the trunk, or nothing is
    the lower part.
    """
    inner = unwrapped(model)
    head = inner.get_output_embeddings()
    probe = torch.tensor([[0, 1, 2]], device=next(model.parameters()).device)

    def trunk(ids: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        with packed(inner.base_model, lengths) as positions:
            done = inner.base_model(input_ids=ids, use_cache=False, **positions)
        return done.last_hidden_state

    def whole(ids: torch.Tensor, _: Lengths = None) -> torch.Tensor:
        return inner(input_ids=ids, use_cache=False).logits

    with torch.no_grad():
        # Some models name no trunk of theirs: they would be their own.
        apart = head is not None and inner.base_model is not inner
        if not (apart and torch.equal(head(trunk(probe)), whole(probe))):
            return Parts(whole, nn.Identity(), 0, 0)
    return _cut_below(inner.base_model, trunk, head, probe)


def _cut_below(model: nn.Module, trunk: Apply, head: nn.Module, probe: torch.Tensor) -> Parts:
    name = _blocks_name(model)
    packs = not _looks_only_near(model) and _packs(trunk, probe)
    blocks = len(getattr(model, name)) if name else 0
    boundary = _boundary(model, name) if name else 0
    if boundary == 0:
        return Parts(trunk, head, 0, blocks, packs=packs)
    if boundary == blocks:
        return Parts(trunk, head, blocks, blocks, trunk, lambda hidden, _: hidden, packs)
    lower, upper = _cut(model, name, boundary)
    if not _same(trunk, lower, upper, probe):
        return Parts(trunk, head, 0, blocks, packs=packs)
    return Parts(trunk, head, boundary, blocks, lower, upper, packs)


def unwrapped(model: nn.Module) -> nn.Module:
    """transformers' own model, without PEFT's around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def find_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of `model` (with or without a PEFT adapter around it), lowest first; none where
    they are not in one list, as many as the configuration says."""
    trunk = unwrapped(model).base_model
    name = _blocks_name(trunk)
    return list(getattr(trunk, name)) if name else []


def hash_lower(model: nn.Module, boundary: int) -> str:
    """Hex SHA-256 of all that the lower part's output depends on: the model's configuration and
    every tensor below the boundary, as they stand in memory (added rows included)."""
    inner = unwrapped(model)
    trunk = inner.base_model
    prefix = _blocks_name(trunk)
    config = inner.config.to_dict() | {"_name_or_path": None}
    total = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(trunk.state_dict().items()):
        parts = name.split(".")
        if parts[0] == prefix and int(parts[1]) >= boundary:
            continue
        if hasattr(tensor, "full_tensor"):
            tensor = tensor.full_tensor()  # spread over several processes
        if tensor.is_mkldnn:
            tensor = tensor.to_dense()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def _blocks_name(trunk: nn.Module) -> str | None:
    """The trunk's own list of layers, as it calls it."""
    count = getattr(trunk.config.get_text_config(), "num_hidden_layers", None)
    lists = [n for n, m in trunk.named_children() if isinstance(m, nn.ModuleList)]
    found = [name for name in lists if len(getattr(trunk, name)) == count]
    return found[0] if len(found) == 1 else None


def _boundary(trunk: nn.Module, name: str) -> int:
    """The number of the lowest layer that trains; 0 if anything outside the layers does."""
    lowest = len(getattr(trunk, name))
    for parameter_name, parameter in trunk.named_parameters():
        if parameter.requires_grad:
            parts = parameter_name.split(".")
            lowest = min(lowest, int(parts[1]) if parts[0] == name else 0)
    return lowest


def _cut(trunk: nn.Module, name: str, boundary: int) -> tuple[Apply, Apply]:
    """(lower, upper). Both run the trunk's own code, so that positions, masks and whatever else a
    model hands its layers are made as always; layers that are not wanted just stand aside."""
    blocks = list(getattr(trunk, name))

    def lower(ids: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        end = _Aside(blocks[boundary])
        aside = [_Aside(block) for block in blocks[boundary + 1 :]]
        standing = _standing(trunk, name, [*blocks[:boundary], end, *aside])
        with standing, packed(trunk, lengths) as positions:
            trunk(input_ids=ids, use_cache=False, **positions)
        return end.seen

    def upper(hidden: torch.Tensor, lengths: Lengths = None) -> torch.Tensor:
        aside = [_Aside(block, hidden) for block in blocks[:boundary]]
        standing = _standing(trunk, name, [*aside, *blocks[boundary:]])
        with standing, packed(trunk, lengths) as positions:
            done = trunk(inputs_embeds=hidden, use_cache=False, **positions)
        return done.last_hidden_state

    return lower, upper


class _Aside(nn.Module):
    """Stands in a layer's place: notes what comes in, and passes on that or what it is given."""

    def __init__(self, block: nn.Module, instead: torch.Tensor | None = None):
        super().__init__()
        self.seen: torch.Tensor | None = None
        # In a list, so that the layer does not become a child of this one.
        self._block, self._instead = [block], instead

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        self.seen = hidden
        return hidden if self._instead is None else self._instead

    def __getattr__(self, name: str) -> Any:
        # Some trunks ask a layer for its kind of attention before they call it.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_block"][0], name)


@contextmanager
def _standing(trunk: nn.Module, name: str, blocks: Sequence[nn.Module]) -> Iterator[None]:
    original = getattr(trunk, name)
    setattr(trunk, name, nn.ModuleList(blocks))
    try:
        yield
    finally:
        setattr(trunk, name, original)


def _same(trunk: Apply, lower: Apply, upper: Apply, probe: torch.Tensor) -> bool:
    try:
        with torch.no_grad():
            hidden = lower(probe)
            trunk(probe + 1)  # so that nothing a layer may have noted on the way serves the upper
            return torch.equal(upper(hidden), trunk(probe))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        # Layers of this model take or give something else: it is trained without a lower part.
        return False


def _looks_only_near(model: nn.Module) -> bool:
    """Whether some layer's tokens see no further back than a window. Some models say so by their
    mask alone, which packed examples do without, and the probe is shorter than any window."""
    config = model.config.get_text_config()
    sizes = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    kinds = set(getattr(config, "layer_types", None) or ["unknown"])
    return any(sizes) and kinds != {"full_attention"}


def _packs(trunk: Apply, probe: torch.Tensor) -> bool:
    """Whether examples in one row come out as they do alone."""
    lengths = (2, 3)
    row = torch.cat([probe[:, : lengths[0]] + 1, probe], dim=1)
    try:
        with torch.no_grad():
            together = trunk(row, lengths).split(lengths, dim=1)
            alone = [trunk(part, None) for part in row.split(lengths, dim=1)]
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return False
    return all(
        torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
        for ours, theirs in zip(together, alone, strict=True)
    )
