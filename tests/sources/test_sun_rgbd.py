"""SUN RGB-D: bits that are rotated, and depth that is not always named as its image."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.decode import read_png16
from depthmix.sources.sun_rgbd import SunRgbd, rotated_back
from depthmix.testing import SourceContract, Truth
from tests.data.sun_rgbd import make as fake


class TestSunRgbd(SourceContract):
    def make(self, tmp_path: Path) -> SunRgbd:
        self.truths = fake.make(tmp_path / "raw")
        return SunRgbd(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_every_code_is_rotated_back():
    code = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(rotated_back(fake.rotated(code)), code)


def test_far_points_do_not_wrap_to_near_ones(tmp_path: Path):
    fake.make(tmp_path)
    far = SunRgbd(tmp_path, max_depth_m=20).read(fake.NYU)
    np.testing.assert_allclose(far.target[:6, 10:20], 9.87, atol=1e-3)
    assert not SunRgbd(tmp_path).read(fake.NYU).valid[:6, 10:20].any()


def test_filled_depth_is_only_read_when_asked_for(tmp_path: Path):
    fake.make(tmp_path)
    assert not SunRgbd(tmp_path).read(fake.SUN3D).valid[:, :5].any()
    source = SunRgbd(tmp_path, depth="filled")
    assert source.read(fake.SUN3D).valid[:, :5].all()
    assert source.files(fake.SUN3D)[-1].parent.name == "depth_bfx"


def test_two_depth_maps_of_other_names_are_not_guessed(tmp_path: Path):
    fake.make(tmp_path)
    depth = SunRgbd(tmp_path).files(fake.SUN3D)[-1]
    depth.with_name("another.png").write_bytes(depth.read_bytes())
    with pytest.raises(BadSource, match="holds 2 PNG files"):
        SunRgbd(tmp_path).read(fake.SUN3D)


@pytest.mark.parametrize(("option", "value"), [("depth", "bfx"), ("max_depth_m", 0.0)])
def test_impossible_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        SunRgbd(tmp_path, **{option: value})


def test_real_depth_reaches_as_far_as_the_room(real_samples: Path, tmp_path: Path):
    raw = real_samples / "open3d_rgbd/other_formats"
    # One pair of the benchmark, put back into folders; its camera is not among the files and is not tested.
    for name in ("image/frame.jpg", "depth/other.png"):
        file = tmp_path / "xtion/sun3ddata/room" / name
        file.parent.mkdir(parents=True)
        file.write_bytes((raw / f"SUN_{'depth' if 'depth' in name else 'color'}{file.suffix}").read_bytes())
    (tmp_path / "xtion/sun3ddata/room/intrinsics.txt").write_text("570 0 320 0 570 240 0 0 1")
    (sample,) = SunRgbd(tmp_path, max_depth_m=20)
    depth = sample.target[sample.valid]
    np.testing.assert_allclose((depth.min(), np.median(depth), depth.max()), (1.06, 2.72, 9.87), atol=0.006)
    # A shift alone takes what is farthest for what is nearest.
    code = read_png16(SunRgbd(tmp_path).files(sample.key)[-1])
    assert (code >> 3)[sample.valid].min() < 100
