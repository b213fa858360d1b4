"""Image-level normalised regression: both maps in units of their own trimmed statistics, with a tanh."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment import CONTRAST_FLOOR, has_contrast
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.trim import keep_smallest
from depthmix.masked import at_least_float32, masked_mean
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["NormalisedRegressionLoss", "normalised_regression"]

# The unit is at least this part of the mean absolute deviation of all valid pixels, so that normalised labels
# have a mean magnitude of at most 2. Maps in which a trimmed wall is flat need it; for a normal, uniform or
# exponential distribution the trimmed deviation is larger.
SPREAD_FLOOR = 0.5


def normalised_regression(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    trim: float = 0.1,
    *,
    as_predicted: bool = False,
) -> Float[Tensor, " b"]:
    """Average |p - g| + |tanh(p / 100) - tanh(g / 100)| of the normalised maps, per row.

    Args:
        prediction: values that grow with those of `target`.
        target: labels up to a positive scale and a shift.
        valid: where `target` may be read; never sky.
        trim: part of the label's values left out of mean and standard deviation, at each end.
        as_predicted: do not normalise the prediction, as the paper does; for a network whose output is
            already of mean 0 and deviation 1.

    Convention: the label is shifted by the mean and divided by the standard deviation of its trimmed values,
    and the prediction by those of the same pixels. The divisor is at least half of the mean absolute
    deviation of all valid pixels: a flat wall with a thin strip in front has no deviation after trimming, and
    the authors' absolute floor of 1e-8 makes that row thousands of times louder than others. A row flatter
    than `CONTRAST_FLOOR` of its mean is divided by that floor. The gradient runs through the statistics of
    the prediction. 0 on a row whose label is constant.

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: Yin et al., LeReS, image-level normalised regression (arXiv 2012.09365).
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    p, g = at_least_float32(prediction), at_least_float32(target)
    p, g = torch.where(valid, p, 0), torch.where(valid, g, 0)
    kept = keep_smallest(g, valid, trim) + keep_smallest(-g, valid, trim) - valid.to(g.dtype)
    g = _in_units_of(g, kept, valid)
    p = p if as_predicted else _in_units_of(p, kept, valid)
    error = (p - g).abs() + ((p / 100).tanh() - (g / 100).tanh()).abs()
    return torch.where(has_contrast(target, valid), masked_mean(error, valid), 0)


class NormalisedRegressionLoss(DepthLoss):
    """Compare normalised inverse depths (ILNR); see `normalised_regression`.

    The paper compares depth. Here both maps are inverse depths: an AFFINE_DISPARITY label has no depth, and
    one view for all rows makes them pull the network to one shape.

    Raises:
        ValueError: `trim` lies outside [0, 0.5).
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, trim: float = 0.1) -> None:
        super().__init__()
        if not 0 <= trim < 0.5:
            raise ValueError(f"`trim` must be in [0, 0.5), got {trim}")
        self.trim = trim

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `normalised_regression` of the inverse depths."""
        return normalised_regression(
            prediction.inverse_depth, batch.inverse_depth, self.usable(batch), self.trim
        )

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a label that is not constant."""
        return has_contrast(batch.inverse_depth, self.usable(batch))


def _in_units_of(
    x: Float[Tensor, "b 1 h w"], kept: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Shift and divide `x` by mean and deviation of its kept pixels; 0 outside `valid`."""
    size = x.detach().abs().amax((1, 2, 3), keepdim=True)
    size = torch.where(size > 0, size, 1)  # squares of anything float32 holds stay in range
    x, total = x / size, kept.flatten(1).sum(1).clamp_min(1)
    mean = (x * kept).flatten(1).sum(1) / total
    away = torch.where(valid, x - mean[:, None, None, None], 0)
    variance = (away.square() * kept).flatten(1).sum(1) / total
    floor = torch.maximum(
        SPREAD_FLOOR * masked_mean(away.abs(), valid), CONTRAST_FLOOR * masked_mean(x.detach().abs(), valid)
    )
    wide = variance > floor.square()
    unit = torch.where(wide, torch.where(wide, variance, 1).sqrt(), floor)
    return away / torch.where(unit > 0, unit, 1)[:, None, None, None]
