"""Losses of the uncertainty head: as part of a likelihood, or as a forecast of the error by itself."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import Need, check_maps
from depthmix.losses.log_error import MetricLoss, log_error, relative_noise
from depthmix.masked import at_least_float32, masked_mean
from depthmix.prediction import Prediction

__all__ = ["ErrorForecastLoss", "UncertainDepthLoss", "error_forecast", "uncertain_l1"]

# Raw channels are cut here, so that an infinite one stays finite; no network works near it.
RAW_LIMIT = 1e4


def uncertain_l1(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    log_uncertainty: Float[Tensor, "b 1 h w"],
    sigma: Float[Tensor, "b 1 h w"],
    floor: float = 0.01,
    ceiling: float = 1.0,
) -> Float[Tensor, " b"]:
    """Average |d| / b + log(b / floor) of the log errors d, b^2 = exp(2 s) + (sigma / z)^2 / 2, per row.

    Args:
        log_depth: logarithm of the predicted depth.
        target: depth z.
        valid: where `target` may be read.
        log_uncertainty: s, the logarithm of the predicted scale.
        sigma: standard deviation of `target`; 0 where the source has no noise model.
        floor: smallest exp(s); bounds the pull of a pixel on depth by 1 / floor.
        ceiling: largest exp(s); no pixel is given up on: it pulls with 1 / ceiling at least (less only where
            its label is known to be noisy).

    Convention: the negative log likelihood of a Laplace distribution with scale b, shifted by log(floor) so
    that it is never negative. Variances of prediction and label add (that of a Laplace distribution is
    2 b^2), so the head learns the network's own error and is not charged for that of the label. Where s
    leaves [log floor, log ceiling] its distance is added: a bare clamp would leave it there without
    gradient for ever.

    Reference: Kendall and Gal (arXiv 1703.04977), equation 8, in the Laplace form. With confidence
    c = alpha / b this is c |d| - alpha log c, over alpha and up to a constant: DUSt3R (arXiv 2312.14132),
    equation 4, whose c >= 1 is our ceiling with alpha = 1.
    """
    check_maps(log_depth=log_depth, target=target, valid=valid, log_uncertainty=log_uncertainty, sigma=sigma)
    raw = _raw(log_uncertainty, valid)
    inside = raw.clamp(math.log(floor), math.log(ceiling))
    noise = relative_noise(sigma, target, valid) / math.sqrt(2)
    scale = torch.hypot(inside.exp(), noise)
    error = log_error(log_depth, target, valid).abs()
    outside = masked_mean((raw - inside).abs(), valid)
    return masked_mean(error / scale + (scale.log() - math.log(floor)), valid) + outside


def error_forecast(
    log_uncertainty: Float[Tensor, "b 1 h w"],
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    floor: float = 0.001,
) -> Float[Tensor, " b"]:
    """Average |s - log(floor + |d|)| of the predicted s and the log errors d that occurred, per row.

    Args:
        log_uncertainty: s, the logarithm of the error that the network expects.
        log_depth: logarithm of the predicted depth; no gradient flows into it.
        target: depth.
        valid: where `target` may be read.
        floor: error of log depth below which the head need not look.

    Convention: depth is trained as if the head were not there, unlike in `uncertain_l1`. The best s is the
    logarithm of the median error, log(b log 2) for a Laplace distribution of scale b.

    Reference: UniDepthV2 (arXiv 2502.20110), the uncertainty loss. Theirs compares errors, here their
    logarithms are compared: the median is the same, and the gradient does not fade where the head says
    exp(s) = 0.
    """
    check_maps(log_uncertainty=log_uncertainty, log_depth=log_depth, target=target, valid=valid)
    actual = (floor + log_error(log_depth.detach(), target, valid).abs()).log()
    return masked_mean((_raw(log_uncertainty, valid) - actual).abs(), valid)


class UncertainDepthLoss(MetricLoss):
    """Train depth and the network's own doubt about it at once; see `uncertain_l1`.

    Args:
        floor: smallest predicted error of log depth.
        ceiling: largest predicted error of log depth.

    Raises:
        ValueError: `floor` or `ceiling` breaks 0 < floor < ceiling < inf.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "uncertainty"})

    def __init__(self, floor: float = 0.01, ceiling: float = 1.0) -> None:
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"`floor` must be positive and finite, got {floor}")
        if not floor < ceiling < math.inf:
            raise ValueError(f"`ceiling` must be finite and above `floor` = {floor}, got {ceiling}")
        self.floor, self.ceiling = floor, ceiling

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `uncertain_l1` of the metric depths."""
        s, usable = self.head(prediction, "uncertainty"), self.usable(batch)
        depth, sigma = prediction.log_depth, batch.sigma
        return uncertain_l1(depth, batch.target, usable, s, sigma, self.floor, self.ceiling)


class ErrorForecastLoss(MetricLoss):
    """Train the uncertainty head alone to forecast the error of log depth; see `error_forecast`.

    Args:
        floor: error of log depth below which the head need not look.

    Raises:
        ValueError: `floor` is not positive.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "uncertainty"})

    def __init__(self, floor: float = 0.001) -> None:
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"`floor` must be positive and finite, got {floor}")
        self.floor = floor

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `error_forecast` of the metric depths."""
        s, usable = self.head(prediction, "uncertainty"), self.usable(batch)
        return error_forecast(s, prediction.log_depth, batch.target, usable, self.floor)


def _raw(channel: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    return torch.where(valid, at_least_float32(channel), 0).clamp(-RAW_LIMIT, RAW_LIMIT)
