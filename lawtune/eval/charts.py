"""The report's charts: both models with their intervals, differences, calibration, the training
curve."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from rich.cells import cell_len, set_cell_size

from lawtune.eval.svg import (
    BLUE,
    COLOURS,
    GREY,
    VERMILLION,
    Point,
    disc,
    label,
    line,
    path,
    signed,
    square,
    standing_whisker,
    svg,
    text,
    ticks,
    whisker,
)

SERIES = {"loss": (BLUE, ""), "validation_loss": (VERMILLION, "7 4")}

WIDTH = 430
"""Of the charts that stand two abreast, and one above the other on a phone."""

CURVE_WIDTH = 600
MARGIN = 14
LABEL_CELLS = 34
"""Terminal cells of a row's label that fit beside its figures; a Hangul syllable takes two."""

ROW_HEIGHT = 72
"""Of a row with a scale of its own; rows of two charts abreast stand level."""

SHARED_ROW_HEIGHT = 42
MAX_POINTS = 1000
"""Points drawn of a curve; a longer one is thinned evenly."""
MARKED_POINTS = 40

Entry = Mapping[str, Any]
"""A metric's entry in the report."""


@dataclass(frozen=True)
class ForestRow:
    """A difference with its interval. `flip` where lower is better: right always means better; a
    row whose judgement is neutral has no better side, and only its figures are told. `unit` is the
    last decimal that is shown: the scale is no finer."""

    label: str
    delta: float
    bounds: Sequence[float] | None
    text: str
    judgement: str
    flip: bool
    unit: float = 0.0


@dataclass(frozen=True)
class PairRow:
    """A metric of both models, or of one alone. `text` are the figures in words, `note` which way
    is better; `span` is the metric's range, and `unit` the last decimal that is shown."""

    label: str
    note: str
    entry: Entry
    text: str
    span: tuple[float | None, float | None] = (None, None)
    unit: float = 0.0


def pairs(rows: Sequence[PairRow], names: Sequence[str], title: str) -> Markup:
    """Both models' figures with their intervals, a scale a row: the base a hollow square, the tuned
    model a disc.

    Args:
        names: what the marks stand for: base and tuned, or the one model.
    """
    parts = _pair_legend(MARGIN, names)
    for place, row in enumerate(rows):
        y = 24.0 + ROW_HEIGHT * place
        scale = _Scale(*_reach(row), MARGIN, WIDTH - MARGIN)
        parts += [
            label(MARGIN, y + 14, _shortened(row.label), row.note),
            text(WIDTH - MARGIN, y + 14, row.text, "end"),
            *_axis([(scale(tick), f"{tick:g}".replace("-", "−")) for tick in scale.ticks], y + 49),
            *_pair_marks(row.entry, scale, y),
        ]
    return svg(parts, WIDTH, 24 + ROW_HEIGHT * len(rows), title)


def forest(
    rows: Sequence[ForestRow], title: str, sides: tuple[str, str], shared_scale: bool
) -> Markup:
    """Differences around a common zero line, each with its interval and its numbers in words.

    Args:
        sides: what stands left and right of zero.
        shared_scale: one scale for all rows, for figures of one unit; else each row has its own.
    """
    middle, half = WIDTH / 2, WIDTH / 2 - MARGIN
    height = SHARED_ROW_HEIGHT if shared_scale else ROW_HEIGHT
    foot = 24 + height * len(rows)
    reaches = [max(map(abs, (row.delta, *(row.bounds or ()), row.unit))) or 1 for row in rows]
    parts = [
        line((middle, 20), (middle, foot), "zero"),
        text(middle - 8, 12, sides[0], "end"),
        text(middle + 8, 12, sides[1]),
    ]
    for place, row in enumerate(rows):
        reach = max(reaches) if shared_scale else reaches[place]
        scale = (-1 if row.flip else 1) * 0.96 * half / reach
        y = 24.0 + height * place
        parts += [
            label(MARGIN, y + 14, _shortened(row.label)),
            text(WIDTH - MARGIN, y + 14, row.text, "end"),
        ]
        if row.judgement == "neutral":
            continue
        parts += _forest_marks(row, middle, scale, y + (28 if shared_scale else 34))
        if not shared_scale:
            parts += _axis(_around_zero(reach, middle, scale), y + 49)
    if shared_scale:
        parts += _axis(_around_zero(max(reaches), middle, scale), foot)
    return svg(parts, WIDTH, foot + (22 if shared_scale else 0), title)


