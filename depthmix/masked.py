"""Statistics over the valid pixels of each row: the only masked reductions of the project."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "at_least_float32",
    "count_valid",
    "masked_mad",
    "masked_mean",
    "masked_median",
    "masked_quantile",
    "masked_sum",
]


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Raise half precision to float32; float32 and float64 stay as they are.

    Sums of squares over an image overflow float16, and bfloat16 holds a median to two digits only.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def count_valid(valid: Bool[Tensor, "b *shape"]) -> Int[Tensor, " b"]:
    """Count the valid pixels of each row."""
    return valid.flatten(1).sum(1)


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


def masked_median(x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Take the median of the valid pixels of each row; the mean of the two middle ones for even counts.

    Convention: the gradient is shared evenly by all pixels that equal a middle value, so it does not
    depend on how a device orders ties.
    """
    values = _fill(x, valid, torch.nan)
    with torch.no_grad():
        lower, upper = _middle_values(values, count_valid(valid))
    return (_follow(values, lower) + _follow(values, upper)) / 2


def masked_mad(
    x: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], centre: Float[Tensor, " b"] | None = None
) -> Float[Tensor, " b"]:
    """Average the absolute deviation of each row's valid pixels from `centre`, else from their median."""
    centre = masked_median(x, valid) if centre is None else centre
    return masked_mean((_fill(x, valid, 0.0) - centre[:, None]).abs(), valid.flatten(1))


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


def _middle_values(
    values: Float[Tensor, "b n"], count: Int[Tensor, " b"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return the two middle values of each row, leaving NaN out; 0 where all are NaN."""
    # On a GPU nanmedian runs one block per row and is refused in deterministic mode; on a CPU it is nine
    # times faster than sorting.
    lower, upper = (_middle_by_sorting if values.is_cuda else _middle_by_selection)(values, count)
    return torch.where(count > 0, lower, 0), torch.where(count > 0, upper, 0)


def _middle_by_sorting(values: Float[Tensor, "b n"], count: Int[Tensor, " b"]) -> tuple[Tensor, ...]:
    places = torch.stack([(count - 1).clamp_min(0) // 2, count // 2], 1)
    ordered = values.sort(1).values  # NaN comes last
    return ordered.gather(1, places).unbind(1)


def _middle_by_selection(values: Float[Tensor, "b n"], count: Int[Tensor, " b"]) -> tuple[Tensor, ...]:
    # nanmedian gives the lower of two middle values; that of the negated values is the upper one.
    return values.nanmedian(1).values, -(-values).nanmedian(1).values


def _follow(values: Float[Tensor, "b n"], level: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Return `level`, with the gradient of the mean of the pixels that equal it."""
    return level + masked_mean(values - level[:, None], values == level[:, None])
