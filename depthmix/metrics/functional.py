"""Measures of one predicted map against one label, per row, in float64.

Convention: every function returns one value per row, NaN where the row has nothing to measure (an empty
label is never a perfect score). Depth is z in metres; pixels outside `valid` are never read.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from depthmix.alignment import align_scale_shift
from depthmix.geometry import normals
from depthmix.masked import count_valid, masked_mad, masked_mean

__all__ = [
    "abs_rel",
    "align_inverse_depth",
    "boundary_f1",
    "delta",
    "edge_free",
    "log10",
    "normal_angle",
    "planarity_angle",
    "planarity_rms",
    "rmse",
    "rmse_log",
    "silog",
    "sq_rel",
    "ssi",
]

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
Rows = Float[Tensor, " b"]


def abs_rel(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average |prediction - target| / target."""
    p, g = _pair(prediction, target, valid)
    return _mean((p - g).abs() / g, valid)


def sq_rel(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average (prediction - target)² / target, in metres."""
    p, g = _pair(prediction, target, valid)
    return _mean((p - g).square() / g, valid)


def rmse(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the root of the mean squared error, in metres."""
    p, g = _pair(prediction, target, valid)
    return _mean((p - g).square(), valid).sqrt()


def rmse_log(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the root of the mean squared difference of natural logarithms; inf for a prediction <= 0."""
    return _mean(_log_error(prediction, target, valid).square(), valid).sqrt()


def log10(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average the absolute difference of logarithms to base 10; inf for a prediction <= 0."""
    return _mean(_log_error(prediction, target, valid).abs(), valid) / math.log(10)


def silog(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the standard deviation of the log error, which is left when the scale is free; inf if one is <= 0.

    Reference: Eigen et al. 2014, equation 1 with full invariance, as a root; KITTI reports 100 times this.
    """
    error = _log_error(prediction, target, valid)
    centred = error - masked_mean(error, valid)[:, None, None, None]
    spread = _mean(centred.square(), valid).sqrt()
    return torch.where(error.isinf().flatten(1).any(1), torch.inf, spread)


def delta(prediction: Map, target: Map, valid: Mask, threshold: float = 1.25) -> Rows:
    """Find the share of pixels where prediction and target differ by a factor below `threshold`.

    Convention: a prediction that is not positive is never an inlier. The common form max(p/g, g/p) counts
    every negative prediction as one.
    """
    p, g = _pair(prediction, target, valid)
    inlier = (p < threshold * g) & (g < threshold * p)  # the label is positive, so p is, too
    return _mean(inlier.double(), valid)


def ssi(inverse_depth: Map, target: Map, valid: Mask) -> Rows:
    """Average the error of aligned inverse depth in units of the label's own mean absolute deviation.

    A constant prediction reaches 1 or a little more: least squares fits the mean, the yardstick is taken
    about the median. It is the one figure here that a label of unknown scale and shift can bear. NaN where
    the label is constant.
    """
    p, g = inverse_depth.double(), target.double()
    aligned = _aligned(p, g, valid)
    spread = masked_mad(g, valid)
    return _mean((aligned - g).abs(), valid) / torch.where(spread > 0, spread, torch.nan)


def align_inverse_depth(inverse_depth: Map, target: Map, valid: Mask) -> Map:
    """Turn predicted inverse depth into depth after fitting scale and shift to the labelled inverse depth.

    Convention: the fit never flips the sign. Aligned inverse depth is kept at or above that of the farthest
    valid label of the row (the depth cap of the MiDaS protocol, taken per image), so depth is positive.
    """
    p, g = inverse_depth.double(), target.double()
    inverse = 1 / torch.where(valid, g, 1)
    farthest = torch.where(valid, inverse, torch.inf).amin((1, 2, 3), keepdim=True)
    return 1 / torch.maximum(_aligned(p, inverse, valid), farthest)


def planarity_rms(points: Float[Tensor, "b 3 h w"], planes: Int[Tensor, "b 1 h w"], pixels: int = 20) -> Rows:
    """Average, over plane instances, the RMS distance in metres of predicted points to their own best plane.

    Args:
        points: predicted points, aligned to metres beforehand.
        planes: plane instance per pixel, 0 = none.
        pixels: instances with fewer pixels are left out.

    Convention: a flat map scores 0, so never read this without `normal_angle` and `boundary_f1`.

    Reference: Koch et al., iBims-1 (arXiv 1805.01328), planarity error, flatness part.
    """
    variance, _, counts = _fit_planes(points, planes)
    return _mean(variance[..., 0].clamp_min(0).sqrt(), counts >= pixels)


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
    _, predicted, counts = _fit_planes(points, planes)
    _, labelled, _ = _fit_planes(target_points, planes)
    angle = _degrees_between(predicted, labelled, -1)
    return _mean(torch.minimum(angle, 180 - angle), counts >= pixels)  # a plane has no front


def normal_angle(prediction: Map, target: Map, valid: Mask, intrinsics: Float[Tensor, "b 4"]) -> Rows:
    """Average the angle in degrees between the surface normals of prediction and label, away from edges."""
    everywhere = torch.ones_like(valid)
    ours, ours_good = normals(prediction.double(), intrinsics, everywhere)
    theirs, theirs_good = normals(target.double(), intrinsics, valid)
    good = ours_good & theirs_good & edge_free(target, valid)
    return _mean(_degrees_between(ours, theirs, 1)[:, None], good)


def edge_free(target: Map, valid: Mask, bend: float = 0.05) -> Mask:
    """Mark pixels where the label's inverse depth is nearly straight along rows and columns.

    Inverse depth of a plane is affine in the pixel, however steep the plane, so a large second difference
    marks a depth step or a sharp crease, and never a slanted floor.

    Args:
        target: labelled depth.
        valid: where it may be read; neighbours must be valid too.
        bend: largest second difference, as a part of the inverse depth itself.
    """
    inverse = torch.where(valid, 1 / torch.where(valid, target.double(), 1), torch.nan)
    padded = pad(inverse, (1, 1, 1, 1), value=torch.nan)
    across = padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2] - 2 * inverse
    down = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] - 2 * inverse
    return torch.maximum(across.abs(), down.abs()) < bend * inverse  # NaN compares as False


def boundary_f1(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Score how well depth edges of the prediction meet those of the label; 1 is perfect.

    An edge is a pair of neighbours whose depths differ by more than a factor t, with its direction (which
    side is in front). For ten t from 1.05 to 1.25 precision is the part of predicted edges that the label
    has, recall the part of labelled edges that the prediction has; their harmonic means are averaged
    with weights proportional to t. A t without an edge in either map takes no part.

    Reference: Bochkovskii et al., Depth Pro (arXiv 2410.02073), section 3.3, without thinning and with the
    four directions pooled.
    """
    good = _neighbours(valid, torch.logical_and)
    ours, theirs = (_log_steps(x, valid) for x in (prediction, target))
    score, total = (torch.zeros(len(valid), dtype=torch.float64, device=valid.device) for _ in range(2))
    for t in torch.linspace(1.05, 1.25, 10, dtype=torch.float64).tolist():
        f1, found = _edge_agreement(ours, theirs, good, math.log(t))
        score, total = score + t * f1, total + t * found
    return torch.where(total > 0, score / total.clamp_min(1), torch.nan)


def _edge_agreement(
    ours: Float[Tensor, "b n"], theirs: Float[Tensor, "b n"], good: Bool[Tensor, "b n"], step: float
) -> tuple[Rows, Rows]:
    # A step of either sign is an edge, and only a step of the same sign matches it.
    predicted, labelled = (ours.abs() > step) & good, (theirs.abs() > step) & good
    matched = (predicted & labelled & (ours * theirs > 0)).sum(1)
    edges = predicted.sum(1) + labelled.sum(1)
    # 2 m / (p + l) is the harmonic mean of the precision m / p and the recall m / l.
    return 2 * matched.double() / edges.clamp_min(1), (edges > 0).double()


def _log_steps(depth: Map, valid: Mask) -> Float[Tensor, "b n"]:
    usable = valid & (depth > 0)
    logs = torch.where(usable, torch.where(usable, depth, 1).double().log(), torch.nan)
    return _neighbours(logs, torch.sub)  # NaN never exceeds a threshold


def _neighbours(x: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    right = combine(x[..., 1:], x[..., :-1]).flatten(1)
    below = combine(x[..., 1:, :], x[..., :-1, :]).flatten(1)
    return torch.cat([right, below], 1)


def _fit_planes(
    points: Float[Tensor, "b 3 h w"], planes: Int[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b k 3"], Float[Tensor, "b k 3"], Int[Tensor, "b k"]]:
    """Fit a plane through the points of each instance by principal components.

    Returns:
        Variances along the three axes by rising size (the first is off the plane), normals, pixel counts.
    """
    ids, p = planes.flatten(1).long(), points.double().flatten(2).transpose(1, 2)
    p = torch.where(ids[..., None] > 0, p, 0)
    size = int(ids.max()) + 1
    counts = _sum_by_id(torch.ones_like(p[..., :1]), ids, size)
    means = _sum_by_id(p, ids, size) / counts.clamp_min(1)
    centred = p - means.gather(1, ids[..., None].expand_as(p))
    products = (centred[..., :, None] * centred[..., None, :]).flatten(2)
    covariance = (_sum_by_id(products, ids, size) / counts.clamp_min(1)).view(-1, size, 3, 3)
    variances, axes = torch.linalg.eigh(covariance[:, 1:])
    return variances, axes[..., 0], counts[:, 1:, 0].long()


def _sum_by_id(x: Float[Tensor, "b n c"], ids: Int[Tensor, "b n"], size: int) -> Float[Tensor, "b k c"]:
    table = x.new_zeros(x.shape[0], size, x.shape[2])
    return table.scatter_add(1, ids[..., None].expand_as(x), x)


def _degrees_between(a: Tensor, b: Tensor, axis: int) -> Tensor:
    # atan2 keeps small angles that acos of a rounded cosine loses.
    across = torch.linalg.vector_norm(torch.linalg.cross(a, b, dim=axis), dim=axis)
    return torch.atan2(across, (a * b).sum(axis)).rad2deg()


def _aligned(prediction: Map, target: Map, valid: Mask) -> Map:
    scale, shift = align_scale_shift(prediction, target, valid)
    return scale[:, None, None, None] * prediction + shift[:, None, None, None]


def _log_error(prediction: Map, target: Map, valid: Mask) -> Map:
    p, g = _pair(prediction, target, valid)
    return torch.where(p > 0, p, 0).log() - g.log()


def _pair(prediction: Map, target: Map, valid: Mask) -> tuple[Map, Map]:
    return torch.where(valid, prediction.double(), 1), torch.where(valid, target.double(), 1)


def _mean(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Rows:
    return torch.where(count_valid(valid) > 0, masked_mean(x, valid), torch.nan)
