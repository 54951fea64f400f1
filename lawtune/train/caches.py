"""What of a run's examples is computed once: the frozen layers' output and, where there is room,
the frozen projection's share of the logits."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from lawtune.config import TrainConfig
from lawtune.data.encode import Window
from lawtune.train.distributed import Alone
from lawtune.train.loss import LossEngine
from lawtune.train.prefix_cache import PrefixCache, choose_folder, fit, open_cache

KEEP_LOGITS_EPOCHS = 3
"""From how many epochs on logits are kept: with fewer, writing them to fresh memory costs more than
the products that are spared."""


def fill_caches(
    engine: LossEngine,
    splits: Mapping[str, Sequence[Window]],
    settings: TrainConfig,
    spill: Path,
    team: Alone | None = None,
) -> Iterator[tuple[str, PrefixCache]]:
    """Let `engine` use a cache for each of the splits and each thing that it can keep of them.

    Logits are hundreds of times as large as what they are computed from. They are kept only where
    they fit in `settings.cache_budget` along with all else, and are read again often enough: in
    `KEEP_LOGITS_EPOCHS`, or in other runs.

    Args:
        splits: examples, by what the user calls them.
        spill: where the caches go if there is no `settings.cache_dir` and memory has no room.

    Yields:
        (what is kept, in words; the cache), each when it is filled.
    """
    team = team or Alone()
    plans = [plan for windows in splits.values() if (plan := engine.cache_plan(windows))]
    logits = [plan for windows in splits.values() if (plan := engine.logits_plan(windows))]
    # Each process on a machine would hold all of it in memory; the disk's pages they share.
    budget = settings.cache_budget / team.on_this_machine
    are_read_again = settings.epochs >= KEEP_LOGITS_EPOCHS or settings.cache_dir is not None
    logits = logits if are_read_again and fit([*plans, *logits], budget) else []
    folder = choose_folder(plans, settings.cache_dir, budget, spill)
    layers, projection = f"output of the frozen {engine.frozen_part()}", "the frozen logits"
    wanted = [(plan, engine.lower, engine.use, layers) for plan in plans]
    wanted += [(plan, engine.frozen_logits, engine.use_logits, projection) for plan in logits]
    for (plan, compute, use, what), split in zip(wanted, cycle(splits), strict=False):
        kept = open_cache(plan, compute, folder, team)
        use(kept)
        yield f"{split}: {what} {kept.note}", kept
