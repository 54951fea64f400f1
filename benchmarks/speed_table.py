"""The tables of `train_speed.py`, from its results alone."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from contenders import ALPHA, RANK, RECIPES, SHAPES
from page import table

from lawtune.train.caches import KEEP_LOGITS_EPOCHS

Row = dict[str, Any]


def render(rows: Sequence[Row]) -> str:
    """All tables, in Markdown."""
    if not any(row["stage"] == "run" and row["recipe"] for row in rows):
        return "Nothing measured yet."
    figures = Figures(rows)
    parts = [head(figures), goals(figures), full(figures), trials(rows)]
    return "\n\n".join(part for part in parts if part)


class Figures:
    """Medians over the runs, by recipe and contender ("trainer" and "trl" stand for their best)."""

    def __init__(self, rows: Sequence[Row]):
        self.runs: dict[tuple[str, str], list[Row]] = {}
        self.refused: dict[tuple[str, str], str] = {}
        self.peaks: list[Row] = []
        for row in rows:
            name = row["contender"]
            start, _, size = name.rpartition("-")
            family = start if size.isdigit() else name
            if row["contender"] == "peak":
                self.peaks.append(row["gflops"])
            elif "refused" in row:
                self.refused[row["recipe"], family] = row["refused"]
            elif row["stage"] == "run":
                self.runs.setdefault((row["recipe"], family), []).append(row)

    def median(self, recipe: str, family: str, value: Callable[[Row], float]) -> float | None:
        rows = self.runs.get((recipe, family))
        if not rows:
            return None
        try:
            return statistics.median(value(row) for row in rows)
        except statistics.StatisticsError:
            return None

    def keeps_logits(self, recipe: str, family: str) -> bool:
        """Whether later epochs take no product with the projection: a share of the peak would say
        nothing, and a training of few epochs would not be a part of this one."""
        return any(row.get("keeps_logits") for row in self.runs.get((recipe, family), ()))

    def seconds(self, recipe: str, family: str, epochs: int) -> float | None:
        """Cache and the first `epochs`."""
        rows = self.runs.get((recipe, family))
        if not rows or min(row["epochs"] for row in rows) < epochs:
            return None
        if self.keeps_logits(recipe, family) and epochs < KEEP_LOGITS_EPOCHS:
            return None
        return self.median(
            recipe, family, lambda row: row["cache_seconds"] + sum(row["epoch_seconds"][:epochs])
        )

    def later(self, recipe: str, family: str) -> float | None:
        """An epoch after the first."""
        return self.median(recipe, family, lambda row: statistics.median(row["epoch_seconds"][1:]))

    def time(self, recipe: str, family: str, epochs: int | str) -> float | None:
        """`seconds` of so many epochs, or that of a `later` one."""
        if epochs == "later":
            return self.later(recipe, family)
        return self.seconds(recipe, family, epochs)

    def memory(self, recipe: str, family: str) -> float | None:
        return self.median(recipe, family, lambda row: row["peak_rss_mb"])

    def share(self, recipe: str, family: str) -> float | None:
        """Of the peak of products of matrices, that of a later epoch's needed products."""
        if not self.peaks or self.keeps_logits(recipe, family):
            return None

        def value(row: Row) -> float:
            peak = max(found[row["computed_in"]] for found in self.peaks)
            needed = needed_gflop(row["recipe"], row["shape"], row["lengths"])
            return needed / statistics.median(row["epoch_seconds"][1:]) / peak

        return self.median(recipe, family, value)


def needed_gflop(recipe: str, shape: str, lengths: Sequence[Sequence[int]]) -> float:
    """What the products of matrices cost that an epoch's result needs once the cache is filled, by
    GPT-2's shape: forwards, and backwards towards what trains."""
    sizes = SHAPES[shape]
    width, vocabulary, layers = sizes["n_embd"], sizes["vocab_size"], sizes["n_layer"]
    tokens = sum(question + targets for question, targets in lengths)
    targets = sum(answer for _, answer in lengths)
    # A token looks at itself and at those before it; forwards two products, backwards four.
    looks = sum((q + a) * (q + a + 1) / 2 for q, a in lengths)
    projection = 2 * targets * width * vocabulary
    if recipe == "lm_head":
        return (projection + targets * RANK * (6 * vocabulary + 4 * width)) / 1e9
    trained = RECIPES[recipe].get("layers_to_transform", range(layers))
    inputs_outputs = {"c_attn": (1, 3), "attn.c_proj": (1, 1), "c_fc": (1, 4), "mlp.c_proj": (4, 1)}
    adapted = RECIPES[recipe].get("target_modules", inputs_outputs)
    low_rank = sum(8 * RANK * width * sum(inputs_outputs[name]) for name in adapted)
    matrices = 2 * 12 * width**2
    forwards = len(trained) * (tokens * matrices + 4 * width * looks)
    # Of the last layer's feed-forward network nobody reads what it makes of the questions.
    unread, network = tokens - targets, [name for name in adapted if name in ("c_fc", "mlp.c_proj")]
    forwards -= unread * 2 * 8 * width**2
    spared = unread * sum(8 * RANK * width * sum(inputs_outputs[name]) for name in network)
    # Nothing trains below the lowest layer's first projection.
    backwards = forwards + len(trained) * 4 * width * looks - tokens * 2 * 3 * width**2
    adapters = tokens * len(trained) * low_rank - spared
    return (forwards + backwards + adapters + 2 * projection) / 1e9


