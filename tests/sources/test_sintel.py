"""MPI Sintel: binary depth and cameras, in a unit that is not metres."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import LabelKind
from depthmix.sources.base import Source
from depthmix.sources.sintel import Sintel
from tests.data.sintel import make as fake
from tests.sources.contract import SourceContract, Truth


class TestSintel(SourceContract):
    def make(self, tmp_path: Path) -> Sintel:
        self.truths = fake.make(tmp_path / "raw")
        return Sintel(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_the_unit_of_the_film_is_not_taken_for_metres(tmp_path: Path):
    fake.make(tmp_path)
    source = Sintel(tmp_path)
    assert source.read(fake.KEYS[0]).kind is LabelKind.SCALED_DEPTH


def test_the_pass_chooses_the_pictures(tmp_path: Path):
    fake.make(tmp_path, render_pass="clean")
    assert list(Sintel(tmp_path, render_pass="clean").keys()) == list(fake.KEYS)
    with pytest.raises(BadSource, match="holds no training/final"):
        Sintel(tmp_path).keys()
    with pytest.raises(ValueError, match="`render_pass` must be one of final, clean, albedo, got 'flow'"):
        Sintel(tmp_path, render_pass="flow")  # type: ignore[arg-type]


def test_what_lies_beyond_the_largest_depth_is_not_valid(tmp_path: Path):
    truths = fake.make(tmp_path)
    for sample in Sintel(tmp_path, max_depth=5.0):
        assert np.array_equal(sample.valid, truths[sample.key].target < 5)
    with pytest.raises(ValueError, match="`max_depth` must be positive"):
        Sintel(tmp_path, max_depth=0.0)


def test_files_of_another_kind_are_named(tmp_path: Path):
    fake.make(tmp_path)
    key = fake.KEYS[0]
    depth, camera = tmp_path / f"training/depth/{key}.dpt", tmp_path / f"training/camdata_left/{key}.cam"
    whole, numbers = depth.read_bytes(), camera.read_bytes()
    for content, reason in (
        (b"HEIP" + whole[4:], "does not begin as a depth file"),
        (whole[:8] + np.array([47], "<i4").tobytes() + whole[12:], "is 47 x 64, its image 48 x 64"),
        (whole + b"\0", "48 x 64 numbers need"),
        (whole[:7], "7 bytes are no depth file"),
    ):
        depth.write_bytes(content)
        with pytest.raises(BadSource, match=reason):
            Sintel(tmp_path).read(key)
    depth.write_bytes(whole)
    camera.write_bytes(numbers[:12] + np.array([0.5], "<f8").tobytes() + numbers[20:])
    with pytest.raises(BadSource, match="holds no camera matrix"):
        Sintel(tmp_path).read(key)
