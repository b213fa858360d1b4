"""Fit an affine map of inverse depth to every plane instance at once: what all losses on planes stand on.

A plane in space has 1/z affine in the pixel (u, v), whatever the camera. The fit needs ten sums over the
pixels of each instance, so that one pass over the image serves any number of planes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction

__all__ = [
    "PlaneFit",
    "count_steady",
    "fit_planes",
    "must_hold",
    "on_one_plane",
    "pair_weights",
    "plane_moments",
    "plane_vectors",
    "steady",
    "true_camera",
    "weighted_mean",
]

# Sums are float64 of coordinates within [-1, 1]: extents below this share of the area are rounding.
FLAT_EXTENT = 1e-12


class PlaneFit(NamedTuple):
    """Hold the least-squares affine map of each instance, in float64.

    Args:
        area: pixels of the instance; where it is 0 all else is 0 too.
        u: mean column; coordinates are pixels from the image's centre over half its longer side.
        v: mean row.
        value: mean of the map, which is the fitted map's value at (u, v).
        slope_u: slope of the fitted map along u; 0 where the instance has no extent to tell it.
        slope_v: slope along v.
        variance: mean square distance of the map from the fitted one.
        breadth: variance of the instance's pixels along its shorter axis.
    """

    area: Float[Tensor, "*k"]
    u: Float[Tensor, "*k"]
    v: Float[Tensor, "*k"]
    value: Float[Tensor, "*k"]
    slope_u: Float[Tensor, "*k"]
    slope_v: Float[Tensor, "*k"]
    variance: Float[Tensor, "*k"]
    breadth: Float[Tensor, "*k"]


def plane_moments(
    inverse_depth: Float[Tensor, "b 1 h w"], planes: Int[Tensor, "b 1 h w"], max_planes: int
) -> Float[Tensor, "b k 10"]:
    """Sum 1, u, v, uu, uv, vv, q, uq, vq, qq over the pixels of each instance, q being the inverse depth.

    Args:
        inverse_depth: the map; float64 accumulators make an offset of it harmless.
        planes: ids 1 to `max_planes`; all other pixels are not read.
        max_planes: number of instances k, whatever ids occur.

    Convention: moments of two instances add up to those of their union. The gradient to the map is written by
    hand, so that autograd keeps the map and the ids and no other image.
    """
    # In int64 at once: in 8 bits plane 257 would be plane 1. One more entry takes ids beyond capacity.
    ids = planes.to(torch.int64, copy=True).clamp_(0, max_planes + 1).squeeze(1)
    q = at_least_float32(inverse_depth).squeeze(1)
    return _Moments.apply(q, ids, max_planes)  # type: ignore[no-any-return, no-untyped-call]


def fit_planes(moments: Float[Tensor, "*k 10"]) -> PlaneFit:
    """Solve each instance's least squares in closed form, from `plane_moments`.

    Convention: a line of pixels is fitted along the line and a single pixel by its value, so that the fitted
    map is always the closest one; their slopes across are 0. `steady` tells where both slopes mean something.
    """
    area, *sums = moments.unbind(-1)
    u, v, uu, uv, vv, q, uq, vq, qq = (total / area.clamp_min(1) for total in sums)
    uu, uv, vv, uq, vq, qq = uu - u * u, uv - u * v, vv - v * v, uq - u * q, vq - v * q, qq - q * q
    extent, det = uu + vv, uu * vv - uv * uv
    full, some = det > FLAT_EXTENT * extent, extent > FLAT_EXTENT
    det, square = torch.where(full, det, 1), torch.where(some, extent.square(), 1)
    across_u, across_v = (vv * uq - uv * vq) / det, (uu * vq - uv * uq) / det
    along_u, along_v = (uu * uq + uv * vq) / square, (uv * uq + vv * vq) / square
    slope_u = torch.where(full, across_u, torch.where(some, along_u, 0))
    slope_v = torch.where(full, across_v, torch.where(some, along_v, 0))
    variance = (qq - slope_u * uq - slope_v * vq).clamp_min(0)
    breadth = (extent - ((uu - vv).square() + 4 * uv * uv).sqrt()) / 2
    return PlaneFit(area, u, v, q, slope_u, slope_v, variance, breadth)


def plane_vectors(
    fit: PlaneFit, intrinsics: Float[Tensor, "b 4"], size: tuple[int, int]
) -> Float[Tensor, "b k 3"]:
    """Return n with n . P = 1 for all points P of each fitted plane: its normal over its distance.

    From 1/z = a u + b v + c in pixels follows n = (a fx, b fy, a cx + b cy + c). It points away from the
    camera; its length is the inverse of the plane's distance from the camera, in the unit of the map.

    Args:
        fit: instances fitted to inverse depth.
        intrinsics: fx, fy, cx, cy in pixels, of the row itself.
        size: height and width of the image.
    """
    h, w = size
    fx, fy, cx, cy = intrinsics.double()[:, :, None].unbind(1)
    half = max(h, w) / 2
    # Columns go with fx and rows with fy: from (row, column, 1) the normal's x and y come out exchanged.
    right, down = (cx - (w - 1) / 2) / half - fit.u, (cy - (h - 1) / 2) / half - fit.v
    ahead = fit.value + fit.slope_u * right + fit.slope_v * down
    return torch.stack([fit.slope_u * fx / half, fit.slope_v * fy / half, ahead], -1)


def steady(fit: PlaneFit, size: tuple[int, int], min_pixels: int) -> Bool[Tensor, "b k"]:
    """Tell which instances are wide enough for a normal.

    They have `min_pixels` pixels, which spread by a standard deviation of a pixel at least along their
    shorter axis: a strip four pixels wide does.
    """
    return (fit.area >= min_pixels) & (fit.breadth.detach() >= (2 / max(size)) ** 2)


def count_steady(planes: Int[Tensor, "b 1 h w"], max_planes: int, min_pixels: int) -> Int[Tensor, " b"]:
    """Count the planes of each row that are wide enough for a normal."""
    nothing = torch.zeros_like(planes, dtype=torch.float32)
    fit = fit_planes(plane_moments(nothing, planes, max_planes))
    return steady(fit, (planes.shape[2], planes.shape[3]), min_pixels).sum(1)


@torch.no_grad()
def on_one_plane(vectors: Float[Tensor, "b k 3"], tolerance: float) -> Bool[Tensor, "b k k"]:
    """Tell which two planes agree in normal and distance, as one plane in two pieces does.

    Args:
        vectors: of `plane_vectors`. Small differences of them are the angle in radians and the relative
            difference of the distances, added as squares.
        tolerance: largest difference over the geometric mean of the two lengths.
    """
    apart = (vectors[:, :, None] - vectors[:, None, :]).square().sum(-1)
    length = vectors.square().sum(-1).sqrt()
    return apart <= tolerance**2 * length[:, :, None] * length[:, None, :]


def true_camera(prediction: Prediction, batch: Batch) -> Float[Tensor, "b 4"]:
    """Return the camera of each row; a row without one borrows the prediction's, to stay finite."""
    return torch.where(batch.camera_known[:, None], batch.intrinsics, prediction.intrinsics)


