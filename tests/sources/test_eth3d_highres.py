"""ETH3D high-resolution: a .JPG that is none, a lens that bends lines, and a scan with holes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.base import Source
from depthmix.sources.eth3d_highres import Eth3dHighRes
from depthmix.sources.lens import ThinPrism, straighten
from tests.data.eth3d_highres import make as fake
from tests.sources.contract import SourceContract, Truth


class TestEth3dStraightened(SourceContract):
    def make(self, tmp_path: Path) -> Eth3dHighRes:
        self.truths = fake.make(tmp_path / "raw", undistort=True)
        return Eth3dHighRes(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestEth3dAsPublished(SourceContract):
    def make(self, tmp_path: Path) -> Eth3dHighRes:
        self.truths = fake.make(tmp_path / "raw", undistort=False)
        return Eth3dHighRes(tmp_path / "raw", undistort=False)

    def again(self, source: Source, root: Path) -> Eth3dHighRes:
        return Eth3dHighRes(root, undistort=False)

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


@pytest.fixture
def source(tmp_path: Path) -> Eth3dHighRes:
    fake.make(tmp_path, undistort=True)
    return Eth3dHighRes(tmp_path)


KEY = "pipes/DSC_0281"


def test_straightened_depth_lies_on_the_slanted_wall(source: Eth3dHighRes):
    sample = source.read(KEY)
    x = (np.arange(fake.SIZE[1]) - fake.CAMERA.cx) / fake.CAMERA.fx
    y = (np.arange(fake.SIZE[0]) - fake.CAMERA.cy) / fake.CAMERA.fy
    wall = fake.slope(*np.meshgrid(x, y), 1)
    # The nearest pixel is at most 0.7 pixels away, and the lens makes a pixel up to twice as wide.
    error = np.abs(sample.target / wall - 1)[sample.valid]
    assert error.max() < 0.016
    assert np.median(error) < 0.005
    assert 0.25 < sample.valid.mean() < 0.4


def test_lines_that_the_lens_bent_are_straight_again():
    distortion = (fake.K1, fake.K2, fake.P1, fake.P2, fake.K3, fake.K4, fake.S1, fake.S2)
    lens = ThinPrism(fake.CAMERA, fake.SIZE, distortion)
    rays = fake.rays_of_pixels()
    # A photo whose brightness is linear in the ray has, straightened, one brightness per column.
    bent = np.repeat(np.rint(120 + 180 * rays[..., :1]), 3, 2).clip(0, 255).astype(np.uint8)
    straight, _ = straighten(bent, np.ones(fake.SIZE, np.float32), lens)
    inner = straight[6:-6, 8:-8, 0].astype(int)
    assert (inner.max(0) - inner.min(0)).max() <= 2
    assert np.ptp(bent[6:-6, 8:-8, 0].astype(int), axis=0).max() > 6


def test_a_lens_without_numbers_is_still_a_fisheye():
    camera = Intrinsics(100.0, 100.0, 0.0, 0.0)
    lens = ThinPrism(camera, (10, 10), (0.0,) * 8)
    u, v = lens.project(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
    np.testing.assert_allclose(u, [0, 100 * np.pi / 4])
    np.testing.assert_allclose(v, 0)


def test_what_lies_beyond_the_photo_is_black_and_not_valid():
    # A lens that magnifies by a half: the pinhole camera sees more than the photo holds.
    camera = Intrinsics(50.0, 50.0, 15.5, 15.5)
    lens = ThinPrism(camera, (32, 32), (8.0, *(0.0,) * 7))
    image, depth = straighten(np.full((32, 32, 3), 200, np.uint8), np.ones((32, 32), np.float32), lens)
    assert (image[0, 0] == 0).all()
    assert depth[0, 0] == 0
    assert depth[16, 16] == 1
    assert ((image[..., 0] > 0) == (depth > 0)).all()


def test_photos_larger_than_a_block_have_no_seam():
    camera = Intrinsics(400.0, 400.0, 29.5, 299.5)
    lens = ThinPrism(camera, (600, 60), (0.1, *(0.0,) * 7))
    depth = np.repeat(np.arange(1, 601, dtype=np.float32)[:, None], 60, 1)
    _, straight = straighten(np.zeros((600, 60, 3), np.uint8), depth, lens)
    column = straight[:, 30][straight[:, 30] > 0]
    assert set(np.diff(column)) <= {0, 1, 2}
    assert len(column) > 500


def test_without_straightening_the_calibration_is_not_needed(source: Eth3dHighRes):
    for file in source.files(KEY)[1:3]:
        file.unlink()
    sample = Eth3dHighRes(source.root, undistort=False).read(KEY)
    assert sample.intrinsics is None
    with pytest.raises(BadSource, match=r"images\.txt"):
        source.read(KEY)


def test_a_depth_file_that_is_a_photo_is_named(source: Eth3dHighRes):
    image, *_, depth = source.files(KEY)
    depth.write_bytes(image.read_bytes())
    with pytest.raises(BadSource, match="48 x 64 numbers of 4 bytes are 12288") as caught:
        source.read(KEY)
    assert caught.value.file == depth


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("7 THIN_PRISM_FISHEYE", "7 PINHOLE", "must describe camera 7 once, as THIN_PRISM_FISHEYE"),
        ("7 THIN_PRISM_FISHEYE", "8 THIN_PRISM_FISHEYE", "must describe camera 7 once"),
        (" -0.25 ", " ", "11 parameters, must be 12"),
        (" -0.25 ", " nan ", "must be 12 finite"),
        (" -0.25 ", " 1e308 ", "must be 12 finite ones up to a million"),
        (" 51.0 ", " -51.0 ", "must be finite and positive"),
        (" 51.0 ", " wide ", "could not convert"),
        ("FISHEYE 64 48", "FISHEYE 64 50", "states 64 x 50 pixels"),
    ],
)
def test_a_bad_calibration_is_named(source: Eth3dHighRes, old: str, new: str, reason: str):
    file = source.files(KEY)[1]
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(BadSource, match=reason) as caught:
        source.read(KEY)
    assert caught.value.file == file


def test_a_photo_that_the_calibration_does_not_name_is_named(source: Eth3dHighRes):
    file = source.files(KEY)[2]
    file.write_text(file.read_text().replace("DSC_0281", "DSC_9999"))
    with pytest.raises(BadSource, match=r"names 0 cameras for DSC_0281\.JPG") as caught:
        source.read(KEY)
    assert caught.value.file == file


def test_straightened_photo_shows_the_same_things(source: Eth3dHighRes):
    published = cv2.imread(str(source.files(KEY)[0]))[..., ::-1]
    centre = slice(20, 28), slice(28, 36)
    seen = source.read(KEY).image[centre].astype(int)
    assert np.abs(seen - published[centre]).mean() < 8
