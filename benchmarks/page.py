"""Results in Markdown: tables, and the place in a page where they stand."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of these cells, as they read."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def put(page: Path, name: str, text: str) -> None:
    """Put the text between the two marks that a benchmark of this name has in a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} lacks the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")
