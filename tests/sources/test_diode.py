"""DIODE: the mask is the word on what may be read, and the camera is the published one."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.diode import Diode
from tests.data.diode import make as fake
from tests.data.known import known_view, write_image
from tests.sources.contract import SourceContract, Truth


class TestDiode(SourceContract):
    def make(self, tmp_path: Path) -> Diode:
        self.truths = fake.make(tmp_path / "raw")
        return Diode(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_split_and_place_choose_the_images(tmp_path: Path):
    fake.make(tmp_path, split="val")
    assert len(Diode(tmp_path, split="val")) == 2
    (key,) = Diode(tmp_path, split="val", place="outdoor").keys()
    assert key.startswith("outdoor/scene_00001/scan_00183/")
    with pytest.raises(BadSource, match="holds no train/"):
        Diode(tmp_path).keys()


@pytest.mark.parametrize("option", ["split", "place", "depth"])
def test_unknown_option_is_named(tmp_path: Path, option: str):
    with pytest.raises(ValueError, match=f"`{option}` must be one of .*, got 'test'"):
        Diode(tmp_path, **{option: "test"})


def test_distance_becomes_z_when_asked_for(tmp_path: Path):
    truths = fake.make(tmp_path)
    (key, *_) = truths
    source = Diode(tmp_path, depth="distance")
    view = known_view(0, size=fake.SIZE, camera=fake.CAMERA)
    np.save(source.files(key)[2], np.where(view.sky, 0, view.ray_length).astype(np.float32)[..., None])
    sample = source.read(key)
    np.testing.assert_allclose(sample.target[sample.valid], view.depth[sample.valid], rtol=1e-5)
    assert (sample.valid == np.isfinite(truths[key].target)).all()


def test_camera_of_the_published_size_is_the_published_one(tmp_path: Path):
    (key, *_) = fake.make(tmp_path)
    source = Diode(tmp_path)
    image, mask, depth = source.files(key)
    write_image(image, np.zeros((768, 1024, 3), np.uint8))
    np.save(mask, np.ones((768, 1024)))
    np.save(depth, np.full((768, 1024, 1), 2, np.float32))
    # Half a pixel off (512, 384), which is half the image and so counts from the corner.
    assert source.read(key).intrinsics == Diode.camera
    assert (Diode.camera.cx, Diode.camera.cy) == (511.5, 383.5)


def test_a_cropped_copy_has_no_known_camera(tmp_path: Path):
    (key, *_) = fake.make(tmp_path)
    source = Diode(tmp_path)
    image, mask, depth = source.files(key)
    write_image(image, np.zeros((40, 64, 3), np.uint8))
    np.save(mask, np.ones((40, 64)))
    np.save(depth, np.full((40, 64, 1), 2, np.float32))
    with pytest.raises(BadSource, match="or the same aspect") as caught:
        source.read(key)
    assert caught.value.file == image


def test_a_mask_of_other_numbers_is_named(tmp_path: Path):
    (key, *_) = fake.make(tmp_path)
    source = Diode(tmp_path)
    np.save(source.files(key)[1], np.full(fake.SIZE, 255.0))
    with pytest.raises(BadSource, match="of 0 and 1"):
        source.read(key)


def test_an_image_without_label_is_noticed(tmp_path: Path):
    (key, *_) = fake.make(tmp_path)
    source = Diode(tmp_path)
    source.files(key)[2].unlink()
    assert key in list(source.keys())
    with pytest.raises(BadSource, match="no such file"):
        source.read(key)
