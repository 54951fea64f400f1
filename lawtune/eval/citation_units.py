"""Parts of a citation: the 항, 호 and 목 that follow an article's number (제1항 제2호, 제1, 2항,
제2호 (가)목, 나목), and the articles of a range."""

import re

from lawtune.data.provisions import CIRCLED
from lawtune.eval import citation_patterns as p

ADDENDA = "부칙 "
"""Before the label of an article of a statute's addenda."""

LONGEST_RANGE = 30
"""Articles; of a longer range (제1조부터 제1118조까지) only the two ends are cited."""

Unit = tuple[str, str, str]
"""(항, 호, 목), "" where one is not named: ("1", "2의3", "가")."""


def read_units(text: str, position: int) -> tuple[tuple[Unit, ...], int]:
    """The units named from `position` on, and where they end."""
    match = p.UNITS.match(text, position)
    if not match:
        return (), position
    found: list[Unit] = []
    deepest: Unit = ("", "", "")
    for unit in p.ONE_UNIT.finditer(match[0]):
        above = deepest
        if letter := unit["letter"]:
            deepest = (above[0], above[1], letter)
        else:
            branch = unit["branch"] or unit["after"]
            number = str(CIRCLED.get(unit["number"], unit["number"]))
            number += f"의{branch}" if branch else ""
            paragraph = (unit["level"] or unit["shared"]) == "항"
            deepest = (number, "", "") if paragraph else (above[0], number, "")
        # 제1항 제2호 is one place: the 항 alone was only its beginning.
        if found and found[-1] == above and sum(map(bool, deepest)) > sum(map(bool, above)):
            found.pop()
        found.append(deepest)
    return tuple(found), match.end()


def read_articles(written: str) -> list[str]:
    """The articles of one number or of several under one 조: 제14조의2, 제3·4조, 제3~5조."""
    if "의" in written and written.rstrip().endswith("조"):
        number, branch = re.findall(r"\d+", written)
        return [f"제{number}조의{branch}"]
    *others, last = re.split(r"\s*([,·~])\s*", written)
    number = p.ARTICLE_NUMBER.search(last)
    found = [f"제{number[1]}조" + (f"의{number[2]}" if number[2] else "")]
    while others:
        *others, before, mark = others
        first = f"제{before.removeprefix('제').strip()}조"
        between = articles_between(first, found[0]) if mark == "~" else []
        found = [first, *between, *found]
    return found


def articles_between(first: str, last: str) -> list[str]:
    """The articles of a range but for its ends, as far as numbers tell; none of a long range."""
    low, high = ([int(n) for n in re.findall(r"\d+", article)] for article in (first, last))
    if low[0] == high[0]:
        # 제3조의2부터 제3조의5까지; 제3조 itself stands before its first 의, and ends nothing.
        between = range(low[-1] + 1 if len(low) > 1 else 2, high[-1] if len(high) > 1 else 0)
        labels = [f"제{low[0]}조의{number}" for number in between]
    else:
        between = range(low[0] + 1, high[0] + (1 if len(high) > 1 else 0))
        labels = [f"제{number}조" for number in between]
    if len(labels) > LONGEST_RANGE or "-" in first:
        return []
    prefix = ADDENDA if first.startswith(ADDENDA) else ""
    return [prefix + label for label in labels]