def head(figures: Figures) -> str:
    one = next(iter(figures.runs.values()))[0]
    lengths = one["lengths"]
    counts = [len(group) for group in figures.runs.values()]
    fewest, most = min(counts), max(counts)
    runs = str(most) if fewest == most else f"{fewest} to {most}"
    question, answer = (statistics.mean(pair[i] for pair in lengths) for i in (0, 1))
    names = ("lawtune", "torch", "transformers", "peft", "trl", "python")
    versions = ", ".join(f"{name} {one[name]}" for name in names if one.get(name))
    text = (
        f"{one['cpu']}, {one['cores']} cores; {versions}. {len(lengths)} examples, on average"
        f" {question:.0f} + {answer:.0f} tokens; r {RANK}, alpha {ALPHA}; medians of {runs}"
        f" run{'s' if most > 1 else ''}."
    )
    if figures.peaks:
        bf16, fp32 = (max(peak[name] for peak in figures.peaks) for name in ("bf16", "fp32"))
        text += (
            f" Products of matrices peak at {bf16:,.0f} GFLOP/s in bf16, {fp32:,.0f} in float32."
        )
    return text


GOALS = (
    ("lm_head", 3, ("trainer-as-was",), 25.0, 0.8),
    ("lm_head", 3, ("trainer",), 5.0, 1.0),
    ("lm_head", "later", ("trainer",), 9.0, None),
    ("lm_head", 1, ("trainer",), 2.5, None),
    ("c_attn", 3, ("trainer", "trl"), 1.9, 1.0),
    ("last4", 3, ("trainer", "trl"), 2.5, 1.0),
)
"""(recipe, epochs, the peers of which the faster counts, times faster, share of its memory)."""

SHARES = (("lm_head", "lawtune-lean", 0.50), ("c_attn", "lawtune", 0.55))


def goals(figures: Figures) -> str:
    """Ratios to the peers, beside what was aimed at."""
    ratios = []
    for ours in ("lawtune", "lawtune-lean"):
        for recipe, epochs, peers, goal, memory_goal in GOALS:
            mine = figures.time(recipe, ours, epochs)
            times = {peer: found for peer in peers if (found := figures.time(recipe, peer, epochs))}
            if not times or not mine:
                continue
            rival = min(times, key=times.get)
            share = figures.memory(recipe, ours) / figures.memory(recipe, rival)
            cells = [recipe, "each after the first" if epochs == "later" else epochs, ours]
            cells += [contender(figures, recipe, rival), f"{times[rival] / mine:.2f}"]
            cells += [f"≥ {goal:g}", f"{share:.2f}", f"≤ {memory_goal:.1f}" if memory_goal else "—"]
            ratios.append(cells)
    shares = [
        (recipe, ours, f"{share:.0%}", f"≥ {goal:.0%}")
        for recipe, ours, goal in SHARES
        if (share := figures.share(recipe, ours))
    ]
    titles = ("recipe", "epochs", "contender", "against", "times faster", "goal")
    titles += ("share of its memory", "goal")
    of_peak = ("recipe", "contender", "share of the peak, later epochs", "goal")
    found = [table(names, rows) for names, rows in ((titles, ratios), (of_peak, shares)) if rows]
    return "\n\n".join(found)


def full(figures: Figures) -> str:
    titles = ("recipe", "contender", "cache, s", "1 epoch, s", "3 epochs, s", "5 epochs, s")
    titles += ("later epochs, s each", "peak MB", "target tokens/s", "share of peak")
    rows = []
    for recipe, family in figures.runs:
        cells = [recipe, contender(figures, recipe, family)]
        cells.append(number(figures.median(recipe, family, lambda row: row["cache_seconds"])))
        cells += [number(figures.seconds(recipe, family, epochs)) for epochs in (1, 3, 5)]
        cells.append(number(figures.later(recipe, family)))
        cells.append(number(figures.memory(recipe, family), 0))
        cells.append(number(figures.median(recipe, family, target_rate), 0))
        share = figures.share(recipe, family)
        cells.append("—" if share is None else f"{share:.0%}")
        rows.append(cells)
    parts = [table(titles, rows)]
    parts += [
        f"{family} refuses {recipe}: {why}" for (recipe, family), why in figures.refused.items()
    ]
    return "\n\n".join(parts)


def target_rate(row: Row) -> float:
    """Target tokens a second over the whole training, cache included."""
    targets = sum(pair[1] for pair in row["lengths"]) * row["epochs"]
    return targets / (row["cache_seconds"] + sum(row["epoch_seconds"]))


def trials(rows: Sequence[Row]) -> str:
    tried = [row for row in rows if row["stage"] == "trial" and "epoch_seconds" in row]
    if not tried:
        return ""
    cells = [
        (
            row["recipe"],
            row["contender"],
            f"{row['epoch_seconds'][0]:.2f}",
            f"{row['peak_rss_mb']:,.0f}",
        )
        for row in tried
    ]
    rendered = table(("recipe", "contender", "s", "peak MB"), cells)
    return f"Which micro-batch serves the peers best (one epoch):\n\n{rendered}"


def contender(figures: Figures, recipe: str, family: str) -> str:
    """With the micro-batch that was chosen."""
    return figures.runs[recipe, family][0]["contender"]


def number(value: float | None, digits: int = 2) -> str:
    return "—" if value is None else f"{value:,.{digits}f}"
