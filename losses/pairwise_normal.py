"""Angles between the normals of two pixels of one image: across its edges, and inside its planes."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from depthmix.batch import Batch
from depthmix.geometry import has_neighbours, normals_at, normals_of_stencils, stencils_at
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.draws import draw_stream, pick
from depthmix.losses.pairs import edge_quadruples
from depthmix.masked import masked_mean
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["EdgeNormalLoss", "PlaneNormalLoss", "edge_normal", "plane_normal"]

# Odd parts of 2^32: the golden ratio, and the square root of 2 less 1, to tell seeds from steps.
GOLDEN, ODD = 0x9E3779B9, 0x6A09E667


def edge_normal(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    valid: Bool[Tensor, "b 1 h w"],
    points: Int[Tensor, "b 4 m"],
) -> Float[Tensor, " b"]:
    """Average |n_a . n_b - n*_a . n*_b| over the pairs of neighbours along each four points, per row.

    Args:
        depth: predicted z, in any unit.
        target: label z, in any unit.
        intrinsics: fx, fy, cx, cy of each row.
        valid: where `target` may be read.
        points: pixels v * w + u, four in a line across an edge (`edge_quadruples`): the first pair and the
            last lie on either side of it, the middle pair across.

    Convention: normals of central differences, computed at the points alone. A pair counts where both
    pixels are valid with their four neighbours and differ; 0 on a row without such a pair.

    Reference: pair-wise normal loss of Yin et al., LeReS (arXiv 2012.09365), at image edges. The
    authors' code smooths depth over invalid neighbours, keeps only nearly equal or nearly orthogonal pairs,
    and adds pairs at edges of the label's normals and anywhere.
    """
    check_maps(depth=depth, target=target, valid=valid, intrinsics=intrinsics)
    places = points.flatten(1)
    good = has_neighbours(valid).flatten(1).gather(1, places)
    # Prediction and label in one tensor: half the operations.
    both = torch.stack(stencils_at(places, good, depth, target.to(depth.dtype)))
    normal = normals_of_stencils(both, intrinsics, places, depth.shape[-1])
    normal = normal.view(*normal.shape[:-1], *points.shape[1:])
    predicted, labelled = (normal[..., 1:, :] * normal[..., :-1, :]).sum(-3).unbind(0)
    usable = good.view(points.shape)
    usable = usable[:, 1:] & usable[:, :-1] & (points[:, 1:] != points[:, :-1])
    return masked_mean((predicted - labelled).abs(), usable)


def plane_normal(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    planes: Int[Tensor, "b 1 h w"],
    draws: Int[Tensor, " m"],
    max_planes: int = 256,
) -> Float[Tensor, " b"]:
    """Average 1 - n_a . n_b over all pairs of drawn pixels that share a plane instance, per row.

    Pixels are drawn uniformly over all planes. For each, the mean over its mates on the plane is exact: with
    the sum S of the m unit normals drawn on one plane, 1 - n_a . n_b summed over its pairs a != b is
    m^2 - |S|^2, or m times the squared distances from the mean normal. So m draws give about
    m^2 / (2 planes) pairs, by one sum per plane instead of a sort of the ids.

    Args:
        depth: predicted z, in any unit.
        intrinsics: fx, fy, cx, cy of each row.
        planes: plane instances; 0 is none. The ground is one more plane.
        draws: random integers in [0, 2^32); each becomes a pixel of the row.
        max_planes: larger ids are ignored; `Batch.planes` ranks by area, so the smallest planes fall out.

    Convention: only pixels whose four neighbours lie on the same plane are drawn. A plane counts by its
    area; one that is drawn once has no pair. 0 on a row without planes. Draws are with replacement, so a
    pixel meets itself, with error 0, in one of as many pairs as the plane has pixels.

    Reference: pair-wise normal loss of Yin et al., LeReS (arXiv 2012.09365), where n*_a . n*_b
    is 1. The authors' code also compares with the mean normal, of large random triangles in place of pixels,
    and drops planes below 9000 pixels.
    """
    check_maps(depth=depth, intrinsics=intrinsics, planes=planes)
    inside = _inside(planes, max_planes).flatten(1)
    index, some = pick(inside, draws), inside.any(1)[:, None].expand(-1, draws.shape[0])
    own = planes.flatten(1).gather(1, index).long() * some
    normal = normals_at(depth, intrinsics, index, some)
    with torch.no_grad():
        # The squared distances are least from the mean, so it needs no gradient of its own.
        table = own[:, None].expand(-1, 4, -1)
        sums = normal.new_zeros(len(depth), 4, max_planes + 1)
        sums = sums.scatter_add(2, table, pad(normal, (0, 0, 0, 1), value=1.0)).gather(2, table)
        count = sums[:, 3:]
        mean, bessel = sums[:, :3] / count, count / (count - 1).clamp_min(1)
    squared = ((normal - mean).square() * bessel).sum(1)
    return masked_mean(squared, some & (count[:, 0] > 1))


class EdgeNormalLoss(DepthLoss):
    """Compare angles between normals on both sides of image edges; see `edge_normal`.

    Args:
        edges: edge pixels drawn per row and step; each gives three pairs.
        seed: start of the draws.

    Raises:
        ValueError: `edges` is smaller than 1.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "dense"})

    def __init__(self, edges: int = 2048, seed: int = 0) -> None:
        super().__init__()
        if edges < 1:
            raise ValueError(f"`edges` must be at least 1, got {edges}")
        self.edges, self.seed = edges, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `edge_normal` at the edges of this step."""
        draws = draw_stream(5 * self.edges, self.seed, step, batch.image.device).view(5, -1)
        points, camera = edge_quadruples(batch.image, draws), batch.camera_or(prediction.intrinsics)
        return edge_normal(prediction.canonical_depth, batch.target, camera, self.usable(batch), points)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera, a surface pixel, and a picture that is not flat."""
        image = batch.image.flatten(1)
        surface = has_neighbours(self.usable(batch)).flatten(1).any(1)
        return surface & (image.amax(1) > image.amin(1))


