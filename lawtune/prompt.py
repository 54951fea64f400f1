"""How a question becomes a prompt: one template per question type, used by training, evaluation,
the command line and the app alike, and saved in every model folder.

A prompt ends where the answer begins; the answer is tokenised apart from it, without special
tokens, and is followed by EOS when a model is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lawtune.config import QUESTION_TYPES
from lawtune.errors import UserError
from lawtune.files import read_json_object, write_json

TEMPLATES_FILE = "prompt_templates.json"

MARKER_ROLES = {
    "general": "질문",
    "law_explanation": "법령 설명",
    "law_interpretation": "법령 해석",
    "law_application": "법령 적용",
    "precedent_analysis": "판례 분석",
    "precedent_impact": "판례 영향",
    "context": "참고 자료",
    "question": "물음",
    "answer": "답변",
}
"""What each marker token stands for. Where a tokenizer has no reserved tokens and rows are added,
a marker's row starts as the mean of the rows of this text."""

INSTRUCTIONS = {
    "general": "다음 물음에 법령과 판례에 따라 답하시오.",
    "law_explanation": "다음 법령 조항의 내용을 설명하시오.",
    "law_interpretation": "다음 법령 해석 질의에 답하시오.",
    "law_application": "다음 사안에 적용되는 법령 조항을 밝히시오.",
    "precedent_analysis": "다음 쟁점에 관한 판례의 판단을 밝히시오.",
    "precedent_impact": "다음 판례가 이후 판례에 미친 영향을 밝히시오.",
}


@dataclass(frozen=True)
class PromptTemplate:
    """Renders prompts. `markers` maps each role to the special token that stands for it;
    `prefix` is the tokenizer's BOS text where BOS differs from EOS, else empty.
    With `style` chat the tokenizer's own chat template wraps the instruction and question."""

    style: str = "lawtune"
    prefix: str = ""
    markers: Mapping[str, str] = field(default_factory=dict)
    instructions: Mapping[str, str] = field(default_factory=lambda: dict(INSTRUCTIONS))

    def render(
        self,
        question: str,
        type: str | None = None,
        context: str | None = None,
        tokenizer: Any = None,
    ) -> str:
        """The prompt for one question, up to where its answer begins.

        Args:
            type: one of `QUESTION_TYPES`, or None for the general template.
            tokenizer: needed by style `chat` only.

        Raises:
            UserError: the type is unknown.
        """
        if type is not None and type not in QUESTION_TYPES:
            raise UserError(f"unknown question type {type!r}; known: {', '.join(QUESTION_TYPES)}")
        role = type or "general"
        if self.style == "chat":
            return self._render_chat(question, role, context, tokenizer)
        mark = self.markers.get
        reference = f"{mark('context', '')}참고: {context}\n" if context else ""
        return (
            f"{self.prefix}{mark(role, '')}{self.instructions[role]}\n{reference}"
            f"{mark('question', '')}질문: {question}\n{mark('answer', '')}답변: "
        )

    def _render_chat(self, question: str, role: str, context: str | None, tokenizer: Any) -> str:
        reference = f"참고: {context}\n" if context else ""
        message = f"{self.instructions[role]}\n{reference}질문: {question}"
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
        )

    def save(self, folder: Path) -> None:
        """Write `prompt_templates.json` into a model folder."""
        value = {"style": self.style, "prefix": self.prefix}
        value |= {"markers": dict(self.markers), "instructions": dict(self.instructions)}
        write_json(folder / TEMPLATES_FILE, value)

    @classmethod
    def load(cls, folder: Path) -> "PromptTemplate":
        """Read `prompt_templates.json` from a model folder.

        Raises:
            UserError: the file is missing or lacks a key.
        """
        path = folder / TEMPLATES_FILE
        value = read_json_object(path)
        try:
            template = cls(value["style"], value["prefix"], value["markers"], value["instructions"])
            for role in INSTRUCTIONS:
                template.instructions[role]
        except KeyError as error:
            raise UserError(f"{path}: no {error} in it") from None
        except TypeError:
            raise UserError(f"{path}: instructions must be a JSON object") from None
        if template.style not in ("lawtune", "chat"):
            raise UserError(f"{path}: unknown style {template.style!r}; known: lawtune, chat")
        if not isinstance(template.markers, dict):
            raise UserError(f"{path}: markers must be a JSON object")
        return template


def make_template(template: str, tokenizer: Any) -> PromptTemplate:
    """The template for a tokenizer: marker tokens from its reserved `<unusedN>` ones, in the order
    of `MARKER_ROLES`, or new names where it has too few (`missing_markers` lists those).

    Raises:
        UserError: `template` is chat and the tokenizer has no chat template.
    """
    has_chat = bool(getattr(tokenizer, "chat_template", None))
    if template == "chat" and not has_chat:
        raise UserError("prompt.template is chat, but this model's tokenizer has no chat template")
    if template == "chat" or (template == "auto" and has_chat):
        return PromptTemplate(style="chat")
    vocabulary = tokenizer.get_vocab()
    reserved = [name for i in range(100) if (name := f"<unused{i}>") in vocabulary]
    names = reserved if len(reserved) >= len(MARKER_ROLES) else [f"<|{r}|>" for r in MARKER_ROLES]
    # KoGPT-2 has BOS = EOS: a prompt must not begin with the end.
    prefix = "" if tokenizer.bos_token in (None, tokenizer.eos_token) else tokenizer.bos_token
    return PromptTemplate(prefix=prefix, markers=dict(zip(MARKER_ROLES, names, strict=False)))


def missing_markers(template: PromptTemplate, tokenizer: Any) -> dict[str, str]:
    """The marker tokens that the tokenizer lacks: token → the text it stands for."""
    vocabulary = tokenizer.get_vocab()
    return {
        token: MARKER_ROLES[role]
        for role, token in template.markers.items()
        if token not in vocabulary
    }
