import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from depthmix.report.charts import POINTS, line_chart, run_charts
from depthmix.report.curves import Curve


def paths(chart) -> list[str]:
    root = ElementTree.fromstring(str(chart.svg))
    return [element.attrib["d"] for element in root.iter("path")]


def test_a_gap_stays_a_gap():
    [path] = paths(line_chart("x", {"a": Curve([0, 1, 2, 3, 4], [1.0, 2.0, None, 2.0, 1.0])}))
    assert path.count("M") == 2
    assert path.count("L") == 2


def shapes(chart, kind: str) -> list[dict[str, str]]:
    return [
        element.attrib | {"text": element.text}
        for element in ElementTree.fromstring(str(chart.svg)).iter(kind)
    ]


def test_a_lonely_value_is_a_dot_and_no_line():
    chart = line_chart("x", {"a": Curve([0, 1, 2, 3], [1.0, None, 2.0, 3.0])})
    (dot,) = shapes(chart, "circle")
    assert float(dot["cx"]) < 100
    assert len(paths(chart)) == 1


def test_curves_of_one_value_stand_in_the_middle_with_their_values_beside_them():
    chart = line_chart("x", {"a": Curve([60], [0.25]), "b": Curve([60], [0.2501]), "c": Curve([60], [0.5])})
    dots, texts = shapes(chart, "circle"), shapes(chart, "text")
    assert {dot["cx"] for dot in dots} == {"235.0"}
    assert {dot["class"] for dot in dots} == {"dot s0", "dot s1", "dot s2"}
    assert [text["text"] for text in texts if text["text"].startswith("step")] == ["step 60"]
    beside = [text for text in texts if text["text"] in ("0.25", "0.2501", "0.5") and float(text["x"]) > 235]
    assert [text["text"] for text in beside] == ["0.5", "0.25", "0.25"]
    heights = [float(text["y"]) for text in beside]
    assert min(low - high for high, low in pairwise(heights)) >= 11  # no number lies on another


def test_the_ends_of_the_axis_of_one_value_can_be_told_apart():
    texts = [text["text"] for text in shapes(line_chart("x", {"a": Curve([60], [0.8123])}), "text")]
    assert texts == ["0.8", "0.9", "step 60", "0.812"]


def test_dots_without_room_for_their_numbers_keep_them_in_the_legend():
    chart = line_chart("x", {str(i): Curve([60], [1.0]) for i in range(20)})
    assert len(shapes(chart, "circle")) == 20
    assert not [text for text in shapes(chart, "text") if float(text["x"]) > 235 and text["text"] == "1"]


def test_lines_differ_by_dashes_not_by_colour_alone():
    chart = line_chart("x", {name: Curve([0, 1], [1.0, 2.0]) for name in "abcdef"})
    assert len({dashes for _, dashes, _, _ in chart.legend}) == 6
    assert [name for _, _, name, _ in chart.legend] == list("abcdef")


def test_a_wide_span_gets_a_log_scale_and_says_so():
    assert line_chart("x", {"a": Curve([0, 1], [1.0, 100.0])}).title == "x, log scale"
    assert line_chart("x", {"a": Curve([0, 1], [-1.0, 100.0])}).title == "x"


def test_linear_axes_end_at_round_numbers():
    svg = str(line_chart("x", {"a": Curve([0, 1], [0.13, 0.84])}).svg)
    assert all(f">{tick}</text>" in svg for tick in ("0", "0.5", "1"))


def test_a_long_curve_is_averaged_down():
    [path] = paths(line_chart("x", {"a": Curve(list(range(5000)), [float(i % 2) for i in range(5000)])}))
    assert path.count("L") == POINTS - 1


def test_nothing_finite_leaves_a_sentence():
    assert "No finite value" in line_chart("x", {"a": Curve([0, 1], [None, None])}).svg


def test_hostile_names_are_escaped():
    chart = line_chart('t"><script>', {'n"><script>': Curve([0, 1], [1.0, 2.0])})
    assert "<script>" not in str(chart.svg)
    ElementTree.fromstring(str(chart.svg))


number = st.none() | st.floats(-1e30, 1e30)


@given(st.lists(number, min_size=1, max_size=9))
@example([0.0, 5e-324])  # a third of which is 0
def test_any_curve_can_be_drawn_inside_the_frame(values):
    chart = line_chart("x", {"a": Curve(list(range(len(values))), values)})
    assert "nan" not in str(chart.svg)
    if any(value is not None for value in values):
        ElementTree.fromstring(str(chart.svg))


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-30, 1e30])
def test_a_constant_can_be_drawn(value):
    assert paths(line_chart("x", {"a": Curve([0, 1], [value, value])}))


def test_terms_sources_gradients_and_validation_each_have_their_chart():
    curve = Curve([0, 1], [1.0, 2.0])
    names = [
        "train/loss",
        "train/terms/ssi",
        "train/sources/ssi/web",
        "train/gradients/ssi",
        "train/weights/ssi",
        "train/pulls/web",
        "val/a/b/abs_rel",
    ]
    charts = run_charts(dict.fromkeys(names, curve))
    assert [chart.title for chart in charts] == [
        "validation abs_rel",
        "total loss",
        "loss ssi",
        "gradient norm at the prediction",
        "weight of each term as the balance chose it",
        "share of the gradient by source",
    ]
    assert [entry[2] for entry in charts[2].legend] == ["all sources", "web"]
    assert charts[0].legend[0][2] == "a/b"


def test_many_curves_get_fewer_points_each():
    curve = Curve(list(range(400)), [float(step) for step in range(400)])
    few = run_charts({"train/loss": curve})
    many = run_charts({f"train/terms/{number}": curve for number in range(1000)})
    assert str(few[0].svg).count("L") == 159
    assert str(many[0].svg).count("L") == 49
