"""Region-normalised loss: the shape of inverse depth inside random windows of each image."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import has_contrast
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.draws import pick
from depthmix.losses.windows import (
    Windows,
    check_windows,
    compare,
    draw_rows,
    read,
    read_windows,
    span,
    windows_at,
)
from depthmix.masked import count_valid, masked_mean
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["RegionNormalisedLoss", "random_windows", "region_normalised"]

LEAST = 8  # valid pixels below which the median and deviation of a window say nothing


def region_normalised(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, "b 6 k"],
    sides: tuple[float, float] = (0.125, 0.5),
    pixels: int = 1024,
) -> Float[Tensor, " b"]:
    """Compare two maps inside random windows, each normalised there; mean over pixels, then over windows.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift.
        valid: where `target` may be read.
        draws: random integers in [0, 2^32), six for each window; see `random_windows`.
        sides: shortest and longest side of a window, as parts of the image's own side.
        pixels: at most this many valid pixels of a window are read, in equal steps along the lines.

    Convention: median and mean absolute deviation are those of the valid pixels of the window, for both
    maps, so neither the window's area nor what lies outside the mask is in the scale. A window with fewer
    than 8 valid pixels or a constant label has no weight; 0 on a row without any other.

    Reference: random proposal normalisation loss of Yin et al., Metric3D (arXiv 2307.10984). The
    authors' code sums the deviations over the whole image and divides by the crop's pixels. We read inverse
    depth, so that labels of unknown scale and shift take part, and windows lie around valid pixels.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    windows = random_windows(valid, draws, sides)
    tallest = _sides(valid.shape[2], sides)[1]
    index, keep, _ = read_windows(valid, windows, pixels, draws[:, 5], tallest)
    error, good = compare(read(prediction, index), read(target, index), keep, LEAST)
    return torch.where(has_contrast(target, valid), masked_mean(error, good), 0)


def random_windows(
    valid: Bool[Tensor, "b 1 h w"], draws: Int[Tensor, "b m k"], sides: tuple[float, float]
) -> Windows:
    """Turn five draws each into windows that hold a valid pixel, with any shape inside the limits.

    Convention: draws 0 to 4 choose the valid pixel, height, width, and where in the window the pixel lies.
    """
    size = (valid.shape[2], valid.shape[3])
    height, width = (span(draws[:, 1 + i], *_sides(side, sides)) for i, side in enumerate(size))
    pixel = pick(valid.flatten(1), draws[:, 0])
    row = pixel // size[1] - span(draws[:, 3], 0, height - 1)
    column = pixel % size[1] - span(draws[:, 4], 0, width - 1)
    return windows_at(row, column, height, width, size)


class RegionNormalisedLoss(DepthLoss):
    """Compare inverse depth inside random windows up to scale and shift; see `region_normalised`.

    Args:
        windows: windows drawn per row and step.
        sides: shortest and longest side of a window, as parts of the image's own side.
        pixels: at most this many valid pixels of a window are read.
        seed: start of the draws.

    Raises:
        ValueError: `windows` is smaller than 1, `pixels` smaller than 8, or `sides` not rising in (0, 1].
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        windows: int = 20,
        sides: tuple[float, float] = (0.125, 0.5),
        pixels: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_windows(windows, sides, pixels, LEAST)
        self.windows, self.sides, self.pixels, self.seed = windows, sides, pixels, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `region_normalised` of the inverse depths for the windows of this step."""
        draws = draw_rows(batch.image, 6 * self.windows, self.seed, step).view(-1, 6, self.windows)
        maps = prediction.inverse_depth, batch.inverse_depth, self.usable(batch)
        return region_normalised(*maps, draws, self.sides, self.pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have the pixels of one window and a label that is not constant."""
        usable = self.usable(batch)
        return (count_valid(usable) >= LEAST) & has_contrast(batch.inverse_depth, usable)


def _sides(side: int, parts: tuple[float, float]) -> tuple[int, int]:
    """Return the shortest and longest side in pixels."""
    shortest, longest = (min(side, max(1, int(part * side))) for part in parts)
    return shortest, longest
