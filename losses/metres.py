"""Losses on depth itself and on its inverse, for labels that are true metres: L1, Huber, berHu."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import check_maps
from depthmix.losses.log_error import MetricLoss, checked_tolerance, noise_weight
from depthmix.masked import at_least_float32, masked_average
from depthmix.prediction import Prediction

__all__ = [
    "BerhuLoss",
    "DepthL1Loss",
    "HuberLoss",
    "InverseDepthL1Loss",
    "berhu",
    "depth_l1",
    "huber",
    "inverse_depth_l1",
]


def depth_l1(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Average the absolute errors of each row, in the unit of the two maps.

    Args:
        depth: predicted depth.
        target: depth in the same unit.
        valid: where `target` may be read.
        weight: how much each pixel counts, not negative; see `noise_weight`.

    Convention: nothing is clamped, so a depth that is negative or far off keeps its full gradient.
    """
    return masked_average(_absolute_error(depth, target, valid), valid, weight)


def inverse_depth_l1(
    inverse_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Average |inverse_depth - 1 / target| of each row.

    Args:
        inverse_depth: predicted 1/z.
        target: depth z, not inverted.
        valid: where `target` may be read.
        weight: how much each pixel counts, not negative; see `noise_weight`.
    """
    label = torch.where(valid, at_least_float32(target), 1).reciprocal()
    return depth_l1(inverse_depth, label, valid, weight)


def huber(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    delta: float = 1.0,
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Average e^2 / (2 delta) of errors up to `delta` and |e| - delta / 2 of larger ones, per row.

    Args:
        depth: predicted depth.
        target: depth in the same unit.
        valid: where `target` may be read.
        delta: error from which the growth is linear.
        weight: how much each pixel counts, not negative; see `noise_weight`.

    Convention: Huber's function over delta, so that the value has the unit of the maps and the slope is 1
    beyond delta, whatever delta is. Written without the square of a large error, which would overflow.

    Reference: Huber, Robust estimation of a location parameter, 1964.
    """
    error = _absolute_error(depth, target, valid)
    small = error.clamp_max(delta)
    return masked_average(small * (error - small / 2) / delta, valid, weight)


def berhu(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    fraction: float = 0.2,
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Average |e| of errors up to c and (e^2 + c^2) / (2 c) of larger ones, per row.

    Args:
        depth: predicted depth.
        target: depth in the same unit.
        valid: where `target` may be read.
        fraction: c over the largest error of the row.
        weight: how much each pixel counts, not negative; see `noise_weight`. It does not count for c.

    Convention: c belongs to the row, so one outlier does not set it for the batch; no gradient flows
    through it. The slope is at most 1 / fraction.

    Reference: Laina et al. (arXiv 1606.00373), equation 1. Theirs takes c over all images of the batch.
    """
    error = _absolute_error(depth, target, valid)
    c = fraction * error.detach().amax((1, 2, 3), keepdim=True)
    c = torch.where(c > 0, c, 1)
    large = (error * (error / c) + c) / 2  # e / c is at most 1 / fraction, e^2 alone could overflow
    return masked_average(torch.where(error <= c, error, large), valid, weight)


class _MetresLoss(MetricLoss):
    """Hold in which unit depth is compared.

    Args:
        canonical: False compares metres. True compares canonical metres z f_c / f, which weighs an image by
            how large it shows things: an error of a metre seen through a long lens counts less.
        tolerance: relative noise (sigma / z) at which a pixel counts half; None counts all alike.

    Raises:
        ValueError: `tolerance` is not positive.
    """

    def __init__(self, canonical: bool = False, tolerance: float | None = None) -> None:
        super().__init__()
        self.canonical, self.tolerance = canonical, checked_tolerance(tolerance)

    def _weight(self, batch: Batch) -> Tensor | None:
        if self.tolerance is None:
            return None
        return noise_weight(batch.sigma, batch.target, self.usable(batch), self.tolerance)

    def _maps(self, prediction: Prediction, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return predicted and labelled depth in the unit asked for."""
        if not self.canonical:
            return prediction.depth, batch.target
        ratio = prediction.focal_ratio
        return prediction.depth / ratio, batch.target / ratio


class DepthL1Loss(_MetresLoss):
    """Compare depth in metres, or in canonical metres if `canonical`; see `depth_l1`."""

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `depth_l1`."""
        return depth_l1(*self._maps(prediction, batch), self.usable(batch), self._weight(batch))


class InverseDepthL1Loss(_MetresLoss):
    """Compare inverse depth in 1/m, of canonical metres if `canonical`: near pixels count most."""

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `inverse_depth_l1`."""
        ratio, how = prediction.focal_ratio, (self.usable(batch), self._weight(batch))
        if self.canonical:
            return inverse_depth_l1(prediction.inverse_depth, batch.target / ratio, *how)
        return inverse_depth_l1(prediction.inverse_depth / ratio, batch.target, *how)


class HuberLoss(_MetresLoss):
    """Compare depth in metres, or canonical metres, squared near the label; see `huber`.

    Args:
        delta: error in that unit from which the growth is linear.
        canonical: compare canonical metres z f_c / f.
        tolerance: relative noise (sigma / z) at which a pixel counts half; None counts all alike.

    Raises:
        ValueError: `delta` or `tolerance` is not positive.
    """

    def __init__(self, delta: float = 1.0, canonical: bool = False, tolerance: float | None = None) -> None:
        super().__init__(canonical, tolerance)
        if not 0 < delta < float("inf"):
            raise ValueError(f"`delta` must be positive and finite, got {delta}")
        self.delta = delta

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `huber`."""
        maps, weight = self._maps(prediction, batch), self._weight(batch)
        return huber(*maps, self.usable(batch), self.delta, weight)


class BerhuLoss(_MetresLoss):
    """Compare depth in metres, or canonical metres, squared for the largest errors; see `berhu`.

    Args:
        fraction: part of the row's largest error from which the growth is quadratic.
        canonical: compare canonical metres z f_c / f.
        tolerance: relative noise (sigma / z) at which a pixel counts half; None counts all alike.

    Raises:
        ValueError: `fraction` lies outside (0, 1], or `tolerance` is not positive.
    """

    def __init__(
        self, fraction: float = 0.2, canonical: bool = False, tolerance: float | None = None
    ) -> None:
        super().__init__(canonical, tolerance)
        if not 0 < fraction <= 1:
            raise ValueError(f"`fraction` must be in (0, 1], got {fraction}")
        self.fraction = fraction

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `berhu`."""
        maps, weight = self._maps(prediction, batch), self._weight(batch)
        return berhu(*maps, self.usable(batch), self.fraction, weight)


def _absolute_error(
    depth: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    check_maps(depth=depth, target=target, valid=valid)
    return torch.where(valid, at_least_float32(depth) - at_least_float32(target), 0).abs()
