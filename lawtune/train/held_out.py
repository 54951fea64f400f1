"""How well a model predicts held-out documents, by source, and how it goes on with them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lawtune.data.corpus import Document
from lawtune.data.encode import Window, encode_text
from lawtune.model.load import max_positions
from lawtune.records import evenly

PROMPT_CHARACTERS = 200
CONTINUATION_TOKENS = 120


class Measures(Protocol):
    """What gives the mean loss per target token (nats): an engine, or one for several processes."""

    def mean_loss(self, windows: Sequence[Window]) -> float:
        """All dropout off."""


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
            self._windows[source], self._bytes[source] = [], 0
            for document in evenly(own, documents):
                ids = encode_text(tokenizer, document.text)[: window - 1]
                whole = (tokenizer.bos_token_id, *ids)
                self._windows[source].append(Window(whole, 1, document.name))
                self._bytes[source] += len(tokenizer.decode(ids).encode())

    def __bool__(self) -> bool:
        """Whether there is anything to measure on."""
        return bool(self._windows)

    def bits_per_byte(self, engine: Measures) -> Mapping[str, float]:
        """Measure every source, if there is any; `scores` are brought up to date."""
        if self:
            self.loss(engine)
        return self.scores

    def loss(self, engine: Measures) -> float:
        """The mean loss per token (nats) over all sources; `scores` are brought up to date."""
        nats, tokens = {}, 0
        for source, windows in self._windows.items():
            targets = sum(window.targets for window in windows)
            nats[source] = engine.mean_loss(windows) * targets
            tokens += targets
        self.scores = {s: value / math.log(2) / self._bytes[s] for s, value in nats.items()}
        return sum(nats.values()) / tokens


def sample_continuations(
    model: Any, tokenizer: Any, found: Sequence[Document], count: int, seed: int
) -> list[dict[str, str]]:
    """How the model goes on after the first `PROMPT_CHARACTERS` of `count` held-out articles (fewer
    where half its context has no room for them), evenly spread and picked by nothing else: sampled
    with top-p 0.95 from `seed`."""
    import torch

    limit = max_positions(model)

    articles = [d for d in found if d.source == "statute" and len(d.text) > 2 * PROMPT_CHARACTERS]
    samples = []
    torch.manual_seed(seed)
    for article in evenly(articles, count):
        prompt = article.text[:PROMPT_CHARACTERS]
        while len(encode_text(tokenizer, prompt)) >= max(1, limit // 2):
            prompt = prompt[: len(prompt) * 3 // 4]
        ids = [tokenizer.bos_token_id, *encode_text(tokenizer, prompt)]
        told = torch.tensor([ids], device=model.device)
        made = model.generate(
            told,
            attention_mask=torch.ones_like(told),
            max_new_tokens=min(CONTINUATION_TOKENS, limit - len(ids)),
            do_sample=True,
            top_p=0.95,
            top_k=0,
            pad_token_id=tokenizer.pad_token_id,
        )
        text = tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True)
        samples.append({"name": article.name, "prompt": prompt, "continuation": text})
    return samples
