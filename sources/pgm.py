"""Read 16-bit portable grey maps, the raw frames of depth cameras, in either byte order."""

import re
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import UInt16

from depthmix.errors import BadSource
from depthmix.sources.files import DAMAGED, MAX_PIXELS, check_pixels, read_bytes

__all__ = ["read_pgm16"]

# White space of the header may hold comments; one single white space ends it.
_GAP: Final = rb"(?:\s|#[^\n]*\n)+"
_HEADER: Final = re.compile(rb"P5" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})\s")
_HEADER_BYTES: Final = 4096


def read_pgm16(
    file: str | Path, *, byte_order: Literal["big", "little"], max_pixels: int = MAX_PIXELS
) -> UInt16[np.ndarray, "h w"]:
    """Read a binary PGM (`P5`) of 16 bits.

    Args:
        file: the PGM.
        byte_order: "big" is what the format asks for; "little" is for writers that wrote their memory as it
            lay, such as the recorder of NYU Depth V2. Nothing in the file tells the two apart.
        max_pixels: refuse larger maps before they are read.

    Raises:
        BadSource: no such file, broken header, 8 bits, too large, or a length that disagrees with the header.
    """
    data = read_bytes(file, max_bytes=2 * max_pixels + _HEADER_BYTES)
    header = _HEADER.match(data[:_HEADER_BYTES])
    if header is None:
        raise BadSource(f"is no binary PGM, it starts with {data[:8]!r}", file=file, hint=DAMAGED)
    width, height, largest = (int(number) for number in header.groups())
    check_pixels(width, height, file, max_pixels)
    if not 255 < largest < 65536:
        reason = f"must have 16 bits, its largest value is stated as {largest}"
        raise BadSource(reason, file=file, hint="use the original file: a conversion has lost the low bits")
    if len(data) - header.end() != 2 * width * height:
        found, wanted = len(data) - header.end(), 2 * width * height
        raise BadSource(f"{found} bytes of pixels, the header asks for {wanted}", file=file, hint=DAMAGED)
    values = np.frombuffer(data, ">u2" if byte_order == "big" else "<u2", offset=header.end())
    return values.reshape(height, width).astype(np.uint16)
