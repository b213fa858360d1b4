"""Angles between planes, through the true camera: as the label has them, or parallel and perpendicular."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.plane_fit import (
    count_steady,
    fit_planes,
    moments_of_maps,
    must_hold,
    on_one_plane,
    pair_weights,
    plane_vectors,
    steady,
    weighted_mean,
)
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["ManhattanLoss", "PlaneAngleLoss", "manhattan", "plane_angle"]

# Cosines this close to 1 are an angle of 1e-6: below it the arc cosine has no gradient to give.
COSINE_LIMIT = 1 - 1e-12
# Planes whose vectors differ by less than this part, as 3 degrees or 5 % of the distance, are one plane.
ONE_PLANE = 0.05


def plane_angle(
    inverse_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    max_planes: int = 64,
    min_pixels: int = 50,
) -> Float[Tensor, " b"]:
    """Compare the angle between any two planes with that in the label, in radians, per row.

    An affine map is fitted to inverse depth in each instance, for the prediction and for the label; with
    1/z = a u + b v + c the plane's normal is (a fx, b fy, a cx + b cy + c). The mean over pairs of instances
    is weighted by the product of their areas.

    Args:
        inverse_depth: predicted inverse depth, up to scale (a shift would turn the planes).
        target: inverse depth of the label, up to scale.
        valid: where `target` may be read; both maps are fitted there.
        planes: ids 1, 2, ...; 0 is no plane, and ids above `max_planes` are ignored.
        intrinsics: fx, fy, cx, cy in pixels, of each row.
        max_planes: capacity of the table of planes; pairs need its square.
        min_pixels: planes with fewer valid pixels, or hardly wider than a line, are ignored.

    Convention: normals point away from the camera on both sides, so that angles go from 0 to pi. 0 on a row
    with fewer than two planes. The angle itself is compared, whose pull does not fade as two planes become
    parallel; that of cosines does.

    Reference: angles between planes in place of those between pairs of pixels on planes, Yin et al., LeReS
    (arXiv 2012.09365). Public code of it builds rays from (row, column, 1), which exchanges x
    and y; here columns go with fx.
    """
    check_maps(inverse_depth=inverse_depth, target=target, valid=valid, planes=planes, intrinsics=intrinsics)
    ids, size = torch.where(valid, planes, 0), (planes.shape[2], planes.shape[3])
    label, fit = map(fit_planes, moments_of_maps(ids, max_planes, target, inverse_depth))
    usable = steady(label, size, min_pixels)
    angle = angles(plane_vectors(fit, intrinsics, size), usable)
    wanted = angles(plane_vectors(label, intrinsics, size), usable)
    value = weighted_mean((angle - wanted).abs(), pair_weights(label, usable))
    return value.to(at_least_float32(inverse_depth).dtype)


def manhattan(
    inverse_depth: Float[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    tolerance: float = 15.0,
    max_planes: int = 64,
    min_pixels: int = 50,
) -> Float[Tensor, " b"]:
    """Pull planes that are nearly parallel or nearly perpendicular to exactly that, in radians, per row.

    This is a prior, not a label: it believes that what a building shows within `tolerance` of a right angle
    is one. It is wrong for sloped roofs and bay windows and helps only a prediction that is nearly right.

    Args:
        inverse_depth: predicted inverse depth, up to scale.
        planes: ids 1, 2, ...; 0 is no plane, and ids above `max_planes` are ignored.
        intrinsics: fx, fy, cx, cy in pixels, of each row.
        tolerance: degrees; pairs farther than that from 0 and 90 cost as much, and are not moved.
        max_planes: capacity of the table of planes; pairs need its square.
        min_pixels: smaller planes, and planes hardly wider than a line, are ignored.

    Convention: per pair min(deviation, tolerance), weighted by the product of the areas. Two instances that
    the prediction puts on one plane cost the full tolerance, like a pair that is out of reach: else the
    flat picture, all of whose instances are one plane, would be best. A stack of flat cards still costs
    nothing, so give this loss a small weight beside one that sees the shape. 0 with fewer than two planes.
    """
    check_maps(inverse_depth=inverse_depth, planes=planes, intrinsics=intrinsics)
    size = planes.shape[2], planes.shape[3]
    (fit,) = map(fit_planes, moments_of_maps(planes, max_planes, inverse_depth))
    usable = steady(fit, size, min_pixels)
    vectors = plane_vectors(fit, intrinsics, size)
    angle = angles(vectors, usable)
    off_parallel = torch.minimum(angle, math.pi - angle)
    deviation = torch.minimum(off_parallel, math.pi / 2 - off_parallel).clamp_max(math.radians(tolerance))
    deviation = torch.where(on_one_plane(vectors, ONE_PLANE), math.radians(tolerance), deviation)
    return weighted_mean(deviation, pair_weights(fit, usable)).to(at_least_float32(inverse_depth).dtype)


class PlaneAngleLoss(DepthLoss):
    """Match the angles between labelled plane instances; see `plane_angle`.

    Raises:
        ValueError: `max_planes` is smaller than 2, or `min_pixels` than 4.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.max_planes, self.min_pixels = max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `plane_angle` of the inverse depths."""
        camera, valid = batch.camera_or(prediction.intrinsics), self.usable(batch)
        maps = prediction.inverse_depth, batch.inverse_depth, valid, batch.planes
        return plane_angle(*maps, camera, self.max_planes, self.min_pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have two planes that are wide enough where the label is valid."""
        ids = torch.where(self.usable(batch), batch.planes, 0)
        return count_steady(ids, self.max_planes, self.min_pixels) >= 2


class ManhattanLoss(DepthLoss):
    """Square up planes where no depth says how they stand; see `manhattan`, which is a prior.

    Raises:
        ValueError: `tolerance` lies outside (0, 45], `max_planes` is smaller than 2, or `min_pixels` than 4.
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind) - DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, tolerance: float = 15.0, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        if not 0 < tolerance <= 45:
            raise ValueError(f"`tolerance` must be in (0, 45] degrees, got {tolerance}")
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.tolerance, self.max_planes, self.min_pixels = tolerance, max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `manhattan` of the predicted inverse depth."""
        camera = batch.camera_or(prediction.intrinsics)
        options = self.tolerance, self.max_planes, self.min_pixels
        return manhattan(prediction.inverse_depth, self._planes(batch), camera, *options)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have two planes that are wide enough."""
        return count_steady(self._planes(batch), self.max_planes, self.min_pixels) >= 2

    def _planes(self, batch: Batch) -> Int[Tensor, "b 1 h w"]:
        return torch.where(self.bears(batch)[:, None, None, None], batch.planes, 0)


def angles(vectors: Float[Tensor, "b k 3"], usable: Bool[Tensor, "b k"]) -> Float[Tensor, "b k k"]:
    """Return the angle between any two planes, in radians; pairs with an unusable plane mean nothing."""
    # (1, 0, 0) stands in for planes without a normal, whose gradient would not be finite.
    stand_in = (torch.arange(3, device=vectors.device) == 0).to(vectors.dtype)
    vectors = torch.where(usable[:, :, None], vectors, stand_in)
    normal = vectors * vectors.square().sum(-1, keepdim=True).clamp_min(1e-200).rsqrt()
    # A product of matrices would be lowered by autocast.
    cosine = (normal[:, :, None] * normal[:, None, :]).sum(-1)
    return cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT).acos()