def reliability(
    account: Mapping[str, Any], names: Sequence[str], words: Mapping[str, Any]
) -> Markup:
    """How often choices taken with a probability are right, against that probability; the diagonal
    is where they should lie.

    Args:
        account: the report's `calibration`.
        names: what base and tuned are called, or the one model.
    """
    left, right, top, bottom = 64.0, 424.0, 34.0, 394.0

    def place(probability: float, share: float) -> Point:
        return left + probability * (right - left), bottom - share * (bottom - top)

    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        (x, foot), (start, y) = place(tick, 0), place(0, tick)
        parts += [line((start, y), (right, y), "grid"), line((x, foot), (x, top), "grid")]
        parts += [text(x, foot + 18, f"{tick:g}", "middle")]
        parts += [text(start - 8, y + 4, f"{tick:g}", "end")]
    parts += [
        line(place(0, 0), place(1, 1), "zero"),
        line(place(0, 0), place(1, 0), "axis"),
        line(place(0, 0), place(0, 1), "axis"),
        text((left + right) / 2, bottom + 40, words["reliability_x"], "middle"),
        text(left - 40, top - 16, words["reliability_y"]),
        *_pair_legend(left, names, bottom + 68),
    ]
    for point in account["base_bins"] or ():
        parts += _reliability_mark(point, place, GREY, square(place(*_middle(point)), GREY, False))
    for point in account["bins"]:
        parts += _reliability_mark(point, place, BLUE, disc(place(*_middle(point)), BLUE))
    return svg(parts, 440, bottom + 80, words["calibration_heading"])


