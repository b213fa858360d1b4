"""Scale and shift by weighted least squares, per row, centred, with a policy for the sign of the scale."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.alignment.normalised import CONTRAST_FLOOR
from depthmix.masked import at_least_float32, count_valid, masked_mean, masked_sum

__all__ = ["Sign", "align_scale", "align_scale_shift", "align_shift"]

Sign = Literal["positive", "free"]


def align_scale_shift(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    weight: Float[Tensor, "b *shape"] | None = None,
    *,
    sign: Sign = "positive",
    detach: bool = False,
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Fit `scale * prediction + shift` to the target by least squares over the valid pixels.

    Args:
        prediction: map to be fitted.
        target: map in the same space, up to the scale and shift.
        valid: where both may be read.
        weight: factor of each squared error, not negative; 1 everywhere if None.
        sign: "positive" never gives a negative scale, so a depth-inverted prediction gains nothing: where
            the best scale is negative, scale is 0 and shift the mean of the target.
        detach: return constants; else the gradient flows through the fit.

    Convention: a flat prediction (spread below `CONTRAST_FLOOR` of its mean, which one pixel always is) gets
    scale 0 and the mean of the target. A row without valid pixels, or with weights of 0 alone, gets scale 1
    and shift 0. Sums are centred, so an offset of the maps costs no digits, and an absolute ridge, which is
    too big in one unit and too small in another, is not needed. The weights also count for the shift.

    Raises:
        ValueError: `sign` is neither "positive" nor "free".

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), equation 4, which leaves the sign free.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 4.0]])
        >>> scale, shift = align_scale_shift(x, 3 * x + 1, torch.ones(1, 3, dtype=torch.bool))
        >>> round(scale.item(), 4), round(shift.item(), 4)
        (3.0, 1.0)
    """
    check_sign(sign)
    p, g, w = raise_and_detach(prediction, target, weight, detach)
    scale, shift = _LeastSquares.apply(p, g, valid, w, sign == "free")  # type: ignore[no-untyped-call]
    return scale, shift


def align_scale(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    weight: Float[Tensor, "b *shape"] | None = None,
    *,
    sign: Sign = "positive",
    detach: bool = False,
) -> Float[Tensor, " b"]:
    """Fit `scale * prediction` to the target by least squares; arguments as in `align_scale_shift`.

    Convention: 0 where the best scale is negative and `sign` is "positive"; 1 where any scale fits equally
    (no valid pixel, weights or predictions of 0 alone).

    Raises:
        ValueError: `sign` is neither "positive" nor "free".
    """
    check_sign(sign)
    p, g, w = raise_and_detach(prediction, target, weight, detach)
    size_p, size_g = _size(p, valid), _size(g, valid)
    column = (-1, *[1] * (p.dim() - 1))
    p, g = torch.where(valid, p, 0) / size_p.view(column), torch.where(valid, g, 0) / size_g.view(column)
    weighted = p if w is None else p * torch.where(valid, w, 0)
    square = (weighted * p).flatten(1).sum(1)
    scale = (weighted * g).flatten(1).sum(1) / torch.where(square > 0, square, 1)
    scale = scale if sign == "free" else torch.where(scale > 0, scale, 0)
    return torch.where(square > 0, scale * (size_g / size_p), 1)


def align_shift(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    weight: Float[Tensor, "b *shape"] | None = None,
    *,
    detach: bool = False,
) -> Float[Tensor, " b"]:
    """Fit `prediction + shift` to the target by least squares; arguments as in `align_scale_shift`.

    Convention: 0 on a row without valid pixels, or with weights of 0 alone.
    """
    p, g, w = raise_and_detach(prediction, target, weight, detach)
    away = torch.where(valid, g, 0) - torch.where(valid, p, 0)
    if w is None:
        return masked_mean(away, valid)
    total = masked_sum(w, valid)
    return masked_sum(w * away, valid) / torch.where(total > 0, total, 1)


def check_sign(sign: str) -> None:
    """Refuse an unknown policy.

    Raises:
        ValueError: `sign` is neither "positive" nor "free".
    """
    if sign not in ("positive", "free"):
        raise ValueError(f'`sign` must be "positive" or "free", got {sign!r}')


