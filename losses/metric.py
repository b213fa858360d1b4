"""Losses on the logarithm of depth: SILog and the mean absolute error."""

import math
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.log_error import MetricLoss, checked_tolerance, log_error, noise_weight
from depthmix.masked import masked_average
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["LogL1Loss", "ScaleFreeSilogLoss", "SilogLoss", "log_l1", "silog"]

# Inside the root of silog: keeps the gradient finite at a perfect prediction; 0.001 in units of log depth.
EPSILON = 1e-6


def silog(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    variance_focus: float = 0.85,
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Return the root of Var(d) + (1 - variance_focus) Mean(d)^2 of the log errors d, per row.

    Args:
        log_depth: logarithm of the predicted depth.
        target: depth.
        valid: where `target` may be read.
        variance_focus: 1 forgives a wrong scale wholly, 0 gives the RMS of the log error.
        weight: how much each pixel counts in mean and variance, not negative; see `noise_weight`.

    Convention: the root is sqrt(x + eps) - sqrt(eps), written without the difference, so a perfect row is
    exactly 0 with gradient 0. Per image, so a dense image does not outvote a sparse one.

    Reference: Eigen et al. (arXiv 1406.2283), equation 4, with the root of AdaBins (arXiv 2011.14141).
    """
    check_maps(log_depth=log_depth, target=target, valid=valid)
    error = log_error(log_depth, target, valid)
    mean = masked_average(error, valid, weight)
    variance = masked_average((error - mean[:, None, None, None]).square(), valid, weight)
    inside = variance + (1 - variance_focus) * mean.square()
    return inside / ((inside + EPSILON).sqrt() + math.sqrt(EPSILON))


def log_l1(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    weight: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, " b"]:
    """Average the absolute log errors of each row with the given positive weights."""
    check_maps(log_depth=log_depth, target=target, valid=valid, weight=weight)
    return masked_average(log_error(log_depth, target, valid).abs(), valid, weight)


class SilogLoss(MetricLoss):
    """Compare metric depth in log space, forgiving part of a common factor; see `silog`.

    A label of unknown scale must not feel that part: `ScaleFreeSilogLoss` is the form for it.

    Args:
        variance_focus: 1 forgives a wrong scale wholly, 0 gives the RMS of the log error.
        tolerance: relative noise (sigma / z) at which a pixel counts half; None counts all alike.

    Raises:
        ValueError: `variance_focus` lies outside [0, 1], or `tolerance` is not positive.
    """

    def __init__(self, variance_focus: float = 0.85, tolerance: float | None = None) -> None:
        super().__init__()
        if not 0 <= variance_focus <= 1:
            raise ValueError(f"`variance_focus` must be in [0, 1], got {variance_focus}")
        self.variance_focus, self.tolerance = variance_focus, checked_tolerance(tolerance)

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `silog` of the metric depths."""
        usable = self.usable(batch)
        weight = _weight(batch, usable, self.tolerance)
        return silog(prediction.log_depth, batch.target, usable, self.variance_focus, weight)


class ScaleFreeSilogLoss(DepthLoss):
    """Compare depth in log space and forgive a common factor wholly: `silog` with variance focus 1.

    So it also bears labels whose scale is unknown, and needs no camera: neither the scale nor the focal
    length changes the value. The exact form of the switch that per-source flags make in public code, where
    a misspelt flag trains the scale on labels that have none.

    Args:
        tolerance: relative noise (sigma / z) at which a pixel counts half; None counts all alike.

    Raises:
        ValueError: `tolerance` is not positive.

    Reference: Eigen et al. (arXiv 1406.2283), equation 2 with its root.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS

    def __init__(self, tolerance: float | None = None) -> None:
        super().__init__()
        self.tolerance = checked_tolerance(tolerance)

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `silog` with variance focus 1."""
        usable = self.usable(batch)
        weight = _weight(batch, usable, self.tolerance)
        return silog(prediction.log_depth, batch.target, usable, 1, weight)


class LogL1Loss(MetricLoss):
    """Compare metric depth in log space, trusting each pixel as its noise model allows; see `log_l1`.

    Weights are normalised inside the row: the noise model moves weight between the pixels of an image,
    while the trust in a whole source is the business of tiers and term weights.

    Args:
        tolerance: relative noise (sigma / z) at which a pixel counts half; see `noise_weight`.

    Raises:
        ValueError: `tolerance` is not positive.
    """

    def __init__(self, tolerance: float = 0.05) -> None:
        super().__init__()
        if not tolerance > 0:
            raise ValueError(f"`tolerance` must be positive, got {tolerance}")
        self.tolerance = tolerance

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `log_l1` of the metric depths, weighted by `noise_weight`."""
        usable = self.usable(batch)
        weight = noise_weight(batch.sigma, batch.target, usable, self.tolerance)
        return log_l1(prediction.log_depth, batch.target, usable, weight)


def _weight(
    batch: Batch, usable: Bool[Tensor, "b 1 h w"], tolerance: float | None
) -> Float[Tensor, "b 1 h w"] | None:
    return None if tolerance is None else noise_weight(batch.sigma, batch.target, usable, tolerance)
