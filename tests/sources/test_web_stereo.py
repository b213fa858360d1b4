import cv2
import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sources.web_stereo import WebStereo, read_inverse_depth
from tests.data.web_stereo.make import SIZE, make
from tests.sources.contract import SourceContract


class TestWebStereo(SourceContract):
    def make(self, tmp_path):
        make(tmp_path / "web")
        return WebStereo(tmp_path / "web")


@pytest.mark.parametrize("bits", [8, 16])
def test_values_are_the_codes_over_the_largest_code(tmp_path, bits):
    known = make(tmp_path, bits=bits)
    for sample in WebStereo(tmp_path):
        truth = known[sample.key]
        np.testing.assert_array_equal(sample.valid, truth["valid"])
        np.testing.assert_array_equal(sample.sky, truth["sky"])
        np.testing.assert_allclose(
            sample.target[sample.valid], truth["inverse_depth"][truth["valid"]], rtol=1e-6
        )
        assert sample.intrinsics is None


def test_zero_is_a_value_and_only_the_mask_decides(tmp_path):
    make(tmp_path, count=1, sky=False)
    cv2.imwrite(str(tmp_path / "train/gts/0000.png"), np.zeros(SIZE, np.uint8))
    cv2.imwrite(str(tmp_path / "train/valid_masks/0000.png"), np.full(SIZE, 255, np.uint8))
    assert WebStereo(tmp_path).read("0000").valid.all()


def test_without_sky_masks_there_is_no_sky(tmp_path):
    make(tmp_path, sky=False)
    assert not WebStereo(tmp_path).read("0001").sky.any()


def test_splits_are_apart(tmp_path):
    make(tmp_path, split="train", count=3)
    make(tmp_path, split="val", count=1)
    assert [len(WebStereo(tmp_path, split=split)) for split in ("train", "val")] == [3, 1]


@pytest.mark.parametrize("folder", ["gts", "valid_masks", "sky_masks"])
def test_label_of_another_size_names_both_files(tmp_path, folder):
    make(tmp_path, count=1)
    cv2.imwrite(str(tmp_path / "train" / folder / "0000.png"), np.full((24, 30), 255, np.uint8))
    with pytest.raises(BadSource, match=rf"{folder}/0000\.png.* 24 x 30, .*imgs/0000\.jpg is 24 x 32"):
        WebStereo(tmp_path).read("0000")


def test_all_invalid_mask_is_a_bad_sample(tmp_path):
    make(tmp_path, count=1)
    cv2.imwrite(str(tmp_path / "train/valid_masks/0000.png"), np.zeros(SIZE, np.uint8))
    with pytest.raises(BadSample, match=r"gts/0000\.png: web/0000: valid: 0 of 768"):
        WebStereo(tmp_path).read("0000")


def test_colour_map_is_refused(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "gt.png"), colour)
    with pytest.raises(BadSource, match="grey"):
        read_inverse_depth(tmp_path / "gt.png")


def test_missing_split_names_the_folder(tmp_path):
    make(tmp_path)
    with pytest.raises(BadSource, match="test/imgs"):
        WebStereo(tmp_path, split="test")
