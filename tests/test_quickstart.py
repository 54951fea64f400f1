"""`lawtune quickstart` on a tiny scale: the files it promises, and one recipe for two doors."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from lawtune.config import QUESTION_TYPES, SPLITS, FinetuneConfig, QuickstartConfig
from lawtune.data.split import assign_split, near_duplicates_across
from lawtune.options import load_config
from lawtune.quickstart import Observers, evenly, quickstart
from lawtune.records import QAPair, normalise, read_qa
from lawtune.starter import QA

RECIPE = Path(__file__).parents[1] / "recipes" / "starter.yaml"


def test_quickstart_trains_the_recipe_for_one_epoch_with_half_its_steps_against_loops():
    recipe = load_config(FinetuneConfig, RECIPE)
    config = QuickstartConfig()
    assert recipe.lora == config.lora
    assert recipe.train.unlikelihood_every == 1
    assert replace(recipe.train, epochs=1, unlikelihood_every=2) == config.train
    assert recipe.data.max_length == config.max_length
    assert recipe.base == "starter"


def test_evenly_keeps_the_shares_of_types():
    pairs = [QAPair("q", "a", id=str(i), type="a" if i < 80 else "b") for i in range(100)]
    taken = evenly(pairs, 10)
    assert len(taken) == 10
    assert sum(pair.type == "a" for pair in taken) == 8
    assert evenly(pairs[:5], 10) == pairs[:5]


@pytest.mark.slow
def test_quickstart_writes_what_it_promises(tmp_path: Path):
    config = QuickstartConfig(train_examples=8, validation_examples=5)
    config = replace(
        config,
        data=replace(config.data, per_type=20),
        evaluate=replace(config.evaluate, generate=5, max_new_tokens=4, bootstrap=50),
    )
    said = []
    observers = Observers(
        said.append, nullcontext(lambda row: None), nullcontext(lambda stage, done, total: None)
    )
    evaluation = quickstart(config, tmp_path, "ko", lambda text: len(text) // 3, observers)
    for name in ("evaluation_report.json", "evaluation_summary.txt", "report.html"):
        assert (tmp_path / name).stat().st_size > 500
    for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json"):
        assert (tmp_path / "model" / name).is_file()
    report = json.loads((tmp_path / "evaluation_report.json").read_text("utf-8"))
    assert report["n"] == evaluation.n == 10
    assert report["metrics"]["bits_per_byte"]["base"] > 0
    # What the adapter learnt is known, and holds none of the test's answers.
    assert "training" in report["contamination"]["checked"]
    assert all(one["training"] < 0.5 for one in report["contamination"]["answers"])
    assert "metrics" in json.loads((tmp_path / "model" / "training_config.json").read_text())
    assert [line[:3] for line in said if line[0].isdigit()] == ["1/3", "2/3", "3/3"]
    # A second run over the first one's folder does it all anew.
    again = quickstart(config, tmp_path, "ko", lambda text: len(text) // 3, observers)
    assert again.metrics["bits_per_byte"] == evaluation.metrics["bits_per_byte"]


@pytest.mark.slow
def test_the_shipped_qa_is_what_the_shipped_corpus_gives(tmp_path: Path):
    from lawtune.cli import main
    from lawtune.starter import CORPUS

    arguments = ["data", "build", "--source", str(CORPUS), "--out", str(tmp_path)]
    assert main([*arguments, "--per_type", str(QuickstartConfig().data.per_type)]) == 0
    built = {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in SPLITS}
    shipped = {name: (QA / f"{name}.jsonl").read_bytes() for name in SPLITS}
    assert shipped["validation"] == built["validation"]
    # Behind these stands what larger sources give.
    assert all(shipped[name].startswith(built[name]) for name in ("train", "test"))


def test_no_training_pair_is_of_a_held_out_source_or_nearly_repeats_its_answer():
    data = QuickstartConfig().data
    splits = {name: read_qa(QA / f"{name}.jsonl") for name in SPLITS}
    for name, pairs in splits.items():
        shares = data.seed, data.validation_share, data.test_share
        assert {assign_split(pair.group, *shares) for pair in pairs} == {name}
    assert not near_duplicates_across(splits, data.near_duplicate)
    assert 2_000 <= sum(map(len, splits.values())) <= 4_000
    assert sum((QA / f"{name}.jsonl").stat().st_size for name in SPLITS) <= 5e6
    for pairs in splits.values():
        counts = Counter(pair.type for pair in pairs)
        assert counts.keys() == QUESTION_TYPES.keys()
        assert max(counts.values()) <= 1.5 * min(counts.values())
    learnt = {normalise(pair.answer) for pair in splits["train"]}
    for pair in [*splits["validation"], *splits["test"]]:
        assert learnt.isdisjoint(map(normalise, pair.distractors))
