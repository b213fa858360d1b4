"""Losses on surface normals, seen through the true camera of each row; they do not depend on scale."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from depthmix.batch import Batch
from depthmix.geometry import has_neighbours, normals, unit, unproject
from depthmix.losses.base import DepthLoss, Need
from depthmix.losses.draws import draw, pick, pick_same_id
from depthmix.masked import count_valid, masked_sum
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["PairwiseNormalLoss", "VirtualNormalLoss", "pairwise_normal", "virtual_normal"]

# A triangle of label points is kept when its smallest angle exceeds 30 degrees (sine 0.5) and each side
# exceeds this part of its depth: thinner or smaller ones have normals made of label noise.
MIN_SINE = 0.5
MIN_SIDE = 0.01


def virtual_normal(
    points: Float[Tensor, "b 3 h w"],
    target_points: Float[Tensor, "b 3 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, "3 t"],
) -> Float[Tensor, " b"]:
    """Compare the normals of random triangles of points, per row: mean of the larger three quarters.

    Args:
        points: predicted points, in any unit.
        target_points: label points, in any unit.
        valid: where `target_points` may be read.
        draws: random integers in [0, 2^32), three per triangle; each becomes a valid pixel of the row.

    Convention: 0 where no triangle of the row is well shaped.

    Reference: Yin et al., Virtual Normal (arXiv 1907.12209), equations 4 to 6. Corners are drawn among valid
    pixels and triangles are rejected as a whole; the authors' code patches single coordinates.
    """
    index = pick(valid.flatten(1), draws.flatten())
    a, b, c = _corners(target_points, index)
    good = _well_shaped(a, b, c) & valid.flatten(1).any(1)[:, None]
    label = unit(torch.linalg.cross(unit(b - a), unit(c - a), dim=1))
    a, b, c = _corners(points, index)
    normal = unit(torch.linalg.cross(unit(b - a), unit(c - a), dim=1))
    error = (normal - label).abs().sum(1)
    count = count_valid(good)
    ordered = torch.where(good, error, -1).sort(1, descending=True).values
    kept = count - count // 4
    rank = torch.arange(ordered.shape[1], device=ordered.device)
    return torch.where(rank < kept[:, None], ordered, 0).sum(1) / kept.clamp_min(1)


def pairwise_normal(
    points: Float[Tensor, "b 3 h w"],
    target_points: Float[Tensor, "b 3 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    planes: Int[Tensor, "b 1 h w"],
    draws: Int[Tensor, "4 m"],
) -> Float[Tensor, " b"]:
    """Compare the angle between the normals of two pixels with what the label says, as cosines, per row.

    One half of the pairs lies inside plane instances, where the cosine must be 1; the other half lies
    anywhere on the label's surface, where it must be that of the label's normals.

    Args:
        points: predicted points, in any unit.
        target_points: label points, in any unit.
        valid: where `target_points` may be read.
        planes: plane instances; 0 is none.
        draws: random integers in [0, 2^32), two per pair of each half.

    Convention: normals whose stencil leaves the plane or the valid pixels are not used. 0 where a row has
    neither; a sparse row has only its planes.

    Reference: pair-wise normal loss of Yin et al., LeReS (arXiv 2012.09365), equation 3; random pairs in
    place of pairs across image edges.
    """
    normal, _ = normals(points, torch.ones_like(valid))
    label, on_surface = normals(target_points, valid)
    surface, inside = on_surface.flatten(1), _inside(planes).flatten(1)
    anywhere = pick(surface, draws[0]), pick(surface, draws[1])
    same = pick_same_id(inside, draws[2], draws[3])
    apart = (_cosine(normal, *anywhere) - _cosine(label, *anywhere)).abs()
    together = 1 - _cosine(normal, *same)
    usable = torch.stack([surface.any(1), (inside > 0).any(1)], 1)
    usable = usable[:, :, None].expand(-1, -1, draws.shape[1])
    return masked_sum(torch.stack([apart, together], 1), usable) / count_valid(usable).clamp_min(1)


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
        return virtual_normal(*_both_points(prediction, batch, usable), usable, draws)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and the three valid pixels of a triangle."""
        return count_valid(self.usable(batch)) >= 3


