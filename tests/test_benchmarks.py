"""The benchmarks run, so that nobody finds them broken on the day they are needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "train_speed.py"


@pytest.mark.slow
def test_train_speed_compares_the_same_work(tmp_path: Path):
    out = tmp_path / "speed.json"
    options = ["--shape", "tiny", "--examples", "8", "--epochs", "2", "--runs", "1"]
    options += ["--contestants", "lawtune", "trainer-4", "--precision", "fp32", "--out", str(out)]
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    ours, theirs = json.loads(out.read_text("utf-8"))["results"]
    for row in (ours, theirs):
        assert len(row["epoch_seconds"]) == 2 and row["peak_rss_mb"] > 0
    tokens = [row["seconds"] * row["target_tokens_per_second"] for row in (ours, theirs)]
    assert tokens[0] == pytest.approx(tokens[1])
    assert "| lm_head | 2 | trainer-4 |" in done.stdout.decode()
