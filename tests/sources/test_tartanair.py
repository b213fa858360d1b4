"""TartanAir's sky is a mask of its own, and V2's depth survives its journey through a PNG."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.tartanair import TartanAir
from depthmix.sources.tartanair_v2 import TartanAirV2, read_float_png
from tests.data.tartanair import make as fake
from tests.sources.contract import SourceContract


class TestTartanAir(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw")
        return TartanAir(tmp_path / "raw")

    def truth(self, source, key):
        return fake.make(source.root.parent / "truth" / key)[key]


class TestTartanAirV2(SourceContract):
    def make(self, tmp_path):
        fake.make_v2(tmp_path / "raw")
        return TartanAirV2(tmp_path / "raw")

    def truth(self, source, key):
        return fake.make_v2(source.root.parent / "truth" / key)[key]


@pytest.mark.parametrize("value", [10000.0, 12345.0, 65504.0, np.inf])
def test_far_sphere_is_sky_and_not_valid(tmp_path: Path, value: float):
    for key, truth in fake.make(tmp_path, sky=value).items():
        sample = TartanAir(tmp_path).read(key)
        assert np.array_equal(sample.sky, truth.sky)
        assert np.array_equal(sample.valid, ~truth.sky)


def test_between_far_and_sky_nothing_is_said(tmp_path: Path):
    key, truth = next(iter(fake.make(tmp_path, sky=5000.0).items()))
    sample = TartanAir(tmp_path).read(key)
    assert not sample.sky.any()
    assert np.array_equal(sample.valid, ~truth.sky)
    assert TartanAir(tmp_path, farthest_m=9999).read(key).valid.all()
    assert np.array_equal(TartanAir(tmp_path, sky_from_m=4000).read(key).sky, truth.sky)


def test_nan_is_neither_valid_nor_sky(tmp_path: Path):
    key = next(iter(fake.make(tmp_path)))
    file = TartanAir(tmp_path).files(key)[-1]
    depth = np.load(file)
    depth[-1, :3] = np.nan, 0, -1
    np.save(file, depth)
    sample = TartanAir(tmp_path).read(key)
    assert not sample.valid[-1, :3].any()
    assert not sample.sky[-1, :3].any()


def test_world_may_lie_in_a_second_folder_of_its_name(tmp_path: Path):
    truths = fake.make(tmp_path, twice=True)
    assert list(TartanAir(tmp_path).keys()) == sorted(truths)
    assert len(TartanAir(tmp_path, difficulty="easy").keys()) == 1
    assert [sample.key for sample in TartanAir(tmp_path)] == sorted(truths)


def test_difficulty_chooses_flights(tmp_path: Path):
    fake.make(tmp_path / "1")
    fake.make_v2(tmp_path / "2")
    assert TartanAir(tmp_path / "1", difficulty="hard").keys() == ["ocean/Hard/P001/000007"]
    assert TartanAirV2(tmp_path / "2", difficulty="easy").keys() == ["AbandonedCable/Data_easy/P000/000000"]


def test_other_cameras_have_folders_of_their_own(tmp_path: Path):
    fake.make(tmp_path / "1", side="right")
    fake.make_v2(tmp_path / "2", name="rcam_top")
    assert len(list(TartanAir(tmp_path / "1", side="right"))) == 2
    assert len(list(TartanAirV2(tmp_path / "2", side="right", face="top"))) == 2
    with pytest.raises(BadSource, match="image_lcam_front"):
        TartanAirV2(tmp_path / "2").keys()


def test_float_in_a_png_keeps_every_bit(tmp_path: Path):
    values = np.random.default_rng(0).uniform(0, 7e4, (5, 6)).astype("<f4")
    values[0, :3] = np.inf, 1e-38, 65504
    assert cv2.imwrite(str(tmp_path / "a.png"), values[..., None].view(np.uint8))
    assert np.array_equal(read_float_png(tmp_path / "a.png"), values)


def test_photo_without_alpha_is_no_depth(tmp_path: Path):
    key = next(iter(fake.make_v2(tmp_path)))
    source = TartanAirV2(tmp_path)
    image, depth = source.files(key)
    depth.write_bytes(image.read_bytes())
    with pytest.raises(BadSource, match="must be a 8-bit RGB with alpha PNG, got 8-bit RGB PNG"):
        source.read(key)


def test_cropped_image_has_no_known_camera(tmp_path: Path):
    key = next(iter(fake.make(tmp_path)))
    for file in TartanAir(tmp_path).files(key):
        if file.suffix == ".png":
            cv2.imwrite(str(file), cv2.imread(str(file))[:40])
        else:
            np.save(file, np.load(file)[:40])
    with pytest.raises(BadSource, match="belongs to 640 x 480 or the same aspect"):
        TartanAir(tmp_path).read(key)


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ({"difficulty": "Easy"}, "`difficulty` must be one of"),
        ({"side": "middle"}, "`side` must be one of"),
        ({"farthest_m": 0.0}, "`farthest_m` must be above 0"),
        ({"sky_from_m": 500.0}, "at most `sky_from_m` = 500"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, option: dict, rule: str):
    for source in (TartanAir, TartanAirV2):
        with pytest.raises(ValueError, match=rule):
            source(tmp_path, **option)


def test_wrong_face_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="`face` must be one of front"):
        TartanAirV2(tmp_path, face="down")
