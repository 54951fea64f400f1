import math
import re
from xml.etree import ElementTree

import pytest

from lawtune.eval.charts import ForestRow, curve, forest, ticks
from lawtune.eval.texts import LANGUAGES

WORDS = LANGUAGES["en"]


def row(delta, bounds, flip=False, label="a", judgement="none"):
    return ForestRow(label, delta, bounds, "text", judgement, flip)


def draw(rows, shared=False):
    return ElementTree.fromstring(forest(rows, "title", ("worse", "better"), shared))


def centres(drawing):
    return [float(circle.get("cx")) for circle in drawing.findall("circle")]


def test_right_means_better_whichever_way_the_figure_goes():
    falls, rises = centres(draw([row(-0.2, (-0.3, -0.1), flip=True), row(0.2, (0.1, 0.3))]))
    zero = float(draw([row(1, None)]).find("line").get("x1"))
    assert falls == rises > zero


def test_rows_have_their_own_scale_or_share_one():
    rows = [row(1.0, (0.5, 1.5)), row(10.0, (5.0, 15.0))]
    own, shared = centres(draw(rows)), centres(draw(rows, shared=True))
    zero = float(draw(rows).find("line").get("x1"))
    assert own[0] == own[1]
    assert (shared[1] - zero) / (shared[0] - zero) == pytest.approx(10, rel=0.05)


def test_the_scale_names_its_values_in_the_figures_own_sign():
    drawing = draw([row(-0.2, (-0.3, -0.1), flip=True)], shared=True)
    labels = {text.text: float(text.get("x")) for text in drawing.findall("text")}
    assert labels["−0.2"] > labels["0"] > labels["+0.2"]


def test_a_difference_of_nothing_and_one_without_interval_are_drawn():
    assert len(centres(draw([row(0.0, (0.0, 0.0)), row(0.5, None)]))) == 2
    assert len(draw([row(0.5, None, judgement="worse")]).findall("rect")) == 1


def test_labels_are_escaped():
    assert "<b>" not in forest([row(1, None, label="<b>")], "<i>", ("", ""), False)


def test_the_curve_lies_where_its_numbers_say():
    log = [{"step": 0, "loss": 4.0}, {"step": 100, "loss": 2.0}]
    drawing = ElementTree.fromstring(curve(log, WORDS))
    labels = [(t.text, float(t.get("x")), float(t.get("y"))) for t in drawing.findall("text")]
    path = [p.get("d") for p in drawing.findall("path")][-1]
    x0, y0, x1, y1 = map(float, re.findall(r"[\d.]+", path))
    place = {(text, "x" if y > 280 else "y"): (x, y) for text, x, y in labels}
    assert x0 == place["0", "x"][0]
    assert x1 == place["100", "x"][0]
    assert y0 == pytest.approx(place["4", "y"][1] - 4, abs=0.1)
    assert y1 == pytest.approx(place["2", "y"][1] - 4, abs=0.1)


def test_curve_skips_what_is_not_a_number_and_needs_two_points():
    assert curve([], WORDS) is None
    assert curve([{"step": 1, "loss": 2.0}], WORDS) is None
    assert curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": math.nan}], WORDS) is None
    assert curve([{"step": 1, "loss": None}, {"loss": 1.0}], WORDS) is None
    flat = [{"step": 1, "loss": 2.0, "validation_loss": 2.0}]
    ElementTree.fromstring(curve(flat, WORDS))


def test_a_long_curve_is_thinned_but_keeps_its_end():
    log = [{"step": step, "loss": 1 / step} for step in range(1, 5001)]
    path = ElementTree.fromstring(curve(log, WORDS)).findall("path")[-1].get("d")
    points = path.split("L")
    assert len(points) <= 1001
    ends = {log[0]["step"]: points[0], log[-1]["step"]: points[-1]}
    assert float(ends[5000].split()[0]) == pytest.approx(740, abs=0.1)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (2.31, 6.87), (0, 180), (-0.3, 0.3), (5, 5), (1e-4, 3e-4), (0, 1e6)]
)
def test_ticks_enclose_the_range_in_round_steps(low, high):
    found = ticks(low, high)
    assert found[0] <= low + 1e-9
    assert high <= found[-1] + 1e-9
    assert 3 <= len(found) <= 9
    steps = {
        round((b - a) / (found[1] - found[0]), 6) for a, b in zip(found, found[1:], strict=False)
    }
    assert steps == {1.0}
