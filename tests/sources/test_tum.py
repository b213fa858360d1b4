"""TUM RGB-D: depth and images paired by time, 5000 steps a metre."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.base import Source
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.times import paired_in_time
from depthmix.sources.tum import Tum
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.tum import make as fake


class TestTum(SourceContract):
    # Without its image, a depth map goes with another one or with none.
    optional = (f"{fake.IMAGE[0]}.png",)

    def make(self, tmp_path: Path) -> Tum:
        self.truths = fake.make(tmp_path / "raw")
        return Tum(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_each_depth_map_goes_with_the_image_of_its_time(tmp_path: Path):
    fake.make(tmp_path)
    source = Tum(tmp_path)
    for number in fake.PAIRS:
        sample = source.read(f"{fake.SEQUENCE}/{fake.DEPTH[number]}")
        np.testing.assert_array_equal(sample.image, fake.view(number).image)


def test_an_image_is_used_once():
    # The image is within reach of both, but closer to the second.
    first, second = {"a": 0.0, "b": 0.018}, {"x": 0.015}
    assert paired_in_time(first, second, max_gap_s=0.02) == {"b": "x"}
    assert paired_in_time(first, {}, max_gap_s=0.02) == {}


def test_frames_too_far_apart_are_no_sample(tmp_path: Path):
    fake.make(tmp_path)
    with pytest.raises(BadSource, match=r"no depth map has an image within 0\.001 s"):
        Tum(tmp_path, max_gap_s=0.001).keys()
    with pytest.raises(BadSource, match="has no image within"):
        Tum(tmp_path).read(f"{fake.SEQUENCE}/{fake.DEPTH[1]}")


def test_sigma_grows_with_the_square_of_the_depth(tmp_path: Path):
    (key, *_) = fake.make(tmp_path)
    sample = Tum(tmp_path, sigma_at_1m=0.01).read(key)
    expected = 0.01 * sample.target[sample.valid] ** 2
    np.testing.assert_allclose(sample.sigma[sample.valid], expected, rtol=1e-5)


def test_the_rectified_camera_needs_no_straightening(tmp_path: Path):
    camera = Intrinsics(535.4, 539.2, 320.1, 247.6).resized(0.1, 0.1)
    truths = fake.make(tmp_path, sequence="rgbd_dataset_freiburg3_desk", camera=camera)
    for sample in Tum(tmp_path, camera="calibrated"):
        known = np.isfinite(truths[sample.key].target)
        assert sample.intrinsics == camera
        np.testing.assert_allclose(sample.target[known], truths[sample.key].target[known], atol=1.1e-4)


def test_straight_edges_come_out_straight(tmp_path: Path):
    import cv2

    # A plane seen through the published lens: 1 / z is linear only in the straightened picture.
    camera = Intrinsics(517.306408, 516.469215, 318.643040, 255.313989).resized(0.5, 0.5)
    lens = np.array([0.262383, -0.953104, -0.005358, 0.002628, 1.163314])
    v, u = np.mgrid[:240, :320].astype(np.float64)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], -1)
    seen = rays.reshape(-1, 2)
    for _ in range(8):
        points = np.hstack([rays.reshape(-1, 2), np.ones((240 * 320, 1))])
        bent = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), lens)[0][:, 0]
        rays = rays + (seen - bent).reshape(rays.shape)
    depth = 2 / (1 + 0.5 * rays[..., 0] + 0.3 * rays[..., 1])
    key = f"{fake.SEQUENCE}/{fake.DEPTH[0]}"
    fake.make(tmp_path)
    image_file, depth_file = Tum(tmp_path).files(key)
    write_image(image_file, np.zeros((240, 320, 3), np.uint8))
    write_image(depth_file, np.rint(depth * 5000).astype(np.uint16))
    sample = Tum(tmp_path, camera="calibrated").read(key)
    assert sample.intrinsics == camera
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    straight = 2 / (1 + 0.5 * x + 0.3 * y)
    inner = np.zeros((240, 320), bool)
    inner[10:-10, 10:-10] = True
    # A nearest pixel is at most half a pixel off.
    error = np.abs(sample.target / straight - 1)[sample.valid & inner]
    assert error.max() < 0.004
    assert np.abs(depth / straight - 1)[inner].max() > 0.01, "the lens bends nothing: the test is idle"


def test_a_sequence_of_an_unknown_camera_is_not_guessed(tmp_path: Path):
    (key, *_) = fake.make(tmp_path, sequence="kitchen")
    assert Tum(tmp_path).read(key).intrinsics == fake.CAMERA
    with pytest.raises(BadSource, match="its camera is not known"):
        Tum(tmp_path, camera="calibrated").read(key)


@pytest.mark.parametrize(("option", "value"), [("camera", "ros"), ("max_gap_s", 0.0), ("sigma_at_1m", -1.0)])
def test_impossible_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        Tum(tmp_path, **{option: value})


def test_real_depth_has_five_thousand_steps_a_metre(real_samples: Path, tmp_path: Path):
    folder = real_samples / "open3d_rgbd/other_formats"
    depth, valid = read_depth_png16(folder / "TUM_depth.png", per_metre=5000)
    np.testing.assert_allclose(depth.max(), 9.331, atol=1e-3)
    # One pair of the benchmark, put back under the names that it was published with.
    for kind in ("rgb", "depth"):
        file = tmp_path / "rgbd_dataset_freiburg1_xyz" / kind / "1305031102.175304.png"
        file.parent.mkdir(parents=True)
        file.write_bytes((folder / f"TUM_{'color' if kind == 'rgb' else kind}.png").read_bytes())
    (sample,) = Tum(tmp_path)
    np.testing.assert_array_equal(sample.valid, valid)
    assert sample.valid.mean() > 0.5
