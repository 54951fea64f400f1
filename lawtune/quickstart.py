"""`lawtune quickstart`: the whole job on what ships in the package, offline, in minutes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lawtune.config import DataConfig, FinetuneConfig, QuickstartConfig
from lawtune.data.build import build, write_built
from lawtune.errors import UserError
from lawtune.eval.ask import Progress as EvaluationProgress
from lawtune.eval.contamination import known_text
from lawtune.eval.evaluate import evaluate
from lawtune.eval.evaluation import Evaluation
from lawtune.eval.report import write_reports
from lawtune.files import make_folder, read_json_object, read_jsonl, sha256
from lawtune.model.adapter import ADAPTER_WEIGHTS
from lawtune.model.legal_model import LegalModel
from lawtune.records import evenly, read_qa, write_qa
from lawtune.starter import CORPUS
from lawtune.train.inputs import TRAINING_CONFIG_FILE
from lawtune.train.monitor import LOG_FILE, Listener
from lawtune.train.run import finetune

SUBSET = "quickstart"
"""The folder, within the built data, of the examples that are learnt from."""


@dataclass(frozen=True)
class Observers:
    """Who hears of the progress: notes between the stages; training and evaluation bars, each
    entered for its stage only."""

    say: Callable[[str], None]
    training: AbstractContextManager[Listener]
    evaluation: AbstractContextManager[EvaluationProgress]


def quickstart(
    config: QuickstartConfig,
    out: Path,
    lang: str,
    count_tokens: Callable[[str], int],
    observers: Observers,
) -> Evaluation:
    """Build Q&A from the starter corpus, tune the starter model, evaluate it against its base.

    `out` then holds `data/`, `model/` and the reports. A run that was cut off goes on from its
    last checkpoint; a finished one is done anew.

    Raises:
        UserError: `out` cannot be written or holds what no quickstart made, or the starter model is
            not in this installation.
    """
    data, model = out / "data", out / "model"
    _refuse_others_work(data, model)
    # First, so that a run cut off while it writes the data knows them for its own.
    subset = make_folder(data / SUBSET)
    observers.say(f"1/3 building questions and answers from {CORPUS} → {data}")
    built = build([str(CORPUS)], config.data, count_tokens)
    write_built(built, data)
    files = {}
    limits = {"train": config.train_examples, "validation": config.validation_examples}
    for name, limit in limits.items():
        files[name] = subset / f"{name}.jsonl"
        write_qa(files[name], evenly(built.splits[name], limit))
    counts = {name: len(pairs) for name, pairs in built.splits.items()}
    observers.say(f"    {counts}; training on {min(limits['train'], counts['train'])} of them")

    observers.say(f"2/3 tuning the starter model → {model}")
    recipe = FinetuneConfig(
        base="starter",
        data=DataConfig(str(files["train"]), str(files["validation"]), config.max_length),
        lora=config.lora,
        train=config.train,
        out=str(model),
    )
    with observers.training as listener, _replacing(model):
        finetune(recipe, resume=model.exists(), listener=listener)

    observers.say(f"3/3 evaluating base and tuned model side by side → {out / 'report.html'}")
    test = read_qa(data / "test.jsonl")
    tuned = LegalModel.load(str(model))
    with observers.evaluation as progress:
        read = known_text(tuned.folders)
        evaluation = evaluate(tuned, test, config.evaluate, progress, filters=read)
    write_reports(evaluation, out, lang, training_rows(model), describe(model, data / "test.jsonl"))
    return evaluation


def _refuse_others_work(data: Path, model: Path) -> None:
    """Both would be written over."""
    if data.exists() and not (data / SUBSET).is_dir():
        raise UserError(f"{data} holds data that no quickstart made; choose another --out")
    if (model / TRAINING_CONFIG_FILE).is_file():
        made = read_json_object(model / TRAINING_CONFIG_FILE).get("config", {})
        learnt = Path(made.get("data", {}).get("train", ""))
        if made.get("base") != "starter" or learnt.parts[-3:] != (data.name, SUBSET, "train.jsonl"):
            raise UserError(f"{model} holds a model that no quickstart made; choose another --out")


@contextmanager
def _replacing(model: Path) -> Iterator[None]:
    """Put the finished model of an earlier quickstart aside, and back if the new one fails. One
    that a run which was cut off has put aside waits for the run that goes on."""
    aside = model.with_name(f".{model.name}.replaced")
    if (model / TRAINING_CONFIG_FILE).is_file():
        shutil.rmtree(aside, ignore_errors=True)
        model.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists() and not model.exists():
            aside.rename(model)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def training_rows(model: Path) -> list[dict[str, Any]]:
    """The rows of a model folder's training log; empty where there is none."""
    log = model / LOG_FILE
    return [row for _, row in read_jsonl(log)] if log.is_file() else []


def describe(model: Path, data: Path) -> dict[str, Any]:
    """What a report needs to be reproduced, beside the evaluation's own account: which model, how
    it was made, and on which data it is judged."""
    facts: dict[str, Any] = {"model": str(model), "data": str(data), "data_sha256": sha256(data)}
    if (model / ADAPTER_WEIGHTS).is_file():
        facts["adapter_sha256"] = sha256(model / ADAPTER_WEIGHTS)
    if (model / TRAINING_CONFIG_FILE).is_file():
        made = read_json_object(model / TRAINING_CONFIG_FILE)
        facts["base"] = made.get("base")
        facts["training"] = {name: made.get(name) for name in ("config", "resolved", "versions")}
        facts["training"]["data_sha256"] = (made.get("data") or {}).get("train", {}).get("sha256")
        if "averaged" in made:
            members = {member["name"]: member["sha256"] for member in made["averaged"]}
            facts["averaged"] = {"members": members, "scale": made["scale"]}
    return facts
