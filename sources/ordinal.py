"""Pairs of points with the word which is farther, as DIW and OASIS write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int32

from depthmix.errors import BadSource
from depthmix.sources.tables import MISFIT

__all__ = ["pairs_of_rows"]

_RELATIONS: Final = {">": 1, "<": -1, "=": 0}


def pairs_of_rows(
    rows: Sequence[Sequence[str]], size: tuple[int, int], *, first_pixel: int, file: Path
) -> Int32[np.ndarray, "p 5"]:
    """Turn rows of DIW's form, y1 x1 y2 x2 relation, into ordinal pairs.

    Args:
        rows: the cells of each row; what follows the fifth cell is not read.
        size: rows and columns of the image that the points lie in.
        first_pixel: number of the first row and column in the file, 0 or 1.
        file: the name for messages.

    Convention: in the file y comes before x, and ">" says that the first point has the larger depth. In the
    result u comes before v, pixels count from 0, and 1 says that the first point is farther. A point that
    lies one pixel outside, as rounding puts it, is brought to the border.

    Raises:
        BadSource: no row, a row of another form, another relation, or a point that lies farther outside.
    """
    if not rows:
        raise BadSource("holds no pair", file=file, hint="the file was cut: fetch it again")
    try:
        numbers = np.array([[float(cell) for cell in row[:4]] for row in rows], np.float64).reshape(-1, 4)
        relations = np.array([_RELATIONS[row[4].strip()] for row in rows], np.int32)
    except MISFIT as error:
        raise BadSource(f"a row must hold y1, x1, y2, x2 and >, < or =: {error!r}", file=file) from error
    places = np.floor(numbers) - first_pixel
    height, width = size
    inside = places.clip(0, np.array([height, width, height, width]) - 1)
    # The comparison is false for NaN too.
    wrong = ~(np.abs(places - inside) <= 1).all(axis=1)
    if wrong.any():
        reason = f"{int(wrong.sum())} of {len(wrong)} pairs leave the {height} x {width} image"
        raise BadSource(reason, file=file, hint="the points belong to images of the published size")
    return np.column_stack([inside[:, [1, 0, 3, 2]].astype(np.int32), relations]).astype(np.int32)
