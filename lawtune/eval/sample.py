"""Which records are answered in full, and which answers are shown: fixed by seed, never picked."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence

from lawtune.records import ChoiceQuestion, QAPair

UNTYPED = "general"
"""Where records without a type are counted: the name of the template that they use."""


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
