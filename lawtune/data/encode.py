"""From text to token windows: what the training loop and the likelihoods consume."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lawtune.prompt import PromptTemplate
from lawtune.records import QAPair, composed

MIN_PROMPT_TOKENS = 16
"""A prompt is cut no shorter than this to make room for its answer."""


@dataclass(frozen=True)
class Window:
    """One training example: token ids, of which those from `target_start` on are learnt.

    `target_start` ≥ 1: the first token has nothing to be predicted from. `name` is the record's
    id, for logs and error messages. Where the model itself has answered, `repeats` has a mark for
    each target: those that are true become less likely, the others are left as they are.
    """

    ids: tuple[int, ...]
    target_start: int
    name: str = ""
    repeats: tuple[bool, ...] = ()

    @property
    def targets(self) -> int:
        """How many tokens the loss counts."""
        return len(self.ids) - self.target_start


def hash_windows(windows: Iterable[Window]) -> str:
    """Hex SHA-256 of the windows' token ids and of where their targets begin."""
    total = hashlib.sha256()
    for window in windows:
        total.update(array("q", [len(window.ids), window.target_start, *window.ids]).tobytes())
    return total.hexdigest()


@dataclass
class EncodeReport:
    """What encoding did to the examples, by record id, so that nothing is cut in silence."""

    kept: int = 0
    prompt_cut: list[str] = field(default_factory=list)
    answer_cut: list[str] = field(default_factory=list)
    dropped_empty: list[str] = field(default_factory=list)


def encode_pairs(
    pairs: Iterable[QAPair], template: PromptTemplate, tokenizer: Any, max_length: int
) -> tuple[list[Window], EncodeReport]:
    """Encode question and answer apart, without special tokens but those in the prompt's text, and
    end every answer with EOS.

    An example longer than `max_length` tokens loses the head of its prompt first, then the tail of
    its answer (and then ends without EOS: the model must not learn to stop in mid-sentence). An
    answer without a single token, or without room for one, is dropped; everything is listed in
    the report.
    """
    report = EncodeReport()
    windows = []
    for pair in pairs:
        prompt_text = render_prompt(template, pair.question, pair.type, pair.context, tokenizer)
        prompt = encode_text(tokenizer, prompt_text)
        answer = encode_text(tokenizer, as_words(pair.answer, tokenizer))
        if not answer:
            report.dropped_empty.append(pair.id)
            continue
        answer = [*answer, tokenizer.eos_token_id]
        prompt, answer = _fit(prompt, answer, max_length, pair.id, report)
        if not answer:
            report.dropped_empty.append(pair.id)
            continue
        windows.append(Window((*prompt, *answer), len(prompt), pair.id))
    report.kept = len(windows)
    return windows, report


def render_prompt(
    template: PromptTemplate, question: str, type: str | None, context: str | None, tokenizer: Any
) -> str:
    """The prompt for a question, in training and in use alike: its words and its context's are
    words (`as_words`), the control tokens are the template's own.

    Raises:
        UserError: the type is unknown.
    """
    context = context and as_words(context, tokenizer)
    return template.render(as_words(question, tokenizer), type, context, tokenizer)


def as_words(text: str, tokenizer: Any) -> str:
    """`text` as a model is given it: NFC, and with a blank in every control token of the tokenizer
    that it spells, so that no data or question ends an answer (< /s>) or forges a marker."""
    text = composed(text)
    held = getattr(tokenizer, "added_tokens_decoder", {}).values()
    for token in (str(token) for token in held if token.special):
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of `text` as it stands: nothing is added at either end."""
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def token_counter(tokenizer: Any) -> Callable[[str], int]:
    """How long a text is in tokens."""
    return lambda text: len(encode_text(tokenizer, text))


def unknown_bytes(tokenizer: Any, text: str) -> int:
    """UTF-8 bytes of `text` under the tokenizer's `<unk>`: what it cannot tell apart. 0 for a
    tokenizer that falls back to bytes."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return sum(
        len(text[start:end].encode())
        for token, (start, end) in spans
        if token == tokenizer.unk_token_id
    )


def _fit(
    prompt: Sequence[int], answer: Sequence[int], max_length: int, name: str, report: EncodeReport
) -> tuple[Sequence[int], Sequence[int]]:
    excess = len(prompt) + len(answer) - max_length
    if excess <= 0:
        return prompt, answer
    from_prompt = min(excess, max(0, len(prompt) - MIN_PROMPT_TOKENS))
    if from_prompt:
        report.prompt_cut.append(name)
        prompt = prompt[from_prompt:]
    if excess > from_prompt:
        answer = answer[: max(0, len(answer) - (excess - from_prompt))]
        if answer:
            report.answer_cut.append(name)
    return prompt, answer
