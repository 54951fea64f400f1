import math
import re
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from lawtune.eval.charts import (
    CURVE_WIDTH,
    ForestRow,
    PairRow,
    curve,
    forest,
    pairs,
    reliability,
)
from lawtune.eval.svg import ticks
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
    assert float(ends[5000].split()[0]) == pytest.approx(CURVE_WIDTH - 20, abs=0.1)


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


def levels(entry, names=("base", "tuned")):
    return ElementTree.fromstring(pairs([PairRow("a", "note", entry, "text")], names, "title"))


def test_both_models_lie_on_one_scale_with_their_intervals():
    entry = {"value": 3.0, "ci95": [2.0, 4.0], "base": 1.0, "base_ci95": [0.0, 2.0]}
    drawing = levels(entry)
    base = float(drawing.findall("rect")[-1].get("x")) + 5
    tuned = float(drawing.findall("circle")[-1].get("cx"))
    ends = [re.findall(r"[\d.]+", path.get("d")) for path in drawing.findall("path")]
    (low, high), (start, stop) = [(float(end[0]), float(end[2])) for end in ends]
    assert low < base < high == start < tuned < stop
    assert (stop - tuned) == pytest.approx(tuned - start) == pytest.approx(base - low)


def test_a_model_alone_has_no_square_and_needs_no_interval():
    entry = {"value": 0.0, "ci95": None, "base": None, "base_ci95": None}
    drawing = levels(entry, ["model"])
    assert not drawing.findall("rect")
    assert len(drawing.findall("circle")) == 2  # the legend's and its own


def test_a_difference_without_a_better_side_is_only_told():
    drawing = draw([row(-0.2, (-0.3, -0.1), judgement="neutral"), row(0.1, (0, 0.2))])
    assert len(drawing.findall("circle")) == 1
    assert sum(text.text == "text" for text in drawing.findall("text")) == 2


def test_a_small_scale_has_ticks_beside_zero():
    for reach in (0.047, 0.3, 1.0, 7e-4):
        labels = [text.text for text in draw([row(reach, None)]).findall("text")]
        assert sum(label[0] in "+−" for label in labels if label) >= 2


def test_a_long_label_is_cut_to_its_room():
    drawing = draw([row(1, None, label="정보통신망 이용촉진 및 정보보호 등에 관한 법률 시행령")])
    label = next(text.text for text in drawing.findall("text") if text.text[0] == "정")
    assert label.endswith("…") and cell_len(label) <= 34


def test_reliability_lies_where_its_numbers_say():
    points = [{"n": 9, "probability": 0.4, "right": 0.2, "ci95": [0.1, 0.3]}]
    account = {"bins": points, "base_bins": [points[0] | {"probability": 1.0, "right": 1.0}]}
    drawing = ElementTree.fromstring(reliability(account, ["base", "tuned"], WORDS))
    labels = [(t.text, float(t.get("x")), float(t.get("y"))) for t in drawing.findall("text")]
    across = {text: x for text, x, y in labels if text in ("0", "0.4") and y > 400}
    up = {text: y - 4 for text, x, y in labels if text in ("0", "0.2", "1") and x < 60}
    point = drawing.findall("circle")[-1]
    assert float(point.get("cx")) == pytest.approx(across["0.4"])
    assert float(point.get("cy")) == pytest.approx(up["0.2"])
    square = drawing.findall("rect")[-1]
    assert float(square.get("y")) + 5 == pytest.approx(up["1"])
    assert WORDS["reliability_x"] in {text for text, _, _ in labels}
    alone = account | {"base_bins": None}
    assert not ElementTree.fromstring(reliability(alone, ["model"], WORDS)).findall("rect")


def test_figures_as_good_as_one_lie_on_the_metrics_whole_range():
    entry = {"value": 1e-9, "ci95": [0.0, 2e-9], "base": None, "base_ci95": None}
    row = PairRow("a", "", entry, "0.000", span=(0, 1), unit=0.001)
    labels = [
        text.text for text in ElementTree.fromstring(pairs([row], ["m"], "t")).findall("text")
    ]
    assert {"0", "0.5", "1"} <= set(labels)
    open_ended = PairRow("a", "", entry | {"value": 16.0, "ci95": None}, "", span=(0, None))
    drawing = ElementTree.fromstring(pairs([open_ended], ["m"], "t"))
    assert not any((text.text or "").startswith("−") for text in drawing.findall("text"))
    # Nor is a difference drawn on a finer scale than its figures are told.
    moved = ForestRow("a", 1e-12, (0.0, 1e-12), "0.000", "none", False, unit=0.001)
    labels = [text.text for text in draw([moved]).findall("text")]
    assert "+0.001" in labels
