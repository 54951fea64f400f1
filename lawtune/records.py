"""What flows through lawtune: statutes, decisions, official replies, and questions with answers."""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lawtune.config import QUESTION_TYPES
from lawtune.errors import UserError
from lawtune.files import read_jsonl, read_text, write_jsonl

T = TypeVar("T")


@dataclass(frozen=True)
class Provision:
    """One numbered unit below an article, with the units below it.

    `level` is 항, 호 or 목; `number` is its own mark without the unit's name: "1", "1의2", "가".
    """

    level: str
    number: str
    text: str
    children: tuple["Provision", ...] = ()

    @property
    def label(self) -> str:
        """제1항, 제1호의2, 가목: as a lawyer cites it."""
        if self.level == "목":
            return f"{self.number}목"
        main, _, branch = self.number.partition("의")
        return f"제{main}{self.level}" + (f"의{branch}" if branch else "")


@dataclass(frozen=True)
class Article:
    """An article (조). `number` is "750" or "14의2"; `text` is what stands before any 항;
    `headings` are those above it, the outermost first (제2편 상행위, 제4장 익명조합)."""

    number: str
    title: str
    text: str
    provisions: tuple[Provision, ...] = ()
    deleted: bool = False
    headings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """제750조, 제14조의2."""
        main, _, branch = self.number.partition("의")
        return f"제{main}조" + (f"의{branch}" if branch else "")


@dataclass(frozen=True)
class Statute:
    """A statute, decree or rule, as of `effective` (시행일, ISO date). `addenda` are the 부칙."""

    name: str
    kind: str
    promulgated: str
    effective: str
    articles: tuple[Article, ...]
    addenda: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Case:
    """A court decision. `holdings` (판시사항) and `summaries` (판결요지) are keyed by their number;
    "" is the key of one that has none. `body` is everything from 주문 on."""

    number: str
    court: str
    date: str
    title: str
    kind: str
    holdings: dict[str, str]
    summaries: dict[str, str]
    cited_articles: str = ""
    cited_cases: str = ""
    body: str = ""
    origin: str = ""

    @property
    def citation(self) -> str:
        """대법원 2018. 10. 30. 선고 2013다61381 판결; 대법원 2009. 5. 28.자 2007카기134 결정."""
        year, month, day = (int(part) for part in self.date.split("-"))
        # A 결정 is served, not pronounced; the Constitutional Court pronounces its own.
        pronounced = self.kind.endswith("판결") or self.court == "헌법재판소"
        said = " 선고" if pronounced else "자"
        return f"{self.court} {year}. {month}. {day}.{said} {self.number} {self.kind}"


@dataclass(frozen=True)
class Interpretation:
    """An official reply to a question about a statute (질의요지, 회답, 이유)."""

    number: str
    agency: str
    date: str
    title: str
    question: str
    answer: str
    reason: str = ""
    statutes: tuple[str, ...] = ()
    origin: str = ""


@dataclass(frozen=True)
class Guidance:
    """A regulator's guide or notice, or an industry's own rules: running text without questions, to
    pre-train on. `agency` and `date` (ISO) are "" where the source does not tell."""

    title: str
    agency: str
    date: str
    text: str
    origin: str = ""


@dataclass(frozen=True)
class Source:
    """Where an answer comes from. `kind` is statute, case, interpretation or user; `date` is the
    시행일 or 선고일 (ISO)."""

    kind: str
    law: str | None = None
    article: str | None = None
    case: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class QAPair:
    """A question and its answer. `group` names the source that the pair and its kin derive from;
    pairs of one group never stand on two sides of a split."""

    question: str
    answer: str
    id: str = ""
    type: str | None = None
    context: str | None = None
    source: Source | None = None
    citations: tuple[str, ...] = ()
    group: str | None = None
    distractors: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in a JSONL file; what is unset is left out."""
        row: dict[str, Any] = {"id": self.id, "type": self.type, "question": self.question}
        row |= {"answer": self.answer, "context": self.context}
        if self.source:
            row["source"] = {k: v for k, v in vars(self.source).items() if v is not None}
        row |= {"citations": list(self.citations), "group": self.group}
        row["distractors"] = list(self.distractors)
        return {key: value for key, value in row.items() if value not in (None, [], "")}


@dataclass(frozen=True)
class ChoiceQuestion:
    """A multiple-choice question. `answer` is the place of the right choice, from 0; `type` and
    `group` are as for `QAPair`."""

    question: str
    choices: tuple[str, ...]
    answer: int
    id: str = ""
    type: str | None = None
    group: str | None = None

    def pair(self) -> QAPair:
        """The question with its right choice for an answer."""
        return QAPair(
            self.question, self.choices[self.answer], self.id, self.type, group=self.group
        )


def evenly(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of `items`, taken at even distances: what is sorted keeps its shares."""
    if len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def normalise(text: str) -> str:
    """NFC, with every run of white space one blank: what "identical" means for two texts."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def composed(text: str) -> str:
    """NFC with line ends as `\n`: as tokenizers, the search for leaks and that for personal data
    read a text, and as a model is given it."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")


def fingerprint(*texts: str) -> str:
    """Twelve hex digits that name these texts, the same for texts equal after `normalise`."""
    joined = "\x1f".join(normalise(text) for text in texts)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def read_qa(path: Path) -> list[QAPair]:
    """Read Q&A from JSON Lines, or from CSV with a header if the name ends in `.csv`.

    `question` and `answer` suffice; a missing `id` becomes the fingerprint of both. Keys that
    lawtune does not know are left alone, so that users may keep their own.

    Raises:
        UserError: a record without question or answer, or with a value of the wrong type, naming
            the file and line; or the file holds no record.
    """
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else read_jsonl(path)
    pairs = [_to_pair(row, f"{path}, line {line}") for line, row in rows]
    if not pairs:
        raise UserError(f"{path}: no records in it")
    return pairs


