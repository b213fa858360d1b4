"""iBims-1: both archives give one label, masks decide what is read, and the calibration counts from 1."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.ibims import IBims1
from depthmix.sources.ibims_mat import IBims1Mat
from tests.data.ibims import make as fake
from tests.data.known import known_view
from tests.sources.contract import SourceContract, Truth


class TestIBims1(SourceContract):
    def make(self, tmp_path: Path) -> IBims1:
        self.truths = fake.make(tmp_path / "raw")
        return IBims1(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestIBims1Mat(SourceContract):
    def make(self, tmp_path: Path) -> IBims1Mat:
        self.truths = fake.make_mat(tmp_path / "raw")
        return IBims1Mat(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_plane_masks_are_optional(tmp_path: Path):
    truths = fake.make(tmp_path, planes=False)
    for sample in IBims1(tmp_path):
        assert not sample.planes.any()
        assert sample.valid.any()
    assert len(truths) == 2


def test_planes_of_different_masks_do_not_share_a_number(tmp_path: Path):
    fake.make(tmp_path)
    sample = IBims1(tmp_path).read("office_24")
    # Two walls, a table and a floor, each numbered from 1 in its own mask.
    assert np.unique(sample.planes).tolist() == [0, 1, 2, 3, 4]


def test_glass_in_a_wall_belongs_to_no_plane(tmp_path: Path):
    fake.make(tmp_path)
    sample = IBims1(tmp_path).read("office_24")
    assert not sample.planes[20:30, 30:44].any()
    assert not sample.valid[20:30, 30:44].any()


def test_masks_of_one_bit_are_read(tmp_path: Path):
    fake.make(tmp_path)
    before = IBims1(tmp_path).read("office_24")
    for name in ("mask_invalid", "mask_table"):
        file = tmp_path / name / "office_24.png"
        Image.fromarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED) > 0).save(file)
    after = IBims1(tmp_path).read("office_24")
    np.testing.assert_array_equal(after.valid, before.valid)
    np.testing.assert_array_equal(after.planes, before.planes)


@pytest.mark.parametrize("layout", ["png", "mat"])
def test_calibration_counts_from_one_unless_told_otherwise(tmp_path: Path, layout: str):
    write, source = {"png": (fake.make, IBims1), "mat": (fake.make_mat, IBims1Mat)}[layout]
    write(tmp_path)
    ours, theirs = (source(tmp_path, first_pixel=first).read("office_24").intrinsics for first in (1, 0))
    assert ours.cx == pytest.approx(theirs.cx - 1)
    assert ours.cy == pytest.approx(theirs.cy - 1)
    with pytest.raises(ValueError, match="`first_pixel` must be 0 or 1, got 2"):
        source(tmp_path, first_pixel=2)


CHANGES = {
    "calib": (lambda fields: fields | {"calib": fields["calib"].T}, "must be the transposed matrix"),
    "focal": (lambda fields: fields | {"calib": np.diag([-1.0, 1, 1])}, "must be finite and positive"),
    "rgb": (lambda fields: fields | {"rgb": fields["rgb"].astype(np.uint16)}, "must have 8 bits"),
    "mask_wall": (lambda fields: fields | {"mask_wall": fields["depth"] - 9}, "must be whole numbers"),
    "mask_transp": (lambda fields: fields | {"mask_transp": fields["depth"][:-1]}, "must be numbers"),
    "edges": (lambda fields: {"depth": np.ones(3)}, "with an image of depth"),
    "gone": (lambda fields: {"depth": fields["depth"]}, "data.rgb.*must be numbers"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_structure_of_another_form_is_named(tmp_path: Path, change: str):
    changed, reason = CHANGES[change]
    fake.make_mat(tmp_path)
    file = tmp_path / "office_24.mat"
    masks = {name: np.ones(fake.SIZE, np.uint8) for name in ("mask_invalid", "mask_transp")}
    fake.write_mat(file, changed(fake.structure(known_view(1, size=fake.SIZE), masks)))
    with pytest.raises(BadSource, match=reason) as caught:
        IBims1Mat(tmp_path).read("office_24")
    assert caught.value.file == file


def test_real_values_survive_both_layouts(real_samples: Path, tmp_path: Path):
    real = real_samples / "ibims1_marigolddc"
    depth, image = np.load(real / "gt.npy"), cv2.imread(str(real / "image.png"))[..., ::-1]
    view = known_view(0, size=fake.SIZE)
    masks = {name: np.ones(depth.shape, np.uint8) for name in ("mask_invalid", "mask_transp")}
    none = np.zeros(depth.shape, np.int32)
    fields = fake.structure(view, masks) | {"rgb": image, "depth": depth}
    fields |= {name: none.astype(np.uint8) for name in ("mask_wall", "mask_table", "mask_floor")}
    fake.write_mat(tmp_path / "mat/room_01.mat", fields)
    for folder, pixels in {"depth": np.rint(depth * 65535 / 50).astype(np.uint16), **masks}.items():
        (tmp_path / "png" / folder).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "png" / folder / "room_01.png"), pixels)
    for folder in ("rgb", "calib"):
        (tmp_path / "png" / folder).mkdir()
    shutil.copy(real / "image.png", tmp_path / "png/rgb/room_01.png")
    (tmp_path / "png/calib/room_01.txt").write_text("500,500,320,240")
    samples = IBims1Mat(tmp_path / "mat").read("room_01"), IBims1(tmp_path / "png").read("room_01")
    for sample in samples:
        assert sample.valid.mean() == pytest.approx(0.9429, abs=1e-4)
        assert np.median(sample.target[sample.valid]) == pytest.approx(5.1748, abs=1e-3)
        assert sample.target.max() == pytest.approx(30.0118, abs=1e-3)
    np.testing.assert_allclose(samples[1].target, samples[0].target, atol=25 / 65535 + 1e-5)