def weighted_mean(values: Float[Tensor, "b *n"], weights: Float[Tensor, "b *n"]) -> Float[Tensor, " b"]:
    """Average the values of each row by weight; 0 where no weight is positive."""
    total = weights.flatten(1).sum(1)
    return (weights * values).flatten(1).sum(1) / torch.where(total > 0, total, 1)


def pair_weights(fit: PlaneFit, usable: Bool[Tensor, "b k"]) -> Float[Tensor, "b k k"]:
    """Weigh each pair of usable instances once, by the product of their areas."""
    area = torch.where(usable, fit.area, 0)
    return (area[:, :, None] * area[:, None, :]).triu(1)


def must_hold(max_planes: int, min_pixels: int, fewest_planes: int = 1) -> None:
    """Check the options that all losses on planes share.

    Raises:
        ValueError: `max_planes` is too small, or `min_pixels` below 4 (three pixels are always flat).
    """
    if max_planes < fewest_planes:
        raise ValueError(f"`max_planes` must be at least {fewest_planes}, got {max_planes}")
    if min_pixels < 4:
        raise ValueError(f"`min_pixels` must be at least 4, got {min_pixels}")


class _Moments(torch.autograd.Function):
    """The sums with a gradient that takes one look-up of each coefficient per pixel."""

    @staticmethod
    def forward(ctx, q, ids, max_planes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        ctx.save_for_backward(q, ids)
        return _sum_up(q, ids, max_planes)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        q, ids = ctx.saved_tensors
        by_q, by_uq, by_vq, by_qq = (
            torch.nn.functional.pad(grad[..., 6:], (0, 0, 1, 1)).to(q.dtype).unbind(-1)
        )
        u, v = (_centred(n, max(ids.shape[1:]), ids.device).to(q.dtype) for n in (ids.shape[2], ids.shape[1]))
        steep = _at_pixels(2 * by_qq, ids)
        out = torch.where(steep != 0, steep * q, 0)  # 0 * q would be NaN where garbage lies on no plane
        out.addcmul_(_at_pixels(by_uq, ids), u).addcmul_(_at_pixels(by_vq, ids), v[:, None])
        return out.add_(_at_pixels(by_q, ids)), None, None


def _sum_up(q: Float[Tensor, "b h w"], ids: Int[Tensor, "b h w"], max_planes: int) -> Float[Tensor, "b k 10"]:
    """Sum down the columns first, where only powers of v matter, then the columns with powers of u."""
    (h, w), longer = q.shape[1:], max(q.shape[1:])
    row = (2 * torch.arange(h, device=ids.device) - (h - 1))[:, None]  # integers: exact, and faster to add
    n, v = _unpack(_down_columns((1 + row * 2**32).expand_as(ids), ids, max_planes))  # two sums in one pass
    v, vv = v / longer, _down_columns((row * row).expand_as(ids), ids, max_planes).double() / longer**2
    work = q.to(torch.float64, copy=True)  # one image for all three: fresh memory costs as much as the sums
    qs = _down_columns(work, ids, max_planes)
    vq = _down_columns(work.mul_(row.double()), ids, max_planes) / longer
    qq = _down_columns(work.zero_().add_(q).square_(), ids, max_planes)
    u = _centred(w, longer, ids.device)
    columns = [n, n * u, v, n * u * u, v * u, vv, qs, qs * u, vq, qq]
    return torch.stack([column.sum(2) for column in columns], 2)[:, 1:-1]


def _unpack(packed: Int[Tensor, "b k w"]) -> tuple[Float[Tensor, "b k w"], Float[Tensor, "b k w"]]:
    """Take n + 2^32 v apart again; n lies in [0, 2^32) and v may be negative."""
    n = packed & (2**32 - 1)
    return n.double(), (packed - n >> 32).double()


def _down_columns(values: Tensor, ids: Int[Tensor, "b h w"], max_planes: int) -> Tensor:
    """Add up each column's pixels by instance; the first and last entry collect the pixels without one."""
    table = values.new_zeros(ids.shape[0], max_planes + 2, ids.shape[2])
    return table.scatter_add_(1, ids, values)


def _centred(count: int, longer: int, device: torch.device) -> Float[Tensor, " n"]:
    """Return pixel coordinates from the centre, over half the longer side."""
    return (2 * torch.arange(count, device=device) - (count - 1)).double() / longer


def _at_pixels(table: Float[Tensor, "b k"], ids: Int[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    return table.gather(1, ids.flatten(1)).view_as(ids)
