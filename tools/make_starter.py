"""Choose the starter corpus from larger source folders and write it as Markdown.

    python tools/make_starter.py --source STATUTES --source DECISIONS --out lawtune/starter/corpus

Statutes come by name; Supreme Court decisions are those that have 판시사항 and 판결요지 for the
same issues, rely on a chosen statute, and cite one another most. Written are the articles as in
force (no 부칙, no 별표), and of a decision its 판시사항, 판결요지, 참조조문 and 참조판례: no facts
of the case, so no parties. The layout is that of the public legalize-kr repositories. What an
earlier choice left in `--out` is removed.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from lawtune.data.library import Library, case_key
from lawtune.data.provisions import CIRCLED
from lawtune.data.references import law_key, parse_article_references
from lawtune.data.sources import ReadReport, read_source
from lawtune.data.split import case_group
from lawtune.files import write_text
from lawtune.records import Case, Provision, Statute

STATUTES = """
민법, 형법, 상법, 근로기준법, 저작권법, 도로교통법, 소비자기본법, 신탁법, 상표법, 이자제한법,
주민등록법, 민사집행법, 전자서명법, 개인정보 보호법, 상가건물 임대차보호법, 여신전문금융업법,
약관의 규제에 관한 법률, 할부거래에 관한 법률, 방문판매 등에 관한 법률,
전자상거래 등에서의 소비자보호에 관한 법률, 채권의 공정한 추심에 관한 법률,
남녀고용평등과 일·가정 양립 지원에 관한 법률, 기간제 및 단시간근로자 보호 등에 관한 법률,
표시·광고의 공정화에 관한 법률, 부정경쟁방지 및 영업비밀보호에 관한 법률,
정보통신망 이용촉진 및 정보보호 등에 관한 법률, 노동조합 및 노동관계조정법,
파견근로자보호 등에 관한 법률
"""
DECISIONS = 700
_CIRCLED = {str(number): mark for mark, number in CIRCLED.items()}


def main() -> None:
    """Read the sources, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", action="append", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    report = ReadReport()
    library = Library.of(r for source in arguments.source for r in read_source(source, report))
    wanted = {law_key(name) for name in STATUTES.split(",")}
    missing = wanted - set(library.statutes)
    if missing:
        raise SystemExit(f"no such statute in the sources: {', '.join(sorted(missing))}")
    texts = {}
    for key in wanted:
        statute = library.statutes[key]
        texts[arguments.out / "statutes" / f"{statute.name}.md"] = statute_markdown(statute)
    chosen = choose_decisions(library, wanted, DECISIONS)
    for case in chosen:
        texts[arguments.out / "decisions" / f"{case_group(case)}.md"] = case_markdown(case)
    for path, text in texts.items():
        write_text(path, text)
    # An earlier choice may have held others.
    for folder in ("statutes", "decisions"):
        for path in set((arguments.out / folder).glob("*.md")) - set(texts):
            path.unlink()
    print(f"{len(wanted)} statutes and {len(chosen)} decisions written to {arguments.out}")


def choose_decisions(library: Library, laws: set[str], limit: int) -> list[Case]:
    """The most cited decisions on these laws, each with up to three that cite it."""

    def sound(case: Case) -> bool:
        references = parse_article_references(case.cited_articles).values()
        on_topic = any(law_key(ref.law) in laws for part in references for ref in part)
        complete = bool(case.summaries) and set(case.summaries) == set(case.holdings)
        return case.court == "대법원" and complete and on_topic

    eligible = {key: case for key, case in library.cases.items() if sound(case)}
    citers = {
        key: [case_key(later) for later, _, _ in library.citers.get(key, ())] for key in eligible
    }
    citers = {key: [c for c in later if c in eligible] for key, later in citers.items()}
    chosen: dict[tuple[str, str], Case] = {}
    for key in sorted(eligible, key=lambda key: (-len(citers[key]), key)):
        for name in (key, *citers[key][:3]):
            if len(chosen) < limit:
                chosen.setdefault(name, eligible[name])
    return [chosen[key] for key in sorted(chosen)]


def statute_markdown(statute: Statute) -> str:
    """A statute in the legalize-kr layout."""
    lines = front_matter(
        {
            "제목": statute.name,
            "법령구분": statute.kind,
            "공포일자": statute.promulgated,
            "시행일자": statute.effective,
            "출처": f"https://www.law.go.kr/법령/{statute.name.replace(' ', '')}",
        }
    )
    lines += [f"# {statute.name}", ""]
    above: tuple[str, ...] = ()
    for article in statute.articles:
        for depth, heading in enumerate(article.headings):
            if article.headings[: depth + 1] != above[: depth + 1]:
                lines += [f"{'#' * min(depth + 2, 4)} {heading}", ""]
        above = article.headings
        title = f" ({article.title})" if article.title else ""
        lines += [f"##### {article.label}{title}", ""]
        lines += ["삭제", ""] if article.deleted else []
        lines += [article.text, ""] if article.text else []
        lines += [*provision_lines(article.provisions), ""] if article.provisions else []
    return "\n".join(lines)


def provision_lines(provisions: Iterable[Provision]) -> list[str]:
    """항 as **①**, 호 as 1\\., 목 as 가\\., each level indented by two."""
    lines = []
    for unit in provisions:
        if unit.level == "항":
            lines += [f"**{_CIRCLED[unit.number]}** {unit.text}", ""]
        else:
            indent = "  " if unit.level == "호" else "    "
            lines.append(f"{indent}{unit.number}\\. {unit.text}")
        lines += provision_lines(unit.children)
    return lines


def case_markdown(case: Case) -> str:
    """A decision in the legalize-kr layout, without its body."""
    lines = front_matter(
        {
            "사건번호": case.number,
            "사건명": case.title,
            "법원명": case.court,
            "판결유형": case.kind,
            "선고일자": case.date,
            "출처": f"https://www.law.go.kr/판례/({case.number})",
        }
    )
    lines += [f"# {case.title}", ""]
    for heading, parts in (("판시사항", case.holdings), ("판결요지", case.summaries)):
        lines += [f"## {heading}", "", *numbered(parts), ""]
    for heading, text in (("참조조문", case.cited_articles), ("참조판례", case.cited_cases)):
        text = " ".join(text.replace("<br/>", " ").split())
        lines += [f"## {heading}", "", text, ""] if text else []
    return "\n".join(lines)


def numbered(parts: dict[str, str]) -> Sequence[str]:
    """[1] … a line each, or the one text without a number."""
    return [f"[{number}] {text}" if number else text for number, text in parts.items()]


def front_matter(values: dict[str, str]) -> list[str]:
    """YAML between dashes; every value quoted, so that any title is safe."""
    quoted = (f"{key}: '{value.replace(chr(39), chr(39) * 2)}'" for key, value in values.items())
    return ["---", *quoted, "---", ""]


if __name__ == "__main__":
    main()
