"""Fit a prediction to a label by what a protocol leaves open, before it is measured.

Convention: no fit ever turns a prediction over. Where the best scale is negative, or the prediction is flat,
the fit with a shift gives scale 0: the prediction is judged as the constant that fits best, and `align` says
so row by row. Depth is positive after every alignment; see `align`.
"""

from typing import Final, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment import align_median, align_scale, align_scale_shift, align_scale_shift_l1
from depthmix.masked import masked_mad
from depthmix.metrics.shapes import Map, Mask, Rows, column, mean_or_nan

__all__ = ["ALIGNMENTS", "Alignment", "Cap", "align", "align_inverse_depth", "residual", "ssi"]

Alignment = Literal["none", "median", "scale", "affine_depth", "affine_inverse_depth", "robust_inverse_depth"]
ALIGNMENTS: Final[tuple[Alignment, ...]] = get_args(Alignment)
Cap = tuple[float, float]

# The robust fit counts errors up to this part of the label's mean absolute deviation.
TRUNCATED: Final = 0.5
STEPS: Final = 20


def align(
    depth: Map, target: Map, valid: Mask, alignment: Alignment, cap: Cap | None = None
) -> tuple[Map, Bool[Tensor, " b"]]:
    """Return predicted depth after the alignment, and the rows that it made constant.

    "none" reads it as it is. "median": times median(target) / median(prediction). "scale": times the factor
    of least squared errors of depth. "affine_depth": scale and shift of least squared errors of depth.
    "affine_inverse_depth": the same in inverse depth. "robust_inverse_depth": scale and shift in inverse
    depth of least absolute errors, each counted up to half of the label's own mean absolute deviation at
    most: wrong pixels pull less, unless their prediction lies far outside the range of the others.

    Args:
        depth: positive predicted depth, in metres for "none", up to one factor a row for the others.
        target: labelled depth.
        valid: where both may be read.
        alignment: which of them.
        cap: smallest and largest depth; the result is clamped into it. The label is not touched: leave labels
            outside out of `valid`.

    Convention: a shift can send depth to zero and below, or inverse depth to zero and depth to infinity.
    Without a cap, the row's own labels bound it there: "affine_depth" is kept at or above the nearest valid
    label, the two in inverse depth at or below the farthest (the cap of the MiDaS protocol, taken per image).
    A row without valid pixels stays as it is.

    Raises:
        ValueError: there is no such alignment.
    """
    if alignment not in ALIGNMENTS:
        raise ValueError(f"`alignment` must be one of {', '.join(ALIGNMENTS)}, got {alignment!r}")
    if len(valid) > 1 and not valid.is_cuda:
        # The maps of one image stay in the processor's cache: half the time of all images at once.
        aligned, made = torch.empty_like(depth, dtype=torch.float64), []
        for row in range(len(valid)):
            one = slice(row, row + 1)
            aligned[one], flat = align(depth[one], target[one], valid[one], alignment, cap)
            made.append(flat)
        return aligned, torch.cat(made)
    p, g = depth.double(), target.double()
    constant = torch.zeros(len(valid), dtype=torch.bool, device=valid.device)
    if alignment in ("affine_inverse_depth", "robust_inverse_depth"):
        robust = alignment == "robust_inverse_depth"
        aligned, scale = _in_inverse_depth(1 / p, g, valid, robust, cap)
        constant = scale <= 0
    elif alignment == "affine_depth":
        scale, shift = align_scale_shift(p, g, valid)
        aligned, constant = column(scale) * p + column(shift), scale <= 0
        if cap is None:
            aligned = torch.maximum(aligned, _smallest(torch.where(valid, g, torch.inf)))
    elif alignment == "none":
        aligned = p
    else:
        aligned = column((align_median if alignment == "median" else align_scale)(p, g, valid)) * p
    return (aligned if cap is None else aligned.clamp(*cap)), constant


def align_inverse_depth(inverse_depth: Map, target: Map, valid: Mask) -> Map:
    """Turn predicted inverse depth into depth after fitting scale and shift to the labelled inverse depth.

    Convention: the fit never flips the sign. Aligned inverse depth is kept at or above that of the farthest
    valid label of the row (the depth cap of the MiDaS protocol, taken per image), so depth is positive.
    """
    return _in_inverse_depth(inverse_depth.double(), target.double(), valid, False, None)[0]


def ssi(inverse_depth: Map, target: Map, valid: Mask, robust: bool = False) -> Rows:
    """Average the error of aligned inverse depth in units of the label's own mean absolute deviation.

    A constant prediction reaches 1 or a little more: least squares fits the mean, the yardstick is taken
    about the median. It is the one figure here that a label of unknown scale and shift can bear. NaN where
    the label is constant.

    Args:
        inverse_depth: prediction, up to scale and shift.
        target: labelled inverse depth, up to scale and shift.
        valid: where both may be read.
        robust: fit as "robust_inverse_depth" does, not by least squares.
    """
    return residual(inverse_depth, target, valid, robust)[0]


def residual(
    inverse_depth: Map, target: Map, valid: Mask, robust: bool = False
) -> tuple[Rows, Bool[Tensor, " b"]]:
    """Return `ssi`, and the rows that the fit made constant."""
    p, g = inverse_depth.double(), target.double()
    spread = masked_mad(g, valid)
    scale, shift = _fit(p, g, valid, robust, spread)
    error = (column(scale) * p + column(shift) - g).abs()
    return mean_or_nan(error, valid) / torch.where(spread > 0, spread, torch.nan), scale <= 0


def _in_inverse_depth(
    inverse: Map, target: Map, valid: Mask, robust: bool, cap: Cap | None
) -> tuple[Map, Rows]:
    labelled = (1 / target).masked_fill_(~valid, torch.inf)
    scale, shift = _fit(inverse, labelled, valid, robust)
    lowest = _smallest(labelled) if cap is None else torch.full_like(labelled[:, :, :1, :1], 1 / cap[1])
    aligned = (inverse * column(scale)).add_(column(shift))  # in place: a new map costs five times more
    return torch.maximum(aligned, lowest, out=aligned).reciprocal_(), scale


def _smallest(labelled: Map) -> Float[Tensor, "b 1 1 1"]:
    """Return the smallest value of each row that is not infinite; 0 where there is none."""
    least = labelled.amin((1, 2, 3), keepdim=True)
    return torch.where(least.isinf(), 0, least)


def _fit(p: Map, g: Map, valid: Mask, robust: bool, spread: Rows | None = None) -> tuple[Rows, Rows]:
    if not robust:
        return align_scale_shift(p, g, valid)
    spread = masked_mad(g, valid) if spread is None else spread
    limit = TRUNCATED * torch.where(spread > 0, spread, 1)
    return align_scale_shift_l1(p, g, valid, limit=limit, steps=STEPS, detach=True)
