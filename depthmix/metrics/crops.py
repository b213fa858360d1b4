"""Named parts of an image that published evaluations read, as masks.

Convention: a window is (top, bottom, left, right) in whole pixels, from the first row and column to behind
the last, as Python slices. Rules that are fractions hold at any size: the product is cut to a whole number,
as published code does, so the window of an image of half the size need not have exactly half the rows.
Rules that are pixels were published for one size; at others they are scaled and rounded inwards, where
public code keeps the numbers and so reads another part of the scene, or nothing.
"""

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Final

import numpy as np
from jaxtyping import Bool

from depthmix.errors import ConfigError

__all__ = ["CROPS", "Window", "crop_mask", "crop_window"]

Window = tuple[int, int, int, int]
Size = tuple[int, int]

NYU_SIZE: Final = (480, 640)
BENCHMARK_SIZE: Final = (352, 1216)


def _fractions(top: float, bottom: float, left: float, right: float) -> Callable[[Size], Window]:
    def window(size: Size) -> Window:
        height, width = size
        return int(top * height), int(bottom * height), int(left * width), int(right * width)

    return window


def _pixels(top: int, bottom: int, left: int, right: int, at: Size) -> Callable[[Size], Window]:
    def window(size: Size) -> Window:
        (height, width), (rows, columns) = size, at
        return (
            math.ceil(top * height / rows),
            bottom * height // rows,
            math.ceil(left * width / columns),
            right * width // columns,
        )

    return window


def _whole(size: Size) -> Window:
    return 0, size[0], 0, size[1]


def _benchmark(size: Size) -> Window:
    """Cut 352 x 1216 out of the bottom middle.

    Raises:
        ConfigError: the image is smaller.
    """
    (height, width), (rows, columns) = size, BENCHMARK_SIZE
    if height < rows or width < columns:
        reason = f"an image of {height} x {width} has no {rows} x {columns} pixels"
        raise ConfigError(
            reason, field="crop kitti_benchmark", hint="give the images in their published size"
        )
    top, left = height - rows, (width - columns) // 2
    return top, height, left, left + columns


# Who defined each: eigen, Eigen et al. 2014 (arXiv 1406.2283) as public code has it; garg, Garg et al. 2016
# (arXiv 1603.04992), which is the one of nearly all tables on KITTI, also where the text says "Eigen split";
# kitti_benchmark, the size of the benchmark's own images; nyu_eigen, the pixels that the publisher's toolbox
# keeps; nyu_narrow, the pixels of tables on self-supervised training indoors.
CROPS: Final[dict[str, Callable[[Size], Window]]] = {
    "none": _whole,
    "eigen": _fractions(0.3324324, 0.91351351, 0.0359477, 0.96405229),
    "garg": _fractions(0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "kitti_benchmark": _benchmark,
    "nyu_eigen": _pixels(45, 471, 41, 601, NYU_SIZE),
    "nyu_narrow": _pixels(20, 459, 24, 615, NYU_SIZE),
}


def crop_window(name: str, size: Size) -> Window:
    """Return the rows and columns that a crop keeps of an image of (height, width).

    Raises:
        ConfigError: there is no such crop, or the image is too small for it.

    Example:
        >>> crop_window("garg", (375, 1242)), crop_window("kitti_benchmark", (375, 1242))
        ((153, 371, 44, 1197), (23, 375, 13, 1229))
    """
    if name not in CROPS:
        near = get_close_matches(name, CROPS, 1)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CROPS)}"
        raise ConfigError(f"no crop is called {name!r}", field="crop", hint=guess)
    return CROPS[name](size)


def crop_mask(name: str, size: Size) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels that a crop keeps.

    Raises:
        ConfigError: as `crop_window`.
    """
    top, bottom, left, right = crop_window(name, size)
    mask = np.zeros(size, np.bool_)
    mask[top:bottom, left:right] = True
    return mask
