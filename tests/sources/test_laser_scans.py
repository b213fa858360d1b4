"""Car data sets: points go through the poses of their own times, and tables are joined by what they name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from depthmix.errors import BadSource
from depthmix.sources.argoverse2 import Argoverse2
from depthmix.sources.base import Source
from depthmix.sources.dgp import Dgp
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.kitti_depth import KittiDepth, KittiDepthSelection
from depthmix.sources.nuscenes import NuScenes
from depthmix.sources.poses import inverse
from depthmix.sources.scans import depth_of_points
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.laser import make as fake


class WithTruths:
    truths: dict[str, Truth]

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestNuScenes(WithTruths, SourceContract):
    any_size = (".jpg",)
    headless = (".bin",)

    def make(self, tmp_path: Path) -> NuScenes:
        self.truths = fake.write_nuscenes(tmp_path / "raw")
        return NuScenes(tmp_path / "raw", occlusion_gap=0)

    def again(self, source: Source, root: Path) -> NuScenes:
        return NuScenes(root, occlusion_gap=0)


class TestDgp(WithTruths, SourceContract):
    any_size = (".png",)
    optional = ("scene_abc.json",)  # its name is not known before it is found

    def make(self, tmp_path: Path) -> Dgp:
        self.truths = fake.write_dgp(tmp_path / "raw")
        return Dgp(tmp_path / "raw", occlusion_gap=0)

    def again(self, source: Source, root: Path) -> Dgp:
        return Dgp(root, occlusion_gap=0)


class TestArgoverse2(WithTruths, SourceContract):
    any_size = (".jpg",)
    optional = (".jpg",)  # a sweep without a picture in time is no sample

    def make(self, tmp_path: Path) -> Argoverse2:
        self.truths = fake.write_argoverse2(tmp_path / "raw")
        return Argoverse2(tmp_path / "raw", occlusion_gap=0)

    def again(self, source: Source, root: Path) -> Argoverse2:
        return Argoverse2(root, occlusion_gap=0)


class TestKittiDepth(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> KittiDepth:
        self.truths = fake.write_kitti_depth(tmp_path / "raw")
        return KittiDepth(tmp_path / "raw")


class TestKittiDepthSelection(WithTruths, SourceContract):
    def make(self, tmp_path: Path) -> KittiDepthSelection:
        self.truths = fake.write_kitti_selection(tmp_path / "raw")
        return KittiDepthSelection(tmp_path / "raw")


def test_maps_of_both_parts_are_found_where_published_lists_need_them(tmp_path: Path):
    fake.write_kitti_depth(tmp_path)
    drive = "2011_09_26_drive_0002_sync"
    (tmp_path / "val").mkdir()
    shutil.copytree(tmp_path / "train" / "2011_09_26_drive_0001_sync", tmp_path / "val" / drive)
    day = tmp_path / "raw" / "2011_09_26"
    shutil.copytree(day / "2011_09_26_drive_0001_sync", day / drive)
    keys = {split: KittiDepth(tmp_path, split=split).keys() for split in ("train", "val", "all")}
    assert keys["all"] == sorted([*keys["train"], *keys["val"]])
    assert len(keys["val"]) == 2
    both = KittiDepth(tmp_path, split="all")
    assert [both.read(key).key for key in both.keys()] == keys["all"]  # noqa: SIM118
    with pytest.raises(BadSource, match=r"holds no train\|val/"):
        KittiDepth(tmp_path / "raw", split="all").keys()


def test_one_pose_for_both_times_would_be_seen(tmp_path: Path):
    # The guard of the fixtures: the car moves enough between scan and picture that the labels would be wrong.
    points = fake.points_in(fake.motion("then") @ fake.motion("scanner"), seed=0)
    still = inverse(fake.motion("camera")) @ fake.motion("scanner")
    depth = depth_of_points(points, still, fake.CAMERA, fake.SIZE, occlusion_gap=0)
    truth = fake.seen(0).target
    both = np.isfinite(depth) & np.isfinite(truth)
    assert np.median(np.abs(depth[both] / truth[both] - 1)) > 0.02


@pytest.mark.parametrize("source", [NuScenes, Dgp, Argoverse2])
def test_hidden_points_are_removed_by_default(tmp_path: Path, source: type[Source]):
    write = {NuScenes: fake.write_nuscenes, Dgp: fake.write_dgp, Argoverse2: fake.write_argoverse2}[source]
    write(tmp_path)
    every, kept = source(tmp_path, occlusion_gap=0), source(tmp_path)  # type: ignore[call-arg]
    key = every.keys()[0]
    assert 0.5 * every.read(key).valid.sum() < kept.read(key).valid.sum() < every.read(key).valid.sum()


@pytest.mark.parametrize("source", [NuScenes, Dgp, Argoverse2])
@pytest.mark.parametrize(
    ("option", "value"),
    [("nearest_m", -1.0), ("nearest_m", np.inf), ("occlusion_gap", 1.0), ("occlusion_window", (0, 3))],
)
def test_impossible_options_are_named(tmp_path: Path, source: type[Source], option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        source(tmp_path, **{option: value})  # type: ignore[call-arg, arg-type]


def test_cameras_of_nuscenes_are_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="`cameras` must be some of"):
        NuScenes(tmp_path, cameras=("CAM_TOP",))


def test_a_camera_without_pictures_is_an_error(tmp_path: Path):
    fake.write_nuscenes(tmp_path)
    fake.write_argoverse2(tmp_path)
    with pytest.raises(BadSource, match="no key frame of these cameras"):
        NuScenes(tmp_path, cameras=("CAM_BACK",)).keys()
    with pytest.raises(BadSource, match="no sweep has a picture of stereo_front_left"):
        Argoverse2(tmp_path, camera="stereo_front_left").keys()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["x"] * 5, "x: must be numbers"),
        ([1e300] * 5, "beyond 1e\\+09 m"),
        ([float("nan")] * 5, "not finite"),
    ],
)
def test_a_sweep_of_argoverse_that_holds_no_places_is_named(tmp_path: Path, column: list, said: str):
    fake.write_argoverse2(tmp_path)
    source = Argoverse2(tmp_path)
    key = source.keys()[0]
    table = pa.table({"x": column, "y": [0.0] * 5, "z": [1.0] * 5})
    feather.write_feather(table, source.files(key)[-1])
    with pytest.raises(BadSource, match=said):
        source.read(key)


def test_a_picture_without_scan_is_no_sample_of_dgp(tmp_path: Path):
    fake.write_dgp(tmp_path)
    file = tmp_path / "000000" / "scene_abc.json"
    content = json.loads(file.read_text())
    content["samples"][0]["datum_keys"] = ["c0"]
    file.write_text(json.dumps(content))
    assert [key[-1] for key in Dgp(tmp_path).keys()] == ["1"]  # noqa: SIM118


def test_splits_of_dgp_come_from_their_file(tmp_path: Path):
    fake.write_dgp(tmp_path)
    fake.write_dgp(tmp_path, folder="000001")
    assert len(Dgp(tmp_path)) == 4
    assert [key.split("/")[0] for key in Dgp(tmp_path, dataset="ddad.json").keys()] == ["000001"] * 2  # noqa: SIM118
    with pytest.raises(BadSource, match="names no scenes of the split test"):
        Dgp(tmp_path, dataset="ddad.json", split="test").keys()


def test_the_own_car_is_masked(tmp_path: Path):
    fake.write_dgp(tmp_path)
    mask = np.full(fake.SIZE, 255, np.uint8)
    mask[60:] = 0
    write_image(tmp_path / "masks" / "CAMERA_01.png", mask)
    key = Dgp(tmp_path).keys()[0]
    plain, masked = Dgp(tmp_path).read(key), Dgp(tmp_path, masks="masks").read(key)
    assert plain.valid[60:].any()
    np.testing.assert_array_equal(masked.valid, plain.valid & (mask > 0))
    assert tmp_path / "masks" / "CAMERA_01.png" in Dgp(tmp_path, masks="masks").files(key)


def test_pictures_too_late_after_a_sweep_are_not_taken(tmp_path: Path):
    fake.write_argoverse2(tmp_path)
    assert len(Argoverse2(tmp_path, max_gap_s=0.013)) == 2
    with pytest.raises(BadSource, match=r"within 0\.011 s"):
        Argoverse2(tmp_path, max_gap_s=0.011).keys()


def test_kitti_has_two_colour_cameras(tmp_path: Path):
    with pytest.raises(ValueError, match="`camera` must be 2 or 3, got 0"):
        KittiDepth(tmp_path, camera=0)


def test_a_published_scene_of_ddad_is_read(real_samples: Path):
    source = Dgp(real_samples / "ddad_dgp" / "test_scene", occlusion_gap=0, nearest_m=0)
    keys = [key for key in source.keys() if "/CAMERA_01/" in key]  # noqa: SIM118
    assert len(keys) == 3
    sample = source.read(keys[0])
    assert sample.intrinsics is not None
    assert sample.valid.sum() == 4810  # of 4 815 points, some behind another on its pixel
    assert np.median(sample.target[sample.valid]) == pytest.approx(11.441, abs=5e-4)


def test_a_published_depth_map_of_kitti_is_read(real_samples: Path):
    depth, valid = read_depth_png16(
        real_samples / "metric3d_demo/kitti_demo/depth/0000000005.png", per_metre=256
    )
    assert valid.mean() == pytest.approx(0.1950, abs=5e-5)
    assert depth[valid].max() == pytest.approx(84.8945, abs=5e-5)


@pytest.mark.parametrize("number", [np.nan, 1e300, -2000])
def test_points_that_no_laser_measures_are_refused(tmp_path: Path, number: float):
    fake.write_dgp(tmp_path)
    source = Dgp(tmp_path)
    key = source.keys()[0]
    file = source.files(key)[-1]
    with np.load(file) as content:
        points = content["data"]
    points[5, 1] = number
    np.savez(file, data=points)
    with pytest.raises(BadSource, match="data: must be n x 4 with x, y, z within 1 km"):
        source.read(key)
