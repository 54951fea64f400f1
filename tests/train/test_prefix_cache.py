"""Cached equals uncached; what is on disk is used again, and never when it is not the same."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from test_loss import assert_close_norms, gradients, make_windows
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

from lawtune.config import LoraConfig, TrainConfig
from lawtune.data.encode import Window
from lawtune.errors import UserError
from lawtune.model.lora import attach_lora
from lawtune.train import memory, prefix_cache
from lawtune.train.caches import logits_fit
from lawtune.train.distributed import Alone
from lawtune.train.head import HeadCrossEntropy
from lawtune.train.loss import LossEngine
from lawtune.train.memory import MemoryWatch
from lawtune.train.prefix import split_model
from lawtune.train.prefix_cache import HIDDEN_FILE, Plan, choose_folder, open_cache

VOCABULARY = 372
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 32}
SMALL |= {"num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1}


def make_qwen2():
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, initializer_range=0.3)).eval()


def make_gemma2():
    """Layers of two kinds of attention, scaled embeddings; no capped logits."""
    torch.manual_seed(0)
    config = Gemma2Config(
        **SMALL, head_dim=16, sliding_window=8, initializer_range=0.3, final_logit_softcapping=None
    )
    return Gemma2ForCausalLM(config).eval()


MODELS = {
    "gpt2": lambda: tiny.make_gpt2(tiny.make_tokenizer(), layers=4),
    "llama": lambda: tiny.make_llama(tiny.make_tokenizer(), layers=4),
    "llama, tied": lambda: tiny.make_llama(tiny.make_tokenizer(), layers=4, tied=True),
    "qwen2": make_qwen2,
    "gemma2": make_gemma2,
}
LAST_TWO = LoraConfig(r=4, alpha=6, dropout=0.3, layers_to_transform=(2, 3))
HEAD = LoraConfig(r=4, alpha=6, dropout=0.3, target_modules=("lm_head",))
BOTH = replace(LAST_TWO, target_modules=("o_proj", "c_attn", "lm_head"))
ADAPTERS = {"lm_head": HEAD, "last two": LAST_TWO}


def make_engine(model: str = "gpt2", lora: LoraConfig = LAST_TWO, precision="fp32") -> LossEngine:
    adapted = tiny.randomise(attach_lora(MODELS[model](), lora))
    return LossEngine(adapted, pad_id=2, precision=precision)


def cache(engine: LossEngine, windows, folder: Path | None = None):
    return open_cache(engine.cache_plan(windows), engine.lower, folder)


def keep_logits(engine: LossEngine, windows):
    engine.use(cache(engine, windows))
    kept = open_cache(engine.logits_plan(windows), engine.frozen_logits, None)
    engine.use_logits([kept])
    return kept


def assert_same_steps(plain: LossEngine, cached: LossEngine, windows, unseen):
    for step in ([windows[:4], windows[4:]], [unseen, windows[:2]]):
        results = []
        for engine in (plain, cached):
            torch.manual_seed(1)
            results.append((engine.accumulate(step).loss, gradients(engine.model)))
        assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
        assert_close_norms(results[1][1], results[0][1])


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("model", MODELS)
def test_cached_equals_uncached(model: str, adapter: str, on_disk: bool, tmp_path: Path):
    windows, unseen = make_windows(9), make_windows(3, seed=8)
    plain, cached = make_engine(model, ADAPTERS[adapter]), make_engine(model, ADAPTERS[adapter])
    cached.use(cache(cached, windows, tmp_path if on_disk else None))
    assert_same_steps(plain, cached, windows, unseen)
    assert cached.mean_loss(windows) == pytest.approx(plain.mean_loss(windows), rel=1e-6)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_bf16_cached_equals_bf16_uncached(adapter: str):
    windows = make_windows(6)
    plain, cached = (make_engine("llama", ADAPTERS[adapter], "bf16") for _ in range(2))
    cached.use(cache(cached, windows))
    losses = []
    for engine in (plain, cached):
        torch.manual_seed(1)
        losses.append(engine.accumulate([windows]).loss)
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    kept = cached.cache_plan(windows)
    assert kept.dtype == (torch.bfloat16 if adapter == "lm_head" else torch.float32)


@pytest.mark.parametrize("model", MODELS)
def test_kept_logits_equal_those_computed_anew(model: str, monkeypatch):
    windows, unseen = make_windows(9), make_windows(3, seed=8)
    plain, kept = make_engine(model, HEAD), make_engine(model, HEAD)
    keep_logits(kept, windows)
    for engine in (plain, kept):
        engine.project_at_most(7)  # windows are cut in two
    assert_same_steps(plain, kept, windows, unseen)
    expected = plain.mean_loss(windows)
    # And without a look at the projection.
    monkeypatch.setattr(HeadCrossEntropy, "weight", None)
    assert kept.mean_loss(windows) == pytest.approx(expected, rel=1e-6)
    kept.accumulate([windows])
    with pytest.raises(TypeError):
        kept.accumulate([unseen])


def test_bf16_logits_that_are_kept_err_no_more_than_those_computed_anew():
    windows, gradient = make_windows(9), {}
    engines = {"exact": make_engine("llama", HEAD), "anew": make_engine("llama", HEAD, "bf16")}
    engines["kept"] = make_engine("llama", HEAD, "bf16")
    keep_logits(engines["kept"], windows)
    for name, engine in engines.items():
        torch.manual_seed(1)
        engine.accumulate([windows])
        gradient[name] = torch.cat([g.flatten() for g in gradients(engine.model).values()])
    exact = gradient.pop("exact")
    error = {name: ((found - exact).norm() / exact.norm()) for name, found in gradient.items()}
    assert error["kept"] < 1.2 * error["anew"] < 0.05


def test_kept_logits_are_of_the_frozen_projection_alone():
    windows, base = make_windows(6), MODELS["llama"]()
    kept = keep_logits(make_engine("llama", HEAD), windows)
    for window in windows:
        with torch.no_grad():
            logits = base(torch.tensor([window.ids])).logits[0, window.target_start - 1 : -1]
        assert torch.allclose(kept[window], logits, atol=1e-5)


def test_own_answers_are_learnt_from_beside_kept_logits():
    """What they need of the projection is made in inference mode, and written to outside it."""
    windows = make_windows(6)
    engine = make_engine("llama", HEAD, "bf16")
    keep_logits(engine, windows)
    engine.own_answers(windows, end_id=-1)
    (unseen,) = make_windows(1, seed=8)
    own = replace(unseen, repeats=(True,) * unseen.targets)
    assert engine.accumulate([[own]]).loss > 0
    assert engine.accumulate([windows]).loss > 0


def test_logits_are_kept_where_they_have_room_and_are_read_often_enough():
    splits = {"training": make_windows(30), "validation": make_windows(10, seed=1)}
    engine, alone, room = make_engine("gpt2", HEAD), Alone(), 1e9

    def fit(engine=engine, budget: int = 2000, team=alone, epochs: float = 3, spare: float = room):
        settings = TrainConfig(cache_budget=budget)
        return logits_fit(engine, splits, settings, team, epochs, spare)

    class Two(Alone):
        size = 2

    size = sum(engine.logits_plan(windows).size for windows in splits.values())
    assert fit() and fit(spare=size)
    assert not fit(spare=size - 1) and not fit(budget=0)
    assert fit(epochs=2) and not fit(epochs=1.5) and not fit(team=Two())
    assert not fit(engine=make_engine("gpt2", LAST_TWO))


def test_the_frozen_part_is_not_run_again():
    windows = make_windows(5)
    for lora, lowest in ((HEAD, 4), (LAST_TWO, 2)):
        engine = make_engine("gpt2", lora)
        engine.use(cache(engine, windows))
        ran = []
        for number, block in enumerate(engine.model.get_base_model().transformer.h):
            block.register_forward_hook(lambda *_, n=number, ran=ran: ran.append(n))
        engine.accumulate([windows])
        engine.mean_loss(windows)
        assert set(ran) == set(range(lowest, 4))


@pytest.mark.parametrize(
    ("lora", "boundary"),
    [
        (HEAD, 4),
        (LAST_TWO, 2),
        (replace(LAST_TWO, layers_to_transform=(3,)), 3),
        (replace(LAST_TWO, layers_to_transform=(1, 3)), 1),
        (replace(LAST_TWO, layers_to_transform=(0, 3)), 0),
        (replace(HEAD, target_modules=("c_attn",)), 0),
        (replace(BOTH, target_modules=("c_attn", "lm_head")), 2),
    ],
)
def test_the_boundary_is_the_lowest_layer_that_trains(lora: LoraConfig, boundary: int):
    assert split_model(attach_lora(MODELS["gpt2"](), lora)).boundary == boundary


def test_trained_embeddings_leave_nothing_to_cache():
    model = attach_lora(MODELS["llama"](), HEAD)
    model.get_input_embeddings().weight.requires_grad_(True)
    assert LossEngine(model, 2).cache_plan(make_windows(2)) is None


def test_layers_that_share_more_than_hidden_states_are_not_cut():
    model = attach_lora(MODELS["llama"](), LAST_TWO)
    layers = model.get_base_model().model.layers
    memory = {}
    layers[0].register_forward_hook(lambda _, __, out: memory.update(first=out))
    layers[3].register_forward_hook(lambda _, __, out: out + memory.pop("first"))
    assert split_model(model).boundary == 0


def test_a_projection_alone_needs_only_the_rows_that_predict(tmp_path: Path):
    windows = make_windows(6)
    head = cache(make_engine("gpt2", HEAD), windows)
    assert head.rows.shape == (sum(w.targets for w in windows), 32)
    blocks = cache(make_engine("gpt2"), windows)
    assert blocks.rows.shape == (sum(len(w.ids) for w in windows), 32)


def test_the_disk_is_used_again_by_other_runs_and_says_so(tmp_path: Path, monkeypatch):
    windows = make_windows(6)
    first = cache(make_engine(), windows, tmp_path)
    assert "computed" in first.note and str(tmp_path) in first.note
    monkeypatch.setattr(LossEngine, "lower", None)
    other = make_engine(lora=replace(LAST_TWO, r=2, alpha=9, dropout=0.0))
    again = cache(other, windows, tmp_path)
    assert "read from" in again.note
    assert torch.equal(again.rows, first.rows)


def test_whatever_the_rows_depend_on_makes_another_cache(tmp_path: Path):
    windows = make_windows(6)
    changed = make_engine()
    with torch.no_grad():
        changed.model.get_base_model().transformer.wte.weight[5] += 1e-3
    above = make_engine()
    with torch.no_grad():
        above.model.get_base_model().transformer.h[3].ln_1.weight += 1
    engines = [
        make_engine(),
        make_engine(precision="bf16"),
        make_engine(lora=HEAD),
        make_engine(lora=replace(LAST_TWO, layers_to_transform=(3,))),
        changed,
    ]
    for engine in engines:
        assert "computed" in cache(engine, windows, tmp_path).note
    assert "computed" in cache(engines[0], make_windows(6, seed=1), tmp_path).note
    assert len(list(tmp_path.iterdir())) == 6
    assert "read from" in cache(above, windows, tmp_path).note


@pytest.mark.parametrize("harm", ["flipped", "short", "key", "no manifest"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, harm: str):
    windows, engine = make_windows(6), make_engine()
    good = cache(engine, windows, tmp_path).rows.clone()
    folder = next(tmp_path.iterdir())
    path = folder / HIDDEN_FILE
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    if harm == "no manifest":
        (folder / "manifest.json").unlink()
    elif harm == "key":
        (folder / "key.json").write_text(json.dumps({"windows": "others"}))
    else:
        path.write_bytes(content if harm == "flipped" else content[:-8])
    again = cache(engine, windows, tmp_path)
    assert "damaged" in again.note
    assert torch.equal(again.rows, good)
    assert "read from" in cache(engine, windows, tmp_path).note


def test_a_kill_while_filling_leaves_nothing_that_is_taken_for_a_cache(tmp_path: Path, monkeypatch):
    windows, engine = make_windows(6), make_engine()

    def killed(folder: Path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prefix_cache, "write_manifest", killed)
        cache(engine, windows, tmp_path)
    assert "computed" in cache(engine, windows, tmp_path).note


def test_a_cache_that_another_run_has_written_meanwhile_stays(tmp_path: Path):
    windows, engine, inodes = make_windows(6), make_engine(), []
    plan = engine.cache_plan(windows)

    def compute(batch, rows: torch.Tensor) -> None:
        if not inodes:
            cache(make_engine(), windows, tmp_path)
            inodes.extend(path.stat().st_ino for path in tmp_path.glob("prefix-*"))
        engine.lower(batch, rows)

    found = open_cache(plan, compute, tmp_path)
    assert [path.stat().st_ino for path in tmp_path.iterdir()] == inodes and len(inodes) == 1
    assert torch.equal(found.rows, cache(engine, windows).rows)


def test_a_full_disk_is_a_message(tmp_path: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prefix_cache, "_computed", full)
    with pytest.raises(UserError, match=r"No space left.*train.cache_dir"):
        cache(make_engine(), make_windows(3), tmp_path)
    assert not list(tmp_path.iterdir())


def test_memory_up_to_the_budget_and_the_disk_above_it(tmp_path: Path):
    plans = [make_engine().cache_plan(make_windows(9))]
    assert plans[0].size == sum(len(w.ids) for w in plans[0].windows) * 32 * 4
    spill = tmp_path / "spill"
    assert choose_folder(plans, None, 1, spill) is None
    assert choose_folder(plans, None, 0, spill) == spill
    assert choose_folder(plans, str(tmp_path / "kept"), 1, spill) == tmp_path / "kept"


def test_the_rows_are_computed_whatever_cache_is_in_use():
    windows, engine = make_windows(9), make_engine()
    first = cache(engine, windows)
    engine.use(replace(first, rows=torch.zeros_like(first.rows)))
    assert torch.equal(cache(engine, windows).rows, first.rows)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="no account of what is mapped")
def test_what_was_read_of_a_cache_on_disk_does_not_mount_up(tmp_path: Path):
    def held() -> int:
        """Bytes of the file's rows in this process's memory."""
        lines = Path("/proc/self/smaps").read_text().splitlines()
        # This test's own file: another test's may still be mapped under the same name.
        own = (n for n, line in enumerate(lines) if str(tmp_path) in line and HIDDEN_FILE in line)
        at = next(own)
        return 1024 * int(next(x for x in lines[at:] if x.startswith("Rss:")).split()[1])

    windows = make_windows(40)
    filled = cache(make_engine(), windows, tmp_path)
    before = filled.rows.clone()
    assert held() >= 0.9 * before.nbytes > 50_000
    filled.let_go()
    assert held() == 0
    assert torch.equal(filled.rows, before)
    in_memory = cache(make_engine(), windows)
    in_memory.let_go()
    assert torch.equal(in_memory.rows, before)


@pytest.mark.slow
@pytest.mark.skipif(not memory._CLEAR.exists(), reason="no peak that can be set back")
def test_ten_thousand_examples_go_to_disk_and_never_through_memory(tmp_path: Path):
    """300 MB of rows, written batch by batch: memory holds no more than a few batches of them."""
    draw = random.Random(0)
    windows = [
        Window(tuple(draw.randrange(VOCABULARY) for _ in range(30)), 5) for _ in range(10_000)
    ]
    plan = Plan(tuple(windows), False, 256, torch.float32, dict)
    budget = 200
    folder = choose_folder([plan], None, budget, tmp_path / "spill")
    assert plan.size == 307.2e6 > budget * 1e6 and folder == tmp_path / "spill"

    def compute(batch, out):
        out.copy_(torch.tensor([token for w in batch for token in w.ids])[:, None])

    watch = MemoryWatch(None, torch.device("cpu"))
    before = watch.peak()
    kept = open_cache(plan, compute, folder)
    assert watch.peak() - before < 0.25 * plan.size
    assert (folder / kept.note.split("kept in ")[1].split(",")[0]).is_dir()
    for window in draw.sample(windows, 20):
        assert torch.equal(kept[window][:, 7], torch.tensor(window.ids, dtype=torch.float32))
