"""How well a model predicts held-out documents, by source."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lawtune.data.corpus import Document
from lawtune.data.encode import Window, encode_text
from lawtune.train.loss import LossEngine


class HeldOut:
    """The first window of a sample of documents, `documents` of them a source, evenly spread.

    `scores` are the bits per byte by source of the last measurement. Every byte of the text counts
    and EOS does not, so tokenizers can be compared.
    """

    def __init__(self, found: Sequence[Document], tokenizer: Any, window: int, documents: int):
        self.scores: Mapping[str, float] = {}
        self._windows: dict[str, list[Window]] = {}
        self._bytes: dict[str, int] = {}
        for source in sorted({document.source for document in found}):
            own = [document for document in found if document.source == source]
            sample = own[:: max(1, len(own) // documents)][:documents]
            self._windows[source], self._bytes[source] = [], 0
            for document in sample:
                ids = encode_text(tokenizer, document.text)[: window - 1]
                whole = (tokenizer.bos_token_id, *ids)
                self._windows[source].append(Window(whole, 1, document.name))
                self._bytes[source] += len(tokenizer.decode(ids).encode())

    def bits_per_byte(self, engine: LossEngine) -> Mapping[str, float]:
        """Measure every source; `scores` are brought up to date."""
        self.loss(engine)
        return self.scores

    def loss(self, engine: LossEngine) -> float:
        """The mean loss per token (nats) over all sources; `scores` are brought up to date."""
        nats, tokens = {}, 0
        for source, windows in self._windows.items():
            targets = sum(window.targets for window in windows)
            nats[source] = engine.mean_loss(windows) * targets
            tokens += targets
        self.scores = {s: value / math.log(2) / self._bytes[s] for s, value in nats.items()}
        return sum(nats.values()) / tokens
