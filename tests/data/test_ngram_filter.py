"""Training text as a small file of hashes: nothing missed, few taken for what they are not."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from lawtune.data.ngram_filter import FILTER_FILE, NgramFilter, load_filters, write_ngram_filter
from lawtune.data.ngrams import RUN, hash_runs, words_of
from lawtune.errors import UserError


def made_up_text(seed: int, words: int, vocabulary: int = 10**9) -> str:
    return " ".join(
        f"낱말{n}" for n in np.random.default_rng(seed).integers(vocabulary, size=words)
    )


def runs_of(text: str) -> np.ndarray:
    return hash_runs(words_of(text))


def test_no_run_of_the_text_is_missed(tmp_path: Path):
    texts = [made_up_text(seed, 500) for seed in range(4)] + ["짧은 글", ""]
    written = write_ngram_filter(iter(texts), tmp_path / FILTER_FILE)
    (known,) = load_filters(tmp_path)
    assert (known.runs, known.every) == (written.runs, written.every) == (4 * (500 - RUN + 1), 1)
    for text in texts:
        assert known.contains(runs_of(text)).all()
    # Marks and line breaks are no part of a run.
    assert known.contains(runs_of(texts[0].replace(" ", ",\n"))).all()


def test_strange_runs_are_found_as_rarely_as_is_said():
    known = NgramFilter.of([made_up_text(1, 20_000)])
    strange = runs_of(made_up_text(2, 200_000))
    found = known.contains(strange).mean()
    assert 0.015 < known.false_positive_rate < 0.022
    # Within four standard deviations of the rate stated.
    spread = np.sqrt(known.false_positive_rate / len(strange))
    assert abs(found - known.false_positive_rate) < 4 * spread


def test_a_larger_text_is_sampled_and_the_file_stays_small(tmp_path: Path):
    texts = [made_up_text(seed, 2_000) for seed in range(10)]
    dense, sparse = NgramFilter.of(texts[:1]), NgramFilter.of(texts, max_runs=6_000)
    sparse.save(tmp_path / FILTER_FILE)
    assert (tmp_path / FILTER_FILE).stat().st_size < 7_000
    assert sparse.every == 4 and 4_000 < sparse.runs <= 6_000
    runs = runs_of(texts[0])
    known = sparse.contains(runs)
    assert 0.2 < known.mean() < 0.3
    # What the sparse one knows, the dense one knows too: the two can be asked together.
    assert dense.contains(runs[known]).all()
    assert not sparse.contains(runs_of(made_up_text(99, 2_000))).mean() > 0.022


def test_repeats_take_no_room_and_nothing_is_empty():
    text = made_up_text(0, 100)
    assert NgramFilter.of([text] * 5).runs == NgramFilter.of([text]).runs == 88
    nothing = NgramFilter.of([])
    assert nothing.runs == 0 and nothing.false_positive_rate == 0
    assert not nothing.contains(runs_of(text)).any()
    assert nothing.contains(np.empty(0, np.uint64)).shape == (0,)


def test_memory_is_bounded_by_the_filter_not_by_the_text(monkeypatch):
    monkeypatch.setattr("lawtune.data.ngram_filter._CHUNK", 10_000)
    texts = (made_up_text(seed, 5_000, vocabulary=500) for seed in range(80))
    tracemalloc.start()
    known = NgramFilter.of(texts, max_runs=5_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The hashes of all runs would take 3.2 MB.
    assert known.every == 128 and peak < 2_000_000


def test_the_text_itself_is_not_in_the_file(tmp_path: Path):
    text = made_up_text(3, 300)
    write_ngram_filter([text], tmp_path / FILTER_FILE)
    with safe_open(tmp_path / FILTER_FILE, framework="np") as file:
        assert set(file.metadata()) == {"words", "hashes", "runs", "every"}


def test_every_filter_of_a_folder_is_read(tmp_path: Path):
    for name, seed in ((FILTER_FILE, 1), ("ngrams-earlier.safetensors", 2)):
        write_ngram_filter([made_up_text(seed, 100)], tmp_path / name)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert len(load_filters(tmp_path)) == 2
    assert load_filters(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_told(tmp_path: Path, damage: str):
    path = tmp_path / FILTER_FILE
    write_ngram_filter([made_up_text(1, 100)], path)
    path.write_bytes(path.read_bytes()[:40] if damage == "cut" else b"no filter")
    with pytest.raises(UserError, match=str(path)):
        load_filters(tmp_path)
