"""BlendedMVS is depth up to scale, and its masked pictures are not read by accident."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind
from depthmix.sources.blended_mvs import BlendedMvs
from tests.data.blended_mvs import make as fake
from tests.data.known import write_pfm
from tests.sources.contract import SourceContract

KEY = f"{fake.PROJECTS[0][0]}/00000000"


class TestBlendedMvs(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw")
        return BlendedMvs(tmp_path / "raw")

    def truth(self, source, key):
        return fake.make(source.root.parent / "truth" / key)[key]


def test_unit_is_not_known_so_depth_is_up_to_scale(tmp_path: Path):
    fake.make(tmp_path)
    one, two = BlendedMvs(tmp_path)
    assert one.kind is two.kind is LabelKind.SCALED_DEPTH
    assert np.median(two.target[two.valid]) > 1000 * np.median(one.target[one.valid])


def test_masked_pictures_are_an_option(tmp_path: Path):
    truth = fake.make(tmp_path)[KEY]
    plain, masked = (BlendedMvs(tmp_path, masked=choice) for choice in (False, True))
    assert plain.keys() == masked.keys()
    assert len(plain) == 2
    hole = np.isnan(truth.target)
    assert plain.read(KEY).image[hole].mean() > 60
    assert masked.read(KEY).image[hole].mean() < 15


def test_nothing_is_called_sky(tmp_path: Path):
    fake.make(tmp_path)
    sample = BlendedMvs(tmp_path).read(KEY)
    assert not sample.sky.any()
    assert not sample.valid.all()


def test_centre_may_count_from_the_corner(tmp_path: Path):
    fake.make(tmp_path)
    camera = BlendedMvs(tmp_path, corner_origin=True).read(KEY).intrinsics
    assert camera is not None
    assert (camera.cx, camera.cy) == (fake.CAMERA.cx - 0.5, fake.CAMERA.cy - 0.5)


def test_empty_map_is_a_bad_sample(tmp_path: Path):
    fake.make(tmp_path)
    write_pfm(BlendedMvs(tmp_path).files(KEY)[-1], np.zeros(fake.SIZE))
    with pytest.raises(BadSample, match=r"00000000\.pfm: blended_mvs/.*valid: 0 of"):
        BlendedMvs(tmp_path).read(KEY)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("intrinsic\n36", "intrinsics\n36", "must hold `extrinsic`, 4 lines"),
        ("36.25 0.0 24.5", "36.25 0.2 24.5", "must be \\[fx 0 cx"),
        ("36.25 0.0 24.5", "0 0.0 24.5", "finite and positive"),
        ("36.25 0.0 24.5", "36.25 0.0 nan", "must be finite"),
        ("36.25 0.0 24.5", "36.25 0.0", "is no camera"),
    ],
)
def test_bad_camera_is_named(tmp_path: Path, old: str, new: str, reason: str):
    fake.make(tmp_path)
    file = BlendedMvs(tmp_path).files(KEY)[1]
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(BadSource, match=rf"00000000_cam\.txt: .*{reason}"):
        BlendedMvs(tmp_path).read(KEY)
