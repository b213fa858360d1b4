"""Learn how noisy the labels of each source are, at each range of depth, and weigh pixels by it."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import LearningLoss, check_maps
from depthmix.losses.log_error import MetricLoss, log_error
from depthmix.masked import at_least_float32, masked_mean
from depthmix.prediction import Prediction
from depthmix.running import running_share

__all__ = ["LearnedNoiseLoss", "depth_bin", "scaled_l1"]

START = 0.1  # scale of a source and range that nothing is known of yet


def scaled_l1(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    scale: Float[Tensor, "b 1 h w"],
    floor: float = 0.01,
) -> Float[Tensor, " b"]:
    """Average |d| / b + log(b / floor) of the log errors d with given scales b >= floor, per row.

    Args:
        log_depth: logarithm of the predicted depth.
        target: depth z.
        valid: where `target` may be read.
        scale: b, the mean |d| that is usual for such a pixel; a constant.
        floor: smallest scale; what lies below counts as it, so a pixel pulls with 1 / floor at most.

    Convention: the negative log likelihood of a Laplace distribution, shifted so that it is never negative.
    """
    check_maps(log_depth=log_depth, target=target, valid=valid, scale=scale)
    b = at_least_float32(scale).detach().clamp_min(floor)
    error = log_error(log_depth, target, valid).abs()
    return masked_mean(error / b + (b.log() - math.log(floor)), valid)


def depth_bin(
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    bins: int,
    nearest: float,
    farthest: float,
) -> Int[Tensor, "b 1 h w"]:
    """Return to which of `bins` equal ranges of log depth a label belongs; the outer ones are open."""
    z = torch.where(valid, at_least_float32(target), nearest).clamp(nearest, farthest)
    place = (z.log() - math.log(nearest)) * (bins / math.log(farthest / nearest))
    return place.long().clamp(0, bins - 1)


class LearnedNoiseLoss(MetricLoss, LearningLoss):
    """Compare log depth in units of the error that is usual for its source and range of depth.

    For each source and each range of log depth the mean |d| is estimated while training goes on, which is
    what maximises the likelihood of `scaled_l1`; a step uses what came before it. Rows count alike in an
    estimate, however dense they are. The estimates are part of the state and equal on all ranks. They hold
    the error of the network beside that of the labels: what is learned is which labels it can agree with. So
    a source of hard scenes looks noisy, too.

    Args:
        bins: ranges of depth, equal in its logarithm.
        nearest: lower end of the first range in metres; what is nearer belongs to it.
        farthest: upper end of the last range in metres; what is farther belongs to it.
        floor: smallest scale.
        ceiling: largest error that an estimate sees, and so the largest scale.
        memory: what is left of an estimate after each further image of the source that has such depths.

    Raises:
        ValueError: an option is out of its range.

    Reference: Kendall and Gal (arXiv 1703.04977), equation 8, in the Laplace form, with a scale for each
    source and range instead of one that the network predicts for each pixel.
    """

    seen: Float[Tensor, "s k"]
    scales: Float[Tensor, "s k"]

    def __init__(
        self,
        bins: int = 8,
        nearest: float = 0.5,
        farthest: float = 80.0,
        floor: float = 0.01,
        ceiling: float = 1.0,
        memory: float = 0.998,
    ) -> None:
        super().__init__()
        if not 1 <= bins <= 64:
            raise ValueError(f"`bins` must be in [1, 64], got {bins}")
        if not 0 < nearest < farthest < math.inf:
            raise ValueError(f"`farthest` must be finite and above `nearest` = {nearest} > 0, got {farthest}")
        if not 0 < floor < ceiling < math.inf:
            raise ValueError(f"`ceiling` must be finite and above `floor` = {floor} > 0, got {ceiling}")
        if not 0 < memory < 1:
            raise ValueError(f"`memory` must be between 0 and 1, got {memory}")
        self.bins, self.nearest, self.farthest = bins, nearest, farthest
        self.floor, self.ceiling, self.memory = floor, ceiling, memory
        self.begin(1)

    def begin(self, sources: int) -> None:
        """Know nothing of so many sources; without it, all sources share one row of estimates."""
        self.register_buffer("seen", torch.zeros(sources, self.bins, dtype=torch.float64))
        start = min(max(START, self.floor), self.ceiling)
        self.register_buffer("scales", torch.full((sources, self.bins), start, dtype=torch.float64))

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `scaled_l1` of the metric depths."""
        usable = self.usable(batch)
        return scaled_l1(
            prediction.log_depth, batch.target, usable, self._scale_of(batch, usable), self.floor
        )

    @torch.no_grad()
    def observe(self, prediction: Prediction, batch: Batch, rows: Bool[Tensor, " b"]) -> Tensor:
        """Return, for each source and range, how many rows have it and the sum of their mean |d|."""
        usable = self.usable(batch)
        error = log_error(prediction.log_depth, batch.target, usable).abs()
        usable = usable & error.isfinite() & rows[:, None, None, None]
        error, place = error.clamp_max(self.ceiling), self._bin(batch, usable)
        # As many steps as there are ranges: sums over pixels in a fixed order, so a step can be repeated.
        means, present = [], []
        for k in range(self.bins):
            inside = usable & (place == k)
            means.append(masked_mean(error, inside))
            present.append(inside.flatten(1).any(1))
        given = torch.stack([torch.stack(present, 1).double(), torch.stack(means, 1).double()])
        sources = torch.arange(self.seen.shape[0], device=batch.source.device)
        return (self._source(batch) == sources[:, None]).double() @ given

    @torch.no_grad()
    def learn(self, sums: Tensor) -> None:
        """Take what `observe` gave, added over all ranks, into the estimates."""
        count, total = sums.unbind()
        share = running_share(count, self.seen, self.memory)
        self.scales += torch.where(count > 0, share * (total / count.clamp_min(1) - self.scales), 0)
        self.seen += count

    def figures(self, sources: Sequence[str]) -> dict[str, float]:
        """Return the mean scale of each source that was seen, over its ranges by how often they were."""
        pairs = zip(sources, self.scales.tolist(), self.seen.tolist(), strict=True)
        return {
            name: sum(b * n for b, n in zip(scales, seen, strict=True)) / sum(seen)
            for name, scales, seen in pairs
            if sum(seen) > 0
        }

    def _scale_of(self, batch: Batch, usable: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        cell = self._source(batch)[:, None, None, None] * self.bins + self._bin(batch, usable)
        table = self.scales.to(batch.target.device).flatten()
        return table.index_select(0, cell.flatten()).view(cell.shape).to(torch.float32)

    def _bin(self, batch: Batch, usable: Bool[Tensor, "b 1 h w"]) -> Int[Tensor, "b 1 h w"]:
        return depth_bin(batch.target, usable, self.bins, self.nearest, self.farthest)

    def _source(self, batch: Batch) -> Int[Tensor, " b"]:
        return batch.source.clamp_max(self.seen.shape[0] - 1)
