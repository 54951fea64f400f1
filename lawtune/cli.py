"""The command line: its verbs, their arguments, and how a run ends.

What a verb does is in `verbs.py`; nothing heavy is imported before it runs.
"""

import argparse
import difflib
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from lawtune import __version__, verbs
from lawtune.config import (
    QUESTION_TYPES,
    AnswerConfig,
    BuildConfig,
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    QuickstartConfig,
    ScoreConfig,
)
from lawtune.errors import StoppedError, UserError
from lawtune.options import valid_keys
from lawtune.verbs import Arguments, Overrides

SPINS = 2000
"""How often a thread looks whether the one it waits for is ready before it sleeps. By itself GNU's
OpenMP library, which torch uses on Linux, looks 300,000 times: where another program has a core,
that keeps the late thread from running, and training takes several times as long. A few thousand
cost an idle machine little (docs/benchmarks.md)."""

HELP_WIDTH = 90

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

MODEL_HELP = "an adapter's or a model's folder, its name under runs/, starter, or a Hub id"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0, 1 (a check failed), 2 (the user's error)."""
    # Quiet libraries: warnings about what lawtune does on purpose only hide what the user must see.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _require_utf8(words)
        arguments, overrides = parse(parser, words)
        return arguments.run(arguments, overrides) or 0
    except UserError as error:
        if not error.said_elsewhere:
            print(f"lawtune: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except PermissionError as error:
        # Another user's folder or file: pathlib raises wherever it is asked what is there.
        print(f"lawtune: error: no permission for {error.filename or error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except StoppedError as error:
        if not error.said_elsewhere:
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
        if word == "--":
            rest += [word, *queue]
            break
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
        raise UserError(f"unknown option or argument {unknown[0]}{_meant(unknown[0], known)}{keys}")
    return arguments, overrides


def _meant(word: str, known: Iterable[str]) -> str:
    """The key that a user may have had in mind: of that last name, or one spelt much like it."""
    name = word.partition("=")[0].removeprefix("--")
    ends = [key for key in known if key.rpartition(".")[2] == name]
    close = ends or difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean --{close[0]}?)" if close else ""


def build_parser() -> argparse.ArgumentParser:
    """Every verb with its own arguments; `schema` is the config its overrides belong to."""
    parser = _Parser(
        prog="lawtune", description="From Korean law to a tuned, honestly evaluated language model."
    )
    parser.add_argument("--version", action="version", version=f"lawtune {__version__}")
    actions = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (_add_quickstart, _add_data, _add_training, _add_evaluation, _add_models, _add_use):
        add(actions)
    return parser


def _add_quickstart(actions: Any) -> None:
    verb = _verb(
        actions, "quickstart", verbs.run_quickstart, "the whole job, offline", QuickstartConfig
    )
    verb.add_argument("--out", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    _add_language(verb)


def _add_data(actions: Any) -> None:
    data = actions.add_parser("data", help="build and check questions and answers")
    data_actions = data.add_subparsers(dest="data_verb", required=True, metavar="VERB")
    verb = _verb(
        data_actions,
        "build",
        verbs.run_data_build,
        "sources → train, validation, test",
        BuildConfig,
    )
    verb.add_argument(
        "--source",
        action="extend",
        nargs="+",
        required=True,
        metavar="PATH",
        help="folders or files of statutes, decisions, replies, Q&A; or law.go.kr:KIND:QUERY",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR")
    verb = _verb(
        data_actions, "check", verbs.run_data_check, "validate; find leaks and personal data"
    )
    verb.add_argument("files", type=Path, nargs="+", metavar="FILE")


def _add_training(actions: Any) -> None:
    verb = _verb(
        actions, "pretrain", verbs.run_pretrain, "a small model from raw legal text", PretrainConfig
    )
    verb.add_argument("--config", type=Path, metavar="FILE", help="a recipe (YAML)")
    verb.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")

    verb = _verb(actions, "finetune", verbs.run_finetune, "tune a LoRA adapter", FinetuneConfig)
    verb.add_argument("--config", type=Path, metavar="FILE", help="a recipe (YAML)")
    verb.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    verb.add_argument("--adapter", metavar="M", help="go on from an adapter: folder or name")

    verb = _verb(
        actions, "average", verbs.run_average, "the mean of several adapters of one base, as one"
    )
    verb.add_argument(
        "models", nargs="+", metavar="M", help="adapters' folders, or names under runs/"
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR")
    verb.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="S",
        help="what the mean is multiplied by; default: 1",
    )


def _add_evaluation(actions: Any) -> None:
    verb = _verb(
        actions,
        "evaluate",
        verbs.run_evaluate,
        "tuned against base, with intervals",
        EvaluateConfig,
    )
    verb.add_argument("--model", required=True, metavar="M", help=MODEL_HELP)
    _add_base(verb)
    asked = verb.add_mutually_exclusive_group(required=True)
    asked.add_argument("--data", type=Path, metavar="FILE", help="questions and gold answers")
    asked.add_argument("--mcq", type=Path, metavar="FILE", help="multiple-choice questions")
    verb.add_argument(
        "--out", type=Path, metavar="DIR", help="default: evaluation, in a model's folder"
    )
    verb.add_argument("--limit", type=_positive, metavar="N", help="a sample of N records, by type")
    _add_source(verb)
    _add_language(verb)

    verb = _verb(actions, "score", verbs.run_score, "answers made elsewhere", ScoreConfig)
    verb.add_argument("--data", type=Path, required=True, metavar="FILE")
    verb.add_argument(
        "--predictions",
        type=Path,
        required=True,
        metavar="FILE",
        help='JSON Lines of the records\' ids and the answers: {"id", "prediction"}',
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="default: score, beside the answers")
    _add_source(verb)
    _add_language(verb)

    verb = _verb(actions, "compare", verbs.run_compare, "two models, paired", EvaluateConfig)
    for side in ("A", "B"):
        text = (
            f"a model, a predictions file (.jsonl), or several runs of one recipe: {side}1,{side}2"
        )
        verb.add_argument(side.lower(), type=_names, metavar=side, help=text)
    verb.add_argument("--data", type=Path, required=True, metavar="FILE", help="Q&A to ask both")
    verb.add_argument("--out", type=Path, metavar="DIR", help="default: comparison, inside B")
    verb.add_argument("--limit", type=_positive, metavar="N", help="a sample of N records, by type")
    _add_source(verb)
    _add_language(verb)

    verb = _verb(actions, "cite", verbs.run_cite, "find and check every citation of a text")
    verb.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: standard input")
    verb.add_argument("--format", choices=["text", "json"], default="text")
    _add_source(verb)
    _add_language(verb)


def _add_models(actions: Any) -> None:
    models = actions.add_parser("models", help="list, show, verify and remove models")
    models.add_argument("--root", type=Path, metavar="DIR", help="default: $LAWTUNE_ROOT or runs")
    model_actions = models.add_subparsers(dest="models_verb", required=True, metavar="VERB")
    _verb(model_actions, "list", verbs.run_models_list, "every model under the root")
    for name, run, text in (
        ("show", verbs.run_models_show, "what a model folder says of itself"),
        ("verify", verbs.run_models_verify, "check a model's files against their hashes"),
        ("remove", verbs.run_models_remove, "delete a model folder"),
    ):
        _verb(model_actions, name, run, text).add_argument("name", metavar="NAME")


def _add_use(actions: Any) -> None:
    verb = _verb(actions, "export", verbs.run_export, "other formats, each with a parity figure")
    verb.add_argument("model", metavar="M", help="an adapter's folder, or its name under runs/")
    _add_base(verb)
    verb.add_argument("--format", required=True, choices=["merged"])
    verb.add_argument("--out", type=Path, required=True, metavar="DIR")

    verb = _verb(actions, "ask", verbs.run_ask, "one answer, streamed", AnswerConfig)
    verb.add_argument("model", metavar="M", help=MODEL_HELP)
    verb.add_argument("question", help="in quotation marks")
    _add_base(verb)
    verb.add_argument("--type", choices=list(QUESTION_TYPES))
    verb.add_argument("--context", type=Path, metavar="FILE", help="a text to refer to")


class _Parser(argparse.ArgumentParser):
    """Reports like every other error of the user's: in one line, through `main`."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see `{self.prog} --help`)")


def _verb(
    actions: Any,
    name: str,
    run: Callable[[Arguments, Overrides], int | None],
    text: str,
    schema: type | None = None,
) -> argparse.ArgumentParser:
    epilog = "config keys and their defaults, as YAML:\n" + _explained(schema()) if schema else None
    verb = actions.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run, schema=schema)
    return verb


def _explained(config: Any, prefix: str = "") -> str:
    """A config's docstring, its keys below it, and the same of its sections."""
    text = " ".join((config.__doc__ or "").replace("`", "").split())
    parts = ["\n" + textwrap.fill(text, HELP_WIDTH)]
    entries = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    for name, value in entries.items():
        # `--source` says it.
        if not is_dataclass(value) and name != "sources":
            shown = value if isinstance(value, str) else json.dumps(value)
            parts.append(f"  --{prefix}{name} ({shown})")
    sections = {name: value for name, value in entries.items() if is_dataclass(value)}
    parts += [_explained(value, f"{prefix}{name}.") for name, value in sections.items()]
    return "\n".join(parts)


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
    verb.add_argument("--lang", choices=["ko", "en"], default="ko", help="of what is said")


def _add_base(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--base", metavar="B", help="where an adapter's base lies, if it has moved")


def _add_source(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--source",
        type=Path,
        action="extend",
        nargs="+",
        metavar="PATH",
        help="statutes and decisions to check citations against; default: those of lawtune",
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"an empty name in {text!r}")
    return names


def _require_utf8(words: Sequence[str]) -> None:
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        raise UserError(
            "the command line is not UTF-8 (CP949?); set the terminal to UTF-8, or LANG"
        ) from None


def _positive(text: str) -> int:
    number = int(text) if text.lstrip("-").isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more (found {text!r})")
    return number
