"""Bases: found or refused with a reason, named by content, in the type that was asked for."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import tiny
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import filter_repo_objects
from transformers import (
    AutoModelForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    RobertaForMaskedLM,
)

from lawtune.errors import UserError
from lawtune.model import load


def test_a_local_folder_gives_the_logits_of_transformers(gpt2_base: Path):
    base = load.load_base(str(gpt2_base))
    ids = torch.tensor([[5, 6, 7]])
    plain = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.float32).eval()
    assert torch.equal(base.model(ids).logits, plain(ids).logits)
    assert base.identity.name == str(gpt2_base) and base.identity.revision is None
    assert not base.model.training and load.max_positions(base.model) == 128


def test_the_type_is_the_one_asked_for_not_the_folders(tmp_path: Path, gpt2_base: Path):
    model = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.bfloat16)
    folder = tiny.save_base(tmp_path / "bf16", model, tiny.make_tokenizer())
    assert load.load_base(str(folder)).model.dtype == torch.float32
    assert load.load_base(str(folder), torch.bfloat16).model.dtype == torch.bfloat16


def test_identity_is_of_the_content(tmp_path: Path, gpt2_base: Path):
    copy = shutil.copytree(gpt2_base, tmp_path / "copy")
    first = load.identify(str(gpt2_base)).sha256
    assert load.identify(str(copy)).sha256 == first
    weights = copy / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert load.identify(str(copy)).sha256 != first


def test_pickled_weights_load_without_running_code(tmp_path: Path, gpt2_base: Path):
    folder = shutil.copytree(gpt2_base, tmp_path / "bin")
    model = AutoModelForCausalLM.from_pretrained(gpt2_base, dtype=torch.float32)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    base = load.load_base(str(folder))
    assert torch.equal(base.model.lm_head.weight, model.lm_head.weight)

    class Exploit:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    torch.save(Exploit(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load.load_base(str(folder))
    assert not (tmp_path / "owned").exists()


def test_licences(tmp_path: Path, gpt2_base: Path):
    folder = shutil.copytree(gpt2_base, tmp_path / "licensed")
    assert load.identify(str(folder)).licence is None
    (folder / "README.md").write_text("---\nlanguage: ko\nlicense: 'apache-2.0'\n---\n# Model\n")
    assert load.identify(str(folder)).licence == "apache-2.0"
    kogpt2 = shutil.copytree(gpt2_base, tmp_path / "kogpt2-base-v2")
    assert load.identify(str(kogpt2)).licence == "cc-by-nc-sa-4.0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./not/there/at/all", "there is no folder ./not/there/at/all"),
        ("nobody/nothing", "Without a network, download the model"),
        ("{empty}", "no config.json"),
        ("{file}", "is a file"),
        ("{adapter}", "an adapter, not a base model"),
        ("{weightless}", "no weights"),
    ],
)
def test_what_is_no_base_is_refused(tmp_path: Path, name: str, message: str):
    for folder in ("empty", "adapter", "weightless"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "weightless" / "config.json").write_text("{}")
    places = {path.name: str(path) for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=message):
        load.load_base(name.format(**places))


def test_no_starter_in_this_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(load, "STARTER_FOLDER", tmp_path / "none")
    with pytest.raises(UserError, match="no starter model"):
        load.load_base("starter")


def test_missing_weights_are_not_made_up(tmp_path: Path, gpt2_base: Path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(gpt2_base, tmp_path / "holes")
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"incomplete: no transformer\.h\.1\.mlp\.c_fc\.weight"):
        load.load_base(str(folder))


def test_an_encoder_is_refused(tmp_path: Path):
    tokenizer = tiny.make_tokenizer()
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
        initializer_range=0.2,
    )
    encoder = tiny.save_base(tmp_path / "encoder", RobertaForMaskedLM(config), tokenizer)
    with pytest.raises(UserError, match="no causal language model.*those that follow"):
        load.load_base(str(encoder))
    config.is_decoder = True
    decoder = tiny.save_base(tmp_path / "decoder", RobertaForCausalLM(config), tokenizer)
    assert load.load_base(str(decoder)).model.config.is_decoder


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path):
    model = tiny.make_gpt2(tiny.make_tokenizer(merges=0))
    folder = tiny.save_base(tmp_path / "mixed", model, tiny.make_tokenizer(merges=50))
    with pytest.raises(UserError, match="files of one model"):
        load.load_base(str(folder))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (["tokenizer.json", "tokenizer_config.json"], "holds no tokenizer"),
        # transformers makes one up, which spells everything as nothing.
        (["tokenizer.json"], "tokenizer of"),
    ],
)
def test_a_base_without_a_tokenizer_is_refused(tmp_path: Path, gpt2_base: Path, gone, message):
    folder = shutil.copytree(gpt2_base, tmp_path / "mute")
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(UserError, match=message):
        load.load_base(str(folder))


@pytest.mark.parametrize("bare", [True, False])
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, gpt2_base: Path, bare: bool):
    folder = shutil.copytree(gpt2_base, tmp_path / "cut")
    if bare:
        (folder / "tokenizer_config.json").unlink()
    file = folder / "tokenizer.json"
    file.write_text(file.read_text("utf-8")[:500], "utf-8")
    with pytest.raises(UserError, match="cannot load the tokenizer"):
        load.load_base(str(folder))


def test_special_tokens_where_only_the_config_states_them(tmp_path: Path, gpt2_base: Path):
    folder = shutil.copytree(gpt2_base, tmp_path / "bare")
    (folder / "tokenizer_config.json").unlink()
    tokenizer = load.load_base(str(folder)).tokenizer
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("</s>", "<pad>")
    # The Hub's KoGPT-2 has no tokenizer_config.json, and its config names another BOS than its
    # model card uses.
    config = json.loads((folder / "config.json").read_text()) | {"bos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    assert load.load_tokenizer(folder, "mine").bos_token == "<s>"
    assert load.load_tokenizer(folder, "skt/kogpt2-base-v2").bos_token == "</s>"


class TestHub:
    """The Hub, played by a function in place of the download."""

    def test_a_snapshot_is_used_with_its_revision(
        self, tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
    ):
        snapshot = tmp_path / "0123abcd"
        asked = []

        def download(repo_id: str, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
            asked.append((repo_id, allow_patterns[-1]))
            shutil.copytree(gpt2_base, snapshot, dirs_exist_ok=True)
            return str(snapshot)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        base = load.load_base("someone/model")
        assert (base.identity.name, base.identity.revision) == ("someone/model", "0123abcd")
        assert asked == [("someone/model", "model*.safetensors")]
        # So that plain PEFT finds the base by its public name, not in our cache.
        assert base.model.name_or_path == "someone/model"

    def test_the_chat_template_comes_with_it(
        self, tmp_path: Path, gpt2_base: Path, monkeypatch: pytest.MonkeyPatch
    ):
        tokenizer = load.load_tokenizer(gpt2_base)
        tokenizer.chat_template = "{{ messages[0]['content'] }}"
        remote = tiny.save_base(tmp_path / "remote", tiny.make_gpt2(tokenizer), tokenizer)
        (remote / "flax_model.msgpack").touch()
        snapshot = tmp_path / "0123abcd"

        def download(repo_id: str, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
            names = [path.name for path in remote.iterdir()]
            kept = set(filter_repo_objects(names, allow_patterns=allow_patterns))
            gone = shutil.ignore_patterns(*(name for name in names if name not in kept))
            shutil.copytree(remote, snapshot, ignore=gone, dirs_exist_ok=True)
            return str(snapshot)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        assert load.find_tokenizer("someone/model").chat_template == tokenizer.chat_template
        assert not (snapshot / "flax_model.msgpack").exists()

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (LocalEntryNotFoundError("offline"), "Without a network"),
            (ConnectionError("refused"), "give its path as the base"),
            (RepositoryNotFoundError, "has no model of that name"),
        ],
    )
    def test_failures_say_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
    ):
        def download(**_: object) -> str:
            if error is RepositoryNotFoundError:
                import httpx

                response = httpx.Response(404, request=httpx.Request("GET", "https://hub"))
                raise RepositoryNotFoundError("404", response=response)
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        with pytest.raises(UserError, match=message):
            load.load_base("someone/model")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load.resolve_device("auto").type == "cpu"
    with pytest.raises(UserError, match="no CUDA device"):
        load.resolve_device("cuda")
