"""Readers of raw legal sources: folders of statutes, decisions and official replies.

Two Markdown layouts are read, both with YAML front matter: that of the public `legalize-kr`
repositories (`##### 제2조 (신의성실)`, `**①** …`, `## 판시사항`) and a flatter one
(`### 제2조(신의성실)`, `① …`, a bare line `판시사항`). Official replies and guidance come as JSON,
one a file: with a `question` and an `answer`, or with a `title` and a `text` alone.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lawtune.data.outline import Outline
from lawtune.data.provisions import clean, one_line, parse_article, split_numbered, to_iso_date
from lawtune.errors import UserError
from lawtune.files import exists, parse_json, read_text
from lawtune.records import Article, Case, Guidance, Interpretation, Statute, composed

Record = Statute | Case | Interpretation | Guidance

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)\n---[ \t]*\n", re.DOTALL)
# ### 제14조의2(제목), with or without its text behind it; **제3조(제목)** with it.
_ARTICLE = re.compile(
    r"^(?:#{2,6}|\*\*(?=제\s*\d+\s*조[^()]{,8}\(.*\)\*\*))\s*"
    r"제\s*(?P<number>\d+)\s*(?:조(?:\s*의\s*(?P<branch>\d+))?|의\s*(?P<inner>\d+)\s*조)\s*"
    r"(?:\((?P<title>(?:[^()]|\([^()]*\))*)\)(?:\*\*)?)?\s*"
    r"(?P<text>삭\s*제|①.*|(?(title)(?!관련|에 따른)[가-힣].*|(?!)))?\s*(?:[<〈\[].*)?$"
)
_QUOTED = re.compile(r"""^(['"])(.*)\1$""")
_TITLE = re.compile(r"(?m)^#[ \t]+(.+)$")
_HEADING = re.compile(r"^#{1,6}\s*(.*)$")
_ADDENDUM = re.compile(r"^#{1,6}\s*부\s*칙")
_CASE_SECTIONS = {"판시사항": "판시사항", "판결요지": "판결요지", "결정요지": "판결요지"}
_CASE_SECTIONS |= {"참조조문": "참조조문", "참조판례": "참조판례"}
_BODY_SECTIONS = {"판례내용", "주문"}


EXAMPLES = 5
"""How many of what was left out for one reason are named."""


class Losses(Counter[str]):
    """How many things were left out, by reason; the first few of each are kept as `examples`."""

    def __init__(self) -> None:
        super().__init__()
        self.examples: dict[str, list[str]] = {}

    def note(self, reason: str, what: str) -> None:
        """Count one more."""
        self[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append(what)


@dataclass
class ReadReport:
    """How many records were read and what was skipped, by reason, with examples."""

    read: Counter[str] = field(default_factory=Counter)
    skipped: Losses = field(default_factory=Losses)

    @property
    def examples(self) -> dict[str, list[str]]:
        """The first few skipped things of each reason."""
        return self.skipped.examples

    def skip(self, reason: str, what: str) -> None:
        """Count one skipped thing."""
        self.skipped.note(reason, what)


def read_source(path: Path, report: ReadReport) -> Iterator[Record]:
    """Yield every record of a file or folder, in the order of the paths' names.

    One file is held in memory at a time. What cannot be read as a record is counted in `report`.

    Raises:
        UserError: there is no such path, or a folder holds no Markdown or JSON file at all.
    """
    files = source_files(path)
    if not files:
        raise UserError(f"{path}: no .md or .json file in it (name files of Q&A one by one)")
    for file in _files_below(path) if path.is_dir() else ():
        if file.suffix.lower() in (".jsonl", ".csv"):
            report.skip("Q&A in a folder: to be named by itself", str(file))
    for file in files:
        try:
            text = read_text(file)
        except UserError as error:
            if path.is_file():
                raise
            report.skip("unreadable file", str(error))
            continue
        if file.suffix.lower() == ".json":
            record = _parse_json(text, file, report)
        else:
            record = parse_markdown(text, str(file), report)
        if record is not None:
            report.read[type(record).__name__] += 1
            yield record


def parse_markdown(text: str, origin: str, report: ReadReport) -> Statute | Case | None:
    """One Markdown document as a statute or a decision; None (counted) if it is neither."""
    text = composed(text)
    match = _FRONT_MATTER.match(text)
    if not match:
        report.skip("no front matter", origin)
        return None
    meta = _parse_front_matter(match[1])
    body = text[match.end() :]
    if meta.get("사건번호"):
        return _parse_case(meta, body, origin, report)
    if meta.get("법령구분") or any(_ARTICLE.match(line) for line in body.split("\n")):
        return _parse_statute(meta, body, origin, report)
    report.skip("neither statute nor decision", origin)
    return None


def source_files(path: Path) -> list[Path]:
    """The files that are read of a file or folder, in the order of their names.

    Raises:
        UserError: there is no such path.
    """
    if not exists(path):
        raise UserError(f"no such file or folder: {path}")
    if path.is_file():
        return [path]
    return [
        file
        for file in _files_below(path)
        if file.suffix.lower() in (".md", ".json") and file.stem.upper() != "README"
    ]


def _files_below(folder: Path) -> list[Path]:
    """All files, in the order of their names. Links to folders are followed, each folder is read
    once: under its own name where it has one below `folder`, and no ring of links is without end.
    """
    files: list[Path] = []
    seen: set[str] = set()
    ways = [folder]
    while ways:
        links: list[Path] = []
        for way in ways:
            for place, folders, names in os.walk(way):
                real = os.path.realpath(place)
                if real in seen:
                    folders.clear()
                    continue
                seen.add(real)
                folders.sort()
                links += [link for name in folders if (link := Path(place, name)).is_symlink()]
                files += [file for name in names if (file := Path(place, name)).is_file()]
        ways = links
    return sorted(files)


def _parse_front_matter(text: str) -> dict[str, Any]:
    meta = _load_yaml(text)
    if isinstance(meta, dict):
        return meta
    # Titles with a colon or a quote are written bare in the wild: take each line as key and text.
    pairs = (line.split(":", 1) for line in text.split("\n") if ":" in line)
    return {key.strip(): _QUOTED.sub(r"\2", value.strip()) for key, value in pairs}


def _load_yaml(text: str) -> Any:
    """The value of a YAML text; None if it is not YAML."""
    import yaml

    try:
        # The C loader is ten times faster; thousands of decisions feel it.
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError):
        # ValueError: a date that the calendar lacks, such as 2013-02-30.
        return None


def _text(value: Any) -> str:
    """A front matter's value as text on one line; a list is joined by commas."""
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return "" if value is None else one_line(str(value))


def _parse_statute(
    meta: dict[str, Any], body: str, origin: str, report: ReadReport
) -> Statute | None:
    heading = _TITLE.search(body)
    name = _text(meta.get("제목")) or (one_line(heading[1]) if heading else "")
    if not name:
        report.skip("statute without a name", origin)
        return None
    articles, addenda = _parse_articles(body, origin, report)
    return Statute(
        name=name.replace("ㆍ", "·"),
        kind=_text(meta.get("법령구분")) or "법률",
        promulgated=to_iso_date(meta.get("공포일자")),
        effective=to_iso_date(meta.get("시행일자")),
        articles=articles,
        addenda=addenda,
        origin=origin,
    )


def _parse_articles(body: str, origin: str, report: ReadReport) -> tuple[tuple[Article, ...], str]:
    """The articles of a statute's body, and the text of its 부칙."""
    articles: dict[str, Article] = {}
    addenda: list[str] = []
    current: tuple[str, str, tuple[str, ...]] | None = None
    lines: list[str] = []
    outline, where = Outline(), "preamble"

    def close() -> None:
        if current is None:
            return
        number, title, headings = current
        article = replace(parse_article(number, title, lines), headings=headings)
        if article.number in articles:
            report.skip("article number repeated in a statute", f"{origin} {article.label}")
        articles.setdefault(article.number, article)

    for line in body.split("\n"):
        match = _ARTICLE.match(line)
        if where == "addenda" and (match or not line.startswith("#")):
            # 부칙 have articles of their own, numbered from 1 again.
            addenda.append(line.lstrip("# "))
        elif match:
            close()
            branch = match["branch"] or match["inner"]
            number = match["number"] + (f"의{branch}" if branch else "")
            current = (number, match["title"] or "", outline.headings)
            lines, where = [match["text"] or ""], "article"
        elif _ADDENDUM.match(line):
            close()
            current, where = None, "addenda"
        elif heading := _HEADING.match(line):
            close()
            current = None
            if not outline.enter(heading[1]) and where != "preamble":
                report.skip("table or form (별표·서식)", f"{origin}: {line.strip('# ')}")
            where = "other"
        elif not outline.enter(line.strip()) and where == "article":
            lines.append(line)
    close()
    return tuple(articles.values()), clean("\n".join(addenda))


def _parse_case(meta: dict[str, Any], body: str, origin: str, report: ReadReport) -> Case | None:
    sections = _case_sections(body)
    decided = to_iso_date(meta.get("선고일자"))
    if not decided:
        report.skip("decision without a date", origin)
        return None
    kind = re.search(r"(?:전원합의체\s*)?(?:판결|결정|명령)", _text(meta.get("판결유형")))
    return Case(
        number=_text(meta["사건번호"]),
        court=_text(meta.get("법원") or meta.get("법원명")),
        date=decided,
        title=_text(meta.get("사건명") or meta.get("제목")),
        kind=kind[0] if kind else "판결",
        holdings=split_numbered(sections.get("판시사항", "")),
        summaries=split_numbered(sections.get("판결요지", "")),
        cited_articles=_text(meta.get("참조조문")) or sections.get("참조조문", ""),
        cited_cases=_text(meta.get("참조판례")) or sections.get("참조판례", ""),
        body=clean(sections.get("body", "")),
        origin=origin,
    )


def _case_sections(body: str) -> dict[str, str]:
    """Section name → raw text; everything from 주문 (or 판례내용) on is "body"."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in body.split("\n"):
        is_heading = line.startswith("## ")
        bare = "".join(line.strip("# \t").split())
        if name == "body":
            sections["body"].append(line)
        elif bare in _CASE_SECTIONS:
            name = _CASE_SECTIONS[bare]
            sections[name] = []
        elif bare in _BODY_SECTIONS:
            name = "body"
            sections[name] = []
        elif is_heading or (not bare and "## " not in body):
            # The flat layout ends a section with an empty line, the other with a heading.
            name = name if not sections.get(name) and not is_heading else ""
        elif name:
            sections[name].append(line)
    return {key: "\n".join(lines) for key, lines in sections.items()}


def _parse_json(text: str, file: Path, report: ReadReport) -> Interpretation | Guidance | None:
    try:
        row = parse_json(composed(text), file)
    except UserError as error:
        report.skip("not JSON", str(error))
        return None
    if isinstance(row, dict) and row.get("question") and row.get("answer"):
        return _parse_interpretation(row, file)
    if isinstance(row, dict) and row.get("title") and row.get("text"):
        return Guidance(
            title=one_line(str(row["title"])),
            agency=_agency(row),
            date=to_iso_date(row.get("version_date") or row.get("date")),
            text=str(row["text"]),
            origin=str(file),
        )
    report.skip("neither a reply nor guidance", str(file))
    return None


_NOT_ASKED = re.compile(r"[※*]\s*법원은[^\n]*기속되지 않음을 알려드립니다\.?")
# 동법 제23조, 감독규정 제5조: what a list of provisions has lost the statute of.
_NAMES_NO_LAW = re.compile(
    r"[^가-힣]*(?:(?:동|같은|위|이)\s*)?"
    r"(?:법|법률|시행령|시행규칙|시행세칙|규정|규칙|감독규정|업무규정|위탁규정|특별법|보호법|촉진법|기본법)"
    r"\s*(?:시행령|시행규칙)?\s*제"
)


def _parse_interpretation(row: dict[str, Any], file: Path) -> Interpretation:
    laws = row.get("related_laws") or ()
    laws = [laws] if isinstance(laws, str) else [str(name) for name in laws]
    labelled = _labelled_parts(str(row.get("text", "")))
    question = _NOT_ASKED.sub("", str(row["question"]).split("해석대상 법령 조문")[0])
    return Interpretation(
        number=str(row.get("document_number") or row.get("doc_id") or file.stem),
        agency=_agency(row),
        date=to_iso_date(row.get("version_date") or row.get("date")),
        title=one_line(str(row.get("title", ""))),
        question=clean(question),
        answer=clean(str(row["answer"])),
        reason=clean(labelled.get("이유", "")),
        statutes=tuple(name for name in laws if not _NAMES_NO_LAW.match(name)),
        origin=str(file),
    )


def _agency(row: dict[str, Any]) -> str:
    return str(row.get("agency") or row.get("source") or "")


def _labelled_parts(text: str) -> dict[str, str]:
    """질의요지:, 회답:, 이유: and what follows each."""
    parts = re.split(r"(?m)^(질의요지|회답|이유)\s*:\s*$", text)
    return dict(zip(parts[1::2], parts[2::2], strict=False))
