"""The 항, 호 and 목 that follow an article's number: 제1항 제2호, 제1, 2항, 제2호 (가)목, 나목."""

from lawtune.eval import citation_patterns as p

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
            number = unit["number"] + (f"의{branch}" if branch else "")
            paragraph = (unit["level"] or unit["shared"]) == "항"
            deepest = (number, "", "") if paragraph else (above[0], number, "")
        # 제1항 제2호 is one place: the 항 alone was only its beginning.
        if found and found[-1] == above and sum(map(bool, deepest)) > sum(map(bool, above)):
            found.pop()
        found.append(deepest)
    return tuple(found), match.end()
