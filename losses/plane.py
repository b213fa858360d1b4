"""Coplanarity: pixels that share a plane instance must lie on one plane, wherever it is."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import CONTRAST_FLOOR
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.plane_fit import fit_planes, moments_of_maps, must_hold, plane_moments, weighted_mean
from depthmix.masked import at_least_float32, full_median
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

__all__ = ["PlaneLoss", "coplanarity"]

# Inside the root: residuals below a thousandth of the image's spread count as flat enough.
EPSILON = 1e-6


def coplanarity(
    inverse_depth: Float[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    max_planes: int = 64,
    min_pixels: int = 50,
) -> Float[Tensor, " b"]:
    """Average over plane instances, by area, how far inverse depth is from affine in (u, v).

    A plane in space has 1/z affine in (u, v), whatever the camera, and stays so under a scale and shift of
    inverse depth. Per plane the best affine map is fitted by least squares in closed form; its RMS residual
    is measured in units of the image's own spread of inverse depth.

    Args:
        inverse_depth: predicted inverse depth, up to scale and shift.
        planes: ids 1, 2, ...; 0 is no plane, and ids above `max_planes` are ignored.
        max_planes: capacity of the table of planes; `Batch.planes` ranks by area, so the smallest fall out.
        min_pixels: smaller planes are ignored.

    Convention: the spread (mean absolute deviation of the whole image) carries gradient. Flattening or
    shrinking the map shrinks both parts of the ratio and gains nothing; dividing by a detached spread or by
    the mean would reward flat images. 0 on a row without planes.
    """
    check_maps(inverse_depth=inverse_depth, planes=planes)
    q, spread = in_spreads(inverse_depth)
    fit = fit_planes(plane_moments(q, planes, max_planes))
    variance = fit.variance / spread[:, None].square()
    rms = variance / ((variance + EPSILON).sqrt() + math.sqrt(EPSILON))
    return weighted_mean(rms, torch.where(fit.area >= min_pixels, fit.area, 0)).to(q.dtype)


class PlaneLoss(DepthLoss):
    """Flatten predicted inverse depth inside plane instances; see `coplanarity`.

    Raises:
        ValueError: `max_planes` is smaller than 1, or `min_pixels` than 4 (three pixels are always flat).
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels)
        self.max_planes, self.min_pixels = max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `coplanarity` of the predicted inverse depth."""
        return coplanarity(prediction.inverse_depth, batch.planes, self.max_planes, self.min_pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a plane of at least `min_pixels`."""
        (moments,) = moments_of_maps(batch.planes, self.max_planes, torch.zeros_like(batch.target))
        return (moments[..., 0] >= self.min_pixels).any(1)


def in_spreads(x: Float[Tensor, "b 1 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, " b"]]:
    """Return the map from its median in units of its spread, and the spread in the same units, which is 1.

    The unit is a constant; the gradient of the spread flows through the second result alone. That of the
    median is left out: neither residuals of planes nor the sum of deviations from a median feel a shift.
    """
    x = at_least_float32(x)
    with torch.no_grad():
        middle = full_median(x)
        floor = CONTRAST_FLOOR * x.abs().mean((1, 2, 3))
    x = x - middle[:, None, None, None]
    spread = torch.maximum(x.abs().mean((1, 2, 3)), floor)
    unit = torch.where(spread > 0, spread, 1).detach()
    return x / unit[:, None, None, None], torch.where(spread > 0, spread / unit, 1)
