"""Answers as the page shows them: where they agree with the gold answer, and what each of their
citations is worth."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

SHOWN = 1000
"""Characters of a text that are shown; the rest is counted."""

FEWEST_LETTERS = 4
"""Of a passage that two answers share: shorter ones (할 수, 또는) are everywhere."""

SIGNS = {"verified": "✓", "absent": "✗", "mismatch": "≠", "unchecked": "?"}
"""What marks a citation's status beside its colour."""

WORST_FIRST = ("absent", "mismatch", "unchecked", "verified")
"""Of the statuses of a range's articles, which all have its span, the worst is shown."""

JOINER = "\u2060"
"""Keeps a sign on the line of what it marks."""

_WORD = re.compile(r"\S+")
_NOT_LETTERS = re.compile(r"[\W_]+")

Span = tuple[int, int]


def shared(first: str, second: str) -> tuple[list[Span], list[Span]]:
    """Where two texts have the same words in the same order: the passages of either, as (start,
    end), in what is shown of them. Punctuation makes no difference."""
    words = [list(_WORD.finditer(text[:SHOWN])) for text in (first, second)]
    letters = [[_NOT_LETTERS.sub("", word[0]) for word in side] for side in words]
    matcher = difflib.SequenceMatcher(None, *letters, autojunk=False)
    spans: tuple[list[Span], list[Span]] = ([], [])
    for block in matcher.get_matching_blocks():
        same = "".join(letters[0][block.a : block.a + block.size])
        if len(same) < FEWEST_LETTERS:
            continue
        for side, start in enumerate((block.a, block.b)):
            last = words[side][start + block.size - 1]
            spans[side].append((words[side][start].start(), last.end()))
    return spans


def marked(
    text: str,
    spans: Sequence[Span],
    citations: Sequence[Mapping[str, Any]],
    words: Mapping[str, Any],
) -> Markup:
    """A text with the passages at `spans` and its citations marked, everything else escaped.

    Args:
        citations: with `start`, `end` and `status`, as `lawtune cite` gives them. One that begins
            within another, as an older version's evaluation may hold, is not marked.
    """
    end = min(len(text), SHOWN)
    cited = [one for one in citations if one["start"] < end]
    worst_last = sorted(cited, key=lambda one: -WORST_FIRST.index(one["status"]))
    starts = {one["start"]: one for one in worst_last}
    edges = {0, end, *(min(place, end) for span in spans for place in span)}
    edges |= {min(place, end) for one in cited for place in (one["start"], one["end"])}
    parts, closes = [], None
    ordered = sorted(edges)
    for start, stop in zip(ordered, ordered[1:], strict=False):
        if start in starts and closes is None:
            status, closes = starts[start]["status"], starts[start]["end"]
            told = escape(words["statuses"][status])
            parts.append(
                f'<cite class="{escape(status)}" title="{told}"><b role="img" aria-label="{told}">'
                f"{SIGNS.get(status, '')}</b>{JOINER}"
            )
        piece = escape(text[start:stop])
        same = any(low <= start and stop <= high for low, high in spans)
        parts.append(f'<span class="same">{piece}</span>' if same else str(piece))
        if closes is not None and stop >= min(closes, end):
            parts.append("</cite>")
            closes = None
    if len(text) > end:
        more = words["more_characters"].format(count=f"{len(text) - end:,}")
        parts.append(f'<span class="more">… {escape(more)}</span>')
    return Markup("".join(parts))


def answer_views(shown: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Markup]:
    """The texts of an exhibit, marked; the gold answer by what the model's has of it. An answer
    that is missing or empty is left out."""
    gold, views = shown["gold"], {"question": marked(shown["question"], [], [], words)}
    found = shown.get("citations") or {}
    for name in ("prediction", "base_prediction"):
        if text := shown.get(name):
            spans = shared(gold, text)
            views[name] = marked(text, spans[1], found.get(name, ()), words)
            if name == "prediction":
                views["gold"] = marked(gold, spans[0], found.get("gold", ()), words)
    views.setdefault("gold", marked(gold, [], found.get("gold", ()), words))
    return views
