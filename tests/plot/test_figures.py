import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample
from depthmix.plot import (
    points_of,
    sample_panels,
    sample_title,
    show_cloud,
    show_points,
    show_sample,
    show_strip,
    strip_panels,
)
from depthmix.plot.figures import format_number
from depthmix.plot.pairs import EQUAL, FARTHER, NEARER, draw_pairs
from depthmix.sample import Intrinsics, LabelKind
from tests.plot.scenes import CAMERA, HEIGHT, PAIRS, WIDTH, corner, corner_depth


def draw(figure):
    """Draw for real: missing glyphs and layouts that do not fit warn, and warnings are errors."""
    target = BytesIO()
    figure.savefig(target, format="png", dpi=40)
    assert target.getvalue().startswith(b"\x89PNG")


def words(figure) -> str:
    axes = [text for one in figure.axes for text in (one.get_title(), one.get_xlabel())]
    return " | ".join([figure.get_suptitle(), *axes])


def test_the_title_says_name_tier_kind_unit_and_share():
    title = sample_title(corner())
    assert title == "demo/corner: high quality, metric depth in m, 83.3% valid"
    assert sample_title(corner(LabelKind.NONE)).endswith("no depth, plane instances only")
    assert sample_title(corner(LabelKind.ORDINAL)).endswith("pairs of points, which is nearer")
    assert "scale and shift" in sample_title(corner(LabelKind.AFFINE_DISPARITY))


@pytest.mark.parametrize("kind", list(LabelKind))
def test_every_kind_of_label_can_be_shown(kind):
    sample = corner(kind, key=r"odd $ \key$ <b>_^")
    for figure in (show_sample(sample), show_strip(sample), show_strip(sample, corner_depth(), metric=True)):
        draw(figure)
    assert {panel.rgb.shape for panel in strip_panels(sample, corner_depth())} == {(HEIGHT, WIDTH, 3)}


def test_panels_appear_only_where_a_sample_can_bear_them():
    titles = [panel.title.split(":")[0] for panel in sample_panels(corner())]
    assert titles == ["image", "metric depth", "valid (green), unknown, sky (blue)", "2 planes", "normals"]
    assert [p.title for p in sample_panels(corner(LabelKind.NONE))] == ["image", "2 planes"]
    assert [p.title.split(":")[0] for p in sample_panels(corner(LabelKind.ORDINAL))] == [
        "image",
        "3 pairs",
        "2 planes",
    ]
    assert "normals" not in str(sample_panels(corner(LabelKind.AFFINE_DISPARITY)))


def test_a_strip_without_prediction_shows_the_planes_beside_the_label():
    assert [panel.title for panel in strip_panels(corner())] == ["image", "metric depth", "2 planes"]
    assert [panel.title for panel in strip_panels(corner(LabelKind.NONE))] == ["image", "2 planes"]
    assert len(strip_panels(corner(), corner_depth())) == 4


def test_the_unit_stands_at_the_colour_bar():
    assert "| m" in words(show_sample(corner()))
    assert "1/m up to scale and shift" in words(show_sample(corner(LabelKind.AFFINE_DISPARITY)))


def test_a_strip_says_whether_the_prediction_was_fitted():
    assert "as predicted" in words(show_strip(corner(), corner_depth(), metric=True))
    assert "scale and shift fitted" in words(show_strip(corner(), corner_depth(), metric=False))


def test_label_and_prediction_share_one_scale():
    _, label, prediction, _ = strip_panels(corner(), 3 * corner_depth(), metric=True)
    assert label.scale == prediction.scale


def test_the_nearer_point_of_a_pair_is_orange_and_the_farther_one_purple():
    shown = draw_pairs(np.zeros((HEIGHT, WIDTH, 3), np.uint8), PAIRS)
    assert tuple(shown[22, 3]) == tuple(shown[20, 25]) == NEARER
    assert tuple(shown[6, 5]) == FARTHER
    assert tuple(shown[5, 10]) == EQUAL


def test_a_strip_of_pairs_counts_those_whose_predicted_order_is_wrong():
    sample = corner(LabelKind.ORDINAL)
    for depth, wrong in ((corner_depth(), 0), (1 / corner_depth(), 2)):
        titles = [panel.title for panel in strip_panels(sample, depth)]
        assert titles[1:] == [
            "3 pairs: orange nearer, purple farther",
            "prediction, inverse depth",
            f"error: order wrong in {wrong} of 2 pairs",
        ]


def test_of_many_pairs_forty_are_drawn():
    many = np.tile(np.array([[0, 0, 0, 0, 1]], np.int32), (5000, 1))
    many[:, 2] = np.arange(5000) % WIDTH
    assert draw_pairs(np.zeros((HEIGHT, WIDTH, 3), np.uint8), many).any()


def test_a_sparse_label_is_thickened_for_display_and_says_so():
    valid = np.zeros((HEIGHT, WIDTH), bool)
    valid[10::6, ::4] = True
    label = sample_panels(corner(valid=valid, planes=np.zeros((HEIGHT, WIDTH), np.int32)))[1]
    assert "drawn 3 pixels wide" in label.title


def test_normals_of_the_corner_face_the_camera_and_up():
    normals = sample_panels(corner())[-1].rgb
    assert normals[6, 16].argmax() == 2
    assert normals[20, 16].argmax() == 1


def test_points_follow_the_pinhole_model():
    depth = np.full((3, 3), 2.0)
    assert points_of(depth, Intrinsics(4, 2, 1, 1))[0, 2].tolist() == [0.5, -1, 2]
    cloud = points_of(corner_depth(), CAMERA)
    assert cloud[20, :, 1] == pytest.approx(1.5, abs=1e-5)


def test_a_cloud_is_drawn_from_label_or_prediction():
    draw(show_cloud(corner()))
    draw(show_cloud(corner(LabelKind.NONE), corner_depth(), points=50))


def test_no_cloud_without_camera_or_from_inverse_depth_of_unknown_shift():
    with pytest.raises(BadSample, match="demo/corner: intrinsics: a point cloud needs the camera"):
        show_cloud(corner(intrinsics=None))
    with pytest.raises(
        BadSample, match="this label is inverse depth up to scale and shift; draw a prediction"
    ):
        show_cloud(corner(LabelKind.AFFINE_DISPARITY, intrinsics=CAMERA))


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (0.12345, "0.123"), (12345.6, "12346"), (-3.14159, "-3.14")]
)
def test_numbers_at_the_bar_are_short(value, text):
    assert format_number(value) == text


def test_drawing_keeps_no_state_and_needs_no_display():
    # In a process of its own: other tests import torchmetrics, and that imports pyplot.
    code = """
import sys, depthmix.plot
assert not {'matplotlib', 'torch'} & set(sys.modules)
from tests.plot.scenes import corner
depthmix.plot.show_sample(corner())
assert 'matplotlib.pyplot' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("width", [39 * 19, 640, 641])
def test_the_drawn_points_are_spread_over_all_columns(width):
    v, u = np.mgrid[:500, :width].astype(np.float32)
    cloud = np.stack([u, v, np.ones_like(u)], -1)
    figure = show_points(cloud, np.zeros((500, width, 3), np.uint8), np.ones((500, width), bool), "")
    columns = figure.axes[0].collections[0]._offsets3d[0]
    assert len(columns) <= 10_000
    assert len(np.unique(columns)) > 0.9 * width