def write_qa(path: Path, pairs: Iterable[QAPair]) -> int:
    """Write pairs as JSON Lines, atomically; return how many."""
    return write_jsonl(path, (pair.to_json() for pair in pairs))


MOST_CHOICES = 26
"""A choice is told by a letter."""


def read_mcq(path: Path) -> list[ChoiceQuestion]:
    """Read multiple-choice questions from JSON Lines: `question`, `choices`, and `answer`, the
    place of the right choice counted from 0; `id`, `type` and `group` as for Q&A.

    Raises:
        UserError: a record that is no such question, or whose id stood before, naming the file
            and line; or the file holds no record.
    """
    questions: list[ChoiceQuestion] = []
    lines: dict[str, int] = {}
    for line, row in read_jsonl(path):
        where = f"{path}, line {line}"
        question = _to_choice_question(row, where)
        first = lines.setdefault(question.id, line)
        if first != line:
            raise UserError(f"{where}: the id {question.id!r} stands in line {first} already")
        questions.append(question)
    if not questions:
        raise UserError(f"{path}: no records in it")
    return questions


def _to_choice_question(row: dict[str, Any], where: str) -> ChoiceQuestion:
    row = _composed(row)
    _require_text(row, "question", where)
    _check_labels(row, where)
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list) or not all(isinstance(c, str) and c.strip() for c in choices):
        raise UserError(f"{where}: a multiple-choice record needs a list of texts under 'choices'")
    if not 2 <= len(choices) <= MOST_CHOICES:
        raise UserError(f"{where}: {len(choices)} choices; there must be 2 to {MOST_CHOICES}")
    seen: dict[str, int] = {}
    for place, choice in enumerate(choices):
        if (first := seen.setdefault(normalise(choice), place)) != place:
            raise UserError(f"{where}: the choices {first} and {place} are the same text")
    # True and False are whole numbers to Python, not to a reader.
    if isinstance(answer, bool) or not isinstance(answer, int):
        found = "nothing" if answer is None else repr(answer)
        raise UserError(
            f"{where}: 'answer' must be the right choice's place, a whole number counted from 0;"
            f" found {found}"
        )
    if not 0 <= answer < len(choices):
        raise UserError(
            f"{where}: answer {answer} for {len(choices)} choices; places are counted from 0, so"
            f" the last is {len(choices) - 1}"
        )
    return ChoiceQuestion(
        question=row["question"],
        choices=tuple(choices),
        answer=answer,
        id=_name(row, row["question"], *choices),
        type=row.get("type") or None,
        group=_group(row),
    )


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        missing = {"question", "answer"} - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{path}, line 1: the header lacks {', '.join(sorted(missing))}")
        for row in reader:
            if extra := row.get(None):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(extra)} more cells than the header has"
                    " columns; a text with a comma must stand in quotation marks"
                )
            # A CSV cell cannot hold a list or an object: only the plain columns are read.
            yield reader.line_num, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _to_pair(row: dict[str, Any], where: str) -> QAPair:
    row = _composed(row)
    for key in ("question", "answer"):
        _require_text(row, key, where)
    _check_labels(row, where)
    source = row.get("source")
    return QAPair(
        question=row["question"],
        answer=row["answer"],
        id=_name(row, row["question"], row["answer"]),
        type=row.get("type") or None,
        context=str(row["context"]) if row.get("context") else None,
        source=_to_source(source, where) if source else None,
        citations=_texts(row, "citations", where),
        group=_group(row),
        distractors=_texts(row, "distractors", where),
    )


def _composed(value: Any) -> Any:
    """Texts composed, those of lists and objects too. An id stays what its owner knows it by."""
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [_composed(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "id" else _composed(item) for key, item in value.items()}
    return value


def _require_text(row: dict[str, Any], key: str, where: str) -> None:
    if not isinstance(row.get(key), str) or not row[key].strip():
        raise UserError(f"{where}: a record needs a non-empty text under {key!r}")


def _check_labels(row: dict[str, Any], where: str) -> None:
    for key in ("id", "type", "context", "group"):
        if row.get(key) is not None and not isinstance(row[key], (str, int)):
            raise UserError(f"{where}: {key!r} must be text")
    if row.get("type") and row["type"] not in QUESTION_TYPES:
        raise UserError(
            f"{where}: unknown type {row['type']!r}; known: {', '.join(QUESTION_TYPES)}"
        )


def _name(row: dict[str, Any], *texts: str) -> str:
    # 0 is a name too.
    return str(row["id"]) if row.get("id") not in (None, "") else fingerprint(*texts)


def _group(row: dict[str, Any]) -> str | None:
    return str(row["group"]) if row.get("group") not in (None, "") else None


def _to_source(value: Any, where: str) -> Source:
    if isinstance(value, str):
        return Source(kind="user", law=value)
    if not isinstance(value, dict):
        raise UserError(f"{where}: 'source' must be an object")
    known = {}
    for key in ("law", "article", "case", "date"):
        if (text := value.get(key)) is not None:
            if not isinstance(text, (str, int)):
                raise UserError(f"{where}: 'source.{key}' must be text")
            known[key] = str(text)
    return Source(kind=str(value.get("kind", "user")), **known)


def _texts(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key) or ()
    if isinstance(value, str):
        return tuple(part.strip() for part in re.split(r"[;\n]", value) if part.strip())
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{where}: {key!r} must be a list of texts")
    return tuple(value)
