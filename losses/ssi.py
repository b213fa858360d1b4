"""Scale-and-shift-invariant loss: compare the shape of two inverse depth maps, not their numbers."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment import has_contrast, normalised_difference
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.log_error import checked_tolerance
from depthmix.losses.sigma import inverse_depth_noise, shape_weight
from depthmix.losses.trim import keep_smallest_blocks
from depthmix.masked import at_least_float32, count_valid, masked_sum
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["ScaleShiftInvariantLoss", "ssi_trimmed"]


def ssi_trimmed(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    trim: float = 0.2,
    block: int = 1,
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Sum the smallest residuals of the two normalised maps over twice the number of valid pixels, per row.

    Both maps are shifted by their median and divided by their mean absolute deviation over valid pixels.
    The deviation is positive, so a depth-inverted map cannot be flipped into agreement.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift.
        valid: where `target` may be read.
        trim: part of the residuals, the largest of each row, that is left out; 0 gives the untrimmed
            mean absolute error.
        block: side in pixels of the blocks that are left out as a whole; 1 leaves single pixels out.
        weight: how much each residual counts, not negative, instead of 1; see `shape_weight`. The sum is then
            over twice the sum of the weights, and what is left out are the largest weighted residuals: what
            the noise of the label explains does not use up the trimming. Not counted in the normalisation.

    Convention: 0 on a row whose label is constant: it has no scale to normalise by, and a tiny fixed floor
    (1e-8 in several public codes) would compare noise. The floor is relative (`CONTRAST_FLOOR`), so it
    means the same in any unit; a prediction flatter than it is still pulled towards the label's shape.

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), L_ssitrim, equations 5 and 7. The authors' gist takes
    the median over zero-filled invalid pixels and trims over the whole batch; here both are per image. With
    `trim=0` it is half of the affine-invariant loss on pseudo labels of Yang et al., Depth Anything (arXiv
    2401.10891), and blocks leave out what their second version (2406.09414) does; see
    `keep_smallest_blocks`.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    difference, contrast = normalised_difference(prediction, target, valid)
    residual = difference.abs()
    if weight is None:
        count: Tensor = count_valid(valid).clamp_min(1)
    else:
        residual = residual * torch.where(valid, at_least_float32(weight), 0)
        count = masked_sum(at_least_float32(weight), valid)
        contrast = contrast & (count > 0)
        count = torch.where(count > 0, count, 1)
    total = (residual * keep_smallest_blocks(residual, valid, trim, block)).flatten(1).sum(1)
    return torch.where(contrast, total / (2 * count), 0)


class ScaleShiftInvariantLoss(DepthLoss):
    """Compare predicted and labelled inverse depth up to scale and shift; see `ssi_trimmed`.

    For the labels of a teacher, `trim=0.1, block=8` or so: what it got wrong is wrong by regions.

    Args:
        trim: part of the residuals that is left out.
        block: side in pixels of the blocks that are left out.
        tolerance: noise of the label's inverse depth, in spreads of it, at which a pixel counts half; see
            `shape_weight`. None counts all pixels alike.

    Raises:
        ValueError: `trim` lies outside [0, 1), `block` is smaller than 1, or `tolerance` is not positive.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, trim: float = 0.2, block: int = 1, tolerance: float | None = None) -> None:
        super().__init__()
        if not 0 <= trim < 1:
            raise ValueError(f"`trim` must be in [0, 1), got {trim}")
        if block < 1:
            raise ValueError(f"`block` must be at least 1, got {block}")
        self.trim, self.block, self.tolerance = trim, block, checked_tolerance(tolerance)

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `ssi_trimmed` of the inverse depths."""
        label, usable = batch.inverse_depth, self.usable(batch)
        weight = None
        if self.tolerance is not None:
            weight = shape_weight(inverse_depth_noise(batch), label, usable, self.tolerance)
        return ssi_trimmed(prediction.inverse_depth, label, usable, self.trim, self.block, weight)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a label that is not constant."""
        return has_contrast(batch.inverse_depth, self.usable(batch))
