"""Read portable float maps, the format of Middlebury and SceneFlow disparities."""

import re
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32

from depthmix.errors import BadSource
from depthmix.sources.files import DAMAGED, MAX_PIXELS, check_pixels, file_size, refusing

__all__ = ["read_pfm", "read_pfm_colour"]

# White space of the header may hold comments. The pattern only ever runs on the first bytes of a file.
_GAP: Final = rb"(?:\s|#[^\n]*\n)+"
_HEADER: Final = re.compile(
    rb"(Pf|PF)" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"([-+.0-9eE]{1,40})\s"
)
_HEADER_BYTES: Final = 4096


def read_pfm(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Float32[np.ndarray, "h w"]:
    """Read a grey PFM (`Pf`), top row first, in the machine's byte order.

    Convention: the file holds the bottom row first; a negative scale means little-endian. The scale's amount
    is not applied: some Middlebury files state 1/255 there and mean pixels all the same. Values may be inf
    or NaN.

    Raises:
        BadSource: no such file, broken header, a length that disagrees with it, too large, or three channels.
    """
    return _read_pfm(file, b"Pf", 1, max_pixels)[..., 0]


def read_pfm_colour(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Float32[np.ndarray, "h w 3"]:
    """Read a three-channel PFM (`PF`) as `read_pfm` reads a grey one.

    Raises:
        BadSource: as `read_pfm`; a grey file is refused.
    """
    return _read_pfm(file, b"PF", 3, max_pixels)


def _read_pfm(file: str | Path, magic: bytes, channels: int, max_pixels: int) -> Float32[np.ndarray, "h w c"]:
    size = file_size(file)
    with refusing(file):
        with Path(file).open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
        found = _HEADER.match(head)
        if not found:
            raise BadSource(f"no PFM header, the file starts with {head[:16]!r}", file=file, hint=DAMAGED)
        if found[1] != magic:
            raise BadSource(f"must have {channels} channel(s) ({magic!r}), got {found[1]!r}", file=file)
        width, height, scale = int(found[2]), int(found[3]), float(found[4])
        check_pixels(width, height, file, max_pixels)
        if not (np.isfinite(scale) and scale):
            raise BadSource(f"the scale must be finite and not 0, got {scale}", file=file, field="scale")
        start = _data_start(head, found.end(), size, 4 * width * height * channels, file)
        values = np.fromfile(file, "<f4" if scale < 0 else ">f4", offset=start)
        return np.ascontiguousarray(values.reshape(height, width, channels)[::-1], np.float32)


def _data_start(head: bytes, end: int, size: int, expected: int, file: str | Path) -> int:
    # One white space ends the header; a file written in text mode on Windows has two, and its length says so.
    if head[end - 1 : end + 1] == b"\r\n" and size - end == expected + 1:
        return end + 1
    if size - end != expected:
        raise BadSource(
            f"{size - end} bytes of pixels, the header asks for {expected}", file=file, hint=DAMAGED
        )
    return end
