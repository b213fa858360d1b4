"""Shapes that the measures share, and the average that is NaN where there is nothing to average."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.masked import count_valid, masked_mean

__all__ = ["Map", "Mask", "Rows", "column", "degrees_between", "mean_or_nan", "neighbours"]

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
Rows = Float[Tensor, " b"]


def mean_or_nan(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Rows:
    """Average the valid entries of each row; NaN where there are none: an empty label is never a score."""
    return torch.where(count_valid(valid) > 0, masked_mean(x, valid), torch.nan)


def column(x: Rows) -> Float[Tensor, "b 1 1 1"]:
    """Shape one number per row so that it goes with maps."""
    return x[:, None, None, None]


def neighbours(x: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine every pixel with the one to its left, then every pixel with the one above; one row each."""
    right = combine(x[..., 1:], x[..., :-1]).flatten(1)
    below = combine(x[..., 1:, :], x[..., :-1, :]).flatten(1)
    return torch.cat([right, below], 1)


def degrees_between(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """Find the angle between unit vectors along `axis`."""
    # The acos of a rounded cosine loses small angles. A cross product takes ten times as long as this.
    apart, together = (x.square().sum(axis).sqrt() for x in (a - b, a + b))
    return 2 * torch.atan2(apart, together).rad2deg()
