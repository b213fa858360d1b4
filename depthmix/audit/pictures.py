"""Find pictures that are the same picture: a fingerprint that survives scaling and compression."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8, UInt64

__all__ = ["SAME", "Match", "fingerprint", "matches"]

SIDE: Final = 16  # 16 x 16 comparisons give 256 bits
SAME: Final = 12  # bits that may differ: recompression flips a few, unrelated photos differ in about 128
MIN_BITS: Final = 24  # fewer set or unset bits than this mean a picture without structure, alike to any other
BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Match:
    """Two pictures that are one.

    Args:
        first: number of the first picture.
        second: number of the second one.
        bits: bits of the fingerprints that differ.
        mirrored: whether the second had to be mirrored.
    """

    first: int
    second: int
    bits: int
    mirrored: bool


def fingerprint(image: UInt8[np.ndarray, "h w 3"]) -> UInt64[np.ndarray, " 4"]:
    """Return 256 bits that say where a reduced picture grows brighter from left to right.

    Reference: the difference hash (dHash) that is used for finding duplicates on the web, here with 16 x 16
    comparisons in place of 8 x 8.
    """
    import cv2

    # Brightness as JPEG keeps it at full resolution, whatever it does to colours.
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    small: Float[np.ndarray, "16 17"] = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(np.diff(small, axis=1) > 0).view(np.uint64)


def matches(
    first: UInt64[np.ndarray, "n 4"], second: UInt64[np.ndarray, "m 4"], *, mirrored: bool = False
) -> list[Match]:
    """List the pairs of pictures that are the same, first number ascending.

    Args:
        first: fingerprints.
        second: fingerprints of the other set, or of the same one: then a picture is not compared with itself
            and each pair is listed once.
        mirrored: what `Match.mirrored` shall say; the second set holds mirrored pictures then.
    """
    found: list[Match] = []
    same = first is second
    usable = _has_structure(first), _has_structure(second)
    for start in range(0, len(first), BLOCK):
        rows = slice(start, start + BLOCK)
        differing = np.bitwise_count(first[rows, None] ^ second[None]).sum(2)
        near = (differing <= SAME) & usable[0][rows, None] & usable[1][None]
        for row, column in np.argwhere(near).tolist():
            if not same or start + row < column:
                found.append(Match(start + row, column, int(differing[row, column]), mirrored))
    return found


def _has_structure(prints: UInt64[np.ndarray, "n 4"]) -> np.ndarray:
    ones = np.bitwise_count(prints).sum(1)
    return np.asarray((ones >= MIN_BITS) & (ones <= SIDE * SIDE - MIN_BITS))