class PairwiseNormalLoss(DepthLoss):
    """Compare angles between surface normals, inside planes and anywhere; see `pairwise_normal`.

    Args:
        pairs: pairs drawn per row and step in each half.
        seed: start of the draws.

    Raises:
        ValueError: `pairs` is smaller than 1.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.NONE}
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def __init__(self, pairs: int = 4096, seed: int = 0) -> None:
        super().__init__()
        if pairs < 1:
            raise ValueError(f"`pairs` must be at least 1, got {pairs}")
        self.pairs, self.seed = pairs, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `pairwise_normal` for the pairs of this step."""
        usable = self.usable(batch)
        draws = draw(4 * self.pairs, self.seed, step, usable.device).view(4, -1)
        both = _both_points(prediction, batch, usable)
        return pairwise_normal(*both, usable, self._planes(batch), draws)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and a pixel with its neighbours on one surface."""
        surface = has_neighbours(self.usable(batch)).flatten(1)
        return surface.any(1) | (_inside(self._planes(batch)) > 0).flatten(1).any(1)

    def _planes(self, batch: Batch) -> Int[Tensor, "b 1 h w"]:
        return torch.where(self.bears(batch)[:, None, None, None], batch.planes, 0)


def _both_points(
    prediction: Prediction, batch: Batch, usable: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
    """Lift both depths through the row's true camera; a row without one borrows the prediction's."""
    camera = torch.where(batch.camera_known[:, None], batch.intrinsics, prediction.intrinsics)
    depth = torch.where(usable, batch.target, 1)
    farthest = depth.amax((1, 2, 3), keepdim=True)  # no loss here has a unit, and squares stay in range
    return unproject(prediction.depth, camera), unproject(depth / farthest, camera)


def _corners(points: Float[Tensor, "b 3 h w"], index: Int[Tensor, "b m"]) -> tuple[Tensor, Tensor, Tensor]:
    a, b, c = _at(points, index).chunk(3, 2)
    return a, b, c


def _at(vectors: Float[Tensor, "b 3 h w"], index: Int[Tensor, "b m"]) -> Float[Tensor, "b 3 m"]:
    return vectors.flatten(2).gather(2, index[:, None].expand(-1, 3, -1))


def _well_shaped(
    a: Float[Tensor, "b 3 t"], b: Float[Tensor, "b 3 t"], c: Float[Tensor, "b 3 t"]
) -> Bool[Tensor, "b t"]:
    sides = torch.stack([b - a, c - b, a - c], 1).square().sum(2).sqrt()
    shortest = sides.amin(1)
    twice_area: Tensor = torch.linalg.cross(b - a, c - a, dim=1).square().sum(1).sqrt()
    # The smallest angle lies between the two longest sides.
    wide = twice_area * shortest > MIN_SINE * sides.prod(1)
    return wide & (shortest > MIN_SIDE * (a[:, 2] + b[:, 2] + c[:, 2]) / 3)


def _inside(planes: Int[Tensor, "b 1 h w"]) -> Int[Tensor, "b 1 h w"]:
    """Keep the plane ids of pixels whose four neighbours lie on the same plane."""
    padded = pad(planes, (1, 1, 1, 1))
    around = [padded[..., 1:-1, 2:], padded[..., 1:-1, :-2], padded[..., 2:, 1:-1], padded[..., :-2, 1:-1]]
    return torch.where(torch.stack([near == planes for near in around]).all(0), planes, 0)


def _cosine(
    normal: Float[Tensor, "b 3 h w"], first: Int[Tensor, "b m"], second: Int[Tensor, "b m"]
) -> Float[Tensor, "b m"]:
    return (_at(normal, first) * _at(normal, second)).sum(1)
