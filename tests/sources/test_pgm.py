"""16-bit PGM: the byte order is the caller's word, the length is the file's own."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.pgm import read_pgm16

VALUES = np.array([[1, 256, 2047], [0, 65535, 7]], np.uint16)


def written(file: Path, order: str = ">", head: bytes = b"P5 3 2 65535\n") -> Path:
    file.write_bytes(head + VALUES.astype(f"{order}u2").tobytes())
    return file


def test_both_byte_orders_give_the_same_values(tmp_path: Path):
    big, little = written(tmp_path / "a.pgm"), written(tmp_path / "b.pgm", "<")
    assert read_pgm16(big, byte_order="big").tolist() == VALUES.tolist()
    assert read_pgm16(little, byte_order="little").tolist() == VALUES.tolist()
    assert read_pgm16(little, byte_order="big").tolist() == VALUES.byteswap().tolist()


def test_header_may_hold_comments_and_the_first_pixel_may_look_like_white_space(tmp_path: Path):
    file = tmp_path / "a.pgm"
    file.write_bytes(b"P5\n# made by hand\n2 1\n65535\n" + b"\x20\x0a\x0a\x20")
    assert read_pgm16(file, byte_order="big").tolist() == [[0x200A, 0x0A20]]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"P2 3 2 65535\n", "is no binary PGM"),
        (b"P5 3 2\n", "is no binary PGM|bytes of pixels"),
        (b"", "is no binary PGM"),
        (b"P5 3 2 255\n", "must have 16 bits"),
        (b"P5 3 2 70000\n", "must have 16 bits"),
        (b"P5 3 3 65535\n", "12 bytes of pixels, the header asks for 18"),
        (b"P5 0 2 65535\n", "empty"),
        (b"P5 99999 99999 65535\n", "pixels, more than"),
    ],
)
def test_a_broken_header_is_named(tmp_path: Path, head: bytes, reason: str):
    file = written(tmp_path / "a.pgm", head=head)
    with pytest.raises(BadSource, match=reason) as caught:
        read_pgm16(file, byte_order="big")
    assert caught.value.file == file


def test_real_recording_has_its_low_byte_first(real_samples: Path):
    file = real_samples / "open3d_rgbd/other_formats/NYU_depth.pgm"
    code = read_pgm16(file, byte_order="little")
    assert (code.min(), code.max()) == (839, 2047)
    assert read_pgm16(file, byte_order="big").max() == 65287
