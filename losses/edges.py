"""Edge-guided local loss: the shape of inverse depth inside small windows at the edges of the picture."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from depthmix.alignment import has_contrast
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.draws import pick
from depthmix.losses.pairs import image_edges
from depthmix.losses.windows import check_windows, compare, draw_rows, read, read_windows, span, windows_at
from depthmix.masked import count_valid, masked_mean
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["EdgeGuidedLoss", "edge_guided", "strong_edges"]

LEAST = 6  # valid pixels that a window needs
QUANTILE = 0.9  # edges are the tenth of the pixels with the strongest luminance gradient


def edge_guided(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    edges: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, "b 3 k"],
    sides: tuple[float, float] = (0.04, 0.08),
    pixels: int = 256,
) -> Float[Tensor, " b"]:
    """Compare two maps in square windows around edge pixels, normalised there; mean over pixels and windows.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift.
        valid: where `target` may be read.
        edges: pixels around which windows may lie; see `strong_edges`.
        draws: random integers in [0, 2^32), three for each window: the edge pixel, the side, the phase.
        sides: shortest and longest side of a window, as parts of the image's shorter side.
        pixels: at most this many valid pixels of a window are read.

    Convention: normalised by median and mean absolute deviation of the window's valid pixels. A window with
    fewer than 6 valid pixels or a constant label has no weight; 0 on a row without any other.

    Reference: edge-guided local scale-and-shift-invariant loss of Piccinelli et al., UniDepthV2
    (arXiv 2502.20110). The authors' code normalises by mean and standard deviation of log(1 + 50/z), takes
    the root of the mean, which has no finite gradient at 0, and walks over the windows one by one.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    size = (valid.shape[2], valid.shape[3])
    shortest, longest = (min(min(size), max(3, round(part * min(size)))) for part in sides)
    side, pixel = span(draws[:, 1], shortest, longest), pick(edges.flatten(1), draws[:, 0])
    windows = windows_at(pixel // size[1] - side // 2, pixel % size[1] - side // 2, side, side, size)
    index, keep, _ = read_windows(valid, windows, pixels, draws[:, 2], longest)
    error, good = compare(read(prediction, index), read(target, index), keep, LEAST)
    some = edges.flatten(1).any(1) & has_contrast(target, valid)
    return torch.where(some, masked_mean(error, good), 0)


@torch.no_grad()
def strong_edges(image: Num[Tensor, "b 3 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Mark the pixels whose brightness gradient is among the strongest tenth of their own image.

    Convention: the threshold is the quantile over a coarse grid of about 100 pixels a side, far cheaper than
    over all. A picture of one colour has no edge.
    """
    magnitude = image_edges(image)[0]
    stride = max(1, min(image.shape[2:]) // 96)
    ordered = magnitude[..., ::stride, ::stride].flatten(1).sort(1).values
    threshold = ordered[:, int(QUANTILE * (ordered.shape[1] - 1)), None, None, None]
    # Equal gradients differ by rounding, from device to device too: all of them are in.
    return (magnitude >= (1 - 1e-5) * threshold) & (magnitude > 0)


class EdgeGuidedLoss(DepthLoss):
    """Compare inverse depth at the edges of the picture up to scale and shift; see `edge_guided`.

    Args:
        windows: windows drawn per row and step.
        sides: shortest and longest side of a window, as parts of the image's shorter side.
        pixels: at most this many valid pixels of a window are read.
        seed: start of the draws.

    Raises:
        ValueError: `windows` is smaller than 1, `pixels` smaller than 6, or `sides` not rising in (0, 1].
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        windows: int = 128,
        sides: tuple[float, float] = (0.04, 0.08),
        pixels: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_windows(windows, sides, pixels, LEAST)
        self.windows, self.sides, self.pixels, self.seed = windows, sides, pixels, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `edge_guided` of the inverse depths for the windows of this step."""
        draws = draw_rows(batch.image, 3 * self.windows, self.seed, step).view(-1, 3, self.windows)
        maps = prediction.inverse_depth, batch.inverse_depth, self.usable(batch)
        return edge_guided(*maps, strong_edges(batch.image), draws, self.sides, self.pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have an edge, the pixels of one window and a label that is not constant."""
        usable = self.usable(batch)
        enough = (count_valid(usable) >= LEAST) & has_contrast(batch.inverse_depth, usable)
        return enough & strong_edges(batch.image).flatten(1).any(1)
