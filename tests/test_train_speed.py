"""The benchmarks run, so that nobody finds them broken on the day they are needed; and what they
print follows from what they measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "train_speed.py"
RESULTS = ROOT / "benchmarks" / "train_speed.jsonl"
DOCS = ROOT / "docs" / "benchmarks.md"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import speed_table

    return speed_table


def run(*options: str) -> str:
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def row(contender: str, epochs: list[float], run: int = 0, recipe: str = "lm_head", **more) -> dict:
    measured = {"cache_seconds": 0.0, "epoch_seconds": epochs, "peak_rss_mb": 1000.0}
    measured |= {"computed_in": "bf16", "lengths": [[40, 150], [44, 146]], "epochs": len(epochs)}
    job = {"recipe": recipe, "contender": contender, "run": run, "stage": "run", "shape": "kogpt2"}
    return job | {"cpu": "A", "cores": 2} | measured | more


@pytest.mark.slow
def test_train_speed_compares_the_same_work_and_goes_on_where_it_was(tmp_path: Path):
    out = tmp_path / "speed.jsonl"
    options = ["--shape", "tiny", "--examples", "8", "--epochs", "2", "--runs", "1"]
    options += ["--recipes", "lm_head", "--contenders", "lawtune", "trainer", "--sizes", "4"]
    options += ["--precision", "fp32", "--out", str(out)]
    printed = run(*options)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["contender"] for row in rows] == ["trainer-4", "peak", "lawtune", "trainer-4"]
    ours, theirs = rows[2:]
    assert ours["lengths"] == theirs["lengths"]
    for measured in (ours, theirs):
        assert len(measured["epoch_seconds"]) == 2 and measured["peak_rss_mb"] > 0
    assert "| lm_head | each after the first | lawtune | trainer-4 |" in printed
    # Killed while it wrote the last line: only that training is done again.
    kept = out.read_text("utf-8").splitlines(keepends=True)
    out.write_text("".join(kept[:3]) + kept[3][:20] + "\n", "utf-8")
    run(*options)
    lines = out.read_text("utf-8").splitlines(keepends=True)
    assert lines[:3] == kept[:3] and json.loads(lines[-1])["contender"] == "trainer-4"
    assert len(lines) == 5


def test_ratios_are_of_medians_and_memory_of_the_faster_peer(table):
    rows = [row("lawtune", [1.0, s, s], run, cache_seconds=1.0) for run, s in enumerate((2, 9, 1))]
    rows = [found | {"keeps_logits": True} for found in rows]
    rows += [row("lawtune-lean", [1.0, 2.0, 2.0], cache_seconds=1.0)]
    rows += [row("trainer-4", [8.0, 16.0, 24.0], peak_rss_mb=4000.0)]
    printed = table.render(rows)
    # 3 epochs: 48 ÷ median(6, 20, 4); first: 8 ÷ 2; later: median(16, 24) ÷ 2; memory: 1000 ÷ 4000.
    assert "| lm_head | 3 | lawtune | trainer-4 | 8.00 | ≥ 5 | 0.25 | ≤ 1.0 |" in printed
    assert "| lm_head | 1 | lawtune-lean | trainer-4 | 4.00 |" in printed
    assert "| lm_head | each after the first | lawtune | trainer-4 | 10.00 |" in printed


def test_the_faster_of_two_peers_counts(table):
    rows = [row("lawtune", [1.0] * 3, recipe="c_attn"), row("trl-8", [3.0] * 3, recipe="c_attn")]
    rows += [row("trainer-1", [4.0] * 3, recipe="c_attn")]
    assert "| c_attn | 3 | lawtune | trl-8 | 3.00 |" in table.render(rows)


def test_needed_products_by_hand(table):
    """A layer of KoGPT-2's has 12 · 768² weights; a product costs two operations a weight."""
    lengths, layer, projection = [[1, 1]], 12 * 768**2, 768 * 51_200
    head = table.needed_gflop("lm_head", "kogpt2", lengths)
    assert head == pytest.approx((2 * projection + 16 * (6 * 51_200 + 4 * 768)) / 1e9)
    last = table.needed_gflop("last4", "kogpt2", lengths)
    # Two tokens through four layers and back, but for the lowest layer's c_attn; the projection
    # for one, forwards and back; adapters of 16 on all four kinds of projection; attention of
    # three pairs of tokens: two products forwards, four back.
    expected = 2 * 2 * (2 * 4 * layer - 3 * 768**2) + 2 * 2 * projection
    expected += 2 * 4 * 8 * 16 * 768 * (4 + 2 + 5 + 5) + 3 * 4 * 6 * 2 * 768
    # But the last layer's feed-forward network and its adapters, for the token that predicts none.
    expected -= 2 * 2 * 8 * 768**2 + 8 * 16 * 768 * (5 + 5)
    assert last == pytest.approx(expected / 1e9)


def test_a_refusal_is_told(table):
    rows = [row("lawtune", [1.0, 1.0])]
    rows += [{"recipe": "lm_head", "contender": "trl-1", "stage": "trial", "refused": "no lm_head"}]
    assert "trl refuses lm_head: no lm_head" in table.render(rows)


@pytest.mark.skipif(not RESULTS.exists(), reason="no results are kept")
def test_the_page_shows_the_results_that_are_kept(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(DOCS.read_text("utf-8"), "utf-8")
    run("--render", "--out", str(RESULTS), "--docs", str(page))
    assert page.read_text("utf-8") == DOCS.read_text("utf-8")
