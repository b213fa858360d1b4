"""Surface normals of two depth maps, pixel by pixel, seen through the true camera of each row."""

from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.batch import Batch
from depthmix.geometry import has_neighbours, in_range
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.masked import at_least_float32, count_valid
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["NormalMeasure", "SurfaceNormalLoss", "surface_normal"]

NormalMeasure = Literal["angle", "cosine", "l1"]
Vector = tuple[Tensor, Tensor, Tensor]

# Squared sines below it are rounding; their inverse root stays in range in float32.
SMALLEST_SQUARE = 1e-30


def surface_normal(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    valid: Bool[Tensor, "b 1 h w"],
    measure: NormalMeasure = "angle",
) -> Float[Tensor, " b"]:
    """Average over each row how far the normals of two depth maps are apart.

    Args:
        depth: predicted z, in any unit.
        target: label z, in any unit.
        intrinsics: fx, fy, cx, cy of each row.
        valid: where `target` may be read.
        measure: "angle" in radians; "cosine", one minus it; "l1", the sum of the three absolute differences.

    Convention: normals of central differences (`depthmix.geometry.normals`), read where a pixel and its four
    neighbours are valid: no neighbour without a label enters a normal, and a sparse row bears nothing.
    0 on such a row. The angle is taken from the chord between the normals, so its gradient never exceeds
    that of the normals; that of an arccosine is infinite where they agree. No second derivatives.

    Reference: angle and L1 of normals as in Bae et al. (arXiv 2109.09881) and MoGe (arXiv 2410.19115), which
    reads four cross products a pixel; the public code of LeReS averages depth over invalid neighbours.
    """
    check_maps(depth=depth, target=target, valid=valid, intrinsics=intrinsics)
    z = torch.where(valid, at_least_float32(depth), 1)
    good = has_neighbours(valid)
    total: Tensor = _NormalError.apply(z, target, intrinsics.to(z.dtype), valid, good, measure)  # type: ignore[no-untyped-call]
    return total / count_valid(good).clamp_min(1)


class SurfaceNormalLoss(DepthLoss):
    """Compare the surface normals of prediction and label pixel by pixel; see `surface_normal`.

    Raises:
        ValueError: `measure` is not "angle", "cosine" or "l1".
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "dense"})

    def __init__(self, measure: NormalMeasure = "angle") -> None:
        super().__init__()
        if measure not in get_args(NormalMeasure):
            raise ValueError(f"`measure` must be one of {', '.join(get_args(NormalMeasure))}, got {measure}")
        self.measure: NormalMeasure = measure

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `surface_normal` of the depths."""
        camera = batch.camera_or(prediction.intrinsics)
        return surface_normal(
            prediction.canonical_depth, batch.target, camera, self.usable(batch), self.measure
        )

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and a valid pixel with its four neighbours."""
        return has_neighbours(self.usable(batch)).flatten(1).any(1)


class _NormalError(torch.autograd.Function):
    """Sum the errors of normals over the good pixels of each row, and take the gradient on the way.

    Autograd would keep two dozen maps until the backward pass; here buffers are used again (60 MB at batch
    8 of 384 x 384 is 12 maps), and only the gradient itself is kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        target: Tensor,
        camera: Tensor,
        valid: Tensor,
        good: Tensor,
        measure: NormalMeasure,
    ) -> Tensor:
        inner, columns = good[..., 1:-1, 1:-1], camera[:, :, None, None, None].unbind(1)
        known = in_range(torch.where(valid, at_least_float32(target), 1)).to(z.dtype)
        difference, _ = _unit_normals(known, columns)
        del known
        normal, factor = _unit_normals(z, columns)
        for own, other in zip(difference, normal, strict=True):
            own.sub_(other).neg_()
        total, slope = _measured(difference, inner, measure)
        slope = _tangential(slope, normal, factor.mul_(inner))
        del normal, factor
        ctx.save_for_backward(_pull_back(slope, z, columns))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * gradient[:, None, None, None], None, None, None, None, None


def _unit_normals(z: Float[Tensor, "b 1 h w"], camera: tuple[Tensor, ...]) -> tuple[Vector, Tensor]:
    """Return unit normals that face away from the camera, without the border, and their length before."""
    fx, fy, cx, cy = camera
    u, v = _inner_grid(z)
    right, left, below, above = _stencil(z)
    across, down = (right - left).div_(right + left), (below - above).div_(below + above)
    z_part = (across * (u - cx)).addcmul_(down, v - cy).add_(1)
    x_part, y_part = across.mul_(-fx), down.mul_(-fy)
    factor = (x_part * x_part).addcmul_(y_part, y_part).addcmul_(z_part, z_part).rsqrt_()
    return (x_part.mul_(factor), y_part.mul_(factor), z_part.mul_(factor)), factor


def _measured(difference: Vector, inner: Tensor, measure: NormalMeasure) -> tuple[Tensor, Vector]:
    """Return each row's sum of errors and the derivative by the predicted normal, up to radial parts."""
    x, y, z = difference
    if measure == "l1":
        error = x.abs().add_(y.abs()).add_(z.abs())
        return _row_sum(error, inner), (x.sign_(), y.sign_(), z.sign_())
    squared = (x * x).addcmul_(y, y).addcmul_(z, z)  # of the chord: 2 - 2 cos
    if measure == "cosine":
        return _row_sum(squared, inner) / 2, difference
    total = 2 * _row_sum(squared.sqrt().div_(2).clamp_max_(1).asin_(), inner)
    # One over the sine; where the normals agree, the difference itself is 0.
    steep = squared.div(-4).add_(1).mul_(squared).clamp_min_(SMALLEST_SQUARE).rsqrt_()
    return total, (x.mul_(steep), y.mul_(steep), z.mul_(steep))


def _row_sum(error: Tensor, inner: Tensor) -> Tensor:
    return error.mul_(inner).flatten(1).sum(1)


def _tangential(slope: Vector, normal: Vector, factor: Tensor) -> Vector:
    """Carry the derivative by unit vectors on to the vectors before they were scaled to length 1."""
    radial = (slope[0] * normal[0]).addcmul_(slope[1], normal[1]).addcmul_(slope[2], normal[2])
    x, y, z = (s.addcmul_(n, radial, value=-1).mul_(factor) for s, n in zip(slope, normal, strict=True))
    return x, y, z


def _pull_back(slope: Vector, z: Tensor, camera: tuple[Tensor, ...]) -> Tensor:
    """Carry the derivative by the normals on to the depths of their stencils."""
    fx, fy, cx, cy = camera
    u, v = _inner_grid(z)
    right, left, below, above = _stencil(z)
    result = torch.zeros_like(z)
    to_right, to_left, to_below, to_above = _stencil(result)
    across = (slope[2] * (u - cx)).sub_(slope[0] * fx).mul_(2).div_(right + left).div_(right + left)
    to_right.addcmul_(across, left)
    to_left.addcmul_(across, right, value=-1)
    down = (slope[2] * (v - cy)).sub_(slope[1] * fy).mul_(2).div_(below + above).div_(below + above)
    to_below.addcmul_(down, above)
    to_above.addcmul_(down, below, value=-1)
    return result


def _stencil(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return z[..., 1:-1, 2:], z[..., 1:-1, :-2], z[..., 2:, 1:-1], z[..., :-2, 1:-1]


def _inner_grid(z: Tensor) -> tuple[Tensor, Tensor]:
    u = torch.arange(1, z.shape[-1] - 1, device=z.device, dtype=z.dtype)
    return u, torch.arange(1, z.shape[-2] - 1, device=z.device, dtype=z.dtype)[:, None]
