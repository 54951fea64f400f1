"""Shared fixtures: a tiny base on disk, made once a session."""

import os
from pathlib import Path

import pytest

# Before any test imports torch or transformers: no test may reach a network, and tiny tensors
# run slower with more threads than with one.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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
