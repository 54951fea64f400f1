"""What each verb does: thin functions that wire the packages together.

Nothing heavy is imported before a verb runs, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lawtune.config import (
    AnswerConfig,
    BuildConfig,
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    QuickstartConfig,
    ScoreConfig,
)
from lawtune.errors import UserError
from lawtune.options import load_config

Arguments = argparse.Namespace
Overrides = dict[str, str]

EXIT_LEAK = 1


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _evaluation_bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        Elapsed(),
        console=Console(stderr=True),
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


@contextmanager
def _journalled(model: Any, out: Path) -> Iterator[Any]:
    """The model with what an evaluation into `out` that was cut off has left of its answers. The
    file goes when the block is left in good order."""
    from lawtune.eval.journal import JOURNAL_FILE

    kept = _open_journal(model, out / JOURNAL_FILE)
    yield kept
    kept.forget()


def _open_journal(model: Any, path: Path) -> Any:
    from lawtune.eval.journal import JournalledModel

    kept = JournalledModel(model, path)
    if kept.found:
        _say(
            f"going on: {kept.found} likelihoods and answers of an evaluation that was cut off lie"
            f" in {path}; those that are asked for again are not computed again"
        )
    elif kept.stale:
        _say(f"{path} is of another model, version or device: beginning anew")
    return kept


def run_quickstart(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune quickstart`: print the table and where the page is."""
    from lawtune.data.encode import token_counter
    from lawtune.eval.report import format_table
    from lawtune.files import require_creatable
    from lawtune.model.load import find_tokenizer
    from lawtune.quickstart import Observers, quickstart
    from lawtune.train.console import TrainingBar

    config = load_config(QuickstartConfig, None, overrides)
    require_creatable(arguments.out)
    counter = token_counter(find_tokenizer(config.data.tokenizer))
    observers = Observers(_say, TrainingBar(), _evaluation_bar())
    result = quickstart(config, arguments.out, arguments.lang, counter, observers)
    print(format_table(result, arguments.lang))
    print(arguments.out / "report.html")


