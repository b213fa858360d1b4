import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.exact import ExactScenes
from tests.data.exact.make import CAMERA, make
from tests.sources.contract import SourceContract


class TestExactScenes(SourceContract):
    any_bits = (".png",)

    def make(self, tmp_path):
        make(tmp_path / "exact")
        return ExactScenes(tmp_path / "exact")


def test_every_map_arrives_as_it_was_written(tmp_path):
    known = make(tmp_path)
    source = ExactScenes(tmp_path)
    for sample in source:
        truth = known[sample.key]
        ground = np.isfinite(truth["depth"])
        np.testing.assert_array_equal(sample.valid, ground)
        np.testing.assert_array_equal(sample.sky, ~ground)
        np.testing.assert_array_equal(sample.target[ground], truth["depth"][ground])
        np.testing.assert_array_equal(sample.planes, truth["planes"])
        np.testing.assert_array_equal(source.normals(sample.key), truth["normals"].astype(np.float32))
        assert sample.intrinsics == Intrinsics(**CAMERA)


def test_depth_and_camera_together_put_the_floor_where_it_is(tmp_path):
    make(tmp_path)
    sample = ExactScenes(tmp_path).read("scene1")
    rows = np.arange(sample.size[0])[:, None]
    height = sample.target * (rows - sample.intrinsics.cy) / sample.intrinsics.fy
    np.testing.assert_allclose(height[sample.valid], 1.75, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, -np.inf])
def test_depth_that_is_neither_positive_nor_sky_is_refused(tmp_path, value):
    known = make(tmp_path)
    depth = known["scene0"]["depth"].copy()
    depth[20, 3:5] = value
    np.save(tmp_path / "depth" / "scene0.npy", depth)
    with pytest.raises(BadSource, match=r"scene0\.npy: depth: 2 of 768 pixels are neither positive nor inf"):
        ExactScenes(tmp_path).read("scene0")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((24, 32)), r"must be float32 \(h, w\), got float64"),
        (np.ones((24, 32, 1), np.float32), r"must be float32 \(h, w\), got float32 \(24, 32, 1\)"),
        (np.ones((24, 31), np.float32), "is 24 x 31, but its image .* is 24 x 32"),
        (np.array([{"a": 1}], dtype=object), "cannot be read"),
    ],
)
def test_depth_of_another_form_is_refused(tmp_path, array, message):
    make(tmp_path)
    np.save(tmp_path / "depth" / "scene0.npy", array, allow_pickle=True)
    with pytest.raises(BadSource, match=rf"scene0\.npy: {message}"):
        ExactScenes(tmp_path).read("scene0")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((24, 32), np.float16), r"must be float \(h, w, 3\)"),
        (np.full((24, 32, 3), np.nan, np.float16), "768 of 768 normals have neither length 1 nor, on sky, 0"),
        (np.full((24, 32, 3), np.inf, np.float16), "768 of 768 normals"),
        (np.ones((24, 32, 3), np.float16), "768 of 768 normals"),
        (np.eye(24 * 32, 3, dtype=np.float16).reshape(24, 32, 3) * 0.5, "3 of 768 normals"),
    ],
)
def test_wrong_normals_are_refused(tmp_path, array, message):
    make(tmp_path)
    np.save(tmp_path / "normals" / "scene0.npy", array)
    source = ExactScenes(tmp_path)
    with pytest.raises(BadSource, match=message):
        source.normals("scene0")
    with pytest.raises(BadSource, match="no sample has this key"):
        source.normals("scene9")
