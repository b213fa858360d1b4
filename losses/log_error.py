"""What losses on metric depth share: who bears them, the error of log depth, and the noise of a label."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.masked import at_least_float32
from depthmix.sample import LabelKind

__all__ = ["MetricLoss", "checked_tolerance", "log_error", "noise_weight", "relative_noise"]


class MetricLoss(DepthLoss):
    """Base of the losses that compare metres: a label of true metres and a camera, one pixel is enough."""

    accepts: ClassVar[frozenset[LabelKind]] = frozenset({LabelKind.METRIC_DEPTH})
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a metric pixel."""
        return self.usable(batch).flatten(1).any(1)


def log_error(
    log_depth: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Return predicted log depth minus the logarithm of the label; 0 outside `valid`."""
    label = torch.where(valid, at_least_float32(target), 1).log()
    return torch.where(valid, at_least_float32(log_depth), label) - label


def relative_noise(
    sigma: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Return sigma / z, the standard deviation of a label's log depth to first order; 0 outside `valid`.

    Convention: of a stereo pair, sigma = z^2 sigma_d / (f B) with the noise sigma_d of the disparity in
    pixels, so sigma / z grows with z: far pixels know less. 0 means that the source has no noise model.
    """
    return torch.where(valid, at_least_float32(sigma) / at_least_float32(target), 0)


def noise_weight(
    sigma: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    tolerance: float,
) -> Float[Tensor, "b 1 h w"]:
    """Return tolerance / (tolerance + sigma / z): how much a pixel of known noise counts.

    `sigma / z` is the standard deviation of log depth. The weight lies in (0, 1], is 1/2 where the noise
    equals the tolerance and 1 where there is no noise model (sigma 0); 0 outside `valid`. Bounded on
    purpose: 1 / sigma^2 would hand a stereo image to its few nearest pixels.
    """
    check_maps(sigma=sigma, target=target, valid=valid)
    return torch.where(valid, tolerance / (tolerance + relative_noise(sigma, target, valid)), 0)


def checked_tolerance(tolerance: float | None) -> float | None:
    """Return a tolerance that is positive and finite, or None.

    Raises:
        ValueError: it is neither.
    """
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise ValueError(f"`tolerance` must be positive and finite, got {tolerance}")
    return tolerance
