"""Raw text as token ids: one array for all documents, and the windows cut from it."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from safetensors.numpy import load_file, save_file

from lawtune.data.corpus import Document
from lawtune.data.encode import Window
from lawtune.files import atomic_path

BATCH = 512
"""Documents tokenized at a time: the tokenizer then uses every core."""


@dataclass(frozen=True)
class Tokens:
    """Documents one after another. `ids` [tokens] is uint16 where that holds every id, else uint32;
    `ends` int64 [documents] is where each one ends; `lines` int64 [documents] is its place in the
    corpus, from 1, for messages."""

    ids: np.ndarray
    ends: np.ndarray
    lines: np.ndarray

    def save(self, path: Path) -> None:
        """Write to `path` (safetensors)."""
        with atomic_path(path) as temporary:
            save_file({"ids": self.ids, "ends": self.ends, "lines": self.lines}, temporary)

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Read what `save` wrote."""
        return cls(**load_file(path))

    def texts(self, tokenizer: Any, without: Container[int]) -> Iterator[str]:
        """The text of each document as far as it is read, those of some `lines` left out."""
        start = 0
        for line, end in zip(self.lines.tolist(), self.ends.tolist(), strict=True):
            if line not in without:
                yield tokenizer.decode(self.ids[start:end].tolist(), skip_special_tokens=True)
            start = end


def encode_documents(
    documents: Iterable[tuple[int, Document]], tokenizer: Any, max_tokens: int | None
) -> Tokens:
    """The documents' ids, BOS (if there is one that is not EOS) before each and EOS after it, cut
    to `max_tokens`: a document that loses its end has no EOS.

    Args:
        documents: each with its place in the corpus.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    parts, ends, lines = [np.empty(0, dtype)], [], []
    end = 0
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    begin = [] if bos in (None, eos) else [bos]
    for batch in _batched(documents, BATCH):
        texts = [document.text for _, document in batch]
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        for (line, _), ids in zip(batch, encoded, strict=True):
            whole = [*begin, *ids, eos][:max_tokens]
            parts.append(np.array(whole, dtype))
            end += len(whole)
            ends.append(end)
            lines.append(line)
    return Tokens(np.concatenate(parts), np.array(ends, np.int64), np.array(lines, np.int64))


class Windows(Sequence[Window]):
    """The windows of at most `size` tokens that documents are cut into, made when they are asked
    for. None crosses from one document to the next, so no mask is needed to keep them apart.

    `lengths` int64 [windows] is the tokens of each; a last window of one token, which has nothing
    to be predicted from, is left out. A window is called after its document, by its line unless
    there are `names`, and where it begins there.
    """

    def __init__(self, tokens: Tokens, size: int, names: Sequence[str] | None = None):
        self._tokens, self._names = tokens, names
        starts = np.concatenate([np.zeros(1, np.int64), tokens.ends[:-1]])[: len(tokens.ends)]
        counts = -(-(tokens.ends - starts) // size)
        self._document = np.repeat(np.arange(len(starts)), counts)
        first = np.cumsum(counts) - counts
        inside = (np.arange(len(self._document)) - first[self._document]) * size
        self._at = starts[self._document] + inside
        self.lengths = np.minimum(size, tokens.ends[self._document] - self._at)
        for name in ("_document", "_at", "lengths"):
            setattr(self, name, getattr(self, name)[self.lengths > 1])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        document, at = self._document[index], int(self._at[index])
        ids = self._tokens.ids[at : at + int(self.lengths[index])]
        start = int(self._tokens.ends[document - 1]) if document else 0
        lines, names = self._tokens.lines, self._names
        name = names[document] if names else f"line {lines[document]}"
        return Window(tuple(ids.tolist()), 1, f"{name}@{at - start}")


def _batched(
    items: Iterable[tuple[int, Document]], size: int
) -> Iterator[list[tuple[int, Document]]]:
    """Lists of `size` items in order, the last one shorter (`itertools.batched` needs 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
