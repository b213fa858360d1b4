"""From depth maps to points and surface normals and back to pixels.

Convention: pinhole camera fx, fy, cx, cy in pixels, pixel centres at integers, axes x right, y down,
z forward; a point (X, Y, Z) falls on u = fx X / Z + cx, v = fy Y / Z + cy.

These are a few broadcasts of our own because kornia's `depth_to_3d_v2` was measured 7 times slower.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from depthmix.masked import at_least_float32

__all__ = [
    "has_neighbours",
    "in_range",
    "normals",
    "normals_at",
    "normals_of_stencils",
    "points_at",
    "project",
    "stencils_at",
    "unit",
    "unproject",
]

# Smallest depth as a part of the farthest of its row: keeps the sum of two depths off 0 in float32.
NEAREST = 1e-30


def unproject(depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 h w"]:
    """Lift every pixel to its point (X, Y, Z), in the unit of the depth.

    Example:
        >>> unproject(torch.full((1, 1, 1, 2), 4.0), torch.tensor([[2.0, 2.0, 0.0, 0.0]]))[0, :, 0, 1]
        tensor([2., 0., 4.])
    """
    z = at_least_float32(depth)
    fx, fy, cx, cy = _columns(intrinsics, z)
    u, v = _grid(z, z)
    return torch.cat([(u - cx) / fx * z, (v - cy) / fy * z, z], 1)


def project(points: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, "b 2 h w"]:
    """Find the pixel (u, v) on which each point falls; NaN for points that are not in front of the camera."""
    x, y, z = at_least_float32(points).chunk(3, 1)
    fx, fy, cx, cy = _columns(intrinsics, z)
    front = z > 0
    ahead = torch.where(front, z, 1)
    pixels = torch.cat([fx * x / ahead + cx, fy * y / ahead + cy], 1)
    return torch.where(front, pixels, torch.nan)


def normals(
    depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 4"], valid: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Find the unit normal of the surface at every pixel by central differences of the points.

    With p = (z_right - z_left) / (z_right + z_left) and q alike from below and above, the cross product of
    the two differences is parallel to (fx p, fy q, -1 - (u - cx) p - (v - cy) q). Its part along the viewing
    ray is never 0, so positive depths have a normal everywhere.

    Returns:
        Unit normals that face the camera (away from the viewing ray), and where they are valid: the pixel
        and its four neighbours are valid. Elsewhere the normal is (0, 0, -1).

    Convention: normals have no scale, so depth up to one factor will do. The gradient is finite everywhere
    and 0 where the normal is not valid; depth outside `valid` is never read.
    """
    good = has_neighbours(valid)
    z = pad(in_range(torch.where(valid, at_least_float32(depth), 1)), (1, 1, 1, 1), value=1.0)
    across = torch.where(good, _relative_step(z[..., 1:-1, 2:], z[..., 1:-1, :-2]), 0)
    down = torch.where(good, _relative_step(z[..., 2:, 1:-1], z[..., :-2, 1:-1]), 0)
    fx, fy, cx, cy = _columns(intrinsics, z)
    u, v = _grid(good, z)
    return unit(torch.cat([fx * across, fy * down, -1 - (u - cx) * across - (v - cy) * down], 1)), good


def normals_at(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    index: Int[Tensor, "b m"],
    good: Bool[Tensor, "b m"],
) -> Float[Tensor, "b 3 m"]:
    """Find the unit normals of `normals` at some pixels alone; the cost follows the number of pixels.

    Args:
        depth: positive z, up to one factor a row.
        intrinsics: fx, fy, cx, cy of each row.
        index: v * w + u of each pixel.
        good: pixels whose neighbours may be read, never on the border; the others give (0, 0, -1).
    """
    (around,) = stencils_at(index, good, depth)
    return normals_of_stencils(around, intrinsics, index, depth.shape[-1])


