"""What bfloat16 costs where it matters: in what training takes off the validation loss."""

import random
from pathlib import Path

import pytest
import torch

from lawtune.config import LoraConfig, TrainConfig
from lawtune.data.encode import encode_pairs
from lawtune.model.load import load_base
from lawtune.model.lora import attach_lora
from lawtune.prompt import make_template
from lawtune.records import read_qa
from lawtune.starter import QA
from lawtune.train.caches import fill_caches
from lawtune.train.checkpoint import trainable
from lawtune.train.distributed import Alone
from lawtune.train.loop import Hooks, Loop, LoopSettings, Progress
from lawtune.train.loss import LossEngine
from lawtune.train.order import training_data
from lawtune.train.precision import resolve_precision

SETTINGS = TrainConfig(epochs=2, batch_size=1, gradient_accumulation=8, seed=5)
RATES = {"lm_head": 2e-3, "c_attn": 1e-3}


def gain(target: str, precision: str, spill: Path) -> float:
    """The validation loss before less that after twenty steps, on the starter's model and Q&A."""
    base = load_base("starter")
    pairs = read_qa(QA / "train.jsonl")
    random.Random(1).shuffle(pairs)
    template = make_template("lawtune", base.tokenizer)
    windows, _ = encode_pairs(pairs[:96], template, base.tokenizer, 160)
    train, validation = windows[:80], windows[80:]
    torch.manual_seed(0)
    model = attach_lora(
        base.model, LoraConfig(r=8, alpha=16, dropout=0.0, target_modules=(target,))
    )
    engine = LossEngine(model, base.tokenizer.pad_token_id, precision)
    keep_logits, splits = target == "lm_head", {"training": train}
    list(fill_caches(engine, splits, SETTINGS, spill, Alone(), keep_logits))
    before = engine.mean_loss(validation)
    Loop(
        engine,
        training_data(train, SETTINGS, 1024),
        torch.optim.AdamW(trainable(model).values(), weight_decay=0.0),
        lambda progress: RATES[target],
        LoopSettings(5, 1.0, "epoch", 10**9),
        Hooks(log=lambda record: None, save=lambda progress: None),
    ).run(Progress())
    return before - engine.mean_loss(validation)


@pytest.mark.slow
@pytest.mark.skipif(
    resolve_precision("auto", torch.device("cpu")) != "bf16",
    reason="bfloat16 is emulated on this processor, a hundred times slower",
)
@pytest.mark.parametrize("target", RATES)
def test_bf16_gains_what_float32_gains(target: str, tmp_path: Path):
    exact, rounded = (gain(target, precision, tmp_path) for precision in ("fp32", "bf16"))
    assert exact > 0.02
    assert rounded == pytest.approx(exact, rel=0.03)
