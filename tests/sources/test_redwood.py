"""Redwood and Open3D: millimetres, images in folders of several names, a camera written column by column."""

import json
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.base import Source
from depthmix.sources.redwood import Redwood
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.redwood import make as fake


class TestRedwood(SourceContract):
    optional = ("camera_intrinsic.json",)

    def make(self, tmp_path: Path) -> Redwood:
        self.truths = fake.make(tmp_path / "raw")
        return Redwood(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestRedwoodScan(SourceContract):
    # Without its image, a depth map has none near in time.
    optional = (f"{fake.IMAGE[0]}.png",)

    def make(self, tmp_path: Path) -> Redwood:
        self.truths = fake.make_scan(tmp_path / "raw")
        return Redwood(tmp_path / "raw", pairing="time")

    def again(self, source: Source, root: Path) -> Redwood:
        return Redwood(root, pairing="time")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_cameras_that_count_for_themselves_are_paired_by_time(tmp_path: Path):
    fake.make_scan(tmp_path)
    for seed, sample in enumerate(Redwood(tmp_path, pairing="time")):
        np.testing.assert_array_equal(sample.image, fake.view(seed).image)
    # The numbers alone would pair the second depth map with the second image.
    assert Redwood(tmp_path, pairing="time").files(fake.DEPTH[1])[0].stem == fake.IMAGE[2]
    with pytest.raises(BadSource, match="no depth map has an image within"):
        Redwood(tmp_path, pairing="time", max_gap_s=1e-6).keys()


def test_names_without_a_time_are_not_paired_by_time(tmp_path: Path):
    fake.make(tmp_path)
    with pytest.raises(BadSource, match="the name must be <number>-<microseconds>"):
        Redwood(tmp_path, pairing="time").keys()


@pytest.mark.parametrize("colours", ["image", "rgb", "color", "colors"])
def test_images_lie_in_a_folder_of_any_published_name(tmp_path: Path, colours: str):
    truths = fake.make(tmp_path, colours=colours)
    assert [sample.key for sample in Redwood(tmp_path)] == list(truths)


def test_a_scene_without_images_is_named(tmp_path: Path):
    fake.make(tmp_path, colours="pictures")
    with pytest.raises(BadSource, match="holds none of image, rgb, color, colors") as caught:
        Redwood(tmp_path).read(fake.KEYS[0])
    assert caught.value.file == tmp_path / "bedroom"


def test_a_depth_map_without_image_is_noticed(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "bedroom/color/000001.jpg").unlink()
    source = Redwood(tmp_path)
    assert fake.KEYS[1] in list(source.keys())
    with pytest.raises(BadSource, match=r"color/000001\.jpg: .*no such image"):
        source.read(fake.KEYS[1])


@pytest.mark.parametrize("matrix", [[60, 0, 32, 0, 60, 24, 0, 0, 1], [60] * 8, None, "60"])
def test_a_camera_of_another_form_is_named(tmp_path: Path, matrix: object):
    fake.make(tmp_path)
    file = tmp_path / "bedroom/camera_intrinsic.json"
    file.write_text(json.dumps({"width": 64, "height": 48, "intrinsic_matrix": matrix}))
    with pytest.raises(BadSource, match="must be fx 0 0 0 fy 0 cx cy 1") as caught:
        Redwood(tmp_path).read(fake.KEYS[0])
    assert (caught.value.file, caught.value.field) == (file, "intrinsic_matrix")
    file.write_text(json.dumps({"width": 640, "height": 480, "intrinsic_matrix": matrix}))
    with pytest.raises(BadSource, match="must be 48 as of the depth, got 480"):
        Redwood(tmp_path).read(fake.KEYS[0])


def test_the_default_camera_is_of_its_size_only(tmp_path: Path):
    fake.make_scan(tmp_path)
    write_image(tmp_path / "rgb/1-5.png", np.zeros((480, 640, 3), np.uint8))
    write_image(tmp_path / "depth/1-5.png", np.full((480, 640), 700, np.uint16))
    assert Redwood(tmp_path).read("1-5").intrinsics == Intrinsics(525.0, 525.0, 319.5, 239.5)
    assert Redwood(tmp_path, primesense=False).read("1-5").intrinsics is None
    assert Redwood(tmp_path, pairing="time").read(fake.DEPTH[0]).intrinsics is None


def test_folder_unit_and_range_of_depth_are_options(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "bedroom/depth").rename(tmp_path / "bedroom/depth_noisy")
    sample = Redwood(tmp_path, depth="depth_noisy", per_metre=2000, max_depth_m=2.5).read(fake.KEYS[0])
    known = np.nan_to_num(fake.label(0) / 2)
    np.testing.assert_allclose(sample.target[sample.valid], known[sample.valid], atol=5.1e-4)
    assert sample.target.max() < 2.5 < known.max()


@pytest.mark.parametrize(
    ("option", "value"), [("pairing", "order"), ("depth", ""), ("per_metre", 0.0), ("max_gap_s", -1.0)]
)
def test_impossible_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        Redwood(tmp_path, **{option: value})


def test_real_frames_are_millimetres_of_the_default_camera(real_samples: Path):
    first, second = Redwood(real_samples / "open3d_rgbd")
    assert (first.key, second.key) == ("00000", "00002")
    for sample in (first, second):
        assert sample.intrinsics == Intrinsics(525.0, 525.0, 319.5, 239.5)
        np.testing.assert_allclose(sample.target.max(), 2.702, atol=1e-3)


def test_real_frames_meet_after_the_motion_of_their_trajectory(real_samples: Path):
    folder = real_samples / "open3d_rgbd"
    lines = (folder / "trajectory.log").read_text().split("\n")
    poses = [np.array(" ".join(lines[5 * i + 1 : 5 * i + 5]).split(), float).reshape(4, 4) for i in (0, 2)]
    first, second = Redwood(folder)
    v, u = np.nonzero(first.valid)
    k, z = first.intrinsics, first.target[v, u]
    points = np.stack([(u - k.cx) / k.fx * z, (v - k.cy) / k.fy * z, z, np.ones_like(z)])
    x, y, z, _ = np.linalg.inv(poses[1]) @ poses[0] @ points
    u, v = np.rint(k.fx * x / z + k.cx).astype(int), np.rint(k.fy * y / z + k.cy).astype(int)
    inside = (z > 0) & (u >= 0) & (u < 640) & (v >= 0) & (v < 480)
    u, v, z = u[inside], v[inside], z[inside]
    there = second.valid[v, u]
    # As z in millimetres 0.30 %; ray lengths would give 0.48 %, and frames that are not moved 0.88 %.
    assert np.median(np.abs(second.target[v, u] - z)[there] / z[there]) < 0.0035