def raise_and_detach(
    prediction: Tensor, target: Tensor, weight: Tensor | None, detach: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring the arguments of a fit to one precision, float32 at least, and detach them if asked to."""
    dtype = torch.promote_types(at_least_float32(prediction).dtype, target.dtype)
    p, g = prediction.to(dtype), target.to(dtype)
    w = None if weight is None else weight.to(dtype)
    return (p.detach(), g.detach(), None if w is None else w.detach()) if detach else (p, g, w)


class _LeastSquares(torch.autograd.Function):
    """Keep the two maps alone for the backward pass; autograd would keep eight.

    With weights w of sum 1, means m_p and m_g, variance V and residual r:
    d scale / d p_i = w_i (g_i - m_g - 2 scale (p_i - m_p)) / V, d scale / d g_i = w_i (p_i - m_p) / V,
    d scale / d w_i = -(p_i - m_p) r_i / V, and shift = m_g - scale m_p.
    """

    @staticmethod
    def forward(
        ctx: Any, p: Tensor, g: Tensor, valid: Tensor, w: Tensor | None, free: bool
    ) -> tuple[Tensor, Tensor]:
        holes = _weight(valid, w)
        total = count_valid(valid).to(p.dtype) if w is None else holes.nansum(1)
        size_p, mean_p, p_away = _centred(p, valid, holes, total)
        size_g, mean_g, g_away = _centred(g, valid, holes, total)
        if w is not None:
            g_away.mul_(holes)
        covariance = g_away.mul_(p_away).nansum(1) / _or_one(
            total
        )  # in place: a new map costs five times more
        squares = p_away.square_() if w is None else p_away.square_().mul_(holes)
        variance = squares.nansum(1) / _or_one(total)
        fitted = (variance > (CONTRAST_FLOOR * mean_p.abs()).square()) & (total > 0)
        slope = covariance / torch.where(fitted, variance, 1)
        fitted = fitted if free else fitted & (slope > 0)
        slope = torch.where(fitted, slope, 0)
        ctx.save_for_backward(p, g, valid, w, total, size_p, mean_p, size_g, mean_g, variance, slope, fitted)
        scale, shift = slope * (size_g / size_p), (mean_g - slope * mean_p) * size_g
        return torch.where(total > 0, scale, 1), torch.where(total > 0, shift, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_scale: Tensor, to_shift: Tensor) -> tuple[Tensor | None, ...]:
        p, g, valid, w, total, size_p, mean_p, size_g, mean_g, variance, slope, fitted = ctx.saved_tensors
        column = (-1, *[1] * (p.dim() - 1))
        flat = torch.where(total > 0, to_shift * size_g, 0) / _or_one(total)
        steep = (to_scale * (size_g / size_p) - to_shift * size_g * mean_p) / _or_one(total)
        steep = torch.where(fitted, steep / torch.where(fitted, variance, 1), 0)
        a, b, s = (row.view(column) for row in (steep, flat, slope))
        p_away = (p / size_p.view(column)).sub_(mean_p.view(column))
        g_away = (g / size_g.view(column)).sub_(mean_g.view(column))

        def masked(gradient: Tensor, factor: Tensor | None = None) -> Tensor:
            return torch.where(valid, gradient if factor is None else gradient.mul_(factor), 0)

        needs_p, needs_g, _, needs_w, _ = ctx.needs_input_grad
        to_p = to_g = to_w = None
        if needs_w:
            to_w = masked((g_away - s * p_away).mul_(a * p_away + b))
        if needs_g:
            to_g = masked((a * p_away).add_(b).div_(size_g.view(column)), w)
        if needs_p:  # last: it overwrites the maps
            to_p = g_away.sub_(p_away.mul_(2 * s)).mul_(a).sub_(b * s).div_(size_p.view(column))
            to_p = masked(to_p, w)
        return to_p, to_g, None, to_w, None


def _or_one(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1)


def _weight(valid: Tensor, w: Tensor | None) -> Tensor:
    return valid.flatten(1) if w is None else torch.where(valid, w, torch.nan).flatten(1)


def _centred(
    x: Tensor, valid: Tensor, weight: Tensor, total: Tensor
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"], Float[Tensor, "b n"]]:
    """Return size, mean and centred values with NaN at the holes, the last two in units of the size."""
    values = torch.where(valid, x, torch.nan).flatten(1)
    count = total if weight.dtype == torch.bool else count_valid(valid)
    size = _power_of_two(values.abs().nansum(1) / _or_one(count))
    values.div_(size[:, None])  # squares of anything float32 holds stay in range

    def mean() -> Tensor:
        weighted = values if weight.dtype == torch.bool else values * weight
        return weighted.nansum(1) / _or_one(total)

    first = mean()
    values.sub_(first[:, None])
    rest = mean()  # what rounding left in the mean
    return size, first + rest, values.sub_(rest[:, None])


def _size(x: Tensor, valid: Tensor) -> Float[Tensor, " b"]:
    return _power_of_two(masked_mean(x.detach().abs(), valid))


def _power_of_two(x: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Round down, so that dividing by it loses no bit; 1 for 0."""
    return torch.where(x > 0, torch.exp2(_or_one(x).log2().floor()), 1)
