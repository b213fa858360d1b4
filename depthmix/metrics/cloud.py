"""How much of a predicted point cloud lies near the labelled one, and the other way round."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d

from depthmix.metrics.shapes import Mask, Rows

__all__ = ["cloud_f1"]

Cloud = Float[Tensor, "b 3 h w"]

POINTS = 2500  # of each cloud at most: six million distances a row
DISTANCES = 2**18  # worked out at a time: 2 MB


def cloud_f1(points: Cloud, target_points: Cloud, valid: Mask, threshold: Rows) -> Rows:
    """Score how well two point clouds cover each other; 1 is perfect.

    Precision is the part of predicted points with a labelled point within `threshold`, recall the part of
    labelled points with a predicted one, and the score is their harmonic mean (0 where both are 0).

    Args:
        points: predicted points.
        target_points: labelled points, in the same unit.
        valid: pixels whose points take part.
        threshold: distance of each row, in the same unit. `measure` takes 5 % of the row's median labelled
            depth: so labels without a unit can bear it, and rooms and streets are asked alike.

    Convention: both clouds are thinned in the same way to at most 2500 points, in each square cell of pixels
    the valid pixel that is nearest to its middle; so dense and sparse labels keep their extent. With fewer
    points the score falls a little: at 480 x 640 neighbours of the thinned cloud are 12 pixels apart, with a
    usual lens 2 % of their depth. NaN for a row without a valid pixel.

    Reference: Knapitsch et al., Tanks and Temples (2017), equations 3 to 5; for depth maps Örnek et al., From
    2D to 3D (arXiv 2203.08122), who take 0.1 m.
    """
    index, there = _thinned(valid)
    ours, theirs = (_taken(cloud, index, there) for cloud in (points, target_points))
    to_label, to_prediction = _nearest(ours, theirs, there)
    limit, count = threshold.double().square()[:, None], there.sum(1)
    precise, recalled = ((near <= limit) & there for near in (to_label, to_prediction))
    hits = precise.sum(1), recalled.sum(1)
    # Both clouds have the same number of points, so 2 P R / (P + R) needs no division by it but one.
    f1 = 2.0 * hits[0] * hits[1] / ((hits[0] + hits[1]).clamp_min(1) * count.clamp_min(1)).double()
    return torch.where(count > 0, f1, torch.nan)


def _thinned(valid: Mask) -> tuple[Int[Tensor, "b m"], Bool[Tensor, "b m"]]:
    """Pick one valid pixel in each cell, as flat indices, and say in which cells there is one."""
    h, w = valid.shape[-2:]
    side = 1
    while -(-h // side) * -(-w // side) > POINTS:
        side += 1
    v, u = torch.arange(h, device=valid.device), torch.arange(w, device=valid.device)
    middle = (side - 1) / 2
    away = (v % side - middle).square()[:, None] + (u % side - middle).square()
    # Nearer to the middle is more, and of equals the first is taken.
    worth = torch.where(valid, 2.0 * side * side - away, 0)
    best, index = max_pool2d(worth, side, ceil_mode=True, return_indices=True)
    return index.flatten(1), best.flatten(1) > 0


def _taken(cloud: Cloud, index: Int[Tensor, "b m"], there: Bool[Tensor, "b m"]) -> Float[Tensor, "b m 3"]:
    flat = cloud.double().flatten(2)
    picked = flat.gather(2, index[:, None].expand(-1, 3, -1))
    return torch.where(there[:, None], picked, 0).transpose(1, 2)


def _nearest(
    ours: Float[Tensor, "b m 3"], theirs: Float[Tensor, "b m 3"], there: Bool[Tensor, "b m"]
) -> tuple[Float[Tensor, "b m"], Float[Tensor, "b m"]]:
    """Return the squared distance of each of our points to the nearest of theirs, and of theirs to ours."""
    far = torch.where(there, 0, torch.inf)
    squares = (x.square().sum(2) + far for x in (ours, theirs))
    # Pieces of single images stay in the processor's cache: twenty times faster than large products.
    pairs = [_nearest_of(*row) for row in zip(ours, theirs, *squares, strict=True)]
    to_label, to_prediction = (torch.stack(found) for found in zip(*pairs, strict=True))
    return to_label, to_prediction


def _nearest_of(
    ours: Float[Tensor, "m 3"],
    theirs: Float[Tensor, "m 3"],
    ours_square: Float[Tensor, " m"],
    theirs_square: Float[Tensor, " m"],
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    # |a - b|² = |a|² + |b|² - 2 a b loses distances below 1e-8 of the depth: nothing beside a threshold.
    twice, size = -2 * theirs.T, max(1, DISTANCES // len(ours))
    found, other = [], torch.full_like(theirs_square, torch.inf)
    for piece, square in zip(torch.split(ours, size), torch.split(ours_square, size), strict=True):
        apart = torch.addmm(theirs_square[None], piece, twice)
        found.append(apart.amin(1) + square)
        other = torch.minimum(other, apart.add_(square[:, None]).amin(0))
    return torch.cat(found), other
