"""The order of a fine-tuning run's examples, and how its steps are cut."""

from collections.abc import Sequence
from typing import Literal

import torch

from lawtune.config import TrainConfig
from lawtune.data.encode import Window
from lawtune.train.batches import Step, cut_by_tokens, plan_epoch
from lawtune.train.loop import TrainingData

_AUTO = {"cpu": 1024, "cuda": 8192}


def resolve_micro_batch_tokens(tokens: int | Literal["auto"], device: torch.device) -> int:
    """What `train.micro_batch_tokens` stands for: `auto` is by the device."""
    return _AUTO.get(device.type, _AUTO["cpu"]) if tokens == "auto" else tokens


def training_data(
    windows: Sequence[Window], settings: TrainConfig, micro_batch_tokens: int
) -> TrainingData:
    """The examples in the order that the settings' seed and batch sizes give, each step cut into
    micro-batches of at most `micro_batch_tokens`."""
    lengths = [len(window.ids) for window in windows]

    def order(epoch: int) -> list[Step]:
        size, count = settings.batch_size, settings.gradient_accumulation
        steps = plan_epoch(len(windows), settings.seed, epoch, size, count)
        return [cut_by_tokens(sum(step, []), lengths, micro_batch_tokens) for step in steps]

    return TrainingData(windows, order, settings.epochs)
