from base64 import b64decode

import numpy as np
import pytest

from depthmix.report.cloud import cloud_of, find_cloud, still
from depthmix.report.collect import collect
from depthmix.sample import LabelKind
from tests.plot.scenes import corner


def points(cloud):
    kind = np.dtype([("place", "<u2", 3), ("colour", "u1", 3), ("group", "u1")])
    found = np.frombuffer(b64decode(cloud.points), kind)
    span = np.array(cloud.high) - cloud.low
    return found["place"] / 65535 * span + cloud.low, found["group"]


def test_points_are_those_of_label_and_prediction():
    sample = corner(LabelKind.METRIC_DEPTH)
    cloud = cloud_of(sample, sample.target * 0.5)
    place, group = points(cloud)
    camera = sample.intrinsics
    for number, factor in enumerate((1.0, 0.5)):
        own = place[group == number]
        columns = own[:, 0] / own[:, 2] * camera.fx + camera.cx
        rows = own[:, 1] / own[:, 2] * camera.fy + camera.cy
        at = np.rint(rows).astype(int), np.rint(columns).astype(int)
        np.testing.assert_allclose(own[:, 2], factor * sample.target[at], rtol=0.02, atol=0.01)
    assert cloud.groups == ["label", "prediction"]
    assert "label and prediction" in cloud.alt


def test_pixels_without_a_label_and_sky_are_no_points():
    sample = corner(LabelKind.METRIC_DEPTH)
    _, group = points(cloud_of(sample, sample.target))
    farthest = 1.5 * np.quantile(sample.target[sample.valid], 0.98)
    assert (group == 0).sum() == (sample.valid & (sample.target < farthest)).sum()
    assert (group == 1).sum() <= (~sample.sky).sum()


def test_what_is_near_hides_what_is_far_in_the_still_picture():
    places = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 1.0]])
    # Both lie on the line of sight: the view turns about the middle and is not tilted enough to part them.
    colours = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    near_last, near_first = (
        still(places[order], colours[order], np.array([0.0, 0.0, 3.0]), 100.0) for order in ([0, 1], [1, 0])
    )
    np.testing.assert_array_equal(near_last, near_first)


def test_a_run_shows_a_dense_evaluation_set_and_one_without_depth_shows_nothing(run, data_root):
    facts = collect(run, data_root)
    found = find_cloud(facts)
    assert "stereo/" in found.title
    assert found.groups == ["label", "prediction"]
    facts.sets = [one for one in facts.sets if one.name in ("web", "planes")]
    assert find_cloud(facts) is None


@pytest.mark.parametrize("name", ["label", "prediction"])
def test_a_cloud_without_a_network_is_of_the_label_alone(name):
    cloud = cloud_of(corner(LabelKind.METRIC_DEPTH))
    assert (name in cloud.groups) == (name == "label")
