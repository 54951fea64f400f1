"""Every recipe parses, and the original's is the original's to the letter."""

from pathlib import Path

import pytest
import yaml

from lawtune.config import FinetuneConfig, PretrainConfig
from lawtune.options import load_config, to_dict

RECIPES = Path(__file__).parents[2] / "recipes"
FINETUNING = sorted(p for p in RECIPES.glob("*.yaml") if not p.name.startswith("pretrain"))


@pytest.mark.parametrize("path", FINETUNING, ids=lambda path: path.stem)
def test_fine_tuning_recipes_parse(path: Path):
    config = load_config(FinetuneConfig, path)
    assert config.data.train and config.data.validation
    assert config.out.startswith("runs/")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("pretrain*.yaml")), ids=lambda p: p.stem)
def test_pretraining_recipes_parse(path: Path):
    assert load_config(PretrainConfig, path).corpus.sources


def test_the_originals_recipe():
    stated = yaml.safe_load((RECIPES / "kogpt2_lm_head.yaml").read_text("utf-8"))
    assert stated["base"] == "skt/kogpt2-base-v2"
    assert stated["lora"] == {"r": 16, "alpha": 32, "dropout": 0.1, "target_modules": ["lm_head"]}
    assert stated["train"] == {
        "epochs": 1,
        "learning_rate": 5e-5,
        "batch_size": 1,
        "gradient_accumulation": 8,
        "warmup_steps": 100,
        "scheduler": "cosine",
        "precision": "auto",
        "save_every": 500,
        "early_stopping_patience": 3,
        "seed": 42,
    }
    assert stated["data"]["max_length"] == 512
    resolved = to_dict(load_config(FinetuneConfig, RECIPES / "kogpt2_lm_head.yaml"))
    assert resolved["train"]["max_steps"] is None
