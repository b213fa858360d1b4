"""Losses that know how noisy each pixel of a label is: likelihoods of the log error."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import check_maps
from depthmix.losses.log_error import MetricLoss, log_error, relative_noise
from depthmix.masked import masked_mean
from depthmix.prediction import Prediction

__all__ = ["LabelNoiseLoss", "gaussian_noise", "laplace_noise"]

Likelihood = Literal["gaussian", "laplace"]


def gaussian_noise(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    sigma: Float[Tensor, "b 1 h w"],
    tolerance: float,
) -> Float[Tensor, " b"]:
    """Average d^2 / (2 (tolerance^2 + (sigma / z)^2)) of the log errors d, per row.

    Args:
        log_depth: logarithm of the predicted depth.
        target: depth z.
        valid: where `target` may be read.
        sigma: standard deviation of `target`; 0 where the source has no noise model.
        tolerance: standard deviation of log depth that the network itself is granted.

    Convention: the negative log likelihood of a normal distribution without the parts that the prediction
    does not change. The two variances add, so a pixel of sigma 0 counts as one that is good to the
    tolerance, not as one without error: 1 / sigma^2 alone would hand it all the influence, and a stereo
    image to its few nearest pixels. Not normalised inside the row, unlike `log_l1` with `noise_weight`: a
    noisy image as a whole counts less.

    Reference: Kendall and Gal (arXiv 1703.04977), equation 5, with the variance of the label given.
    """
    error = _whitened(log_depth, target, valid, sigma, tolerance)
    return masked_mean(error.square(), valid) / 2


def laplace_noise(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    sigma: Float[Tensor, "b 1 h w"],
    tolerance: float,
) -> Float[Tensor, " b"]:
    """Average sqrt(2) |d| / sqrt(tolerance^2 + (sigma / z)^2) of the log errors d, per row.

    As `gaussian_noise`, for a Laplace distribution of the same variance: outliers of the label pull with a
    constant force, at most sqrt(2) / tolerance.
    """
    error = _whitened(log_depth, target, valid, sigma, tolerance)
    return math.sqrt(2) * masked_mean(error.abs(), valid)


class LabelNoiseLoss(MetricLoss):
    """Compare log depth in units of what the label's noise and the network together explain.

    Args:
        likelihood: "laplace" (`laplace_noise`) or "gaussian" (`gaussian_noise`).
        tolerance: relative error that the network itself is granted, the noise where sigma is 0.

    Raises:
        ValueError: an unknown likelihood, or a tolerance that is not positive.
    """

    def __init__(self, likelihood: Likelihood = "laplace", tolerance: float = 0.05) -> None:
        super().__init__()
        if likelihood not in ("gaussian", "laplace"):
            raise ValueError(f'`likelihood` must be "gaussian" or "laplace", got {likelihood!r}')
        if not 0 < tolerance < math.inf:
            raise ValueError(f"`tolerance` must be positive and finite, got {tolerance}")
        self.likelihood, self.tolerance = likelihood, tolerance

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `laplace_noise` or `gaussian_noise` of the metric depths."""
        formula = laplace_noise if self.likelihood == "laplace" else gaussian_noise
        usable = self.usable(batch)
        return formula(prediction.log_depth, batch.target, usable, batch.sigma, self.tolerance)


def _whitened(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    sigma: Float[Tensor, "b 1 h w"],
    tolerance: float,
) -> Float[Tensor, "b 1 h w"]:
    check_maps(log_depth=log_depth, target=target, valid=valid, sigma=sigma)
    noise = relative_noise(sigma, target, valid)
    scale = tolerance * torch.hypot(noise / tolerance, torch.ones_like(noise))  # no square that overflows
    return log_error(log_depth, target, valid) / scale
