"""The log-likelihood of an answer after a prompt, in batches and without ever holding
[tokens × vocabulary] whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lawtune.model.load import max_positions

BATCH_TOKENS = 4096
"""Tokens a batch, padding counted, where the caller does not say."""

PROJECTED_ROWS = 256
"""Positions that are projected onto the vocabulary at a time: 52 MB of logits for KoGPT-2."""

_SPLITS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Models whose trunk and projection have been tried apart (see `_projection`)."""


@dataclass(frozen=True)
class _Piece:
    """A window to score: the tokens from `start` on. `owner` is the request's place."""

    owner: int
    ids: tuple[int, ...]
    start: int


@torch.inference_mode()
def log_likelihoods(
    model: Any,
    requests: Sequence[tuple[Sequence[int], Sequence[int]]],
    batch_tokens: int,
    first_token: int,
) -> list[float]:
    """Σ log p(answer token | what stands before it), in nats, one a request, in order.

    Args:
        requests: (prompt ids, answer ids). A prompt too long for the model loses its head. An
            answer longer than the model's context is scored window by window, each with at least
            half a context before it. An empty answer gives 0.0.
        batch_tokens: the most tokens a forward pass takes, padding counted (one window at least).
        first_token: what stands before an answer whose prompt is empty.
    """
    limit = max_positions(model)
    pieces = [
        piece
        for owner, (prompt, answer) in enumerate(requests)
        for piece in _pieces(owner, list(prompt) or [first_token], list(answer), limit)
    ]
    # Longest first: batches waste little on padding, and a lack of memory shows at once.
    pieces.sort(key=lambda piece: -len(piece.ids))
    totals = [0.0] * len(requests)
    project = _projection(model)
    for batch in _batches(pieces, batch_tokens):
        for piece, value in zip(batch, _score(model, batch, project), strict=True):
            totals[piece.owner] += value
    return totals


def _pieces(owner: int, prompt: list[int], answer: list[int], limit: int) -> Iterator[_Piece]:
    # An answer that fits is scored at once, after one token of its prompt at the least.
    stride = len(answer) if len(answer) < limit else limit // 2
    while answer:
        context = prompt[-(limit - stride) :]
        yield _Piece(owner, (*context, *answer[:stride]), len(context))
        prompt, answer = prompt + answer[:stride], answer[stride:]


def _batches(pieces: list[_Piece], batch_tokens: int) -> Iterator[list[_Piece]]:
    start = 0
    while start < len(pieces):
        rows = max(1, batch_tokens // len(pieces[start].ids))
        yield pieces[start : start + rows]
        start += rows


def _score(model: Any, batch: list[_Piece], project: Any) -> list[float]:
    device = model.get_input_embeddings().weight.device
    width = max(len(piece.ids) for piece in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    wanted = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, piece in enumerate(batch):
        ids[row, : len(piece.ids)] = torch.tensor(piece.ids)
        # The hidden state at a position predicts the token after it.
        wanted[row, piece.start - 1 : len(piece.ids) - 1] = True
    targets = ids[:, 1:][wanted[:, :-1]].to(device)
    # Padding lies to the right, where a causal model never looks: no mask is needed.
    chosen = project(ids.to(device), wanted.to(device))
    values = torch.cat(
        [
            -torch.nn.functional.cross_entropy(logits.float(), part, reduction="none")
            for logits, part in zip(chosen, targets.split(PROJECTED_ROWS), strict=True)
        ]
    )
    counts = [len(piece.ids) - piece.start for piece in batch]
    return [float(part.double().sum()) for part in values.split(counts)]


def _projection(model: Any) -> Any:
    """A function (ids [b, t], wanted [b, t]) → logits of the wanted positions, in row-major order,
    `PROJECTED_ROWS` at a time.

    It runs the trunk alone and the vocabulary projection on the wanted positions only. Where an
    architecture does more than that after its trunk (Gemma caps its logits, Cohere scales them),
    which a trial on two tokens shows, the whole model runs instead.
    """
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    trunk, head = whole.base_model, whole.get_output_embeddings()

    def project(ids: torch.Tensor, wanted: torch.Tensor) -> Iterator[torch.Tensor]:
        hidden = trunk(input_ids=ids, use_cache=False).last_hidden_state
        return (head(part) for part in hidden[wanted].split(PROJECTED_ROWS))

    def project_whole(ids: torch.Tensor, wanted: torch.Tensor) -> Iterator[torch.Tensor]:
        logits = whole(input_ids=ids, use_cache=False).logits
        return iter(logits[wanted].split(PROJECTED_ROWS))

    def agree() -> bool:
        trial = torch.tensor([[0, 1]], device=whole.get_input_embeddings().weight.device)
        every = torch.ones_like(trial, dtype=torch.bool)
        ours, theirs = next(project(trial, every)), next(project_whole(trial, every))
        return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)

    if whole not in _SPLITS:
        _SPLITS[whole] = trunk is not whole and head is not None and agree()
    return project if _SPLITS[whole] else project_whole
