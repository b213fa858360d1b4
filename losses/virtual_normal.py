"""Normals of large random triangles, seen through the true camera of each row."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.geometry import points_at, unit
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.draws import draw, pick
from depthmix.masked import count_valid
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["VirtualNormalLoss", "virtual_normal"]

# A triangle of label points is kept when its smallest angle exceeds 30 degrees (sine 0.5) and each side
# exceeds this part of its depth: thinner or smaller ones have normals made of label noise.
MIN_SINE = 0.5
MIN_SIDE = 0.01

Corners = tuple[Float[Tensor, "b 3 t"], Float[Tensor, "b 3 t"], Float[Tensor, "b 3 t"]]


def virtual_normal(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    valid: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, "3 t"],
) -> Float[Tensor, " b"]:
    """Compare the normals of random triangles of points, per row: mean of the larger three quarters.

    Args:
        depth: predicted z, in any unit.
        target: label z, in any unit.
        intrinsics: fx, fy, cx, cy of each row.
        valid: where `target` may be read.
        draws: random integers in [0, 2^32), three per triangle; each becomes a valid pixel of the row.

    Convention: 0 where no triangle of the row is well shaped. Only the drawn pixels are lifted to points.

    Reference: Yin et al., Virtual Normal (arXiv 1907.12209), equations 4 to 6. Corners are drawn among valid
    pixels of each row and triangles are rejected as a whole; public code shares host-side triangles over the
    batch, patches single coordinates, and keeps the pixel grid of the first batch's camera.
    """
    check_maps(depth=depth, target=target, valid=valid, intrinsics=intrinsics)
    index = pick(valid.flatten(1), draws.flatten())
    some = valid.flatten(1).any(1)
    corners = _corners(target, intrinsics, index, some)
    good = _well_shaped(*corners)  # without a valid pixel all corners are one
    label, normal = _normal(*corners), _normal(*_corners(depth, intrinsics, index, some))
    return _mean_of_larger((normal - label).abs().sum(1), good)


class VirtualNormalLoss(DepthLoss):
    """Compare normals of far-apart triangles, which label noise hardly moves; see `virtual_normal`.

    Args:
        triplets: triangles drawn per row and step, before badly shaped ones are dropped.
        seed: start of the draws.

    Raises:
        ValueError: `triplets` is smaller than 1.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def __init__(self, triplets: int = 4096, seed: int = 0) -> None:
        super().__init__()
        if triplets < 1:
            raise ValueError(f"`triplets` must be at least 1, got {triplets}")
        self.triplets, self.seed = triplets, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `virtual_normal` for the triangles of this step."""
        usable = self.usable(batch)
        draws = draw(3 * self.triplets, self.seed, step, usable.device).view(3, -1)
        camera = batch.camera_or(prediction.intrinsics)
        return virtual_normal(prediction.depth, batch.target, camera, usable, draws)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and the three valid pixels of a triangle."""
        return count_valid(self.usable(batch)) >= 3


def _corners(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    index: Int[Tensor, "b m"],
    some: Bool[Tensor, " b"],
) -> Corners:
    points = points_at(depth, intrinsics, index, some[:, None].expand_as(index))
    # No normal has a unit; in that of the farthest corner, squares of any depth stay in range.
    a, b, c = (points / points[:, 2:].detach().amax(2, keepdim=True)).chunk(3, 2)
    return a, b, c


def _normal(
    a: Float[Tensor, "b 3 t"], b: Float[Tensor, "b 3 t"], c: Float[Tensor, "b 3 t"]
) -> Float[Tensor, "b 3 t"]:
    return unit(torch.linalg.cross(unit(b - a), unit(c - a), dim=1))


def _well_shaped(
    a: Float[Tensor, "b 3 t"], b: Float[Tensor, "b 3 t"], c: Float[Tensor, "b 3 t"]
) -> Bool[Tensor, "b t"]:
    sides = torch.stack([b - a, c - b, a - c], 1).square().sum(2).sqrt()
    shortest = sides.amin(1)
    twice_area: Tensor = torch.linalg.cross(b - a, c - a, dim=1).square().sum(1).sqrt()
    # The smallest angle lies between the two longest sides.
    wide = twice_area * shortest > MIN_SINE * sides.prod(1)
    return wide & (shortest > MIN_SIDE * (a[:, 2] + b[:, 2] + c[:, 2]) / 3)


def _mean_of_larger(error: Float[Tensor, "b t"], good: Bool[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Leave out the smallest quarter of the good triangles: their normals agree already."""
    count = count_valid(good)
    kept = count - count // 4
    ordered = torch.where(good, error, -1).sort(1, descending=True).values
    rank = torch.arange(ordered.shape[1], device=ordered.device)
    return torch.where(rank < kept[:, None], ordered, 0).sum(1) / kept.clamp_min(1)
