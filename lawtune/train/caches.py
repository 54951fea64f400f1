"""What of a run's examples is computed once: the frozen layers' output and, where there is room,
the frozen projection's share of the logits."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lawtune.config import TrainConfig
from lawtune.data.encode import Window
from lawtune.train.distributed import Alone
from lawtune.train.loss import LossEngine
from lawtune.train.memory import trim
from lawtune.train.prefix_cache import PrefixCache, choose_folder, fit, open_cache

KEEP_LOGITS_EPOCHS = 2
"""From how many epochs on logits are kept: with fewer, no product is spared, and fresh memory is
written to for nothing."""


def fill_caches(
    engine: LossEngine,
    splits: Mapping[str, Sequence[Window]],
    settings: TrainConfig,
    spill: Path,
    team: Alone,
    keep_logits: bool,
) -> Iterator[tuple[str, PrefixCache]]:
    """Let `engine` use a cache for each of the splits and each thing that it keeps of them.

    Args:
        splits: examples, by what the user calls them.
        spill: where the layers' output goes if there is no `settings.cache_dir` and memory has no
            room.
        keep_logits: as `logits_fit` says; they stay in memory.

    Yields:
        (what is kept, in words; the cache), each when it is filled.
    """
    plans = {name: engine.cache_plan(windows) for name, windows in splits.items()}
    # Each process on a machine would hold all of it in memory; the disk's pages they share.
    budget = settings.cache_budget / team.highest(team.on_this_machine)
    known = [plan for plan in plans.values() if plan]
    folder = choose_folder(known, settings.cache_dir, budget, spill)
    for name, plan in plans.items():
        if plan is None:
            continue
        kept = open_cache(plan, engine.lower, folder, team)
        engine.use(kept)
        yield f"{name}: output of the frozen {engine.frozen_part()} {kept.note}", kept
    if keep_logits:
        trim()  # of the layers' pass
        filled = []
        for name, windows in splits.items():
            filled.append(open_cache(engine.logits_plan(windows), engine.frozen_logits, None))
            yield f"{name}: the frozen projection's logits {filled[-1].note}", filled[-1]
        engine.use_logits(filled)


def logits_fit(
    engine: LossEngine,
    splits: Mapping[str, Sequence[Window]],
    settings: TrainConfig,
    team: Alone,
    epochs: float,
    spare: float,
) -> bool:
    """Whether the frozen projection's logits can be kept, and it pays.

    They are tens to hundreds of times as large as the hidden states that they are computed from.

    Args:
        epochs: how often the examples are read.
        spare: bytes that memory has left.
    """
    # To hand them round would cost several processes more than to compute them.
    if team.size > 1 or epochs < KEEP_LOGITS_EPOCHS:
        return False
    logits = [engine.logits_plan(windows) for windows in splits.values()]
    if None in logits:
        return False
    hidden = [engine.cache_plan(windows) for windows in splits.values()]
    return fit([*hidden, *logits], settings.cache_budget) and fit(logits, spare / 1e6)
