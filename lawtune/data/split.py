"""Which side of the split a source stands on, and the near-duplicates that would cross it."""

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lawtune.records import Case, Interpretation, QAPair, normalise

_PERMUTATIONS = 128
_SHINGLE = 5
_MISSED = 1e-4
"""Of answers that are just like enough, at most so many are not found."""
_SEAT = re.compile(r"^\s*\([^()]*\)")
_PRECEDENCE = {"test": 0, "validation": 1, "train": 2}


def assign_split(group: str, seed: int, validation_share: float, test_share: float) -> str:
    """train, validation or test: a pure function of the group's name and the seed.

    A hash instead of a shuffle, so that documents added later never move an old one across the
    split, and a corpus of another size leaves out exactly the sources that a Q&A test set holds.
    """
    digest = hashlib.sha256(f"{seed}\x1f{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < test_share:
        return "test"
    return "validation" if position < test_share + validation_share else "train"


def article_group(law: str, label: str) -> str:
    """The group of an article, written alike for every spelling: 민법 제750조."""
    return f"{re.sub('[ㆍ․‧・]', '·', law.replace(' ', ''))} {label}"


def case_group(case: Case | str) -> str:
    """The group of a decision: its first case number (joined cases share it), without the seat of
    the court that may stand before it: (창원)2011노5."""
    number = case if isinstance(case, str) else case.number
    return _SEAT.sub("", number).split(",")[0].split("(")[0].replace(" ", "")


def interpretation_group(record: Interpretation) -> str:
    """The group of an official reply."""
    return f"해석례 {record.number}"


def drop_near_duplicates(
    splits: Mapping[str, Sequence[QAPair]], threshold: float
) -> tuple[dict[str, list[QAPair]], list[tuple[str, str, str]]]:
    """Drop a pair whose answer nearly repeats one of another split: from train before validation,
    from validation before test, so that the test set never depends on the training set.

    `threshold` is the Jaccard similarity of two answers' runs of five characters. MinHash finds the
    candidates, and each is then compared exactly.

    Returns:
        The splits without the dropped pairs, and (dropped id, its split, the id it repeats).
    """
    index = _TwinIndex(threshold)
    kept: dict[str, list[QAPair]] = {}
    dropped = []
    order = sorted(splits, key=lambda split: _PRECEDENCE[split])
    for name in order:
        pairs = splits[name]
        sketches = index.sketch(pair.answer for pair in pairs)
        twins = [index.find(pair.answer, s) for pair, s in zip(pairs, sketches, strict=True)]
        dropped += [(p.id, name, found[0]) for p, found in zip(pairs, twins, strict=True) if found]
        kept[name] = [pair for pair, found in zip(pairs, twins, strict=True) if not found]
        # Inserted only now: likeness within one split is no leak. The last split, much the
        # largest, is never looked up.
        for pair, sketch, found in zip(pairs, sketches, twins, strict=True):
            if name != order[-1] and not found:
                index.insert(pair, sketch)
    return {name: kept[name] for name in splits}, dropped


def near_duplicates_across(
    files: Mapping[str, Sequence[QAPair]], threshold: float
) -> list[tuple[str, str]]:
    """(id in one file, id in another) of every pair of near-duplicate answers, for `data check`."""
    found = []
    index = _TwinIndex(threshold)
    for pairs in files.values():
        sketches = index.sketch(pair.answer for pair in pairs)
        for pair, sketch in zip(pairs, sketches, strict=True):
            found += [(other, pair.id) for other in index.find(pair.answer, sketch)]
        for pair, sketch in zip(pairs, sketches, strict=True):
            index.insert(pair, sketch)
    return found


def repeated(values: Iterable[str]) -> dict[str, int]:
    """Values that occur more than once, with how often."""
    return {value: count for value, count in Counter(values).items() if count > 1}


def bands(threshold: float) -> tuple[int, int]:
    """(bands, hashes in each) for MinHash: of answers with this likeness, (1 − likeness^hashes) to
    the power of the bands are missed. Of all numbers of hashes that miss few enough the largest,
    which finds the fewest others: 25 bands of 5 at 0.8."""
    hashes = max(
        (
            count
            # datasketch takes no single band.
            for count in range(1, _PERMUTATIONS // 2 + 1)
            if (1 - threshold**count) ** (_PERMUTATIONS // count) <= _MISSED
        ),
        default=1,
    )
    return _PERMUTATIONS // hashes, hashes


class _TwinIndex:
    """Answers that others can be found to repeat: MinHash finds candidates, Jaccard decides.

    At datasketch's own balance of errors MinHash misses six in ten answers that lie at a threshold
    of 0.8. With more and narrower bands it finds too many, and the comparison sorts those out.
    """

    def __init__(self, threshold: float):
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._candidates = MinHashLSH(num_perm=_PERMUTATIONS, params=bands(threshold))
        self._inserted: list[QAPair] = []

    def sketch(self, texts: Iterable[str]) -> list[Any]:
        """The MinHash of every text."""
        from datasketch import MinHash

        encoded = ([run.encode() for run in _shingles(text)] for text in texts)
        return list(MinHash.generator(encoded, num_perm=_PERMUTATIONS, hashfunc=zlib.crc32))

    def insert(self, pair: QAPair, sketch: Any) -> None:
        """Let `pair` be found."""
        self._candidates.insert(len(self._inserted), sketch)
        self._inserted.append(pair)

    def find(self, text: str, sketch: Any) -> list[str]:
        """The ids of the inserted pairs that `text` nearly repeats, in the order of insertion."""
        mine = _shingles(text)
        others = [self._inserted[key] for key in sorted(self._candidates.query(sketch))]
        return [
            pair.id
            for pair in others
            if len(mine & (its := _shingles(pair.answer))) >= self._threshold * len(mine | its)
        ]


@lru_cache(maxsize=4096)
def _shingles(text: str) -> frozenset[str]:
    letters = normalise(text).replace(" ", "")
    runs = max(1, len(letters) - _SHINGLE + 1)
    return frozenset(letters[start : start + _SHINGLE] for start in range(runs))
