"""The scale loss: one factor per image, and nothing of its shape."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import check_maps
from depthmix.losses.log_error import MetricLoss, log_error
from depthmix.masked import masked_mean, masked_median
from depthmix.prediction import Prediction

__all__ = ["ScaleLoss", "scale_error"]

Centre = Literal["median", "mean"]


def scale_error(
    log_depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    centre: Centre = "median",
) -> Float[Tensor, " b"]:
    """Square the median, or mean, of the log errors of each row: log^2 of the factor between the maps.

    Args:
        log_depth: logarithm of the predicted depth.
        target: depth.
        valid: where `target` may be read.
        centre: what stands for the factor; the median does not follow outliers.

    Convention: the gradient is the same for all valid pixels, that of shifting log depth as a whole. Along
    that direction it is exact for both centres; the median's own gradient would move the one or two middle
    pixels and leave the factor to the next ones.

    Reference: the metric scale term of MoGe-2 (arXiv 2507.02546), squared error of log scale. Theirs trains
    a scale head against the factor of the aligned map; here the map carries its scale itself.
    """
    check_maps(log_depth=log_depth, target=target, valid=valid)
    error = log_error(log_depth, target, valid)
    factor = masked_mean(error, valid)
    if centre == "median":
        factor = masked_median(error.detach(), valid) + (factor - factor.detach())
    return factor.square()


class ScaleLoss(MetricLoss):
    """Train the scale of metric depth alone, beside losses that train its shape; see `scale_error`.

    Args:
        centre: "median" or "mean" of the log errors.

    Raises:
        ValueError: an unknown centre.
    """

    def __init__(self, centre: Centre = "median") -> None:
        super().__init__()
        if centre not in ("median", "mean"):
            raise ValueError(f'`centre` must be "median" or "mean", got {centre!r}')
        self.centre: Centre = centre

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `scale_error` of the metric depths."""
        return scale_error(prediction.log_depth, batch.target, self.usable(batch), self.centre)
