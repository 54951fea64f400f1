"""`lawtune score`: answers made elsewhere against the gold answers; no model is needed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lawtune.config import ScoreConfig
from lawtune.data.privacy import mask
from lawtune.errors import UserError
from lawtune.eval.answers import Answers, observe_answers
from lawtune.eval.evaluation import (
    Answered,
    Evaluation,
    assemble,
    cleaned,
    law_index,
    refuse_ambiguous_ids,
)
from lawtune.files import read_jsonl
from lawtune.records import QAPair

LONGEST_ANSWER = 20_000
"""Characters; what is longer is cut there. No gold answer comes near, and an answer without end
would cost hours of analysis and, by sheer mass, hold every keyword."""


@dataclass(frozen=True)
class Predictions:
    """Answers by record id, and what was wrong with the file that could be mended: ids that the
    data lacks, ids of answers cut for their length."""

    texts: Mapping[str, str]
    unknown: tuple[str, ...]
    cut: tuple[str, ...]


def read_predictions(path: Path, pairs: Sequence[QAPair]) -> Predictions:
    """Read `{"id", "prediction"}`, a JSON object a line; other keys are left alone, so that the
    `predictions.jsonl` of an evaluation can be read.

    Raises:
        UserError: a line without id or prediction, or whose id stood before, naming the file and
            line; or no id is one of the data's.
    """
    known = {pair.id for pair in pairs}
    texts: dict[str, str] = {}
    unknown: list[str] = []
    cut: list[str] = []
    for name, text in _rows(path):
        if name not in known:
            unknown.append(name)
            continue
        if len(text) > LONGEST_ANSWER:
            cut.append(name)
        texts[name] = text[:LONGEST_ANSWER]
    if not texts:
        example = f": it has {unknown[0]!r}, they {pairs[0].id!r}" if unknown else ""
        raise UserError(f"{path}: no prediction for any of the {len(pairs)} records{example}")
    return Predictions(texts, tuple(unknown), tuple(cut))


def score(pairs: Sequence[QAPair], predictions: Predictions, config: ScoreConfig) -> Evaluation:
    """The figures that need no model. A record without a prediction counts as answered by nothing;
    `run` lists it under `missing`, with what else was amiss.

    Raises:
        UserError: two different records share an id.
    """
    refuse_ambiguous_ids(pairs)
    pairs = [cleaned(pair) for pair in pairs]
    index = law_index(config)
    everyone = range(len(pairs))
    # As of a model's answers: what a user would be shown.
    texts = [mask(predictions.texts.get(pair.id, ""))[0] for pair in pairs]
    observed = observe_answers(pairs, everyone, [Answers(texts)], index)
    rows = [{"id": pair.id, "prediction": text} for pair, text in zip(pairs, texts, strict=True)]
    run = {
        "compared_with_base": False,
        "missing": [pair.id for pair in pairs if pair.id not in predictions.texts],
        "unknown_ids": list(predictions.unknown),
        "answers_cut": list(predictions.cut),
    }
    return assemble(Answered(pairs, everyone, rows, index), observed, config, run)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    lines: dict[str, int] = {}
    for line, row in read_jsonl(path):
        where = f"{path}, line {line}"
        name, text = row.get("id"), row.get("prediction")
        if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
            raise UserError(f"{where}: a prediction needs the record's id under 'id'")
        if not isinstance(text, str):
            raise UserError(f"{where}: a prediction needs a text under 'prediction'")
        if (first := lines.setdefault(str(name), line)) != line:
            raise UserError(f"{where}: the id {str(name)!r} stands in line {first} already")
        yield str(name), text
