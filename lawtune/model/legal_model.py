"""`LegalModel`: a model with its tokenizer and prompt templates, ready to answer and to score."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lawtune.config import AnswerConfig
from lawtune.data.encode import as_words, encode_text, render_prompt, unknown_bytes
from lawtune.data.privacy import mask
from lawtune.errors import MissingBaseError, UserError
from lawtune.files import is_folder, read_json
from lawtune.model.adapter import (
    ADAPTER_CONFIG,
    TRAINING_CONFIG,
    load_adapter,
    refuse_damaged,
)
from lawtune.model.decode import (
    Generation,
    answer_greedily,
    continue_prompts,
    sampler,
    shown_text,
)
from lawtune.model.likelihood import BATCH_TOKENS, log_likelihoods
from lawtune.model.load import (
    BaseIdentity,
    find_tokenizer,
    has_tokenizer,
    load_base,
    load_tokenizer,
    max_positions,
)
from lawtune.model.manager import ModelManager
from lawtune.prompt import TEMPLATES_FILE, PromptTemplate, make_template, missing_markers


class LegalModel:
    """A causal language model that answers legal questions.

    `model` is a PeftModel where there is an adapter (`has_adapter`), else the plain model, in
    evaluation mode. `name` is what it was loaded by, `folders` where its parts lie: "adapter",
    where it has one, and "base". `base` says which base it was loaded with, or is.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        template: PromptTemplate,
        name: str,
        folders: Mapping[str, Path] | None = None,
        base: BaseIdentity | None = None,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.name = name
        self.folders = folders or {}
        self.base = base
        self.has_adapter = hasattr(model, "peft_config")

    @classmethod
    def load(
        cls,
        path_or_name: str | Path,
        device: str = "auto",
        dtype: torch.dtype = torch.float32,
        base: str | None = None,
    ) -> "LegalModel":
        """Load an adapter folder with its base, a whole model's folder, `starter`, a Hub id, or a
        name that the model manager knows.

        Args:
            device: `cpu`, `cuda` or `auto`.
            dtype: what it computes in, whatever the weights were saved in.
            base: where the adapter's base lies, if it has moved since training.

        Raises:
            UserError: there is no such model, it is incomplete, or its base is not to be had.
        """
        name = str(path_or_name)
        where = ModelManager().resolve(name)
        if not _is_adapter(where):
            loaded = load_base(str(where), dtype, device)
            template = _template(loaded.identity.path, loaded.tokenizer)
            folders = {"base": loaded.identity.path}
            return cls(loaded.model, loaded.tokenizer, template, name, folders, loaded.identity)
        with _missing_base_is_told(name):
            loaded = load_base(base or _base_of(where), dtype, device)
        model = load_adapter(loaded, where)
        # One that PEFT alone has saved reads as its base does.
        own = has_tokenizer(where)
        tokenizer = load_tokenizer(where, loaded.identity.name) if own else loaded.tokenizer
        folders = {"adapter": where, "base": loaded.identity.path}
        return cls(model, tokenizer, _template(where, tokenizer), name, folders, loaded.identity)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.get_input_embeddings().weight.device

    def render(self, question: str, type: str | None = None, context: str | None = None) -> str:
        """The prompt for a question, up to where the answer begins.

        Raises:
            UserError: the type is unknown, or the question is no text.
        """
        if not isinstance(question, str):
            raise UserError(f"a question must be text (found {question!r})")
        return render_prompt(self.template, question, type, context, self.tokenizer)

    def answer(
        self,
        question: str,
        type: str | None = None,
        context: str | None = None,
        config: AnswerConfig = AnswerConfig(),  # noqa: B008 (frozen)
    ) -> str:
        """Answer a question (greedily, unless `config` says otherwise), personal data masked."""
        return mask(self._decode(list(self._tokens(question, type, context, config))))[0]

    def stream(
        self,
        question: str,
        type: str | None = None,
        context: str | None = None,
        config: AnswerConfig = AnswerConfig(),  # noqa: B008 (frozen)
    ) -> Iterator[str]:
        """The pieces of the same answer as they come."""
        yield from shown_text(self._tokens(question, type, context, config), self._decode)

    def generate(
        self, prompts: Sequence[str], max_new_tokens: int, batch_size: int
    ) -> list[Generation]:
        """Continue prompts (as given, no template added) greedily, in order, unmasked.

        A prompt that leaves too little room within the model's context loses its head. A batch has
        at most `batch_size` prompts, and fewer where they and their answers may grow long.
        """
        encoded = [self._fit(encode_text(self.tokenizer, p), max_new_tokens) for p in prompts]
        budgets = [self._budget(prompt, max_new_tokens) for prompt in encoded]
        stops = self._stop_ids
        answers = answer_greedily(self.model, encoded, budgets, stops, batch_size)
        made = [[token for token in answer if token not in stops] for answer in answers]
        return [
            Generation(self._decode(ids), len(ids), stopped=len(ids) < len(answer))
            for ids, answer in zip(made, answers, strict=True)
        ]

    def log_likelihood(self, prompt: str, answer: str) -> float:
        """log p(answer | prompt) in nats: the sum over the answer's tokens, EOS not among them.

        Both are taken as given, without a template, and tokenised apart without special tokens;
        those that the answer spells are read as words, as in training.
        """
        return self.log_likelihoods([prompt], [answer])[0]

    def log_likelihoods(
        self, prompts: Sequence[str], answers: Sequence[str], batch_tokens: int = BATCH_TOKENS
    ) -> list[float]:
        """`log_likelihood` of many pairs, in batches of at most `batch_tokens` tokens."""
        requests = [
            (encode_text(self.tokenizer, prompt), self._encode_answer(answer))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        return log_likelihoods(self.model, requests, batch_tokens, self._first_token)

    def overflow(self, prompt: str, answers: Sequence[str], max_new_tokens: int = 0) -> int:
        """By how many tokens a prompt exceeds what the context leaves beside the longest of its
        `answers`, or beside one of up to `max_new_tokens`; 0 if it fits. That many are cut from
        its head when answers are scored, or generated."""
        longest = max((len(self._encode_answer(answer)) for answer in answers), default=0)
        room = min(max_positions(self.model) - longest, self._room(max_new_tokens))
        return max(0, len(encode_text(self.tokenizer, prompt)) - room)

    def unknown_bytes(self, texts: Sequence[str]) -> list[int]:
        """How many UTF-8 bytes of each text stand under the tokenizer's `<unk>`."""
        return [unknown_bytes(self.tokenizer, text) for text in texts]

    def base_only(self) -> AbstractContextManager[Any]:
        """A context in which the adapter is off: the base model's own behaviour."""
        return self.model.disable_adapter() if self.has_adapter else nullcontext()

    @property
    def _first_token(self) -> int:
        begin = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if begin is None else begin

    @property
    def _stop_ids(self) -> frozenset[int]:
        # Chat models end a turn with another token than the tokenizer's EOS.
        stated = getattr(self.model.generation_config, "eos_token_id", None)
        stated = stated if isinstance(stated, list) else [stated]
        return frozenset({self.tokenizer.eos_token_id, *stated} - {None})

    def _tokens(
        self, question: str, type: str | None, context: str | None, config: AnswerConfig
    ) -> Iterator[int]:
        prompt = encode_text(self.tokenizer, self.render(question, type, context))
        prompt = self._fit(prompt, config.max_new_tokens)
        budget = self._budget(prompt, config.max_new_tokens)
        pick = sampler(config, self.device)
        for step in continue_prompts(self.model, [prompt], [budget], self._stop_ids, pick):
            _, token = step[0]
            if token not in self._stop_ids:
                yield token

    def _encode_answer(self, answer: str) -> list[int]:
        return encode_text(self.tokenizer, as_words(answer, self.tokenizer))

    def _fit(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        return prompt[-self._room(max_new_tokens) :] or [self._first_token]

    def _room(self, max_new_tokens: int) -> int:
        limit = max_positions(self.model)
        # However long an answer may get, half of the context stays with its question.
        return max(limit - max_new_tokens, limit // 2)

    def _budget(self, prompt: list[int], max_new_tokens: int) -> int:
        return min(max_new_tokens, max_positions(self.model) - len(prompt))

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def require_model(name: str) -> None:
    """Make sure, before any weights are read, that there is a model that `LegalModel.load` knows by
    this name, its base if it is an adapter, and a tokenizer that loads.

    Raises:
        UserError: as `LegalModel.load`, as far as it shows in the tokenizer.
    """
    where = ModelManager().resolve(name)
    if not _is_adapter(where):
        find_tokenizer(str(where))
        return
    refuse_damaged(where)
    base = _base_of(where)
    with _missing_base_is_told(name):
        find_tokenizer(base)
    if has_tokenizer(where):
        load_tokenizer(where, base)


def _is_adapter(where: Path | str) -> bool:
    return isinstance(where, Path) and (where / ADAPTER_CONFIG).is_file()


@contextmanager
def _missing_base_is_told(adapter: str) -> Iterator[None]:
    try:
        yield
    except MissingBaseError as error:
        raise UserError(
            f"{adapter} is an adapter, and its base is missing: {error}. If it has moved, put it"
            " beside the adapter, or give it with --base (from Python: base=)"
        ) from error


def base_name(folder: Path) -> str:
    """The base that an adapter folder names.

    Raises:
        UserError: it names none.
    """
    for file, keys in ((TRAINING_CONFIG, ("base", "name")), (ADAPTER_CONFIG, ())):
        if not (folder / file).is_file():
            continue
        value = read_json(folder / file)
        for key in keys or ("base_model_name_or_path",):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    raise UserError(f"{folder}: neither {TRAINING_CONFIG} nor {ADAPTER_CONFIG} names its base")


def _base_of(adapter: Path) -> str:
    """The base that an adapter names; where no folder is there any more, one of that name beside
    the adapter (`check_base` knows whether it is the same)."""
    name = base_name(adapter)
    beside = adapter.parent / Path(name).name
    moved = Path(name).is_absolute() and not is_folder(Path(name)) and beside.is_dir()
    return str(beside) if moved else name


def _template(folder: Path, tokenizer: Any) -> PromptTemplate:
    """The folder's own templates; else those that suit the tokenizer, without the markers that it
    lacks (an untuned base gains nothing from rows that nobody trained)."""
    if (folder / TEMPLATES_FILE).is_file():
        return PromptTemplate.load(folder)
    template = make_template("auto", tokenizer)
    missing = missing_markers(template, tokenizer)
    present = {role: token for role, token in template.markers.items() if token not in missing}
    return replace(template, markers=present)
