"""Rendered and scanned buildings: units, cameras and folders are those that the publishers state."""

import json
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.ken_burns import KenBurns
from depthmix.sources.matterport3d import Matterport3D
from depthmix.sources.replica import Replica
from depthmix.sources.taskonomy import Taskonomy
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.houses import make as fake


class WithTruths:
    truths: dict[str, Truth]

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestKenBurns(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> KenBurns:
        self.truths = fake.write_ken_burns(tmp_path / "raw")
        return KenBurns(tmp_path / "raw")


class TestTaskonomy(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> Taskonomy:
        self.truths = fake.write_taskonomy(tmp_path / "raw", "building")
        return Taskonomy(tmp_path / "raw")


class TestOmnidata(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> Taskonomy:
        self.truths = fake.write_taskonomy(tmp_path / "raw", "component", masks=True)
        return Taskonomy(tmp_path / "raw", masks=True)

    def again(self, source: Source, root: Path) -> Taskonomy:
        return Taskonomy(root, masks=True)


class TestReplica(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> Replica:
        self.truths = fake.write_replica(tmp_path / "raw")
        return Replica(tmp_path / "raw")


class TestMatterport3D(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> Matterport3D:
        self.truths = fake.write_matterport(tmp_path / "raw")
        return Matterport3D(tmp_path / "raw")


def test_cameras_of_the_rig_may_be_chosen(tmp_path: Path):
    fake.write_ken_burns(tmp_path)
    assert list(KenBurns(tmp_path, cameras=("tr",)).keys()) == ["asdf-flying/00001-tr"]
    with pytest.raises(BadSource, match="holds no picture of tl"):
        KenBurns(tmp_path, cameras=("tl",)).keys()
    with pytest.raises(ValueError, match="`cameras` must be some of tl, tr, bl, br"):
        KenBurns(tmp_path, cameras=("left",))
    with pytest.raises(ValueError, match="`per_unit` must be positive and finite, got 0"):
        KenBurns(tmp_path, per_unit=0)


@pytest.mark.parametrize("degrees", [0, 180, "60", None])
def test_a_field_of_view_that_is_none_is_named(tmp_path: Path, degrees: object):
    fake.write_ken_burns(tmp_path)
    (tmp_path / "asdf-flying/00001-meta.json").write_text(json.dumps({"fltFov": degrees}))
    with pytest.raises(BadSource, match=r"00001-meta\.json: fltFov: must be degrees in 1 \.\. 179"):
        KenBurns(tmp_path).read("asdf-flying/00001-tr")


def test_damaged_numbers_of_ken_burns_are_no_sky(tmp_path: Path):
    truths = fake.write_ken_burns(tmp_path)
    key = "asdf-flying/00001-bl"
    stored = np.where(truths[key].sky, np.inf, np.nan_to_num(truths[key].target) * 100).astype(np.float32)
    stored[-1] = np.nan
    stored[-2] = 0
    file = KenBurns(tmp_path).files(key)[-1]
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Y": stored}) as content:
        content.write(str(file))
    sample = KenBurns(tmp_path).read(key)
    np.testing.assert_array_equal(sample.sky, truths[key].sky)
    assert not sample.valid[-2:].any()
    assert sample.valid[-3].all()


def test_both_arrangements_of_taskonomy_hold_the_same(tmp_path: Path):
    for arrangement in ("building", "domain"):
        fake.write_taskonomy(tmp_path / arrangement, arrangement)
    one, two = (Taskonomy(tmp_path / arrangement) for arrangement in ("building", "domain"))
    assert one.keys() == two.keys()
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.target, second.target)


def test_a_component_of_omnidata_is_taken_alone(tmp_path: Path):
    fake.write_taskonomy(tmp_path, "component")
    assert len(Taskonomy(tmp_path, component="taskonomy")) == 2
    with pytest.raises(BadSource, match="holds no rgb/replica/"):
        Taskonomy(tmp_path, component="replica").keys()


def test_what_was_not_fetched_may_be_left_out(tmp_path: Path):
    fake.write_taskonomy(tmp_path, "building")
    sample = next(iter(Taskonomy(tmp_path, cameras=False)))
    assert sample.intrinsics is None
    far = next(iter(Taskonomy(tmp_path, max_depth_m=100)))
    assert far.valid[0, :4].tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="`max_depth_m` must be positive and finite, got 0"):
        Taskonomy(tmp_path, max_depth_m=0)


@pytest.mark.parametrize("angle", [0, 3.2, "1", None])
def test_an_angle_that_is_none_is_named(tmp_path: Path, angle: object):
    fake.write_taskonomy(tmp_path, "building")
    source = Taskonomy(tmp_path)
    key = source.keys()[0]
    source.files(key)[1].write_text(json.dumps({"field_of_view_rads": angle}))
    with pytest.raises(BadSource, match="field_of_view_rads: must be an angle in radians"):
        source.read(key)


def test_frames_of_replica_may_be_thinned_out(tmp_path: Path):
    fake.write_replica(tmp_path)
    for number in range(1, 7):
        for name in ("frame{:06d}.jpg", "depth{:06d}.png"):
            file = tmp_path / "office0/results" / name.format(number)
            file.write_bytes((tmp_path / "office0/results" / name.format(0)).read_bytes())
    keys = Replica(tmp_path, every=3).keys()
    assert [key for key in keys if "office" in key] == ["office0/000000", "office0/000003", "office0/000006"]
    with pytest.raises(ValueError, match="`every` must be at least 1, got 0"):
        Replica(tmp_path, every=0)


@pytest.mark.parametrize("change", [{"fx": None}, {"scale": 0}, {"w": "64"}])
def test_a_camera_of_replica_that_is_none_is_named(tmp_path: Path, change: dict[str, object]):
    fake.write_replica(tmp_path)
    file = tmp_path / "cam_params.json"
    stated = json.loads(file.read_text())
    stated["camera"] |= change
    file.write_text(json.dumps(stated))
    (name,) = change
    with pytest.raises(BadSource, match=f"{name}: must be a positive number"):
        next(iter(Replica(tmp_path)))


def test_rows_of_matterport_count_from_the_bottom(tmp_path: Path):
    truths = fake.write_matterport(tmp_path)
    key, truth = next(iter(truths.items()))
    assert truth.intrinsics is not None
    top = Matterport3D(tmp_path, rows_from="top").read(key).intrinsics
    assert top is not None
    assert top.cy == truth.target.shape[0] - 1 - truth.intrinsics.cy
    with pytest.raises(ValueError, match="`rows_from` must be bottom or top"):
        Matterport3D(tmp_path, rows_from="left")  # type: ignore[arg-type]


def test_a_view_that_the_file_of_its_house_does_not_name_is_noticed(tmp_path: Path):
    key = next(iter(fake.write_matterport(tmp_path)))
    source = Matterport3D(tmp_path)
    file = source.files(key)[1]
    file.write_text(file.read_text().replace("_d0_4", "_d0_5"))
    with pytest.raises(BadSource, match=r"1pXnuDYAj8r\.conf: names no 0f37bd_d0_4\.png"):
        source.read(key)


def test_a_file_that_was_cut_between_lines_is_noticed(tmp_path: Path):
    key = next(iter(fake.write_matterport(tmp_path)))
    source = Matterport3D(tmp_path)
    file = source.files(key)[1]
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(BadSource, match="n_images: says that it names 2 images, but names 1"):
        source.read(key)


def test_far_readings_of_matterport_are_not_valid(tmp_path: Path):
    key = next(iter(fake.write_matterport(tmp_path)))
    source = Matterport3D(tmp_path, max_depth_m=3)
    write_image(source.files(key)[2], np.where(np.indices((48, 64))[0] > 9, 11999, 12001).astype(np.uint16))
    assert source.read(key).valid.mean() == pytest.approx(38 / 48)
