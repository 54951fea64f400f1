"""What a model has said so far, kept in a file, so that an evaluation that was cut off goes on.

A call's answers are kept whole or not at all, and a call that was answered is not made again. What
is left to ask is then asked in the very batches of a run that was never cut off, so that both end
in the same figures to the last bit.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from lawtune import __version__
from lawtune.data.privacy import mask
from lawtune.errors import UserError
from lawtune.eval.ask import Answer
from lawtune.files import sha256, write_jsonl
from lawtune.model.manager import TRAINING_CONFIG

JOURNAL_FILE = "evaluation.partial.jsonl"
"""Lies in an evaluation's folder until its reports do."""

_MODEL_FILES = ("*.safetensors", "*.bin", "*config.json", "tokenizer*", "vocab*", "merges.txt")
_MODEL_FILES += ("*.model", "tekken.json", "added_tokens.json", "special_tokens_map.json")


class JournalledModel:
    """A model that is asked nothing twice. Each call's arguments, and whether the adapter was on,
    are the key to what it said; the file is used only for the model, by its files' hashes, the
    versions and the kind of device that it was begun with. All else is the model's own.

    Attributes:
        found: how many likelihoods and answers an earlier run has left.
        stale: whether there was a file, but of another model, version or device: it begins anew.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, model: Any, path: Path):
        self._model = model
        self._path = path
        self._adapter_on = True
        self._origin = _origin(model.folders, model.device.type)
        begun = _read(path)
        self.stale = path.is_file() and begun[:1] != [{"origin": self._origin}]
        rows = [] if self.stale else begun[1:]
        self._said: dict[str, list[Any]] = {row["asked"]: row["said"] for row in rows}
        self._file: TextIO | None = None
        self.found = sum(map(len, self._said.values()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def log_likelihoods(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """As the model's own."""
        call = ["log_likelihoods", list(prompts), list(answers)]
        # As text: JSON has no word for what is not a number.
        said = self._once(
            call, lambda: [repr(v) for v in self._model.log_likelihoods(prompts, answers)]
        )
        return [float(value) for value in said]

    def generate(
        self, prompts: Sequence[str], max_new_tokens: int, batch_size: int
    ) -> list[Answer]:
        """As the model's own, but for personal data, which no file is to hold: it is masked."""

        def ask() -> list[tuple[str, int, bool]]:
            made = self._model.generate(prompts, max_new_tokens, batch_size)
            return [astuple(Answer(mask(one.text)[0], one.tokens, one.stopped)) for one in made]

        call = ["generate", list(prompts), max_new_tokens, batch_size]
        return [Answer(*row) for row in self._once(call, ask)]

    @contextmanager
    def base_only(self) -> Iterator[None]:
        """As the model's own."""
        before, self._adapter_on = self._adapter_on, False
        try:
            with self._model.base_only():
                yield
        finally:
            self._adapter_on = before

    def forget(self) -> None:
        """Remove the file: the evaluation is done."""
        if self._file:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _once(self, call: list[Any], ask: Callable[[], list[Any]]) -> list[Any]:
        text = json.dumps([self._adapter_on, *call])
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self._said:
            self._said[key] = ask()
            self._write(key)
        return self._said[key]

    def _write(self, key: str) -> None:
        row = {"asked": key, "said": self._said[key]}
        try:
            if self._file is None:
                # Anew and whole: the last line of a run that was killed may be half a line. Held
                # open, so that what another run puts in its place gets none of these rows.
                known = [{"asked": asked, "said": said} for asked, said in self._said.items()]
                write_jsonl(self._path, [{"origin": self._origin}, *known])
                self._file = open(self._path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115
                return
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(f"cannot write to {self._path}: {error.strerror}") from error


def _origin(folders: Mapping[str, Path], device: str) -> str:
    """A hash of what the same call's answers depend on: the model's files, the versions and the
    kind of device, since a GPU and a CPU round differently."""
    total = hashlib.sha256(f"{__version__} {device}\0".encode())
    for package in ("torch", "transformers", "peft"):
        total.update(f"{package} {version(package)}\0".encode())
    for part, folder in sorted(folders.items()):
        files = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)}
        for path in sorted(files):
            # The training config says nothing of how a model answers; written anew, it may differ
            # in a date alone.
            if path.is_file() and path.name != TRAINING_CONFIG:
                total.update(f"{part} {path.name} {sha256(path)}\0".encode())
    return total.hexdigest()


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows up to the first that is not whole."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except ValueError:
                break
            keys = {"asked", "said"} if rows else {"origin"}
            if not isinstance(row, dict) or set(row) != keys:
                break
            rows.append(row)
    return rows
