"""Shift and scale a map by its own median and mean absolute deviation, per row."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.masked import (
    add_to_middle,
    at_least_float32,
    count_valid,
    masked_mad,
    masked_median,
    middle_values,
)

__all__ = ["CONTRAST_FLOOR", "Normalised", "has_contrast", "median_mad", "normalise", "normalised"]

# A spread below this part of the values' own size is called flat. float32 rounds at 6e-8 of the size, so
# a map right at the floor still keeps three digits; an absolute floor (1e-8) would depend on the unit.
CONTRAST_FLOOR = 1e-4


class Normalised(NamedTuple):
    """Hold a normalised map and what it was normalised by; only the map carries gradient.

    Args:
        map: the result of `normalise`.
        median: of the valid pixels.
        deviation: what the map was divided by.
        contrast: the answer of `has_contrast`.
    """

    map: Float[Tensor, "b *shape"]
    median: Float[Tensor, " b"]
    deviation: Float[Tensor, " b"]
    contrast: Bool[Tensor, " b"]


def normalise(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
    """Shift each row by its median and divide it by its mean absolute deviation; 0 outside `valid`.

    Convention: the gradient flows through both statistics; that of the median is shared as in
    `masked_median`. The divisor is at least `CONTRAST_FLOOR` of the mean magnitude: on flatter rows the
    result shrinks with the contrast instead of blowing up noise.

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), equation 5, over valid pixels only.
    """
    result: Tensor = _Normalise.apply(at_least_float32(x), valid, False)[0]  # type: ignore[no-untyped-call]
    return result


def normalised(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Normalised:
    """Do as `normalise`, and return the statistics too, so that a loss need not compute them again."""
    return Normalised(*_Normalise.apply(at_least_float32(x), valid, True))  # type: ignore[no-untyped-call]


def median_mad(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return the median of each row and the mean absolute deviation from it."""
    median = masked_median(x, valid)
    return median, masked_mad(x, valid, median)


@torch.no_grad()
def has_contrast(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Bool[Tensor, " b"]:
    """Tell which rows vary enough over their valid pixels for a scale and a shift to be defined."""
    count = count_valid(valid)
    values = _holed(x, valid)
    return _varies(values, count, _floor(values, count))


class _Normalise(torch.autograd.Function):
    """Keep the input alone for the backward pass; autograd would keep six maps."""

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], judge: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values, count = _holed(x, valid), count_valid(valid)
        lower, upper = middle_values(values, count)
        median, floor = (lower + upper) / 2, _floor(values, count)
        mad = _mean((values - median[:, None]).abs_(), count)
        steep = mad > floor
        contrast = _varies(values, count, floor) if judge else steep.clone()
        divisor = torch.maximum(mad, floor)
        divisor = torch.where(divisor > 0, divisor, 1)
        out = values.sub_(median[:, None]).div_(divisor[:, None])
        ctx.save_for_backward(x, valid, lower, upper, divisor, steep)
        ctx.mark_non_differentiable(median, divisor, contrast)
        return torch.where(valid, out.view_as(x), 0), median, divisor, contrast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        x, valid, lower, upper, divisor, steep = ctx.saved_tensors
        count, values = count_valid(valid).clamp_min(1), _holed(x, valid)
        median = (lower + upper) / 2
        away = values - median[:, None]
        to_map = torch.where(valid, gradient, 0).flatten(1).div_(divisor[:, None])
        to_mad = -(to_map * away).nansum(1) / divisor
        to_mad = torch.where(steep, to_mad, 0) / count
        signs = away.sign_()
        to_median = -to_map.sum(1) - to_mad * signs.nansum(1)
        total = to_map.addcmul_(signs, to_mad[:, None])
        del away, signs  # memory: one map less at the peak
        total = add_to_middle(total, to_median, values, lower, upper)
        return torch.where(valid, total.view_as(x), 0), None, None


def _holed(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, "b n"]:
    return torch.where(valid, at_least_float32(x), torch.nan).flatten(1)


def _mean(values: Float[Tensor, "b n"], count: Tensor) -> Float[Tensor, " b"]:
    """Average what is not NaN: a sum that skips holes costs a tenth of filling them."""
    return values.nansum(1) / count.clamp_min(1)


def _floor(values: Float[Tensor, "b n"], count: Tensor) -> Float[Tensor, " b"]:
    return CONTRAST_FLOOR * _mean(values.abs(), count)


def _varies(values: Float[Tensor, "b n"], count: Tensor, floor: Float[Tensor, " b"]) -> Bool[Tensor, " b"]:
    centre = _mean(values, count)  # saves a median
    return _mean((values - centre[:, None]).abs_(), count) > floor
