"""Statistics over the valid pixels of each row: the only masked reductions of the project."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "at_least_float32",
    "count_valid",
    "full_median",
    "masked_average",
    "masked_mad",
    "masked_mean",
    "masked_median",
    "masked_quantile",
    "masked_sum",
    "masked_weighted_median",
]


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Raise half precision to float32; float32 and float64 stay as they are.

    Sums of squares over an image overflow float16, and bfloat16 holds a median to two digits only.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def count_valid(valid: Bool[Tensor, "b *shape"]) -> Int[Tensor, " b"]:
    """Count the valid pixels of each row."""
    # Adding in int32 is vectorised on a CPU, which is five times faster than adding in int64.
    return valid.flatten(1).sum(1, dtype=torch.int32).long()


def masked_sum(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Sum the valid pixels of each row.

    Convention: all functions of this module never read pixels outside `valid`, neither for the value nor
    for the gradient, whatever lies there (NaN, inf); a row without valid pixels gives 0 with zero gradient.
    """
    return _fill(x, valid, 0.0).sum(1)


def masked_mean(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Average the valid pixels of each row.

    Example:
        >>> x, valid = torch.tensor([[1.0, 3.0, float("nan")]]), torch.tensor([[True, True, False]])
        >>> masked_mean(x, valid)
        tensor([2.])
    """
    return masked_sum(x, valid) / count_valid(valid).clamp_min(1)


def masked_average(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], weight: Float[Tensor, "b *shape"] | None
) -> Float[Tensor, " b"]:
    """Average the valid pixels of each row with weights that are not negative; `masked_mean` without.

    Convention: the weights are read inside `valid` alone and divided by their sum over the row, so a factor
    on all of them changes nothing. 0 where no weight is positive.

    Example:
        >>> x, valid = torch.tensor([[1.0, 3.0, float("nan")]]), torch.tensor([[True, True, False]])
        >>> masked_average(x, valid, torch.tensor([[3.0, 1.0, 9.0]]))
        tensor([1.5000])
    """
    if weight is None:
        return masked_mean(x, valid)
    x, weight = at_least_float32(x), at_least_float32(weight)
    total = masked_sum(weight, valid)
    product = torch.where(valid, x, 0) * torch.where(valid, weight, 0)  # each read inside `valid` alone
    return masked_sum(product, valid) / torch.where(total > 0, total, 1)


def masked_median(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Take the median of the valid pixels of each row; the mean of the two middle ones for even counts.

    Convention: the gradient is shared evenly by all pixels that equal a middle value, so it does not
    depend on how a device orders ties.
    """
    x = at_least_float32(x)
    with torch.no_grad():
        lower, upper = middle_values(_fill(x, valid, torch.nan), count_valid(valid))
    return _Middle.apply(x, valid, lower, upper)  # type: ignore[no-any-return, no-untyped-call]


def full_median(x: Float[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Take the median of all pixels of each row as `masked_median` does; no gradient flows through it."""
    values = at_least_float32(x.detach()).flatten(1)
    count = torch.full((values.shape[0],), values.shape[1], device=values.device)
    return torch.stack(middle_values(values, count)).mean(0)


def masked_weighted_median(
    x: Float[Tensor, "b *shape"], weight: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]
) -> Float[Tensor, " b"]:
    """Take the value of each row's valid pixels that has half of the weight on either side.

    Args:
        x: values.
        weight: of each pixel, not negative; read inside `valid` alone, like `x`.
        valid: pixels that take part.

    Convention: where a range of values halves the weight, its middle; so equal weights give `masked_median`.
    The gradient goes to `x` alone, shared as there. 0 where no weight is positive.
    """
    x = at_least_float32(x)
    with torch.no_grad():
        w = _fill(weight, valid, 0.0).to(x.dtype)
        ordered, order = torch.where(w > 0, _fill(x, valid, 0.0), torch.inf).sort(1)
        below = w.gather(1, order).cumsum(1)
        half, last = below[:, -1:] / 2, below.shape[1] - 1
        places = torch.cat([(below < half).sum(1, keepdim=True), (below <= half).sum(1, keepdim=True)], 1)
        lower, upper = torch.where(half > 0, ordered.gather(1, places.clamp_max(last)), 0).unbind(1)
    return _Middle.apply(x, valid, lower, upper)  # type: ignore[no-any-return, no-untyped-call]


def masked_mad(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], centre: Float[Tensor, " b"] | None = None
) -> Float[Tensor, " b"]:
    """Average the absolute deviation of each row's valid pixels from `centre`, else from their median."""
    centre = masked_median(x, valid) if centre is None else centre
    away = at_least_float32(x).flatten(1) - centre[:, None]
    # Filled before the absolute value, whose derivative at NaN is not the same on every device.
    return torch.where(valid.flatten(1), away, 0).abs().sum(1) / count_valid(valid).clamp_min(1)


def masked_quantile(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], q: float
) -> Float[Tensor, " b"]:
    """Interpolate the `q` quantile of the valid pixels of each row linearly, as `numpy.quantile` does.

    Raises:
        ValueError: `q` lies outside [0, 1].
    """
    if not 0 <= q <= 1:
        raise ValueError(f"`q` must be in [0, 1], got {q}")
    count = count_valid(valid)
    ordered = _fill(x, valid, torch.inf).sort(1).values
    place = q * (count - 1).clamp_min(0).to(ordered.dtype)
    below = ordered.gather(1, place.floor().long()[:, None])[:, 0]
    above = ordered.gather(1, place.ceil().long()[:, None])[:, 0]
    # lerp would compute inf - inf on an empty row, and its gradient would be NaN.
    below, above = (torch.where(count > 0, value, 0) for value in (below, above))
    return below + (above - below) * place.frac()


def _fill(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], value: float
) -> Float[Tensor, "b n"]:
    return torch.where(valid, at_least_float32(x), value).flatten(1)


class _Middle(torch.autograd.Function):
    """Average two values found among the pixels, and let the gradient flow to the pixels that equal them.

    The input alone is kept for the backward pass; autograd would keep four maps.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, valid: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        ctx.save_for_backward(x, valid, lower, upper)
        return (lower + upper) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        x, valid, lower, upper = ctx.saved_tensors
        values = _fill(x, valid, torch.nan)
        gradients = add_to_middle(torch.zeros_like(values), gradient, values, lower, upper)
        return gradients.view_as(x), None, None, None


def middle_values(
    values: Float[Tensor, "b n"], count: Int[Tensor, " b"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return the two middle values of each row, equal for odd counts; 0 where all are NaN.

    Args:
        values: NaN is left out.
        count: how many values of a row are not NaN.
    """
    # On a GPU nanmedian runs one block per row and is refused in deterministic mode; on a CPU it is six
    # times faster than sorting.
    lower, upper = (_middle_by_sorting if values.is_cuda else _middle_by_selection)(values, count)
    some = count > 0
    return torch.where(some, lower, 0), torch.where(some, upper, 0)


def add_to_middle(
    base: Float[Tensor, "b n"],
    gradient: Float[Tensor, " b"],
    values: Float[Tensor, "b n"],
    lower: Float[Tensor, " b"],
    upper: Float[Tensor, " b"],
) -> Float[Tensor, "b n"]:
    """Add the gradient of a row's median to `base` in place: half to all that equal `lower`, half `upper`."""
    half = gradient / 2
    for middle in (lower, upper):
        ties = values == middle[:, None]
        share = half / ties.sum(1, dtype=torch.int32).clamp_min_(1)
        base.addcmul_(ties, share[:, None])
    return base


def _middle_by_sorting(values: Float[Tensor, "b n"], count: Int[Tensor, " b"]) -> tuple[Tensor, ...]:
    places = torch.stack([(count - 1).clamp_min(0) // 2, count // 2], 1)
    ordered = values.sort(1).values  # NaN comes last
    return ordered.gather(1, places).unbind(1)


def _middle_by_selection(values: Float[Tensor, "b n"], count: Int[Tensor, " b"]) -> tuple[Tensor, ...]:
    lower = values.nanmedian(1).values  # the lower one of two middle values
    above = values > lower[:, None]
    following = torch.where(above, values, torch.inf).amin(1)
    # The upper one is another value only if half of all lie above the lower one.
    return lower, torch.where(2 * above.sum(1, dtype=torch.int32) == count, following, lower)
