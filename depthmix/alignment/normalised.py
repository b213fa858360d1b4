"""Shift and scale a map by its own median and mean absolute deviation, per row."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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

__all__ = [
    "CONTRAST_FLOOR",
    "Normalised",
    "has_contrast",
    "median_mad",
    "normalise",
    "normalised",
    "normalised_difference",
]

# A spread below this part of the values' own size is called flat. float32 rounds at 6e-8 of the size, so
# a map right at the floor still keeps three digits; an absolute floor (1e-8) would depend on the unit.
CONTRAST_FLOOR = 1e-4


class Normalised(NamedTuple):
    """Hold a normalised map and what it was normalised by; only the map carries gradient.

    Convention: `map` is the result of `normalise`, `median` that of the valid pixels, `deviation` what the
    map was divided by, `contrast` the answer of `has_contrast`.
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


def normalised_difference(
    x: Float[Tensor, "b *shape"], label: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]
) -> tuple[Float[Tensor, "b *shape"], Bool[Tensor, " b"]]:
    """Return `normalise(x) - normalise(label)`, and which labels have contrast, in half the operations.

    Convention: the label is a constant, no gradient flows into it.
    """
    dtype = torch.promote_types(at_least_float32(x).dtype, label.dtype)
    return _Difference.apply(x.to(dtype), label.to(dtype), valid)  # type: ignore[no-any-return, no-untyped-call]


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
        found = _statistics(values, count)
        contrast = _varies(values, count, found.floor) if judge else torch.zeros_like(count, dtype=torch.bool)
        out = values.sub_(found.median[:, None]).div_(found.divisor[:, None])
        ctx.save_for_backward(x, valid, *found)
        ctx.mark_non_differentiable(found.median, found.divisor, contrast)
        return torch.where(valid, out.view_as(x), 0), found.median, found.divisor, contrast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        x, valid, *found = ctx.saved_tensors
        return _to_input(gradient, x, valid, _Statistics(*found)), None, None


class _Difference(torch.autograd.Function):
    """Normalise two maps in one pass and subtract, with the gradient of the first; of it alone is kept."""

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "b *shape"], other: Float[Tensor, "b *shape"], valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = len(x)
        values, count = (
            _holed(torch.cat([x, other]), valid.repeat(2, *[1] * (x.dim() - 1))),
            count_valid(valid),
        )
        found = _statistics(values, count.repeat(2))
        contrast = _varies(values[rows:], count, found.floor[rows:])
        values.sub_(found.median[:, None]).div_(found.divisor[:, None])
        ctx.save_for_backward(x, valid, *(row[:rows] for row in found))
        ctx.mark_non_differentiable(contrast)
        return torch.where(valid, (values[:rows].sub_(values[rows:])).view_as(x), 0), contrast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        x, valid, *found = ctx.saved_tensors
        return _to_input(gradient, x, valid, _Statistics(*found)), None, None


class _Statistics(NamedTuple):
    """Hold what a row is normalised by, and what its gradient needs."""

    lower: Float[Tensor, " b"]
    upper: Float[Tensor, " b"]
    median: Float[Tensor, " b"]
    floor: Float[Tensor, " b"]
    divisor: Float[Tensor, " b"]
    steepness: Float[Tensor, " b"]  # derivative of the divisor by one deviation, over the divisor


def _statistics(values: Float[Tensor, "b n"], count: Int[Tensor, " b"]) -> _Statistics:
    lower, upper = middle_values(values, count)
    median, floor, own = (lower + upper) / 2, _floor(values, count), count.clamp_min(1)
    mad = (values - median[:, None]).abs_().nansum(1) / own
    divisor = torch.maximum(mad, floor)
    divisor = torch.where(divisor > 0, divisor, 1)
    return _Statistics(lower, upper, median, floor, divisor, (mad > floor) / (divisor * own))


def _to_input(
    gradient: Float[Tensor, "b *shape"],
    x: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    found: _Statistics,
) -> Float[Tensor, "b *shape"]:
    """Carry the gradient of a normalised map back: its own, less that of the deviation and of the median."""
    values = _holed(x, valid)
    away = values - found.median[:, None]
    to_map = torch.where(valid, gradient, 0).flatten(1).div_(found.divisor[:, None])
    pull = (to_map * away).nansum(1) * found.steepness
    signs = away.sign_()
    to_median = pull * signs.nansum(1) - to_map.sum(1)
    total = to_map.addcmul_(signs, pull[:, None], value=-1)
    del away, signs  # memory: one map less at the peak
    total = add_to_middle(total, to_median, values, found.lower, found.upper)
    return torch.where(valid, total.view_as(x), 0)


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
