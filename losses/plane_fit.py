"""Fit an affine map of inverse depth to every plane instance at once: what all losses on planes stand on.

A plane in space has 1/z affine in the pixel (u, v), whatever the camera. The fit needs ten sums over the
pixels of each instance, so that one pass over the image serves any number of planes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.masked import at_least_float32

__all__ = [
    "PlaneFit",
    "count_steady",
    "fit_planes",
    "moments_of_maps",
    "must_hold",
    "on_one_plane",
    "pair_weights",
    "plane_moments",
    "plane_vectors",
    "steady",
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
    """Sum 1, v, vv, u, uv, uu, q, vq, uq, qq over the pixels of each instance, q being the inverse depth.

    Args:
        inverse_depth: the map; float64 accumulators make an offset of it harmless.
        planes: ids 1 to `max_planes`; all other pixels are not read.
        max_planes: number of instances k, whatever ids occur.

    Convention: moments of two instances add up to those of their union. The gradient to the map is written by
    hand, so that autograd keeps the map and the ids and no other image.
    """
    ids, extents = _instances(planes, max_planes)
    q = at_least_float32(inverse_depth).squeeze(1)
    return _Moments.apply(q, ids, extents, True)  # type: ignore[no-any-return, no-untyped-call]


def moments_of_maps(
    planes: Int[Tensor, "b 1 h w"], max_planes: int, *maps: Float[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b k 10"], ...]:
    """Return `plane_moments` of each map over the same instances, without the sums qq, which are left at 0.

    Slopes and values need no squares, and what the instances themselves look like is summed up once.
    """
    ids, extents = _instances(planes, max_planes)
    return tuple(_Moments.apply(at_least_float32(q).squeeze(1), ids, extents, False) for q in maps)  # type: ignore[no-untyped-call]


def fit_planes(moments: Float[Tensor, "*k 10"]) -> PlaneFit:
    """Solve each instance's least squares in closed form, from `plane_moments`.

    Convention: a line of pixels is fitted along the line and a single pixel by its value, so that the fitted
    map is always the closest one; their slopes across are 0. `steady` tells where both slopes mean something.
    The variance of `moments_of_maps` means nothing.
    """
    with torch.no_grad():
        shape, solver = _shape_of(moments)
    known = torch.stack([moments[..., 6], moments[..., 8], moments[..., 7]], -1)  # q, uq, vq
    value, slope_u, slope_v = (solver * known[..., None, :]).sum(-1).unbind(-1)
    with torch.no_grad():  # at the minimum of the squares their derivative by the fit vanishes
        weights = _squares(slope_u, slope_v, value - slope_u * shape[1] - slope_v * shape[2])
    area, u, v, breadth = shape
    variance = ((moments * weights).sum(-1) / area.clamp_min(1)).clamp_min(0)
    return PlaneFit(area, u, v, value, slope_u, slope_v, variance, breadth)


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
    (moments,) = moments_of_maps(planes, max_planes, torch.zeros_like(planes, dtype=torch.float32))
    fit = fit_planes(moments)
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


def _shape_of(moments: Float[Tensor, "*k 10"]) -> tuple[tuple[Tensor, ...], Float[Tensor, "*k 3 3"]]:
    """Return area, middle and breadth, and the matrix from sums of q, uq, vq to mean and both slopes."""
    area, v, vv, u, uv, uu = moments[..., :6].unbind(-1)
    some = area.clamp_min(1)
    u, v = u / some, v / some
    uu, uv, vv = uu / some - u * u, uv / some - u * v, vv / some - v * v
    extent, det = uu + vv, uu * vv - uv * uv
    full, line = det > FLAT_EXTENT * extent, extent > FLAT_EXTENT
    # The inverse of the covariance, on a line of pixels its pseudo-inverse, at a single one 0.
    divisor = torch.where(full, det, torch.where(line, extent.square(), torch.inf)) * some
    a, b = torch.where(full, vv, uu) / divisor, torch.where(full, -uv, uv) / divisor
    c = torch.where(full, uu, vv) / divisor
    zero = torch.zeros_like(u)
    rows = [1 / some, zero, zero, -a * u - b * v, a, b, -b * u - c * v, b, c]
    breadth = (extent - ((uu - vv).square() + 4 * uv * uv).sqrt()) / 2
    return (area, u, v, breadth), torch.stack(rows, -1).view(*u.shape, 3, 3)


def _squares(
    a: Float[Tensor, "*k"], b: Float[Tensor, "*k"], c: Float[Tensor, "*k"]
) -> Float[Tensor, "*k 10"]:
    """Weigh the moments so that they add up to the sum of (q - a u - b v - c)^2."""
    one = torch.ones_like(a)
    return torch.stack(
        [c * c, 2 * b * c, b * b, 2 * a * c, 2 * a * b, a * a, -2 * c, -2 * b, -2 * a, one], -1
    )


class _Moments(torch.autograd.Function):
    """The sums with a gradient that takes two look-ups per pixel, and one more for the squares."""

    @staticmethod
    def forward(ctx, q, ids, extents, squares):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        ctx.save_for_backward(q, ids)
        ctx.squares = squares
        return torch.cat([extents, _sums_of_map(q, ids, extents.shape[1], squares)], 2)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        q, ids = ctx.saved_tensors
        by_q, by_vq, by_uq, by_qq = torch.nn.functional.pad(grad[..., 6:], (0, 0, 1, 1)).to(q.dtype).unbind(2)
        u, v = (_centred(n, max(ids.shape[1:]), ids.device).to(q.dtype) for n in (ids.shape[2], ids.shape[1]))
        out = torch.addcmul(by_q[:, :, None], by_uq[:, :, None], u).gather(1, ids)
        out.addcmul_(_at_pixels(by_vq, ids), v[:, None])
        if ctx.squares:
            steep = _at_pixels(2 * by_qq, ids)
            out.add_(
                torch.where(steep != 0, steep * q, 0)
            )  # 0 * q would be NaN where garbage lies on no plane
        return out, None, None, None


def _instances(
    planes: Int[Tensor, "b 1 h w"], max_planes: int
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b k 6"]]:
    """Return ids from 0 to k + 1, both of which are no instance, and the sums of 1, v, vv, u, uv, uu.

    Sums go down the columns first, where only powers of v matter, then along the rows with powers of u.
    """
    # In int64 at once: in 8 bits plane 257 would be plane 1. One more entry takes ids beyond capacity.
    ids = planes.to(torch.int64, copy=True).clamp_(0, max_planes + 1).squeeze(1)
    (h, w), longer = ids.shape[1:], max(ids.shape[1:])
    row = (2 * torch.arange(h, device=ids.device) - (h - 1))[:, None]  # integers: exact, and faster to add
    n, v = _unpack(_down_columns((1 + row * 2**32).expand_as(ids), ids, max_planes))  # two sums in one pass
    v, vv = v / longer, _down_columns((row * row).expand_as(ids), ids, max_planes).double() / longer**2
    u = _centred(w, longer, ids.device)
    sums = [n, v, vv, n * u, v * u, n * u.square()]
    return ids, torch.stack([column.sum(2) for column in sums], 2)[:, 1:-1]


def _sums_of_map(
    q: Float[Tensor, "b h w"], ids: Int[Tensor, "b h w"], max_planes: int, squares: bool
) -> Float[Tensor, "b k 4"]:
    """Return the sums of q, vq, uq and qq."""
    v, u = (_centred(n, max(ids.shape[1:]), ids.device) for n in ids.shape[1:])
    work = q.to(torch.float64, copy=True)  # one image for all three: fresh memory costs as much as the sums
    qs = _down_columns(work, ids, max_planes)
    sums = [qs.sum(2), _down_columns(work.mul_(v[:, None]), ids, max_planes).sum(2), (qs * u).sum(2)]
    if squares:
        sums.append(_down_columns(q.to(work.dtype).square(), ids, max_planes).sum(2))
    else:
        sums.append(torch.zeros_like(sums[0]))
    return torch.stack(sums, 2)[:, 1:-1]


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