def curve(rows: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> Markup | None:
    """Training and validation loss against the step; None without two points to join.

    Args:
        rows: with `step` and, each where known, `loss` and `validation_loss`.
    """
    series = {key: points for key in SERIES if (points := _points(rows, key))}
    every = [point for points in series.values() for point in points]
    if len(every) < 2:
        return None
    x_ticks = ticks(min(x for x, _ in every), max(x for x, _ in every))
    y_ticks = ticks(min(y for _, y in every), max(y for _, y in every))
    height, left, right, top, bottom = 330, 60, CURVE_WIDTH - 20, 36, 274

    def place(point: Point) -> Point:
        x = (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + x * (right - left), bottom - y * (bottom - top)

    parts = []
    for tick in y_ticks:
        y = place((x_ticks[0], tick))[1]
        parts += [line((left, y), (right, y), "grid"), text(left - 8, y + 4, f"{tick:g}", "end")]
    for tick in x_ticks:
        x = place((tick, y_ticks[0]))[0]
        parts += [line((x, bottom), (x, bottom + 5), "axis")]
        parts += [text(x, bottom + 20, f"{tick:g}", "middle")]
    parts += [
        line((left, bottom), (right, bottom), "axis"),
        text((left + right) / 2, bottom + 44, words["curve_x"], "middle"),
        text(left, 16, words["curve_y"]),
        *_curve_legend(right, list(series), words),
    ]
    for key, points in series.items():
        drawn = [place(point) for point in points]
        parts.append(path(drawn, *SERIES[key]))
        # Few points are marked: a lone one is seen, and evaluations can be counted.
        if len(drawn) <= MARKED_POINTS:
            parts += [disc(point, SERIES[key][0], filled=False, radius=4) for point in drawn]
    return svg(parts, CURVE_WIDTH, height, words["curve_heading"])


class _Scale:
    """A figure's place on a row's own axis, whose ticks enclose all that is drawn."""

    def __init__(self, low: float, high: float, left: float, right: float):
        self.ticks = ticks(low, high, count=3)
        self.left, self.right = left, right

    def __call__(self, value: float) -> float:
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self.left + share * (self.right - self.left)


def _reach(row: PairRow) -> tuple[float, float]:
    """What a row's axis must hold: its figures, or, where they are all as good as one, the
    metric's range."""
    entry = row.entry
    bounds = (*(entry["ci95"] or ()), *(entry.get("base_ci95") or ()))
    known = [figure for figure in (entry["value"], entry["base"], *bounds) if figure is not None]
    low, high = min(known), max(known)
    if high - low > row.unit:
        return low, high
    ends = row.span
    return (low if ends[0] is None else ends[0]), ((2 * high or 1) if ends[1] is None else ends[1])


def _pair_marks(entry: Entry, scale: _Scale, y: float) -> list[str]:
    parts = []
    if entry["base"] is not None:
        if bounds := entry.get("base_ci95"):
            parts.append(whisker(scale(bounds[0]), scale(bounds[1]), y + 28, GREY))
        parts.append(square((scale(entry["base"]), y + 28), GREY, filled=False))
    if bounds := entry["ci95"]:
        parts.append(whisker(scale(bounds[0]), scale(bounds[1]), y + 40, BLUE))
    return [*parts, disc((scale(entry["value"]), y + 40), BLUE)]


def _shortened(words: str) -> str:
    """A label no wider than there is room for."""
    if cell_len(words) <= LABEL_CELLS:
        return words
    return set_cell_size(words, LABEL_CELLS - 1).rstrip() + "…"


def _axis(marked: Sequence[tuple[float, str]], y: float) -> list[str]:
    """A scale from its first tick to its last: (place, words) of each."""
    ends = [x for x, _ in marked]
    parts = [line((min(ends), y), (max(ends), y), "axis")]
    for x, words in marked:
        # What stands at the edge stays inside the picture.
        anchor = "start" if x < 2 * MARGIN else "end" if x > WIDTH - 2 * MARGIN else "middle"
        parts.append(line((x, y), (x, y + 4), "axis"))
        parts.append(text(x, y + 15, words, anchor, "small"))
    return parts


def _around_zero(reach: float, middle: float, scale: float) -> list[tuple[float, str]]:
    """The ticks of a difference's scale, in the figure's own sign."""
    for count in (4, 6, 10):
        inside = [tick for tick in ticks(-reach, reach, count) if abs(tick) <= reach]
        if len(inside) >= 3:
            break
    return [(middle + scale * tick, signed(tick)) for tick in inside]


def _pair_legend(left: float, names: Sequence[str], y: float = 14) -> list[str]:
    parts = []
    if len(names) == 2:
        parts += [square((left + 6, y - 4), GREY, filled=False), text(left + 18, y, names[0])]
        left += 130
    return [*parts, disc((left + 6, y - 4), BLUE), text(left + 18, y, names[-1])]


def _middle(point: Mapping[str, Any]) -> Point:
    return point["probability"], point["right"]


def _reliability_mark(
    point: Mapping[str, Any], place: Callable[[float, float], Point], colour: str, mark: str
) -> list[str]:
    low, high = (place(point["probability"], bound) for bound in point["ci95"])
    return [standing_whisker(low[0], low[1], high[1], colour), mark]


def _forest_marks(row: ForestRow, middle: float, scale: float, y: float) -> list[str]:
    colour = COLOURS.get(row.judgement, GREY)
    at = middle + scale * row.delta, y
    parts = []
    if row.bounds:
        parts.append(whisker(*(middle + scale * bound for bound in row.bounds), y, colour))
    # Filled disc: better; filled square: worse; hollow disc: not shown.
    if row.judgement == "worse":
        return [*parts, square(at, colour)]
    return [*parts, disc(at, colour, filled=row.judgement == "better")]


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    found = [
        (float(row["step"]), float(row[key]))
        for row in rows
        if row.get("step") is not None and row.get(key) is not None and math.isfinite(row[key])
    ]
    stride = math.ceil(len(found) / MAX_POINTS) or 1
    thinned = found[::stride]
    return thinned if not found or thinned[-1] == found[-1] else [*thinned, found[-1]]


def _curve_legend(right: float, keys: Sequence[str], words: Mapping[str, Any]) -> list[str]:
    parts = []
    for place, key in enumerate(keys):
        x = right - 155 * (len(keys) - place)
        parts += [path([(x, 12), (x + 28, 12)], *SERIES[key])]
        parts += [text(x + 36, 16, words[f"curve_{key}"])]
    return parts
