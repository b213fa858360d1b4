"""Make3D: the coarse grid lies over the photo as it was measured, and depth is not distance."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.make3d import Make3D
from tests.data.known import known_view, write_image
from tests.data.make3d import make as fake
from tests.sources.contract import SourceContract, Truth


class TestMake3D(SourceContract):
    any_size = (".jpg",)

    def make(self, tmp_path: Path) -> Make3D:
        self.truths = fake.make(tmp_path / "raw")
        return Make3D(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_split_names_the_folders(tmp_path: Path):
    fake.make(tmp_path, split="test")
    assert list(Make3D(tmp_path, split="test").keys()) == [
        "test/10.21op2-p-046t000",
        "test/combined1-p-139t0",
    ]
    with pytest.raises(BadSource, match="holds no Train400Img/"):
        Make3D(tmp_path).keys()


def test_label_has_one_pixel_for_each_cell(tmp_path: Path):
    fake.make(tmp_path)
    sample = Make3D(tmp_path, max_depth_m=100).read("train/combined1-p-139t0")
    assert sample.size == fake.SIZE
    assert sample.valid.sum() == np.prod(fake.GRID)
    assert np.flatnonzero(sample.valid.any(1)).tolist() == fake.ROWS.tolist()


def test_grid_and_photo_lie_upright(tmp_path: Path):
    fake.make(tmp_path)
    sample = Make3D(tmp_path).read("train/combined1-p-139t0")
    view = known_view(1, size=fake.SIZE)
    photo = cv2.resize(
        cv2.resize(view.image, fake.PHOTO[::-1]), fake.SIZE[::-1], interpolation=cv2.INTER_AREA
    )
    assert np.corrcoef(sample.image.ravel(), photo.ravel())[0, 1] > 0.9


def test_the_benchmark_of_70_m_drops_what_had_no_return(tmp_path: Path):
    fake.make(tmp_path)
    key = "train/combined1-p-139t0"
    assert Make3D(tmp_path).read(key).target.max() < 70
    assert Make3D(tmp_path, max_depth_m=100).read(key).target.max() == pytest.approx(81.9)


def test_distance_is_read_only_when_asked_for(tmp_path: Path):
    fake.make(tmp_path)
    sample = Make3D(tmp_path, depth="distance").read("train/combined1-p-139t0")
    view = known_view(1, size=fake.SIZE)
    np.testing.assert_allclose(sample.target[sample.valid], view.ray_length[sample.valid], rtol=1e-6)


@pytest.mark.parametrize("case", ["swapped", "missing"])
def test_a_third_number_that_is_no_part_of_the_fourth_is_named(tmp_path: Path, case: str):
    fake.make(tmp_path)
    source = Make3D(tmp_path)
    file = source.files("train/combined1-p-139t0")[1]
    grid = fake.grid_of(known_view(1, size=fake.SIZE))
    grid = grid[..., [1, 0, 3, 2]] if case == "swapped" else grid * [0, 0, 0, 1]
    savemat(file, {"Position3DGrid": grid})
    with pytest.raises(BadSource, match="is no part of the fourth") as caught:
        source.read("train/combined1-p-139t0")
    assert (caught.value.file, caught.value.hint) == (file, 'read the fourth with depth="distance"')
    assert Make3D(tmp_path, depth="distance").read("train/combined1-p-139t0").valid.any()


def test_a_photo_that_lies_on_its_side_is_named(tmp_path: Path):
    fake.make(tmp_path)
    source = Make3D(tmp_path)
    file = source.files("train/combined1-p-139t0")[0]
    write_image(file, np.zeros((*fake.PHOTO[::-1], 3), np.uint8))
    with pytest.raises(BadSource, match="must be a portrait") as caught:
        source.read("train/combined1-p-139t0")
    assert caught.value.file == file


@pytest.mark.parametrize("grid", [np.ones((61, 11, 4)), np.ones((11, 61)), np.ones((11, 61, 3))])
def test_a_grid_of_another_form_is_named(tmp_path: Path, grid: np.ndarray):
    fake.make(tmp_path)
    source = Make3D(tmp_path)
    savemat(source.files("train/combined1-p-139t0")[1], {"Position3DGrid": grid})
    with pytest.raises(BadSource, match=r"must be float \(55, 305, 4\)"):
        source.read("train/combined1-p-139t0")


@pytest.mark.parametrize(("option", "value"), [("split", "val"), ("depth", "d"), ("max_depth_m", 0)])
def test_bad_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be .*, got '?{value}"):
        Make3D(tmp_path, **{option: value})
