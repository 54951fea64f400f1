"""The names by which Korean legal texts call a statute: full, short, and as abbreviated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from lawtune.data.references import law_key

SUBORDINATE = ("시행령", "시행규칙", "시행세칙")
LONGEST_NAME = 60
"""Characters, without spaces; no statute in force has a longer name."""


@dataclass(frozen=True)
class Names:
    """Canonical names by `law_key` of every spelling."""

    canonical: Mapping[str, str] = field(default_factory=dict)

    def find(self, key: str) -> str | None:
        """The canonical name of a `law_key`; a decree or rule is looked up by its statute's."""
        if name := self.canonical.get(key):
            return name
        for suffix in SUBORDINATE:
            if key.endswith(suffix) and (name := self.canonical.get(key[: -len(suffix)])):
                return f"{name} {suffix}"
        return None

    def with_names(self, names: Iterable[str]) -> "Names":
        """These names and more; what is given replaces a spelling that was known."""
        return Names({**self.canonical, **{law_key(name): name for name in names}})


@lru_cache(maxsize=1)
def known_names() -> Names:
    """The names that ship with lawtune (`statute_names.txt`)."""
    found = {}
    text = resources.files(__package__).joinpath("statute_names.txt").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, _, short = line.partition(" = ")
        for spelling in (name, *short.split(", ")):
            if spelling:
                found[law_key(spelling)] = name
    return Names(found)


def parent(law: str) -> str:
    """The statute that a decree or rule belongs to; a statute is its own."""
    for suffix in SUBORDINATE:
        if law.endswith(suffix):
            return law[: -len(suffix)].rstrip()
    return law


def subordinate(law: str, suffix: str) -> str:
    """상법, 시행령 → 상법 시행령; of a decree, its statute's."""
    return f"{parent(law)} {suffix}"
