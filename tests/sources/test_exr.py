"""EXR files arrive as they were written, or end in a named error."""

import numpy as np
import OpenEXR
import pytest

from depthmix.errors import BadSource
from depthmix.sources.exr import read_exr

VALUES = np.linspace(0.1, 90, 20 * 30, dtype=np.float32).reshape(20, 30)


def write(file, channels, **header):
    facts = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(facts, channels).write(str(file))


def test_float_half_and_several_channels_are_read(tmp_path):
    write(tmp_path / "a.exr", {"Y": VALUES})
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), VALUES)
    write(tmp_path / "b.exr", {"R": VALUES.astype(np.float16), "G": VALUES, "B": -VALUES})
    found = read_exr(tmp_path / "b.exr", ("R", "G", "B"))
    np.testing.assert_array_equal(found, np.stack([VALUES.astype(np.float16), VALUES, -VALUES], -1))
    assert found.dtype == np.float32


def test_a_missing_channel_is_answered_with_those_that_are_there(tmp_path):
    write(tmp_path / "a.exr", {"Z": VALUES})
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), VALUES)
    with pytest.raises(BadSource, match="has no channel Y, but Z"):
        read_exr(tmp_path / "a.exr", ("Y",))
    write(tmp_path / "b.exr", {"A": VALUES, "Z": VALUES})
    with pytest.raises(BadSource, match="has the channels A, Z: which one is meant"):
        read_exr(tmp_path / "b.exr")


def test_the_size_is_bounded_before_decoding(tmp_path):
    write(tmp_path / "a.exr", {"Y": VALUES})
    with pytest.raises(BadSource, match="30 x 20 pixels, more than 100"):
        read_exr(tmp_path / "a.exr", max_pixels=100)


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "missing"])
def test_damaged_files_are_named(tmp_path, damage):
    file = tmp_path / "a.exr"
    write(file, {"Y": VALUES})
    content = {"cut": file.read_bytes()[:-400], "noise": np.random.default_rng(0).bytes(900), "empty": b""}
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[damage])
    with pytest.raises(BadSource, match=r"a\.exr"):
        read_exr(file)
