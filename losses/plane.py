"""Coplanarity: pixels that share a plane instance must lie on one plane, wherever it is."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import normalise
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need
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
    ids = _table_index(planes, max_planes)
    q = normalise(inverse_depth, torch.ones_like(planes, dtype=torch.bool)).flatten(1)
    fitted, area = _fit_affine(q, ids, planes.shape[-2:], max_planes)
    # The fit is a minimum, so its own derivative vanishes and it needs no gradient.
    sum_squares = _sum_per_plane((q - fitted).square()[:, None], ids, max_planes)[:, 0]
    variance = sum_squares / area.clamp_min(1)
    rms = variance / ((variance + EPSILON).sqrt() + math.sqrt(EPSILON))
    weight = torch.where(area >= min_pixels, area, 0)[:, 1:]
    return (weight * rms[:, 1:]).sum(1) / weight.sum(1).clamp_min(1)


class PlaneLoss(DepthLoss):
    """Flatten predicted inverse depth inside plane instances; see `coplanarity`.

    Raises:
        ValueError: `max_planes` is smaller than 1, or `min_pixels` than 4 (three pixels are always flat).
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        if max_planes < 1:
            raise ValueError(f"`max_planes` must be at least 1, got {max_planes}")
        if min_pixels < 4:
            raise ValueError(f"`min_pixels` must be at least 4, got {min_pixels}")
        self.max_planes, self.min_pixels = max_planes, min_pixels

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `coplanarity` of the predicted inverse depth."""
        return coplanarity(prediction.inverse_depth, batch.planes, self.max_planes, self.min_pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a plane of at least `min_pixels`."""
        ids = _table_index(batch.planes, self.max_planes)
        area = _sum_per_plane(torch.ones_like(ids, dtype=torch.float32)[:, None], ids, self.max_planes)
        return (area[:, 0, 1:] >= self.min_pixels).any(1)


def _table_index(planes: Int[Tensor, "b 1 h w"], max_planes: int) -> Int[Tensor, "b n"]:
    ids = planes.flatten(1).long()
    return torch.where(ids <= max_planes, ids, 0)


def _sum_per_plane(
    values: Float[Tensor, "b c n"], ids: Int[Tensor, "b n"], max_planes: int
) -> Float[Tensor, "b c k"]:
    """Add up the values of each plane; column 0 collects the pixels without one."""
    table = values.new_zeros(*values.shape[:2], max_planes + 1)
    return table.scatter_add(2, ids[:, None].expand_as(values), values)


def _at_pixels(table: Float[Tensor, "b c k"], ids: Int[Tensor, "b n"]) -> Float[Tensor, "b c n"]:
    return table.gather(2, ids[:, None].expand(-1, table.shape[1], -1))


@torch.no_grad()
def _fit_affine(
    q: Float[Tensor, "b n"], ids: Int[Tensor, "b n"], size: torch.Size, max_planes: int
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b k"]]:
    """Return the least-squares affine map of each pixel's plane at that pixel, and the planes' areas."""
    h, w = size
    # Coordinates within [-1, 1] about the centre: float32 sums of pixel squares would lose digits.
    u = (2 * torch.arange(w, device=q.device, dtype=q.dtype) - (w - 1)) / max(h, w)
    v = (2 * torch.arange(h, device=q.device, dtype=q.dtype) - (h - 1)) / max(h, w)
    grid = [u.expand(h, w).flatten().expand_as(q), v[:, None].expand(h, w).flatten().expand_as(q)]
    sums = _sum_per_plane(torch.stack([torch.ones_like(q), *grid, q], 1), ids, max_planes)
    area = sums[:, 0]
    means = _at_pixels(sums[:, 1:] / area[:, None].clamp_min(1), ids)
    du, dv, dq = (torch.stack([*grid, q], 1) - means).unbind(1)
    # Gram-Schmidt: fit along u, then along what u leaves of v. A determinant would cancel on slanted lines.
    uu, uv, uq = _sum_per_plane(torch.stack([du * du, du * dv, du * dq], 1), ids, max_planes).unbind(1)
    lean, along_u = _at_pixels(torch.stack([_ratio(uv, uu), _ratio(uq, uu)], 1), ids).unbind(1)
    dw = dv - lean * du
    ww, wq = _sum_per_plane(torch.stack([dw * dw, dw * dq], 1), ids, max_planes).unbind(1)
    along_w = _at_pixels(_ratio(wq, ww)[:, None], ids)[:, 0]
    return means[:, 2] + along_u * du + along_w * dw, area


def _ratio(product: Float[Tensor, "b k"], square: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return the slope along one direction; 0 where a plane has no extent in it."""
    return torch.where(square > 0, product / square, 0)