class PlaneNormalLoss(DepthLoss):
    """Give all pixels of a plane instance one normal; see `plane_normal`.

    Args:
        pixels: pixels drawn per row and step.
        max_planes: planes of a row that count, from the largest.
        seed: start of the draws.

    Raises:
        ValueError: `pixels` is smaller than 2, or `max_planes` than 1.
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, pixels: int = 4096, max_planes: int = 256, seed: int = 0) -> None:
        super().__init__()
        if pixels < 2:
            raise ValueError(f"`pixels` must be at least 2, got {pixels}")
        if max_planes < 1:
            raise ValueError(f"`max_planes` must be at least 1, got {max_planes}")
        self.pixels, self.max_planes, self.seed = pixels, max_planes, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `plane_normal` for the pixels of this step."""
        camera, draws = batch.camera_or(prediction.intrinsics), self._draws(step, batch.planes.device)
        return plane_normal(prediction.canonical_depth, camera, self._planes(batch), draws, self.max_planes)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and a plane with a pixel in the middle of its own kind."""
        return _inside(self._planes(batch), self.max_planes).flatten(1).any(1)

    def _planes(self, batch: Batch) -> Int[Tensor, "b 1 h w"]:
        return batch.planes * batch.camera_known[:, None, None, None]  # every kind of row is accepted

    def _draws(self, step: int, device: torch.device) -> Int[Tensor, " m"]:
        """Spread the draws evenly over [0, 2^32) from a start that moves with the step.

        Evenly spaced ranks cover every plane in proportion to its area, which random ones do only on
        average, and cost one operation; with the golden ratio, starts of successive steps fill the gaps.
        """
        spacing = 2**32 // self.pixels
        start = (step * GOLDEN + self.seed * ODD) % spacing
        return torch.arange(start, start + spacing * self.pixels, spacing, device=device)


def _inside(planes: Int[Tensor, "b 1 h w"], max_planes: int) -> Bool[Tensor, "b 1 h w"]:
    """Mark the pixels of planes whose four neighbours lie on the same plane; never the border."""
    across, down = planes[..., 1:] == planes[..., :-1], planes[..., 1:, :] == planes[..., :-1, :]
    left_and_right = pad(across[..., 1:] & across[..., :-1], (1, 1))
    above_and_below = pad(down[..., 1:, :] & down[..., :-1, :], (0, 0, 1, 1))
    return left_and_right & above_and_below & (planes > 0) & (planes <= max_planes)
