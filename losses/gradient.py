"""Multi-scale gradient matching: put the steps of inverse depth where the label has them."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment import has_contrast, normalise
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need
from depthmix.masked import count_valid, masked_sum
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["GradientMatchingLoss", "gradient_matching"]


def gradient_matching(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    scales: int = 4,
) -> Float[Tensor, " b"]:
    """Average the differences between neighbouring residuals, summed over scales of stride 1, 2, 4, ...

    The residual is that of `ssi_trimmed`: both maps normalised by median and mean absolute deviation.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift.
        valid: where `target` may be read.
        scales: number of strides, each twice the one before.

    Convention: a difference counts where both of its pixels are valid, and each scale is divided by the
    number of such pairs, so holes do not thin the loss out. 0 where no pair is valid or the label is
    constant.

    Reference: Li and Snavely, MegaDepth (arXiv 1804.00607), equation 8, in the form of MiDaS, equation 11;
    the paper divides by valid pixels, we by valid pairs.
    """
    residual = normalise(prediction, valid) - normalise(target, valid)
    terms = [_one_scale(residual, valid, 2**k) for k in range(scales)]
    return torch.where(has_contrast(target, valid), torch.stack(terms).sum(0), 0)


class GradientMatchingLoss(DepthLoss):
    """Match the gradients of inverse depth at several scales; see `gradient_matching`.

    It compares neighbours, so it asks for dense labels; a row without two valid neighbours gets 0.

    Raises:
        ValueError: `scales` is smaller than 1.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}
    needs: ClassVar[frozenset[Need]] = frozenset({"dense"})

    def __init__(self, scales: int = 4) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"`scales` must be at least 1, got {scales}")
        self.scales = scales

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `gradient_matching` of the inverse depths."""
        return gradient_matching(
            prediction.inverse_depth, batch.inverse_depth, self.usable(batch), self.scales
        )

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a label that is not constant and a pair of valid pixels at some scale."""
        usable = self.usable(batch)
        strided = [usable[..., :: 2**k, :: 2**k] for k in range(self.scales)]
        pairs = [count_valid(mask) for every in strided for mask in _pairs(every)]
        return has_contrast(batch.inverse_depth, usable) & (torch.stack(pairs).sum(0) > 0)


def _one_scale(
    residual: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], stride: int
) -> Float[Tensor, " b"]:
    r, mask = residual[..., ::stride, ::stride], valid[..., ::stride, ::stride]
    beside, below = _pairs(mask)
    total = masked_sum((r[..., 1:] - r[..., :-1]).abs(), beside)
    total = total + masked_sum((r[..., 1:, :] - r[..., :-1, :]).abs(), below)
    return total / (count_valid(beside) + count_valid(below)).clamp_min(1)


def _pairs(valid: Bool[Tensor, "b 1 h w"]) -> tuple[Bool[Tensor, "b 1 h w2"], Bool[Tensor, "b 1 h2 w"]]:
    return valid[..., 1:] & valid[..., :-1], valid[..., 1:, :] & valid[..., :-1, :]
