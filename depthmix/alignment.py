"""Fit the scale and shift that a label leaves open, per row; used by losses and metrics alike."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.masked import at_least_float32, count_valid, masked_mad, masked_mean, masked_median

__all__ = ["CONTRAST_FLOOR", "align_median", "align_scale_shift", "has_contrast", "median_mad", "normalise"]

# A spread below this part of the values' own size is called flat. float32 rounds at 6e-8 of the size, so
# a map right at the floor still keeps three digits; an absolute floor (1e-8) would depend on the unit.
CONTRAST_FLOOR = 1e-4


def align_scale_shift(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Fit `scale * prediction + shift` to the target by least squares over the valid pixels.

    Convention: the scale is never negative, so a depth-inverted prediction gains nothing: where the best
    scale is negative, or the prediction is flat, scale is 0 and shift the mean of the target. A row without
    valid pixels gets scale 1 and shift 0. Sums are centred, so an offset of the maps costs no digits.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 4.0]])
        >>> scale, shift = align_scale_shift(x, 3 * x + 1, torch.ones(1, 3, dtype=torch.bool))
        >>> round(scale.item(), 4), round(shift.item(), 4)
        (3.0, 1.0)
    """
    size_p, mean_p, p = _centred(prediction, valid)
    size_g, mean_g, g = _centred(target, valid)
    flat = valid.flatten(1)
    variance = masked_mean(p * p, flat)
    steep = variance > (CONTRAST_FLOOR * mean_p.abs()).square()
    slope = masked_mean(p * g, flat) / torch.where(steep, variance, 1)
    slope = torch.where(steep & (slope > 0), slope, 0)
    scale, shift = slope * (size_g / size_p), (mean_g - slope * mean_p) * size_g
    some = count_valid(valid) > 0
    return torch.where(some, scale, 1), torch.where(some, shift, 0)


def align_median(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
) -> Float[Tensor, " b"]:
    """Fit one factor per row: the median of the target over the median of the prediction.

    Convention: 1 where either median is not positive, which includes a row without valid pixels.
    """
    above, below = masked_median(target, valid), masked_median(prediction, valid)
    usable = (above > 0) & (below > 0)
    return torch.where(usable, above / torch.where(usable, below, 1), 1)


def median_mad(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return the median of each row and the mean absolute deviation from it."""
    median = masked_median(x, valid)
    return median, masked_mad(x, valid, median)


def has_contrast(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Bool[Tensor, " b"]:
    """Tell which rows vary enough over their valid pixels for a scale and a shift to be defined."""
    return masked_mad(x, valid, masked_mean(x, valid)) > _floor(x, valid)  # the mean saves a median


def normalise(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
    """Shift each row by its median and divide it by its mean absolute deviation; 0 outside `valid`.

    Convention: the gradient flows through both statistics. The divisor is at least `CONTRAST_FLOOR` of the
    mean magnitude: on flatter rows the result shrinks with the contrast instead of blowing up noise.

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), equation 5, over valid pixels only.
    """
    median, mad = median_mad(x, valid)
    divisor = torch.maximum(mad, _floor(x, valid))
    divisor = torch.where(divisor > 0, divisor, 1)
    column = (-1, *[1] * (x.dim() - 1))
    median, divisor = median.view(column), divisor.view(column)
    return (torch.where(valid, at_least_float32(x), median) - median) / divisor


def _floor(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    return CONTRAST_FLOOR * masked_mean(x.detach().abs(), valid)


def _centred(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"], Float[Tensor, "b n"]]:
    """Return size (largest magnitude), mean and centred values, the last two in units of the size."""
    values, flat = torch.where(valid, at_least_float32(x), 0).flatten(1), valid.flatten(1)
    size = values.detach().abs().amax(1)
    size = torch.where(size > 0, size, 1)  # squares of anything float32 holds stay in range
    values = values / size[:, None]
    mean = masked_mean(values, flat)
    centred = values - mean[:, None]
    rest = masked_mean(centred, flat)  # what rounding left in the mean
    return size, mean + rest, torch.where(flat, centred - rest[:, None], 0)
