"""Where an article stands in its statute: under which 편, 장, 절 and 관."""

import re

from lawtune.data.provisions import one_line

_HEADING = re.compile(
    r"^(?P<label>제\d+(?:의\d+)?(?P<level>[편장절관])(?:의\d+)?)(?:\s+(?P<name>.*))?$"
)
_GENERAL = re.compile(r"칙$|^기타|^과태료$|^삭제")
"""총칙, 통칙, 보칙, 벌칙 and the like, which tell no subject, and what has been taken out."""
_LEVELS = "편장절관"

SUBJECTS = 2
"""How many headings tell what an article is about: the innermost, and one around it."""


class Outline:
    """The headings that stand over the line that was read last."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}

    def enter(self, line: str) -> bool:
        """Take note of a heading (제4장 익명조합); False if `line` is none."""
        match = _HEADING.match(line)
        if not match:
            return False
        depth = _LEVELS.index(match["level"])
        self._open = {level: text for level, text in self._open.items() if level in _LEVELS[:depth]}
        self._open[match["level"]] = f"{match['label']} {one_line(match['name'] or '')}".strip()
        return True

    @property
    def headings(self) -> tuple[str, ...]:
        """Those that stand over it, the outermost first."""
        return tuple(self._open.values())


def subjects(headings: tuple[str, ...], said: str) -> list[str]:
    """What `headings` tell an article to be about that `said` leaves out, the innermost last:
    [항공운송, 여객운송] of 제6편 항공운송, 제2장 운송, 제2절 여객운송, 제1관 통칙."""
    names = [(_HEADING.match(heading) or {"name": ""})["name"] or "" for heading in headings]
    names = [name for name in names if name and not _GENERAL.search(name.replace(" ", ""))]
    bare = said.replace(" ", "")
    telling = [
        name
        for name in dict.fromkeys(names)
        if name.replace(" ", "") not in bare
        and not any(name in other for other in names if other != name)
    ]
    return telling[-SUBJECTS:]
