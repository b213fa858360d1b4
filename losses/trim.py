"""Leave the largest values of each row out, by rank, without sorting."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.masked import count_valid

__all__ = ["keep_smallest"]


def keep_smallest(
    values: Float[Tensor, "b *shape"], valid: Bool[Tensor, "b *shape"], trim: float
) -> Float[Tensor, "b *shape"]:
    """Weigh the valid values of each row: 1 for those that are kept, 0 for the floor(trim N) largest.

    Args:
        values: finite where valid; read nowhere else.
        valid: the values that take part; N is their number in the row.
        trim: part of the valid values that is left out, in [0, 1).

    Convention: weights of a row sum to N - floor(trim N). Values equal to the largest kept one share what is
    left of that sum evenly, so the result does not depend on the order of ties. 0 outside `valid`; no
    gradient flows through the choice.

    Example:
        >>> keep_smallest(torch.tensor([[3.0, 9.0, 1.0, 3.0]]), torch.ones(1, 4, dtype=torch.bool), 0.5)
        tensor([[0.5000, 0.0000, 1.0000, 0.5000]])
    """
    with torch.no_grad():
        mask = valid.flatten(1)
        count = count_valid(mask)
        kept = count - (trim * count.double()).floor().long()
        find = _last_by_sorting if values.is_cuda else _last_by_selection
        flat = values.detach().flatten(1)
        last = find(flat, mask, kept, trim)[:, None]
        below, level = mask & (flat < last), mask & (flat == last)
        share = (kept - count_valid(below)) / count_valid(level).clamp_min(1)
        return torch.where(below, 1, share[:, None].to(flat.dtype) * level).view_as(values)


def _last_by_sorting(
    values: Float[Tensor, "b n"], valid: Bool[Tensor, "b n"], kept: Int[Tensor, " b"], trim: float
) -> Float[Tensor, " b"]:
    ordered = torch.where(valid, values, torch.inf).sort(1).values
    return ordered.gather(1, (kept - 1).clamp_min(0)[:, None])[:, 0]


def _last_by_selection(
    values: Float[Tensor, "b n"], valid: Bool[Tensor, "b n"], kept: Int[Tensor, " b"], trim: float
) -> Float[Tensor, " b"]:
    # kthvalue takes one rank for all rows and is six times faster than a sort on a CPU. So invalid pixels
    # are put below or above all others such that the last kept value has the same rank in every row.
    rank = values.shape[1] - math.floor(trim * values.shape[1])
    hole = (~valid).cumsum(1, dtype=torch.int32)
    filler = torch.where(hole <= (rank - kept)[:, None], -torch.inf, torch.inf).to(values.dtype)
    return torch.where(valid, values, filler).kthvalue(rank, 1).values
