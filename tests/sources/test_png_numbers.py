"""PNG channels that carry numbers come back bit by bit, and only in the promised form."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource
from depthmix.sources.decode import read_png_numbers

RANDOM = np.random.default_rng(0)
RGB16 = RANDOM.integers(0, 65536, (7, 9, 3)).astype(np.uint16)
RGBA8 = RANDOM.integers(0, 256, (7, 9, 4)).astype(np.uint8)


def written(file: Path, pixels: np.ndarray) -> Path:
    order = [2, 1, 0, 3][: pixels.shape[2]]
    assert cv2.imwrite(str(file), pixels[..., order])
    return file


@pytest.mark.parametrize("pixels", [RGB16, RGBA8, (RGB16 % 256).astype(np.uint8)], ids=["16x3", "8x4", "8x3"])
def test_channels_come_back_in_order(tmp_path: Path, pixels: np.ndarray):
    file = written(tmp_path / "a.png", pixels)
    found = read_png_numbers(file, bits=8 * pixels.itemsize, channels=pixels.shape[2])
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


def test_transparent_pixels_keep_their_colour(tmp_path: Path):
    clear = RGBA8.copy()
    clear[..., 3] = 0
    assert np.array_equal(read_png_numbers(written(tmp_path / "a.png", clear), bits=8, channels=4), clear)


def test_other_bits_and_channels_are_refused(tmp_path: Path):
    file = written(tmp_path / "a.png", RGBA8)
    with pytest.raises(BadSource, match=r"a\.png: must be a 16-bit RGB PNG, got 8-bit RGB with alpha PNG"):
        read_png_numbers(file, bits=16, channels=3)
    with pytest.raises(BadSource, match="must be a 8-bit RGB with alpha PNG, got 16-bit RGB PNG"):
        read_png_numbers(written(tmp_path / "b.png", RGB16), bits=8, channels=4)


@pytest.mark.parametrize("pixels", [RGB16, RGBA8], ids=["16x3", "8x4"])
def test_flipped_bit_and_missing_end_are_refused(tmp_path: Path, pixels: np.ndarray):
    file = written(tmp_path / "a.png", pixels)
    kind = {"bits": 8 * pixels.itemsize, "channels": pixels.shape[2]}
    good = file.read_bytes()
    for broken in (good[:-20], good[: len(good) // 2], good[:80] + bytes([good[80] ^ 8]) + good[81:], b""):
        file.write_bytes(broken)
        with pytest.raises(BadSource, match=r"a\.png"):
            read_png_numbers(file, **kind)


def test_size_is_checked_before_decoding(tmp_path: Path):
    Image.fromarray(RGBA8).save(tmp_path / "a.png")
    with pytest.raises(BadSource, match="9 x 7 pixels, more than 50"):
        read_png_numbers(tmp_path / "a.png", bits=8, channels=4, max_pixels=50)