def run_data_build(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune data build`: write the splits and print their sizes."""
    from lawtune.data.build import build, write_built
    from lawtune.data.encode import token_counter
    from lawtune.files import require_creatable
    from lawtune.model.load import find_tokenizer

    config = load_config(BuildConfig, None, overrides)
    require_creatable(arguments.out)
    counter = token_counter(find_tokenizer(config.tokenizer))
    built = build(arguments.source, config, counter)
    write_built(built, arguments.out)
    for name, split in built.statistics["splits"].items():
        print(f"{name}: {split['pairs']} pairs of {split['groups']} sources {split['types']}")
    print(f"skipped in the sources: {built.statistics['sources']['skipped'] or 'nothing'}")
    print(f"rejected: {built.statistics['rejected'] or 'nothing'}")
    print(arguments.out)


def run_data_check(arguments: Arguments, overrides: Overrides) -> int:
    """`lawtune data check`: print what was found; status 1 where something leaks."""
    from lawtune.data.check import check_files, describe

    report = check_files(arguments.files, BuildConfig().near_duplicate)
    print(describe(report))
    return EXIT_LEAK if report.leaks else 0


def run_pretrain(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune pretrain`: print the held-out bits per byte and the folder."""
    from lawtune.train.console import TrainingBar
    from lawtune.train.pretrain import pretrain

    config = load_config(PretrainConfig, arguments.config, overrides)
    with TrainingBar() as bar:
        result = pretrain(config, arguments.resume, bar)
    if not result.is_main:
        return
    for source, bits in result.bits_per_byte.items():
        print(f"held-out {source}: {bits:.3f} bits per byte")
    print(f"{result.parameters:,} parameters, {result.target_tokens:,} tokens: {result.folder}")


def run_finetune(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune finetune`: print the best validation loss and the folder."""
    from lawtune.train.console import TrainingBar
    from lawtune.train.run import finetune

    config = load_config(FinetuneConfig, arguments.config, overrides)
    with TrainingBar() as bar:
        result = finetune(config, arguments.resume, arguments.adapter, bar)
    if not result.is_main:
        return
    loss = result.metrics["best_validation_loss"]
    if loss is not None:
        print(f"best validation loss {loss:.4f} at step {result.metrics['best_step']}")
    print(result.folder)


def run_average(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune average`: write the mean of several adapters and print the folder."""
    from lawtune.model.average import average_adapters

    rank = average_adapters(arguments.models, arguments.out, arguments.scale)
    print(f"the mean of {len(arguments.models)} adapters, of rank {rank}")
    print(arguments.out)


def run_evaluate(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune evaluate`: write the reports, print the table and where the page is."""
    from lawtune.eval.report import format_table, write_reports
    from lawtune.files import require_creatable
    from lawtune.model.legal_model import LegalModel
    from lawtune.model.manager import ModelManager
    from lawtune.quickstart import describe, training_rows

    config = _with_sources(load_config(EvaluateConfig, None, overrides), arguments)
    if arguments.mcq:
        _refuse_idle(overrides, arguments)
    score = _scorer(arguments, config)
    folder = Path(ModelManager().resolve(arguments.model))
    home = folder if folder.is_dir() and arguments.model != "starter" else Path()
    out = require_creatable(arguments.out or home / "evaluation")
    about = describe(folder, arguments.mcq or arguments.data)
    about |= {"base_given": arguments.base, "limit": arguments.limit}
    curve = training_rows(folder)
    model = LegalModel.load(arguments.model, base=arguments.base)
    with _journalled(model, out) as kept:
        with _evaluation_bar() as bar:
            evaluation = score(kept, bar)
        write_reports(evaluation, out, arguments.lang, curve, about)
    print(format_table(evaluation, arguments.lang))
    print(out / "report.html")


def _refuse_idle(overrides: Overrides, arguments: Arguments) -> None:
    """A choice is neither generated nor does it cite: options that say how would do nothing."""
    idle = [key for key in overrides if key not in ("bootstrap", "seed")]
    if arguments.source:
        idle.append("source")
    if idle:
        raise UserError(
            f"--{idle[0]} does nothing with --mcq, where no answer is generated and no citation"
            " checked: leave it out"
        )


def _scorer(arguments: Arguments, config: EvaluateConfig) -> Callable[[Any, Any], Any]:
    """What turns (model, progress) into an evaluation; the file is read here and now, so that a
    fault in it shows before a model is loaded."""
    from lawtune.eval.contamination import known_text
    from lawtune.eval.evaluate import evaluate
    from lawtune.eval.mcq import evaluate_choices
    from lawtune.eval.sample import sample_indices
    from lawtune.records import read_mcq, read_qa

    if arguments.mcq:
        questions = read_mcq(arguments.mcq)
        some = [questions[i] for i in sample_indices(questions, arguments.limit, config.seed)]
        return lambda model, progress: evaluate_choices(model, some, config, progress)
    pool = read_qa(arguments.data)
    pairs = [pool[i] for i in sample_indices(pool, arguments.limit, config.seed)]
    return lambda model, progress: evaluate(
        model, pairs, config, progress, pool, known_text(model.folders)
    )


def _with_sources(config: Any, arguments: Arguments) -> Any:
    """A `ScoreConfig` or `EvaluateConfig` with what `--source` names."""
    named = arguments.source
    return replace(config, sources=tuple(map(str, named))) if named else config


def run_score(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune score`: write the reports, say what was amiss, print the table."""
    from lawtune.eval.report import PREDICTIONS_FILE, format_table, write_reports
    from lawtune.eval.score import LONGEST_ANSWER, read_predictions, score
    from lawtune.files import require_creatable, sha256
    from lawtune.records import read_qa

    config = _with_sources(load_config(ScoreConfig, None, overrides), arguments)
    answers = arguments.predictions
    pairs = read_qa(arguments.data)
    predictions = read_predictions(answers, pairs)
    out = require_creatable(arguments.out or answers.parent / "score")
    if (out / PREDICTIONS_FILE).resolve() == answers.resolve():
        raise UserError(f"{answers} would be written over; choose another --out")
    evaluation = score(pairs, predictions, config)
    about = {"model": str(answers), "predictions_sha256": sha256(answers)}
    about |= {"data": str(arguments.data), "data_sha256": sha256(arguments.data)}
    write_reports(evaluation, out, arguments.lang, run=about)
    for names, text in (
        (evaluation.run["missing"], "records without a prediction, scored as empty"),
        (predictions.unknown, "predictions for ids that the data lacks, left out"),
        (predictions.cut, f"answers cut at {LONGEST_ANSWER:,} characters"),
    ):
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            _say(f"{len(names)} {text}: {shown}")
    print(format_table(evaluation, arguments.lang))
    print(out / "report.html")


def run_compare(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune compare`: write the reports, print the verdict, the table and where the page is."""
    from lawtune.eval.compare import compare, require_one_test
    from lawtune.eval.journal import JOURNAL_FILE
    from lawtune.eval.report import PREDICTIONS_FILE, format_summary, write_reports
    from lawtune.eval.sample import sample_indices
    from lawtune.eval.score import read_predictions
    from lawtune.files import require_creatable, sha256
    from lawtune.model.legal_model import require_model
    from lawtune.model.manager import ModelManager
    from lawtune.records import read_qa

    config = _with_sources(load_config(EvaluateConfig, None, overrides), arguments)
    pool = read_qa(arguments.data)
    pairs = [pool[i] for i in sample_indices(pool, arguments.limit, config.seed)]
    names = [*arguments.a, *arguments.b]
    files = [Path(name) for name in names if _is_answers(name)]
    models = [name for name in names if not _is_answers(name)]
    whole = pairs if files and arguments.limit is None else None
    require_one_test(files, config.max_new_tokens if models else None, whole)
    # What is not there must not show after the first model's hour of work.
    asked = [pairs[i] for i in sample_indices(pairs, config.generate, config.seed)]
    for path in files:
        read_predictions(path, asked)
    for name in models:
        require_model(name)
    first = Path(ModelManager().resolve(arguments.b[0]))
    home = first if first.is_dir() else first.parent if first.is_file() else Path()
    home = Path() if arguments.b[0] == "starter" else home
    out = require_creatable(arguments.out or home / "comparison")
    if any(path.resolve() == (out / PREDICTIONS_FILE).resolve() for path in files):
        raise UserError(f"{out / PREDICTIONS_FILE} would be written over; choose another --out")
    journals = [out / f"{place + 1}.{JOURNAL_FILE}" for place in range(len(names))]
    sources = [_source(*one) for one in zip(names, journals, strict=True)]
    a, b = sources[: len(arguments.a)], sources[len(arguments.a) :]
    with _evaluation_bar() as bar:
        comparison = compare(a, b, pairs, config, bar, pool)
    about = {"data": str(arguments.data), "data_sha256": sha256(arguments.data)}
    about["limit"] = arguments.limit
    write_reports(comparison, out, arguments.lang, run=about)
    for path in journals:
        path.unlink(missing_ok=True)
    print(format_summary(comparison, arguments.lang), end="")
    print(out / "report.html")


def _is_answers(name: str) -> bool:
    return name.endswith(".jsonl")


def _source(name: str, journal: Path) -> Callable[[Any, Any], Any]:
    """Where one run's answers come from; a model is loaded only when its turn comes, and let go
    after it."""
    from lawtune.eval.compare import answers_of_file, answers_of_model
    from lawtune.eval.contamination import known_text
    from lawtune.model.legal_model import LegalModel

    def ask(plan: Any, progress: Any) -> Any:
        if _is_answers(name):
            return answers_of_file(Path(name), plan)
        model = _open_journal(LegalModel.load(name), journal)
        return answers_of_model(model, known_text(model.folders), plan, progress)

    return ask


def run_models_list(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune models list`: a line for each model."""
    from lawtune.model.manager import ModelManager

    manager = ModelManager(arguments.root)
    entries = manager.list()
    for entry in entries:
        state = f"DAMAGED: {entry.damage}" if entry.damage else f"on {entry.base}"
        licence = f", {entry.licence}" if entry.licence else ""
        size = f"{entry.size / 1e6:.1f} MB"
        print(f"{entry.name}\t{entry.kind}\t{size}\t{state}{licence}")
    if not entries:
        _say(f"no models under {manager.root}")


def run_models_show(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune models show`: what the folder says of itself, as JSON."""
    import json

    from lawtune.model.manager import ModelManager

    shown = ModelManager(arguments.root).show(arguments.name)
    print(json.dumps(shown, ensure_ascii=False, indent=2))


def run_models_verify(arguments: Arguments, overrides: Overrides) -> int:
    """`lawtune models verify`: what is damaged; status 1 where anything is."""
    from lawtune.model.manager import ModelManager

    problems = ModelManager(arguments.root).verify(arguments.name)
    print("\n".join(problems) if problems else f"{arguments.name} is whole")
    return 1 if problems else 0


def run_models_remove(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune models remove`: delete one model folder."""
    from lawtune.model.manager import ModelManager

    print(f"removed {ModelManager(arguments.root).remove(arguments.name)}")


def run_export(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune export`: write the other format and print its parity."""
    from lawtune.export.merge import export_merged

    report = export_merged(arguments.model, arguments.out, arguments.base)
    parity = report.parity
    print(
        f"{report.out}: reloaded in a fresh process; logits differ from adapter-on-base by"
        f" {parity.to_adapter:.1e} (relative; at most {parity.tolerance:.0e} allowed), from the"
        f" base's by {parity.to_base:.1e}"
    )


def run_cite(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune cite`: every citation of a text with its status."""
    import json

    from lawtune.eval.citation_index import load_index
    from lawtune.eval.citations import check_text, format_citations
    from lawtune.files import read_text
    from lawtune.starter import CORPUS

    # Standard input by its file name: bytes that are not UTF-8 get the same message.
    text = read_text(arguments.file or Path("/dev/stdin"))
    report = check_text(text, load_index(arguments.source or [CORPUS]))
    if arguments.format == "json":
        print(json.dumps(report.to_json(), ensure_ascii=False, indent=2))
    else:
        print(format_citations(report, arguments.lang))


def run_ask(arguments: Arguments, overrides: Overrides) -> None:
    """`lawtune ask`: print one answer as it is made."""
    from lawtune.files import read_text
    from lawtune.model.legal_model import LegalModel

    config = load_config(AnswerConfig, None, overrides)
    context = read_text(arguments.context) if arguments.context else None
    if not arguments.question.strip():
        raise UserError("the question is empty")
    model = LegalModel.load(arguments.model, base=arguments.base)
    prompt = model.render(arguments.question, arguments.type, context)
    if cut := model.overflow(prompt, (), config.max_new_tokens):
        _say(f"the prompt is {cut} tokens too long for the model's context: its head is left out")
    for piece in model.stream(arguments.question, arguments.type, context, config):
        print(piece, end="", flush=True)
    print()
