"""Shared fixtures: a tiny base on disk, made once a session."""

import errno
import os
from pathlib import Path

import pytest

# Before any test imports torch or transformers: no test may reach a network, and tiny tensors
# run slower with more threads than with one.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing can be looked for, as in another user's home. (Permissions alone
    would not keep root out, as whom the tests may run.)"""
    folder, stat = tmp_path / "another-users", os.stat
    folder.mkdir()

    def guarded(path, *rest, **options):
        if isinstance(path, (str, os.PathLike)) and folder in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *rest, **options)

    monkeypatch.setattr(os, "stat", guarded)
    return folder


@pytest.fixture(scope="session")
def gpt2_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local folder with a tiny GPT-2 and its tokenizer. Read only: tests share it."""
    import tiny

    tokenizer = tiny.make_tokenizer()
    folder = tmp_path_factory.mktemp("gpt2") / "base"
    return tiny.save_base(folder, tiny.make_gpt2(tokenizer), tokenizer)


@pytest.fixture(scope="session")
def llama_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local folder with a tiny Llama (untied) and its tokenizer. Read only: tests share it."""
    import tiny

    tokenizer = tiny.make_tokenizer()
    folder = tmp_path_factory.mktemp("llama") / "base"
    return tiny.save_base(folder, tiny.make_llama(tokenizer), tokenizer)
