"""Masks in COCO's run-length code and as polygons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

__all__ = ["mask_of_segmentation", "runs_of_text"]


def mask_of_segmentation(segmentation: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Draw a mask as annotation files of COCO state it.

    Args:
        segmentation: polygons [[x, y, x, y, ...], ...], or {"size": [h, w], "counts": runs or text}.
        size: rows and columns of the image.

    Raises:
        ValueError: another form, another size, or runs that do not fill the image.
    """
    if isinstance(segmentation, dict):
        stated = tuple(int(part) for part in segmentation["size"])
        if stated != tuple(size):
            raise ValueError(f"the mask is {stated}, the image {tuple(size)}")
        counts = segmentation["counts"]
        try:
            runs = runs_of_text(counts) if isinstance(counts, str) else [int(run) for run in counts]
        except OverflowError as error:  # JSON knows Infinity
            raise ValueError("a run is not finite") from error
        if min(runs, default=-1) < 0 or sum(runs) != size[0] * size[1]:
            raise ValueError("the runs do not fill the image")
        # Runs go down the columns and begin with background.
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return np.ascontiguousarray(flat.reshape(size[1], size[0]).T)
    return _drawn(segmentation, size)


def runs_of_text(text: str) -> list[int]:
    """Decode the runs of COCO's text form.

    Convention: each run is written in groups of 5 bits, lowest first, offset by 48; bit 6 says that more
    groups follow, bit 5 of the last one is the sign. From the third on, runs are differences to the run
    before the previous one.

    Raises:
        ValueError: a character that the form does not know, or a last run without an end.

    Example:
        >>> runs_of_text("52203")
        [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    value = shift = 0
    for char in text:
        group = ord(char) - 48
        if not 0 <= group < 64:
            raise ValueError(f"{char!r} is no part of a run-length text")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the last run has no end")
    return runs


def _drawn(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    import cv2

    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        corners = np.array(polygon, np.float64).reshape(-1, 2)
        if len(corners) < 3 or not np.isfinite(corners).all():
            raise ValueError("a polygon needs three finite corners")
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return np.asarray(mask > 0)
