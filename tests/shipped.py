"""The shipped test questions that the shipped corpus gave: it holds what they quote and cite."""

import json

from lawtune.records import QAPair, read_qa
from lawtune.starter import QA


def corpus_test_pairs() -> list[QAPair]:
    """Those of `test.jsonl` before the further ones, which larger sources gave."""
    statistics = json.loads((QA / "statistics.json").read_text("utf-8"))
    return read_qa(QA / "test.jsonl")[: statistics["splits"]["test"]["pairs"]]
