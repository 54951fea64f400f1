"""The answers that a report shows in full: a sample that nothing picked, and the worst by a rule,
each with what its citations are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from lawtune.eval.citation_index import CitationIndex
from lawtune.eval.citations import ABSENT, MISMATCH, check_text
from lawtune.eval.similarity import chrf_score, chrf_statistics
from lawtune.records import QAPair

WORST = 10

TEXTS = ("gold", "prediction", "base_prediction")
"""The texts of an exhibit, in the order in which they are shown."""


def exhibit(pair: QAPair, answers: Mapping[str, Any], index: CitationIndex) -> dict[str, Any]:
    """A question with its answers, the gold one's first; `citations` has those of each text with
    their status, `chrf` how like the gold answer the model's is (0–100)."""
    shown: dict[str, Any] = {"id": pair.id, "type": pair.type, "question": pair.question}
    shown |= {"gold": pair.answer, "prediction": answers["prediction"]}
    shown["base_prediction"] = answers.get("base_prediction")
    shown["stopped"] = answers.get("stopped")
    shown["chrf"] = float(chrf_score(chrf_statistics([shown["prediction"]], [pair.answer])[0]))
    reports = {name: check_text(shown[name], index) for name in TEXTS if shown[name]}
    shown["citations"] = {name: report.to_json()["citations"] for name, report in reports.items()}
    return shown


def worst(exhibits: Sequence[Mapping[str, Any]], size: int = WORST) -> list[Mapping[str, Any]]:
    """The `size` worst: those first that cite most provisions and decisions which do not exist or
    say something else (each counted once), then those least like the gold answer."""
    return sorted(exhibits, key=lambda shown: (-false_citations(shown), shown["chrf"]))[:size]


def false_citations(shown: Mapping[str, Any]) -> int:
    """How many different citations of the model's answer are absent or a mismatch."""
    cited = shown["citations"].get("prediction", ())
    return len(
        {
            (one["law"], one["article"], one["case"])
            for one in cited
            if one["status"] in (ABSENT, MISMATCH)
        }
    )
