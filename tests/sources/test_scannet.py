"""ScanNet: images of twice the size of the depth, two cameras, frames without a pose."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.decode import read_image
from depthmix.sources.scannet import ScanNet
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.scannet import make as fake


class TestScanNet(SourceContract):
    count = 3

    def make(self, tmp_path: Path) -> ScanNet:
        self.truths = fake.make(tmp_path / "raw")
        return ScanNet(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_the_image_gives_way_to_the_depth(tmp_path: Path):
    fake.make(tmp_path)
    source = ScanNet(tmp_path)
    sample = source.read(fake.KEYS[0])
    assert sample.size == (48, 64)
    expected = cv2.resize(read_image(source.files(fake.KEYS[0])[0]), (64, 48), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(sample.image, expected)


def test_camera_of_the_image_is_not_taken_for_that_of_the_depth(tmp_path: Path):
    fake.make(tmp_path)
    source = ScanNet(tmp_path)
    camera_file = source.files(fake.KEYS[0])[1]
    camera_file.write_bytes(camera_file.with_name("intrinsic_color.txt").read_bytes())
    with pytest.raises(BadSource, match="has its centre at"):
        source.read(fake.KEYS[0])


def test_every_and_scenes_choose_frames(tmp_path: Path):
    fake.make(tmp_path)
    assert list(ScanNet(tmp_path, every=20).keys()) == [fake.KEYS[0], fake.KEYS[2]]
    assert list(ScanNet(tmp_path, scenes="scannetv2_train.txt").keys()) == list(fake.KEYS[:2])
    with pytest.raises(BadSource, match=r"absent\.txt: .*no such file"):
        ScanNet(tmp_path, scenes="absent.txt").keys()
    (tmp_path / "none.txt").write_text("scene0001_00\n")
    with pytest.raises(BadSource, match="holds no frame of these scenes"):
        ScanNet(tmp_path, scenes="none.txt").keys()


def test_an_image_without_a_number_is_named(tmp_path: Path):
    fake.make(tmp_path)
    write_image(tmp_path / "scene0000_00/color/thumb.jpg", np.zeros((97, 130, 3), np.uint8))
    with pytest.raises(BadSource, match=r"thumb\.jpg: .*must be a number"):
        ScanNet(tmp_path).keys()


def test_an_image_without_depth_is_noticed(tmp_path: Path):
    fake.make(tmp_path)
    source = ScanNet(tmp_path)
    source.files(fake.KEYS[1])[-1].unlink()
    assert fake.KEYS[1] in list(source.keys())
    with pytest.raises(BadSource, match=r"depth/10\.png: .*no such file"):
        source.read(fake.KEYS[1])


@pytest.mark.parametrize(("option", "value"), [("every", 0), ("max_depth_m", -1.0)])
def test_impossible_option_is_named(tmp_path: Path, option: str, value: float):
    with pytest.raises(ValueError, match=f"`{option}` must be positive"):
        ScanNet(tmp_path, **{option: value})
