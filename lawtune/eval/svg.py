"""What the report's charts are drawn with: inline SVG; no script, font or picture from elsewhere.

Colours are Okabe and Ito's, which the colour-blind can tell apart; shape and dashes say the same
again, for print.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#57606A"
COLOURS = {"better": BLUE, "worse": VERMILLION}
"""By judgement; grey for every other."""

Point = tuple[float, float]


def svg(parts: Sequence[str], width: float, height: float, title: str) -> Markup:
    """The picture; `title` is read out in its place."""
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """Words at a place; `kind` is their style's name in the page (small, strong)."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def label(x: float, y: float, words: str, note: str = "") -> str:
    """A row's name, with a small note after it."""
    noted = f'<tspan dx="8" class="small">{escape(note)}</tspan>' if note else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="strong">{escape(words)}{noted}</text>'


def line(start: Point, end: Point, kind: str) -> str:
    """A straight line; `kind` is its style's name in the page (grid, axis, zero)."""
    (x1, y1), (x2, y2) = start, end
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def path(points: Sequence[Point], colour: str, dash: str = "") -> str:
    """A line through points."""
    joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{joined}" stroke="{colour}" stroke-width="2" fill="none"{dashes}/>'


def disc(at: Point, colour: str, filled: bool = True, radius: float = 5) -> str:
    """A round mark."""
    (x, y), fill = at, colour if filled else "#fff"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="{colour}"'
        ' stroke-width="2"/>'
    )


def square(at: Point, colour: str, filled: bool = True, radius: float = 5) -> str:
    """A square mark."""
    (x, y), fill = at, colour if filled else "#fff"
    return (
        f'<rect x="{x - radius:.1f}" y="{y - radius:.1f}" width="{2 * radius:g}"'
        f' height="{2 * radius:g}" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
    )


def whisker(low: float, high: float, y: float, colour: str) -> str:
    """A lying interval with its two ends."""
    low, high = sorted((low, high))
    return (
        f'<path d="M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8"'
        f' stroke="{colour}" stroke-width="2" fill="none"/>'
    )


def standing_whisker(x: float, low: float, high: float, colour: str) -> str:
    """A standing interval with its two ends."""
    return (
        f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"'
        f' stroke="{colour}" stroke-width="1.5" fill="none"/>'
    )


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


def signed(value: float) -> str:
    """A number with its sign, minus as it is printed; 0 without."""
    return f"{value:+g}".replace("-", "−") if value else "0"
