"""Which records are answered in full, which answers are shown, which law a record counts under:
fixed by seed and rule, never picked."""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from lawtune.data.references import law_key
from lawtune.records import ChoiceQuestion, QAPair

UNTYPED = "general"
"""Where records without a type are counted: the name of the template that they use."""

OTHER_LAWS, NO_LAW = "(other)", "(none)"
"""Where records are counted whose law has too few of them, or that name none."""

FEWEST_OF_A_LAW = 5
MOST_LAWS = 12

_CITED_LAW = re.compile(r"^(?:구\s+)?(\S.*?)\s*제\d+조")


def type_of(pair: QAPair | ChoiceQuestion) -> str:
    """The pair's question type, or `UNTYPED`."""
    return pair.type or UNTYPED


def sample_indices(
    pairs: Sequence[QAPair | ChoiceQuestion], size: int | None, seed: int
) -> list[int]:
    """A fixed sample for generation: each type in proportion to its number (rounded by largest
    remainders), within a type by a hash of seed and id, so that the file's order does not matter.

    Returns:
        Indices in ascending order; all of them if `size` is None or not below len(pairs).
    """
    if size is None or size >= len(pairs):
        return list(range(len(pairs)))
    strata: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        strata[type_of(pair)].append(index)
    shares = {kind: size * len(members) / len(pairs) for kind, members in strata.items()}
    quota = {kind: math.floor(share) for kind, share in shares.items()}
    by_remainder = sorted(strata, key=lambda kind: (quota[kind] - shares[kind], kind))
    for kind in by_remainder[: size - sum(quota.values())]:
        quota[kind] += 1

    def draw(index: int) -> tuple[str, int]:
        return hashlib.sha256(f"{seed}/{pairs[index].id}".encode()).hexdigest(), index

    picked = (sorted(members, key=draw)[: quota[kind]] for kind, members in strata.items())
    return sorted(index for members in picked for index in members)


def spread(pairs: Sequence[QAPair], size: int) -> list[int]:
    """Up to `size` indices, question types in turn, each in the pairs' own order: picked by nothing
    that depends on the answers."""
    queues: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        queues[type_of(pair)].append(place)
    turns = sorted(
        (turn, kind, place) for kind, queue in queues.items() for turn, place in enumerate(queue)
    )
    return sorted(place for _, _, place in turns[:size])


def law_of(pair: QAPair) -> str | None:
    """The statute that a record is about: its source's, else the first that it cites; None where it
    names none (a decision that rests on no article)."""
    if pair.source and pair.source.law:
        return pair.source.law
    return next((found[1] for text in pair.citations if (found := _CITED_LAW.match(text))), None)


def by_law(pairs: Sequence[QAPair]) -> dict[str, list[int]]:
    """The records of each statute, by index, largest first: up to `MOST_LAWS` statutes of
    `FEWEST_OF_A_LAW` records or more, the rest under `OTHER_LAWS`, those without under `NO_LAW`.
    Empty if no record names one."""
    names = [law_of(pair) for pair in pairs]
    keys = [law_key(name) if name else None for name in names]
    shown = dict(zip(keys, names, strict=True))  # A statute spelt in two ways keeps the last.
    counts = Counter(key for key in keys if key)
    large = [key for key, n in counts.most_common(MOST_LAWS) if n >= FEWEST_OF_A_LAW]
    found: dict[str, list[int]] = {shown[key]: [] for key in large}
    for index, key in enumerate(keys):
        place = NO_LAW if not key else shown[key] if key in large else OTHER_LAWS
        found.setdefault(place, []).append(index)
    rest = {name: found.pop(name) for name in (OTHER_LAWS, NO_LAW) if name in found}
    return found | rest if counts else {}
