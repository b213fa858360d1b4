"""How flat predicted planes are, and how far their orientation is off.

Convention: a flat map is perfectly flat, so never read these without `normal_angle` and `boundary_f1`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from depthmix.metrics.shapes import Rows, degrees_between, mean_or_nan

__all__ = ["Fitted", "fit_planes", "flatness", "planarity_angle", "planarity_rms", "turn"]


def planarity_rms(points: Float[Tensor, "b 3 h w"], planes: Int[Tensor, "b 1 h w"], pixels: int = 20) -> Rows:
    """Average, over plane instances, the RMS distance in metres of predicted points to their own best plane.

    Args:
        points: predicted points, aligned to metres beforehand.
        planes: plane instance per pixel, 0 = none.
        pixels: instances with fewer pixels are left out.

    Convention: a flat map scores 0, so never read this without `normal_angle` and `boundary_f1`.

    Reference: Koch et al., iBims-1 (arXiv 1805.01328), planarity error, flatness part.
    """
    return flatness(fit_planes(points, planes), pixels)


def planarity_angle(
    points: Float[Tensor, "b 3 h w"],
    target_points: Float[Tensor, "b 3 h w"],
    planes: Int[Tensor, "b 1 h w"],
    pixels: int = 20,
) -> Rows:
    """Average, over plane instances, the angle in degrees between the planes fitted to prediction and label.

    Args:
        points: predicted points.
        target_points: points of the label.
        planes: plane instance per pixel, 0 where there is none or the label is not valid.
        pixels: instances with fewer pixels are left out.

    Reference: Koch et al., iBims-1 (arXiv 1805.01328), planarity error, orientation part.
    """
    return turn(fit_planes(points, planes), fit_planes(target_points, planes), pixels)


class Fitted(NamedTuple):
    """Hold the best plane of every instance.

    Args:
        variance: along the three axes by rising size; the first is off the plane.
        normal: of length 1, to either side.
        size: pixels of the instance.
    """

    variance: Float[Tensor, "b k 3"]
    normal: Float[Tensor, "b k 3"]
    size: Int[Tensor, "b k"]


def flatness(predicted: Fitted, pixels: int = 20) -> Rows:
    """Return `planarity_rms` of fitted planes."""
    return mean_or_nan(predicted.variance[..., 0].clamp_min(0).sqrt(), predicted.size >= pixels)


def turn(predicted: Fitted, labelled: Fitted, pixels: int = 20) -> Rows:
    """Return `planarity_angle` of planes fitted to the same instances in both maps."""
    angle = degrees_between(predicted.normal, labelled.normal, -1)
    return mean_or_nan(torch.minimum(angle, 180 - angle), predicted.size >= pixels)  # a plane has no front


def fit_planes(points: Float[Tensor, "b 3 h w"], planes: Int[Tensor, "b 1 h w"]) -> Fitted:
    """Fit a plane through the points of each instance by principal components."""
    ids, p = planes.flatten(1).long(), points.double().flatten(2).transpose(1, 2)
    p = torch.where(ids[..., None] > 0, p, 0)
    size = int(ids.max()) + 1
    counts = _sum_by_id(torch.ones_like(p[..., :1]), ids, size)
    means = _sum_by_id(p, ids, size) / counts.clamp_min(1)
    centred = p - means.gather(1, ids[..., None].expand_as(p))
    products = (centred[..., :, None] * centred[..., None, :]).flatten(2)
    covariance = (_sum_by_id(products, ids, size) / counts.clamp_min(1)).view(-1, size, 3, 3)
    variances, axes = torch.linalg.eigh(covariance[:, 1:])
    return Fitted(variances, axes[..., 0], counts[:, 1:, 0].long())


def _sum_by_id(x: Float[Tensor, "b n c"], ids: Int[Tensor, "b n"], size: int) -> Float[Tensor, "b k c"]:
    table = x.new_zeros(x.shape[0], size, x.shape[2])
    return table.scatter_add(1, ids[..., None].expand_as(x), x)
