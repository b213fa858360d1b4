"""Leave the largest values of each row out, pixel by pixel or block by block, by rank, without sorting."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from depthmix.masked import count_valid

__all__ = ["keep_smallest", "keep_smallest_blocks"]


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


def keep_smallest_blocks(
    values: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], trim: float, side: int
) -> Float[Tensor, "b 1 h w"]:
    """Weigh the valid values of each row by their block: those of the floor(trim K) worst blocks get 0.

    A wrong label is seldom wrong at one pixel: a teacher misses a whole window pane. So what is left out are
    regions, judged by their mean.

    Args:
        values: finite where valid; read nowhere else.
        valid: the values that take part; K is the number of blocks with at least one of them.
        trim: part of these blocks that is left out, in [0, 1).
        side: rows and columns of a block. Blocks start at the first pixel; the last ones may be smaller.

    Convention: blocks of equal mean share what is left as in `keep_smallest`, which `side=1` gives. 0 outside
    `valid`; no gradient flows through the choice.

    Reference: Yang et al., Depth Anything V2 (arXiv 2406.09414), section 4: the tenth of the regions of a
    pseudo-labelled image with the largest loss is ignored. What a region is, it does not say.

    Example:
        >>> values = torch.tensor([[[[9.0, 1.0, 2.0, 4.0]]]])
        >>> keep_smallest_blocks(values, torch.ones_like(values, dtype=torch.bool), 0.5, 2)
        tensor([[[[0., 0., 1., 1.]]]])
    """
    if side == 1:
        return keep_smallest(values, valid, trim)
    with torch.no_grad():
        total = _block_sums(torch.where(valid, values.detach(), 0), side)
        count = _block_sums(valid.to(total.dtype), side)
        weight = keep_smallest(total / count.clamp_min(1), count > 0, trim)
        height, width = values.shape[2:]
        spread = weight.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
        return spread * valid


def _block_sums(x: Float[Tensor, "b 1 h w"], side: int) -> Float[Tensor, "b 1 hh ww"]:
    rows, height, width = len(x), *x.shape[2:]
    padded = pad(x, (0, -width % side, 0, -height % side))
    return padded.view(rows, 1, -(-height // side), side, -(-width // side), side).sum((3, 5))


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
