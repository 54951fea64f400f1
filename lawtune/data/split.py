"""Which side of the split a source stands on, and the near-duplicates that would cross it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lawtune.records import Case, Interpretation, QAPair, normalise

_PERMUTATIONS = 128
_SHINGLE = 5
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
    return f"{law.replace(' ', '').replace('ㆍ', '·')} {label}"


def case_group(case: Case | str) -> str:
    """The group of a decision: its first case number (joined cases share it)."""
    number = case if isinstance(case, str) else case.number
    return number.split(",")[0].split("(")[0].replace(" ", "")


def interpretation_group(record: Interpretation) -> str:
    """The group of an official reply."""
    return f"해석례 {record.number}"


def drop_near_duplicates(
    splits: Mapping[str, Sequence[QAPair]], threshold: float
) -> tuple[dict[str, list[QAPair]], list[tuple[str, str, str]]]:
    """Drop a pair whose answer nearly repeats one of another split: from train before validation,
    from validation before test, so that the test set never depends on the training set.

    Answers are compared by MinHash over runs of five characters; `threshold` is their estimated
    Jaccard similarity.

    Returns:
        The splits without the dropped pairs, and (dropped id, its split, the id it repeats).
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    owner: dict[str, str] = {}
    kept: dict[str, list[QAPair]] = {}
    dropped = []
    for name in sorted(splits, key=lambda split: _PRECEDENCE[split]):
        kept[name] = []
        sketches = []
        for pair, sketch in zip(
            splits[name], _sketch(pair.answer for pair in splits[name]), strict=True
        ):
            twins = sorted(index.query(sketch))
            if twins:
                dropped.append((pair.id, name, twins[0]))
            else:
                kept[name].append(pair)
                sketches.append((pair.id, sketch))
        # Inserted only now: likeness within one split is no leak.
        for key, sketch in sketches:
            if key not in owner:
                owner[key] = name
                index.insert(key, sketch)
    return {name: kept[name] for name in splits}, dropped


def near_duplicates_across(
    files: Mapping[str, Sequence[QAPair]], threshold: float
) -> list[tuple[str, str]]:
    """(id in one file, id in another) of every pair of near-duplicate answers, for `data check`."""
    from datasketch import MinHashLSH

    found = []
    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    for name, pairs in files.items():
        sketches = list(_sketch(pair.answer for pair in pairs))
        for pair, sketch in zip(pairs, sketches, strict=True):
            found += [(other, pair.id) for _, other in sorted(index.query(sketch))]
        for position, (pair, sketch) in enumerate(zip(pairs, sketches, strict=True)):
            index.insert((f"{name}:{position}", pair.id), sketch)
    return found


def repeated(values: Iterable[str]) -> dict[str, int]:
    """Values that occur more than once, with how often."""
    return {value: count for value, count in Counter(values).items() if count > 1}


def _sketch(texts: Iterable[str]) -> Iterable[object]:
    from datasketch import MinHash

    shingles = []
    for text in texts:
        letters = normalise(text).replace(" ", "")
        runs = max(1, len(letters) - _SHINGLE + 1)
        shingles.append({letters[i : i + _SHINGLE].encode() for i in range(runs)})
    return MinHash.generator(shingles, num_perm=_PERMUTATIONS)
