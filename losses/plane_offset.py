"""Distances of planes: each as far as in the label, and instances of one plane of the label joined."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.plane import EPSILON, in_spreads
from depthmix.losses.plane_fit import (
    count_steady,
    fit_planes,
    moments_of_maps,
    must_hold,
    on_one_plane,
    pair_weights,
    plane_moments,
    plane_vectors,
    steady,
    weighted_mean,
)
from depthmix.masked import at_least_float32, masked_weighted_median
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["PlaneOffsetLoss", "SamePlaneLoss", "plane_offset", "same_plane"]


def plane_offset(
    inverse_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    metric: Bool[Tensor, " b"],
    max_planes: int = 64,
    min_pixels: int = 50,
) -> Float[Tensor, " b"]:
    """Compare how far the plane of each instance passes the camera with the label, as |log(d / d*)|, per row.

    d is the distance from the camera along the plane's normal: of all that a plane says, what its slope in
    the image does not. The mean over instances is weighted by area.

    Args:
        inverse_depth: predicted inverse depth, in 1/m on metric rows.
        target: inverse depth of the label.
        valid: where `target` may be read; both maps are fitted there.
        planes: ids 1, 2, ...; 0 is no plane, and ids above `max_planes` are ignored.
        intrinsics: fx, fy, cx, cy in pixels, of each row.
        metric: rows whose label is in metres. On the others one factor per row is free: the median of d / d*
            by area, through which gradient flows.
        max_planes: capacity of the table of planes.
        min_pixels: planes with fewer valid pixels, or hardly wider than a line, are ignored.

    Convention: 0 on a row without planes, and on a row that is not metric with only one.
    """
    check_maps(inverse_depth=inverse_depth, target=target, valid=valid, planes=planes, intrinsics=intrinsics)
    ids, size = torch.where(valid, planes, 0), (planes.shape[2], planes.shape[3])
    label, fit = map(fit_planes, moments_of_maps(ids, max_planes, target, inverse_depth))
    usable = steady(label, size, min_pixels)
    weights = torch.where(usable, label.area, 0)
    wanted = _log_distance(plane_vectors(label, intrinsics, size), usable)
    ratio = _log_distance(plane_vectors(fit, intrinsics, size), usable) - wanted
    ratio = ratio - torch.where(metric, 0, masked_weighted_median(ratio, weights, usable))[:, None]
    return weighted_mean(ratio.abs(), weights).to(at_least_float32(inverse_depth).dtype)


def same_plane(
    inverse_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    tolerance: float = 0.05,
    max_planes: int = 64,
    min_pixels: int = 50,
) -> Float[Tensor, " b"]:
    """Join instances that lie on one plane in the label, as two pieces of a wall behind a pillar, per row.

    For each such pair, what one affine map of inverse depth for both misses more than a map for each: the
    RMS of the difference, in units of the image's own spread of inverse depth. `coplanarity` flattens the
    pieces, this joins them. The mean is weighted by the product of the areas.

    Args:
        inverse_depth: predicted inverse depth, up to scale and shift.
        target: inverse depth of the label, up to scale.
        valid: where `target` may be read; label planes are fitted there, predicted ones on all their pixels.
        planes: ids 1, 2, ...; 0 is no plane, and ids above `max_planes` are ignored.
        intrinsics: fx, fy, cx, cy in pixels, of each row; for the planes of the label only.
        tolerance: difference of two label planes that counts as none: radians between the normals, and
            parts of the distance.
        max_planes: capacity of the table of planes; pairs need its square.
        min_pixels: planes with fewer valid pixels, or hardly wider than a line, are ignored.

    Convention: as in `coplanarity` the spread carries gradient, so that flattening the picture gains nothing.
    0 on a row whose label has no such pair.
    """
    check_maps(inverse_depth=inverse_depth, target=target, valid=valid, planes=planes, intrinsics=intrinsics)
    weights = _joined_weights(target, valid, planes, intrinsics, tolerance, max_planes, min_pixels)
    q, spread = in_spreads(inverse_depth)
    moments = plane_moments(q, planes, max_planes)
    apart, both = fit_planes(moments), fit_planes(moments[:, :, None] + moments[:, None, :])
    squares = apart.area * apart.variance
    missed = both.area * both.variance - squares[:, :, None] - squares[:, None, :]
    missed = missed.clamp_min(0) / both.area.clamp_min(1) / spread[:, None, None].square()
    rms = missed / ((missed + EPSILON).sqrt() + math.sqrt(EPSILON))
    return weighted_mean(rms, weights).to(q.dtype)


class PlaneOffsetLoss(DepthLoss):
    """Put each plane instance at the label's distance; see `plane_offset`.

    Raises:
        ValueError: `max_planes` is smaller than 1, or `min_pixels` than 4.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels)
        self.max_planes, self.min_pixels = max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `plane_offset`, in metres where the label is."""
        inverse, camera = (-prediction.log_depth).exp(), batch.camera_or(prediction.intrinsics)
        maps = inverse, batch.inverse_depth, self.usable(batch), batch.planes
        return plane_offset(*maps, camera, _is_metric(batch), self.max_planes, self.min_pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a wide enough plane, or two where the label leaves a factor open."""
        ids = torch.where(self.usable(batch), batch.planes, 0)
        enough = 2 - _is_metric(batch).long()
        return count_steady(ids, self.max_planes, self.min_pixels) >= enough


class SamePlaneLoss(DepthLoss):
    """Join instances that the label puts on one plane; see `same_plane`.

    Raises:
        ValueError: `tolerance` is not positive, `max_planes` is smaller than 2, or `min_pixels` than 4.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, tolerance: float = 0.05, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        if not tolerance > 0:
            raise ValueError(f"`tolerance` must be positive, got {tolerance}")
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.tolerance, self.max_planes, self.min_pixels = tolerance, max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `same_plane` of the inverse depths."""
        label = batch.inverse_depth, self.usable(batch), batch.planes, batch.camera_or(prediction.intrinsics)
        return same_plane(prediction.inverse_depth, *label, self.tolerance, self.max_planes, self.min_pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have two instances on one plane of the label."""
        camera = batch.camera_or(torch.ones_like(batch.intrinsics))
        label = batch.inverse_depth, self.usable(batch), batch.planes, camera
        return (_joined_weights(*label, self.tolerance, self.max_planes, self.min_pixels) > 0).any((1, 2))


def _is_metric(batch: Batch) -> Bool[Tensor, " b"]:
    return batch.kind == int(LabelKind.METRIC_DEPTH)


def _log_distance(vectors: Float[Tensor, "b k 3"], usable: Bool[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    length_square = vectors.square().sum(-1)
    return -torch.where(usable & (length_square > 0), length_square, 1).log() / 2


@torch.no_grad()
def _joined_weights(
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    tolerance: float,
    max_planes: int,
    min_pixels: int,
) -> Float[Tensor, "b k k"]:
    """Weigh the pairs of instances that are one plane in the label; 0 for all others."""
    size = planes.shape[2], planes.shape[3]
    (label,) = map(fit_planes, moments_of_maps(torch.where(valid, planes, 0), max_planes, target))
    joined = on_one_plane(plane_vectors(label, intrinsics, size), tolerance)
    return torch.where(joined, pair_weights(label, steady(label, size, min_pixels)), 0)