def stencils_at(
    index: Int[Tensor, "b m"], good: Bool[Tensor, "b m"], *depths: Float[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 4 m"], ...]:
    """Read the depths to the right, below, to the left and above of some pixels; 1 where not good."""
    w, last = depths[0].shape[-1], depths[0][0, 0].numel() - 1
    places = torch.stack([index + 1, index + w, index - 1, index - w], 1).clamp(0, last).flatten(1)
    bad = good.logical_not()[:, None]
    read = (at_least_float32(depth.flatten(1).gather(1, places)) for depth in depths)
    return tuple(z.view(len(z), 4, -1).masked_fill(bad, 1) for z in read)


def normals_of_stencils(
    around: Float[Tensor, "*k b 4 m"], intrinsics: Float[Tensor, "b 4"], index: Int[Tensor, "b m"], width: int
) -> Float[Tensor, "*k b 3 m"]:
    """Find the unit normals in the middle of `stencils_at`, of one or several maps; no second derivatives."""
    camera = intrinsics.to(around.dtype)[:, :, None]
    from_centre = torch.stack([index % width, index // width], 1) - camera[:, 2:]
    return _StencilNormals.apply(around, from_centre, camera[:, :2])  # type: ignore[no-any-return, no-untyped-call]


def points_at(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    index: Int[Tensor, "b m"],
    good: Bool[Tensor, "b m"],
) -> Float[Tensor, "b 3 m"]:
    """Lift the good pixels v * w + u of `index` to their points, as `unproject` does; others to depth 1."""
    w = depth.shape[-1]
    z = torch.where(good, at_least_float32(depth.flatten(1).gather(1, index)), 1)[:, None]
    fx, fy, cx, cy = (column[..., 0] for column in _columns(intrinsics, z))
    u, v = (index % w)[:, None], (index // w)[:, None]
    return torch.cat([(u - cx) / fx * z, (v - cy) / fy * z, z], 1)


def unit(vectors: Float[Tensor, "b 3 *n"]) -> Float[Tensor, "b 3 *n"]:
    """Scale vectors along axis 1 to length 1; the zero vector stays zero, with a finite gradient."""
    return vectors * vectors.square().sum(1, keepdim=True).clamp_min(1e-36).rsqrt()


def has_neighbours(valid: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Mark the pixels that are valid together with their four neighbours; never the border."""
    padded = pad(valid, (1, 1, 1, 1))
    beside = padded[..., 1:-1, 2:] & padded[..., 1:-1, :-2]
    return valid & beside & padded[..., 2:, 1:-1] & padded[..., :-2, 1:-1]


def in_range(depth: Float[Tensor, "b *n"]) -> Float[Tensor, "b *n"]:
    """Measure depth in units of the farthest of its row, so that no sum of two overflows or is 0."""
    farthest = depth.detach().flatten(1).amax(1).view(-1, *[1] * (depth.dim() - 1))
    return (depth / farthest).clamp_min(NEAREST)


class _StencilNormals(torch.autograd.Function):
    """Normals from relative steps tanh(log(ahead / behind) / 2), in half the operations of autograd."""

    @staticmethod
    def forward(ctx: Any, around: Tensor, from_centre: Tensor, focal: Tensor) -> Tensor:
        log = around.log()
        step = (log[..., :2, :] - log[..., 2:, :]).mul_(0.5).tanh_()
        normal = torch.cat([step * focal, -1 - (step * from_centre).sum(-2, keepdim=True)], -2)
        length = torch.linalg.vector_norm(normal, dim=-2, keepdim=True)
        normal = normal.div(length)
        ctx.save_for_backward(around, from_centre, focal, step, normal, length)
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        around, from_centre, focal, step, normal, length = ctx.saved_tensors
        radial = (gradient * normal).sum(-2, keepdim=True)
        slope = gradient.addcmul(normal, radial, value=-1) / length
        slope = (slope[..., :2, :] * focal).addcmul_(slope[..., 2:, :], from_centre, value=-1)
        slope = slope.addcmul(slope * step, step, value=-1).mul_(0.5)
        return torch.cat([slope, -slope], -2) / around, None, None


def _columns(intrinsics: Float[Tensor, "b 4"], like: Tensor) -> tuple[Tensor, ...]:
    return tuple(intrinsics.to(like.dtype)[:, :, None, None, None].unbind(1))


def _grid(shape: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return u as a row and v as a column over the last two axes of `shape`, in the type of `like`."""
    u = torch.arange(shape.shape[-1], device=like.device, dtype=like.dtype)
    return u, torch.arange(shape.shape[-2], device=like.device, dtype=like.dtype)[:, None]


def _relative_step(ahead: Float[Tensor, "*n"], behind: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return (ahead - behind) / (ahead + behind)
