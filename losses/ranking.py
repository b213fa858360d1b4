"""Ranking losses: of two pixels, which is farther. The one thing that every label with an order can teach."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.draws import draw_stream, pick
from depthmix.losses.pairs import edge_anchors, plane_anchors, quadruples
from depthmix.masked import at_least_float32, count_valid
from depthmix.prediction import LOG_DEPTH_LIMIT, Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["OrdinalLoss", "RankingLoss", "Sampler", "label_relations", "ordinal_ranking", "pair_ranking"]

Sampler = Literal["random", "edges", "planes"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

Pairs = Int[Tensor, "b m"]


def pair_ranking(
    log_depth: Float[Tensor, "b 1 h w"],
    first: Pairs,
    second: Pairs,
    relation: Num[Tensor, "b m"],
    used: Bool[Tensor, "b m"],
) -> Float[Tensor, " b"]:
    """Average log(1 + exp(-r (z_A - z_B))), and (z_A - z_B)^2 where r = 0, over the used pairs of each row.

    Args:
        log_depth: z, in each row up to a constant: what counts of depths is their ratio.
        first: points A, as flat pixel indices.
        second: points B.
        relation: r: 1 where A is farther, -1 where it is nearer, 0 where both are equally far.
        used: pairs to average over; others are never read.

    Convention: 0 on a row without a used pair. Log depths are limited to +-`LOG_DEPTH_LIMIT`, as in every
    view of a `Prediction`.

    Raises:
        ValueError: `log_depth` is no map of floating point numbers.

    Reference: Chen et al., Single-Image Depth Perception in the Wild (arXiv 1604.03901), equations 1 and 2,
    averaged over the pairs that count. The authors sum, others divide by all pairs that they drew.
    """
    check_maps(log_depth=log_depth)
    points = log_depth.flatten(1).gather(1, torch.cat([first, second], 1))
    points = at_least_float32(points).clamp(-LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT)
    a, b = points.chunk(2, 1)
    apart = (b - a).masked_fill(used.logical_not(), 0)
    order = torch.nn.functional.softplus(relation * apart)
    # Pairs that are not used are 0 apart, so the square gives them value and gradient 0.
    error = torch.where(used & (relation != 0), order, apart.square())
    return error.sum(1) / count_valid(used).clamp_min(1)


def ordinal_ranking(log_depth: Float[Tensor, "b 1 h w"], pairs: Int[Tensor, "b p 5"]) -> Float[Tensor, " b"]:
    """Compare the order of points with the pairs that the data set gives, per row; see `pair_ranking`.

    Args:
        log_depth: predicted, up to a constant in each row.
        pairs: u1, v1, u2, v2, relation, as in `Batch.pairs`; rows of -1 are padding.

    Convention: a pair of a point with itself says nothing and is left out. 0 on a row without pairs.

    Raises:
        ValueError: a shape, type or device does not fit.

    Reference: as `pair_ranking`.
    """
    check_maps(log_depth=log_depth, pairs=pairs)
    first, second = _points(pairs, log_depth.shape[-1])
    return pair_ranking(log_depth, first, second, pairs[..., 4], _usable_pairs(pairs))


def label_relations(
    first: Float[Tensor, "b m"],
    second: Float[Tensor, "b m"],
    is_depth: Bool[Tensor, " b"],
    used: Bool[Tensor, "b m"],
    ratio: float = 1.03,
    contrast: float = 0.1,
) -> Float[Tensor, "b m"]:
    """Read from the labels of two points which is farther: 1 the first, -1 the second, 0 neither.

    Args:
        first: label at the first points.
        second: label at the second points.
        is_depth: rows of depth; the others hold inverse depth up to an unknown scale and shift.
        used: pairs that may be read.
        ratio: depths whose ratio is smaller count as equal.
        contrast: differences of inverse depth below this part of the mean absolute difference of the row's
            own pairs count as equal.

    Convention: under an unknown shift a ratio of inverse depths means nothing; this threshold moves along
    with any scale and shift of the label. Public code takes ratios of disparities all the same.

    Reference: the ratio is that of Xian et al., Structure-Guided Ranking Loss (CVPR 2020).
    """
    apart = (first - second).masked_fill(used.logical_not(), 0)
    size, rows = apart.abs(), is_depth[:, None]
    spread = size.sum(1) / count_valid(used).clamp_min(1)
    # A ratio of at least `ratio` is a difference of at least (ratio - 1) times the smaller one.
    limit = torch.where(rows, (ratio - 1) * torch.minimum(first, second), contrast * spread[:, None])
    return torch.where(rows, apart, -apart).sign() * (used & (size >= limit))


class OrdinalLoss(DepthLoss):
    """Learn from pairs of points of which the data set says which is nearer; see `ordinal_ranking`."""

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"pairs"})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `ordinal_ranking` of the predicted log depth."""
        # Log depth and canonical log depth differ by a constant in each row, which no pair sees.
        return ordinal_ranking(prediction.log_canonical, batch.pairs)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a pair of two different points."""
        return _usable_pairs(batch.pairs).any(1)


class RankingLoss(DepthLoss):
    """Learn the order of depth from pairs drawn from a dense or sparse label, where order shows most.

    Each sampler draws chains of four points, A B C D, and compares A with B, B with C, C with D:
    `random` anywhere in the label, `edges` on lines across edges of the picture, `planes` on lines across
    borders of plane instances. Pairs with a point outside the label, or of one pixel with itself, do not
    count. Log depth is compared, so the loss ignores a factor of depth; see `pair_ranking`.

    Args:
        pairs: pairs drawn per row and step, shared evenly by the samplers.
        samplers: `random`, `edges`, `planes`, one or more of them. In a sparse label few lines meet two
            labelled points: keep `random`, which draws among labelled pixels.
        ratio: depths whose ratio is smaller count as equal.
        contrast: the same for inverse depth of unknown scale and shift; see `label_relations`.
        seed: start of the draws.

    Raises:
        ValueError: an option is out of range.

    Reference: Xian et al., Structure-Guided Ranking Loss (CVPR 2020). Their pairs are an equal number of
    edge-guided and random ones, and the mean is over all of them, also those without a label.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        pairs: int = 4096,
        samplers: Sequence[str] = SAMPLERS,
        ratio: float = 1.03,
        contrast: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not samplers or not set(samplers) <= set(SAMPLERS) or len(set(samplers)) < len(samplers):
            raise ValueError(f"`samplers` must be some of {SAMPLERS}, each once, got {tuple(samplers)}")
        if pairs < 1:
            raise ValueError(f"`pairs` must be at least 1, got {pairs}")
        if not 1 < ratio < math.inf:
            raise ValueError(f"`ratio` must be above 1 and finite, got {ratio}")
        if not 0 <= contrast < math.inf:
            raise ValueError(f"`contrast` must be finite and not negative, got {contrast}")
        self.samplers = tuple(samplers)
        self.ratio, self.contrast, self.seed = ratio, contrast, seed
        # Three pairs a chain; rounded up, so that there are never fewer pairs than asked for.
        self.chains = -(-pairs // (3 * len(self.samplers)))

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `pair_ranking` for the pairs of this step."""
        first, second, relation, used = self._pairs(batch, step)
        return pair_ranking(prediction.log_canonical, first, second, relation, used)

    @torch.no_grad()
    def _pairs(self, batch: Batch, step: int) -> tuple[Tensor, ...]:
        usable = self.usable(batch).flatten(1)
        chains = self._chains(batch, usable, step)
        label = at_least_float32(batch.target).flatten(1).gather(1, chains.flatten(1)).view_as(chains)
        known = usable.gather(1, chains.flatten(1)).view_as(chains)
        first, second = chains[:, :3].flatten(1), chains[:, 1:].flatten(1)
        used = (known[:, :3] & known[:, 1:]).flatten(1) & (first != second)
        a, b = label[:, :3].flatten(1), label[:, 1:].flatten(1)
        return first, second, label_relations(a, b, batch.is_depth, used, self.ratio, self.contrast), used

    def _chains(self, batch: Batch, usable: Bool[Tensor, "b n"], step: int) -> Int[Tensor, "b 4 m"]:
        """Draw the chains of all samplers, one after another."""
        count = len(self.samplers)
        draws = draw_stream(5 * count * self.chains, self.seed, step, usable.device).view(count, 5, -1)
        own = dict(zip(self.samplers, draws.unbind(), strict=True))
        found, guided = [], []
        if "random" in own:
            found.append(pick(usable, own["random"][:4].flatten()).view(len(usable), 4, -1))
        if "edges" in own:
            guided.append((*edge_anchors(batch.image, own["edges"][0]), own["edges"][1:]))
        if "planes" in own:
            guided.append((*plane_anchors(batch.planes, own["planes"][0]), own["planes"][1:]))
        if guided:
            anchors, directions, distances = (torch.cat(parts, -1) for parts in zip(*guided, strict=True))
            size = (batch.image.shape[-2], batch.image.shape[-1])
            found.append(quadruples(anchors, directions, distances, size))
        return torch.cat(found, 2)


def _points(pairs: Int[Tensor, "b p 5"], width: int) -> tuple[Pairs, Pairs]:
    """Return both points of each pair as flat pixel indices; padding becomes pixel 0."""
    u1, v1, u2, v2 = pairs[..., :4].clamp_min(0).long().unbind(2)
    return v1 * width + u1, v2 * width + u2


def _usable_pairs(pairs: Int[Tensor, "b p 5"]) -> Bool[Tensor, "b p"]:
    """Mark the pairs of two different points; in padding both are -1."""
    return (pairs[..., :2] != pairs[..., 2:4]).any(2)
