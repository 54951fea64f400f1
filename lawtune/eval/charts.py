"""The report's charts, as inline SVG: no script, no font or picture from elsewhere.

Colours are Okabe and Ito's, which the colour-blind can tell apart; shape and dashes say the same
again, for print.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

COLOURS = {"better": "#0072B2", "worse": "#D55E00", "none": "#666666", "unknown": "#666666"}
SERIES = {"loss": ("#0072B2", ""), "validation_loss": ("#D55E00", ' stroke-dasharray="7 4"')}

WIDTH = 760
LABEL_WIDTH, TEXT_WIDTH = 180, 230
ROW_HEIGHT = 30
MAX_POINTS = 1000
"""Points drawn of a curve; a longer one is thinned evenly."""
MARKED_POINTS = 40


@dataclass(frozen=True)
class ForestRow:
    """A difference with its interval. `flip` where lower is better: right always means better."""

    label: str
    delta: float
    bounds: Sequence[float] | None
    text: str
    judgement: str
    flip: bool


def forest(
    rows: Sequence[ForestRow], title: str, sides: tuple[str, str], shared_scale: bool
) -> Markup:
    """Differences around a common zero line, each with its interval and its numbers in words.

    Args:
        sides: what stands left and right of zero.
        shared_scale: one scale for all rows, for figures of one unit; else each row has its own.
    """
    left, right = LABEL_WIDTH + 10, WIDTH - TEXT_WIDTH - 10
    middle, half = (left + right) / 2, (right - left) / 2
    foot = 34 + ROW_HEIGHT * len(rows)
    reaches = [max(map(abs, (row.delta, *(row.bounds or ())))) or 1 for row in rows]
    parts = [
        _text(middle - 8, 16, sides[0], "end"),
        _text(middle + 8, 16, sides[1], "start"),
        f'<line class="zero" x1="{middle:g}" y1="24" x2="{middle:g}" y2="{foot}"/>',
    ]
    for place, row in enumerate(rows):
        reach = max(reaches) if shared_scale else reaches[place]
        scale = (-1 if row.flip else 1) * 0.94 * half / reach
        y = 34 + ROW_HEIGHT * place + ROW_HEIGHT / 2
        parts += [
            _text(LABEL_WIDTH, y + 5, row.label, "end"),
            _text(right + 14, y + 5, row.text, "start"),
            *_whisker(row, middle, scale, y),
        ]
    if shared_scale:
        parts += _scale(max(reaches), middle, scale, foot)
    return _svg(parts, foot + (30 if shared_scale else 4), title)


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
    height, left, right, top, bottom = 330, 70, WIDTH - 20, 36, 274

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + x * (right - left), bottom - y * (bottom - top)

    parts = []
    for tick in y_ticks:
        y = place((x_ticks[0], tick))[1]
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, f"{tick:g}", "end"))
    for tick in x_ticks:
        x = place((tick, y_ticks[0]))[0]
        parts.append(
            f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}"/>'
        )
        parts.append(_text(x, bottom + 20, f"{tick:g}", "middle"))
    parts += [
        f'<line class="axis" x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}"/>',
        _text((left + right) / 2, bottom + 44, words["curve_x"], "middle"),
        _text(left, 16, words["curve_y"], "start"),
        *_legend(right, list(series), words),
    ]
    for key, points in series.items():
        drawn = [place(point) for point in points]
        parts.append(_path(drawn, *SERIES[key]))
        # Few points are marked: a lone one is seen, and evaluations can be counted.
        parts += _marks(drawn, SERIES[key][0]) if len(drawn) <= MARKED_POINTS else []
    return _svg(parts, height, words["curve_heading"])


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) that enclose low…high."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded, so that 3 × 0.1 is shown as 0.3.
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def _scale(reach: float, middle: float, scale: float, y: float) -> list[str]:
    ends = middle - abs(scale) * reach, middle + abs(scale) * reach
    parts = [f'<line class="axis" x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}"/>']
    for tick in ticks(-reach, reach, count=4):
        if abs(tick) <= reach:
            x = middle + scale * tick
            parts.append(f'<line class="axis" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 5}"/>')
            shown = f"{tick:+g}".replace("-", "−") if tick else "0"
            parts.append(_text(x, y + 20, shown, "middle"))
    return parts


def _whisker(row: ForestRow, middle: float, scale: float, y: float) -> list[str]:
    colour = COLOURS.get(row.judgement, COLOURS["none"])
    x = middle + scale * row.delta
    parts = []
    if row.bounds:
        low, high = sorted(middle + scale * bound for bound in row.bounds)
        parts.append(
            f'<path d="M{low:.1f} {y:g}H{high:.1f}M{low:.1f} {y - 5:g}v10M{high:.1f} {y - 5:g}v10"'
            f' stroke="{colour}" stroke-width="2" fill="none"/>'
        )
    # Filled disc: better; filled square: worse; hollow disc: not shown.
    if row.judgement == "worse":
        shape = f'<rect x="{x - 5:.1f}" y="{y - 5:g}" width="10" height="10" fill="{colour}"/>'
    else:
        fill = colour if row.judgement == "better" else "#fff"
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:g}" r="5" fill="{fill}" stroke="{colour}"'
            ' stroke-width="2"/>'
        )
    return [*parts, shape]


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    found = [
        (float(row["step"]), float(row[key]))
        for row in rows
        if row.get("step") is not None and row.get(key) is not None and math.isfinite(row[key])
    ]
    stride = math.ceil(len(found) / MAX_POINTS) or 1
    thinned = found[::stride]
    return thinned if not found or thinned[-1] == found[-1] else [*thinned, found[-1]]


def _path(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"{dash}/>'


def _marks(points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    return [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#fff" stroke="{colour}" stroke-width="2"/>'
        for x, y in points
    ]


def _legend(right: float, keys: Sequence[str], words: Mapping[str, Any]) -> list[str]:
    parts = []
    for place, key in enumerate(keys):
        x = right - 155 * (len(keys) - place)
        colour, dash = SERIES[key]
        parts.append(_path([(x, 12), (x + 28, 12)], colour, dash))
        parts.append(_text(x + 36, 16, words[f"curve_{key}"], "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float, title: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
