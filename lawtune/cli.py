"""The command line: thin verbs that wire the packages together.

Nothing heavy is imported before a verb runs, so `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from lawtune import __version__
from lawtune.config import (
    QUESTION_TYPES,
    AnswerConfig,
    BuildConfig,
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    QuickstartConfig,
    load_config,
    valid_keys,
)
from lawtune.errors import StoppedError, UserError

Arguments = argparse.Namespace
Overrides = dict[str, str]

EXIT_LEAK = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0, 1 (a check failed), 2 (the user's error)."""
    # Quiet libraries: warnings about what lawtune does on purpose only hide what the user must see.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments, overrides = parse(parser, words)
        return arguments.run(arguments, overrides) or 0
    except UserError as error:
        print(f"lawtune: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except StoppedError as error:
        print(f"lawtune: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("\nlawtune: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain once more on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parse(parser: argparse.ArgumentParser, words: list[str]) -> tuple[Arguments, Overrides]:
    """Split a command line into the verb's own arguments and dotted overrides of its config.

    Raises:
        UserError: an option is neither, or an override has no value.
    """
    schema = _schema_of(parser, words)
    known = valid_keys(schema) if schema else {}
    rest, overrides = [], {}
    queue = iter(words)
    for word in queue:
        key, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and key in known:
            if not equals:
                value = next(queue, None)
            # What follows is the next option: `--train.epochs --resume`.
            if value is None or (not equals and value.startswith("--")):
                raise UserError(f"--{key} needs a value")
            overrides[key] = value
        else:
            rest.append(word)
    arguments, unknown = parser.parse_known_args(rest)
    if unknown:
        keys = f"; valid keys: {', '.join(known)}" if known else ""
        raise UserError(f"unknown option or argument {unknown[0]}{keys}")
    return arguments, overrides


def build_parser() -> argparse.ArgumentParser:
    """Every verb with its own arguments; `schema` is the config its overrides belong to."""
    parser = _Parser(
        prog="lawtune", description="From Korean law to a tuned, honestly evaluated language model."
    )
    parser.add_argument("--version", action="version", version=f"lawtune {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = _verb(verbs, "quickstart", _quickstart, "the whole job, offline", QuickstartConfig)
    verb.add_argument("--out", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    _add_language(verb)

    data = verbs.add_parser("data", help="build and check questions and answers")
    data_verbs = data.add_subparsers(dest="data_verb", required=True, metavar="VERB")
    verb = _verb(data_verbs, "build", _data_build, "sources → train, validation, test", BuildConfig)
    verb.add_argument(
        "--source",
        action="extend",
        nargs="+",
        required=True,
        metavar="PATH",
        help="folders or files of statutes, decisions, replies, Q&A; or law.go.kr:KIND:QUERY",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR")
    verb = _verb(data_verbs, "check", _data_check, "validate; find leaks and personal data")
    verb.add_argument("files", type=Path, nargs="+", metavar="FILE")

    verb = _verb(verbs, "pretrain", _pretrain, "a small model from raw legal text", PretrainConfig)
    verb.add_argument("--config", type=Path, metavar="FILE")
    verb.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")

    verb = _verb(verbs, "finetune", _finetune, "tune a LoRA adapter", FinetuneConfig)
    verb.add_argument("--config", type=Path, metavar="FILE", help="a recipe (YAML)")
    verb.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    verb.add_argument("--adapter", metavar="M", help="go on from an earlier adapter")

    verb = _verb(verbs, "evaluate", _evaluate, "tuned against base, with intervals", EvaluateConfig)
    verb.add_argument("--model", required=True, metavar="M")
    asked = verb.add_mutually_exclusive_group(required=True)
    asked.add_argument("--data", type=Path, metavar="FILE", help="questions and gold answers")
    asked.add_argument("--mcq", type=Path, metavar="FILE", help="multiple-choice questions")
    verb.add_argument("--out", type=Path, metavar="DIR", help="default: MODEL/evaluation")
    verb.add_argument("--limit", type=_positive, metavar="N", help="a sample of N records, by type")
    _add_language(verb)

    models = verbs.add_parser("models", help="list, show, verify and remove models")
    models.add_argument("--root", type=Path, metavar="DIR", help="default: $LAWTUNE_ROOT or runs")
    model_verbs = models.add_subparsers(dest="models_verb", required=True, metavar="VERB")
    _verb(model_verbs, "list", _models_list, "every model under the root")
    for name, run, text in (
        ("show", _models_show, "what a model folder says of itself"),
        ("verify", _models_verify, "check a model's files against their hashes"),
        ("remove", _models_remove, "delete a model folder"),
    ):
        _verb(model_verbs, name, run, text).add_argument("name", metavar="NAME")

    verb = _verb(verbs, "export", _export, "other formats, each with a parity figure")
    verb.add_argument("model", metavar="M")
    verb.add_argument("--format", required=True, choices=["merged"])
    verb.add_argument("--out", type=Path, required=True, metavar="DIR")

    verb = _verb(verbs, "cite", _cite, "find and check every citation of a text")
    verb.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: standard input")
    verb.add_argument("--format", choices=["text", "json"], default="text")
    verb.add_argument(
        "--source",
        type=Path,
        action="extend",
        nargs="+",
        metavar="PATH",
        help="statutes and decisions to check against; default: those that ship with lawtune",
    )
    _add_language(verb)

    verb = _verb(verbs, "ask", _ask, "one answer, streamed", AnswerConfig)
    verb.add_argument("model", metavar="M")
    verb.add_argument("question")
    verb.add_argument("--type", choices=list(QUESTION_TYPES))
    verb.add_argument("--context", type=Path, metavar="FILE", help="a text to refer to")
    return parser


class _Parser(argparse.ArgumentParser):
    """Reports like every other error of the user's: in one line, through `main`."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see `{self.prog} --help`)")


def _verb(
    verbs: Any,
    name: str,
    run: Callable[[Arguments, Overrides], int | None],
    text: str,
    schema: type | None = None,
) -> argparse.ArgumentParser:
    epilog = None
    if schema:
        rows = (f"  --{key} ({_shown(value)})" for key, value in valid_keys(schema).items())
        epilog = "config keys and their defaults:\n" + "\n".join(rows)
    verb = verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run, schema=schema)
    return verb


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _schema_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> type | None:
    """The config schema of the verb that `words` name."""
    for word in words:
        action = next(
            (a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None
        )
        if action and word in action.choices:
            parser = action.choices[word]
    return parser.get_default("schema")


def _add_language(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--lang", choices=["ko", "en"], default="ko", help="of the report")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


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


def _token_counter(name: str) -> Callable[[str], int]:
    """How long a text is in tokens of a base's tokenizer."""
    from lawtune.data.encode import encode_text
    from lawtune.model.load import find_tokenizer

    tokenizer = find_tokenizer(name)
    return lambda text: len(encode_text(tokenizer, text))


def _quickstart(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.eval.report import format_table
    from lawtune.files import require_creatable
    from lawtune.quickstart import Observers, quickstart
    from lawtune.train.console import TrainingBar

    config = load_config(QuickstartConfig, None, overrides)
    require_creatable(arguments.out)
    counter = _token_counter(config.data.tokenizer)
    observers = Observers(_say, TrainingBar(), _evaluation_bar())
    result = quickstart(config, arguments.out, arguments.lang, counter, observers)
    print(format_table(result, arguments.lang))
    print(arguments.out / "report.html")


def _data_build(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.data.build import build, write_built
    from lawtune.files import require_creatable

    config = load_config(BuildConfig, None, overrides)
    require_creatable(arguments.out)
    built = build(arguments.source, config, _token_counter(config.tokenizer))
    write_built(built, arguments.out)
    for name, split in built.statistics["splits"].items():
        print(f"{name}: {split['pairs']} pairs of {split['groups']} sources {split['types']}")
    print(f"skipped in the sources: {built.statistics['sources']['skipped'] or 'nothing'}")
    print(f"rejected: {built.statistics['rejected'] or 'nothing'}")
    print(arguments.out)


def _data_check(arguments: Arguments, overrides: Overrides) -> int:
    from lawtune.data.check import check_files, describe

    report = check_files(arguments.files, BuildConfig().near_duplicate)
    print(describe(report))
    return EXIT_LEAK if report.leaks else 0


def _pretrain(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.train.console import TrainingBar
    from lawtune.train.pretrain import pretrain

    config = load_config(PretrainConfig, arguments.config, overrides)
    with TrainingBar() as bar:
        result = pretrain(config, arguments.resume, bar)
    for source, bits in result.bits_per_byte.items():
        print(f"held-out {source}: {bits:.3f} bits per byte")
    print(f"{result.parameters:,} parameters, {result.target_tokens:,} tokens: {result.folder}")


def _finetune(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.train.console import TrainingBar
    from lawtune.train.run import finetune

    config = load_config(FinetuneConfig, arguments.config, overrides)
    with TrainingBar() as bar:
        result = finetune(config, arguments.resume, arguments.adapter, bar)
    loss = result.metrics["best_validation_loss"]
    if loss is not None:
        print(f"best validation loss {loss:.4f} at step {result.metrics['best_step']}")
    print(result.folder)


def _evaluate(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.eval.report import format_table, write_reports
    from lawtune.files import require_creatable
    from lawtune.model.legal_model import LegalModel
    from lawtune.model.manager import ModelManager
    from lawtune.quickstart import describe, training_rows

    config = load_config(EvaluateConfig, None, overrides)
    score = _scorer(arguments, config)
    folder = Path(ModelManager().resolve(arguments.model))
    home = folder if folder.is_dir() and arguments.model != "starter" else Path()
    out = require_creatable(arguments.out or home / "evaluation")
    model = LegalModel.load(arguments.model)
    with _evaluation_bar() as bar:
        evaluation = score(model, bar)
    about = describe(folder, arguments.mcq or arguments.data)
    write_reports(evaluation, out, arguments.lang, training_rows(folder), about)
    print(format_table(evaluation, arguments.lang))
    print(out / "report.html")


def _scorer(arguments: Arguments, config: EvaluateConfig) -> Callable[[Any, Any], Any]:
    """What turns (model, progress) into an evaluation; the file is read here and now, so that a
    fault in it shows before a model is loaded."""
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
    return lambda model, progress: evaluate(model, pairs, config, progress, pool)


def _models_list(arguments: Arguments, overrides: Overrides) -> None:
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


def _models_show(arguments: Arguments, overrides: Overrides) -> None:
    import json

    from lawtune.model.manager import ModelManager

    shown = ModelManager(arguments.root).show(arguments.name)
    print(json.dumps(shown, ensure_ascii=False, indent=2))


def _models_verify(arguments: Arguments, overrides: Overrides) -> int:
    from lawtune.model.manager import ModelManager

    problems = ModelManager(arguments.root).verify(arguments.name)
    print("\n".join(problems) if problems else f"{arguments.name} is whole")
    return 1 if problems else 0


def _models_remove(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.model.manager import ModelManager

    print(f"removed {ModelManager(arguments.root).remove(arguments.name)}")


def _export(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.export.merge import export_merged

    report = export_merged(arguments.model, arguments.out)
    parity = report.parity
    print(
        f"{report.out}: reloaded in a fresh process; logits differ from adapter-on-base by"
        f" {parity.to_adapter:.1e} (relative; at most {parity.tolerance:.0e} allowed), from the"
        f" base's by {parity.to_base:.1e}"
    )


def _cite(arguments: Arguments, overrides: Overrides) -> None:
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


def _ask(arguments: Arguments, overrides: Overrides) -> None:
    from lawtune.files import read_text
    from lawtune.model.legal_model import LegalModel

    config = load_config(AnswerConfig, None, overrides)
    context = read_text(arguments.context) if arguments.context else None
    model = LegalModel.load(arguments.model)
    for piece in model.stream(arguments.question, arguments.type, context, config):
        print(piece, end="", flush=True)
    print()
