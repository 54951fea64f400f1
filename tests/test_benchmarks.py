"""The benchmarks run, so that nobody finds them broken on the day they are needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.slow
def test_generation_speed_compares_the_same_answers(tmp_path: Path):
    out, page = tmp_path / "speed.json", tmp_path / "page.md"
    marks = "<!-- generation_speed: begin -->\nold\n<!-- generation_speed: end -->"
    page.write_text(f"# Page\n{marks}\nend\n")
    options = ["--shape", "tiny", "--questions", "6", "--new-tokens", "5", "--runs", "2"]
    options += ["--batches", "2", "4", "--out", str(out), "--docs", str(page)]
    script = FOLDER / "generation_speed.py"
    done = subprocess.run([sys.executable, script, *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    record = json.loads(out.read_text("utf-8"))
    assert record["same_answers"] == {"lawtune": 6, "generate-2": 6, "generate-4": 6}
    turns = [run["contestant"] for run in record["runs"]]
    assert turns[:3] == ["lawtune", "generate-2", "generate-4"] and turns.count("lawtune") == 2
    text = page.read_text("utf-8")
    assert text.startswith("# Page\n") and text.endswith("end\n") and "old" not in text
    assert "| generate-4 |" in text and "speed.json" in text


@pytest.mark.slow
def test_busy_machine_gives_ratios_to_the_librarys_way_alone(tmp_path: Path):
    out, page = tmp_path / "busy.jsonl", tmp_path / "page.md"
    page.write_text("# Page\n<!-- busy_machine: begin -->\nold\n<!-- busy_machine: end -->\n")
    options = ["--steps", "1", "--questions", "1", "--runs", "1", "--busy", "0"]
    options += ["--ways", "library", "lawtune", "--out", str(out), "--docs", str(page)]
    script = FOLDER / "busy_machine.py"
    done = subprocess.run([sys.executable, script, *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["way"] for row in rows] == ["library", "lawtune"]
    lines = page.read_text("utf-8").splitlines()
    assert "| 0 | library | 1.00 | 1.00 |" in lines and "old" not in lines
    ratio = rows[1]["answer"] / rows[0]["answer"]
    assert any(line.startswith("| 0 | lawtune |") and f"{ratio:.2f}" in line for line in lines)
