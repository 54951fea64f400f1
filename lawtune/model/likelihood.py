"""The log-likelihood of an answer after a prompt, in batches and without ever holding
[tokens × vocabulary] whole. A prompt that several answers share is read once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lawtune.model.cache import copy_rows, new_cache, pad_left, with_cache
from lawtune.model.load import max_positions

BATCH_TOKENS = 4096
"""Tokens a batch, padding counted, where the caller does not say."""

PROJECTED_ROWS = 256
"""Positions that are projected onto the vocabulary at a time: 52 MB of logits for KoGPT-2."""

_SPLITS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Models whose trunk and projection have been tried apart (see `_reader`)."""


@dataclass(frozen=True)
class _Piece:
    """A window to score: the tokens from `start` on. `owner` is the request's place."""

    owner: int
    ids: tuple[int, ...]
    start: int

    @property
    def shareable(self) -> tuple[int, ...]:
        """What can be read once for all that begin with it: all that is not scored but its last
        token, whose state predicts the first that is."""
        return self.ids[: self.start - 1]


@dataclass(frozen=True)
class _Reader:
    """A model in two steps: what `run` makes of tokens, as `states` of their positions, [rows,
    tokens, width]; and the logits that `project` makes of the states that are wanted."""

    model: Any
    run: Any
    states: Callable[[Any], torch.Tensor]
    project: Callable[[torch.Tensor], torch.Tensor]

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device

    def read(self, ids: torch.Tensor) -> torch.Tensor:
        """The states of sequences that begin here. Padding, if any, lies to the right, where a
        causal model never looks: no mask is needed."""
        return self.states(self.run(input_ids=ids, use_cache=False))

    def read_after(self, cache: Any, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """The states of `ids` after what `cache` holds, which then holds them too; `attention` is
        the mask of all, [rows, tokens before and now]."""
        return self.states(self.run(**with_cache(self.run.forward, ids, attention, cache)))


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
        batch_tokens: the most tokens a forward pass takes, padding and tokens read before counted
            (one window at least).
        first_token: what stands before an answer whose prompt is empty.
    """
    limit = max_positions(model)
    alike: dict[tuple[int, ...], list[_Piece]] = defaultdict(list)
    for owner, (prompt, answer) in enumerate(requests):
        for piece in _pieces(owner, list(prompt) or [first_token], list(answer), limit):
            alike[piece.shareable].append(piece)
    shared = {prefix: some for prefix, some in alike.items() if prefix and len(some) > 1}
    single = [piece for prefix, some in alike.items() if prefix not in shared for piece in some]
    reader = _reader(model)
    totals = [0.0] * len(requests)
    for piece, value in _score_single(reader, single, batch_tokens):
        totals[piece.owner] += value
    for piece, value in _score_shared(reader, shared, batch_tokens):
        totals[piece.owner] += value
    return totals


def _pieces(owner: int, prompt: list[int], answer: list[int], limit: int) -> Iterator[_Piece]:
    # An answer that fits is scored at once, after one token of its prompt at the least.
    stride = len(answer) if len(answer) < limit else limit // 2
    while answer:
        context = prompt[-(limit - stride) :]
        yield _Piece(owner, (*context, *answer[:stride]), len(context))
        prompt, answer = prompt + answer[:stride], answer[stride:]


Scored = Iterator[tuple[_Piece, float]]


def _score_single(reader: _Reader, pieces: list[_Piece], batch_tokens: int) -> Scored:
    for batch in _batches(pieces, lambda piece: len(piece.ids), batch_tokens):
        ids, own = _pad_right([piece.ids[:-1] for piece in batch])
        wanted = own.bool()
        for row, piece in enumerate(batch):
            wanted[row, : piece.start - 1] = False
        states = reader.read(ids.to(reader.device))
        yield from zip(batch, _values(reader, states, wanted, batch), strict=True)


def _score_shared(
    reader: _Reader, alike: dict[tuple[int, ...], list[_Piece]], batch_tokens: int
) -> Scored:
    for prefixes in _batches(list(alike), len, batch_tokens):
        ids, attention = (tensor.to(reader.device) for tensor in pad_left(prefixes))
        cache = new_cache(reader.model)
        reader.read_after(cache, ids, attention)
        row_of = {piece: row for row, prefix in enumerate(prefixes) for piece in alike[prefix]}

        def length(piece: _Piece, before: int = ids.shape[1]) -> int:
            return before + len(piece.ids) - piece.start

        for batch in _batches(list(row_of), length, batch_tokens):
            rows = torch.tensor([row_of[piece] for piece in batch], device=reader.device)
            tails, own = _pad_right([piece.ids[piece.start - 1 : -1] for piece in batch])
            both = torch.cat([attention[rows], own.to(reader.device)], dim=1)
            states = reader.read_after(copy_rows(cache, rows), tails.to(reader.device), both)
            yield from zip(batch, _values(reader, states, own.bool(), batch), strict=True)


def _batches(items: list[Any], length: Callable[[Any], int], batch_tokens: int) -> Iterator[list]:
    # Longest first: batches waste little on padding, and a lack of memory shows at once.
    items = sorted(items, key=length, reverse=True)
    start = 0
    while start < len(items):
        rows = max(1, batch_tokens // length(items[start]))
        yield items[start : start + rows]
        start += rows


def _pad_right(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, attention mask), both [rows, longest]."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    own = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        own[row, : len(tokens)] = 1
    return ids, own


def _values(
    reader: _Reader, states: torch.Tensor, wanted: torch.Tensor, batch: list[_Piece]
) -> list[float]:
    """What each piece's answer tokens are worth together; `wanted` marks the states before them."""
    answers = [piece.ids[piece.start :] for piece in batch]
    targets = torch.tensor([token for answer in answers for token in answer], device=states.device)
    parts = zip(
        states[wanted.to(states.device)].split(PROJECTED_ROWS),
        targets.split(PROJECTED_ROWS),
        strict=True,
    )
    values = torch.cat(
        [
            -torch.nn.functional.cross_entropy(
                reader.project(some).float(), tokens, reduction="none"
            )
            for some, tokens in parts
        ]
    )
    return [float(part.double().sum()) for part in values.split([len(a) for a in answers])]


def _reader(model: Any) -> _Reader:
    """Runs the trunk alone, and the vocabulary projection on the wanted positions only. Where an
    architecture does more than that after its trunk (Gemma caps its logits, Cohere scales them),
    which a trial on two tokens shows, the whole model runs instead."""
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    trunk, head = whole.base_model, whole.get_output_embeddings()
    entire = _Reader(whole, whole, lambda output: output.logits, lambda logits: logits)
    if trunk is whole or head is None:
        return entire
    split = _Reader(whole, trunk, lambda output: output.last_hidden_state, head)
    if whole not in _SPLITS:
        trial = torch.tensor([[0, 1]], device=split.device)
        ours, theirs = split.project(split.read(trial)), entire.read(trial)
        _SPLITS[whole] = torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    return split if _SPLITS[whole] else entire
