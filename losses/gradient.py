"""Multi-scale gradient matching: put the steps of inverse depth where the label has them."""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.alignment import has_contrast, normalised_difference
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.masked import count_valid
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

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: Li and Snavely, MegaDepth (arXiv 1804.00607), equation 8, in the form of MiDaS, equation 11;
    the paper divides by valid pixels, we by valid pairs.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    residual, contrast = normalised_difference(prediction, target, valid)
    value = _Steps.apply(residual, valid, scales)  # type: ignore[no-untyped-call]
    return torch.where(contrast, value, 0)


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


class _Steps(torch.autograd.Function):
    """Average the steps between valid neighbours over all scales; autograd would keep thrice the maps."""

    @staticmethod
    def forward(
        ctx: Any, residual: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], scales: int
    ) -> Float[Tensor, " b"]:
        weight = valid.to(residual.dtype)  # a product of weights is cheaper than a choice by a mask
        steps, counts = [], []
        for k in range(scales):
            r, w = residual[..., :: 2**k, :: 2**k], weight[..., :: 2**k, :: 2**k]
            beside, below = w[..., 1:] * w[..., :-1], w[..., 1:, :] * w[..., :-1, :]
            steps += [(r[..., 1:] - r[..., :-1]).mul_(beside), (r[..., 1:, :] - r[..., :-1, :]).mul_(below)]
            counts += [beside.sum((1, 2, 3)), below.sum((1, 2, 3))]
        # Both directions of a scale share one mean: [scales 2 b], and a row's factor for each scale.
        count, total = torch.stack(counts), torch.stack([step.abs().sum((1, 2, 3)) for step in steps])
        share = count.view(scales, 2, -1).sum(1).clamp_min_(1).reciprocal_()
        ctx.save_for_backward(*steps, share)
        ctx.shape = residual.shape
        return (total.view(scales, 2, -1) * share[:, None]).sum((0, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " b"]) -> tuple[Tensor, None, None]:
        *steps, share = ctx.saved_tensors
        out = gradient.new_zeros(ctx.shape)
        for k, pull in enumerate((gradient * share)[..., None, None, None].unbind()):
            grid = out[..., :: 2**k, :: 2**k]
            beside, below = (step.sign().mul_(pull) for step in steps[2 * k : 2 * k + 2])
            grid[..., 1:].add_(beside)
            grid[..., :-1].sub_(beside)
            grid[..., 1:, :].add_(below)
            grid[..., :-1, :].sub_(below)
        return out, None, None


def _pairs(valid: Bool[Tensor, "b 1 h w"]) -> tuple[Bool[Tensor, "b 1 h w2"], Bool[Tensor, "b 1 h2 w"]]:
    return valid[..., 1:] & valid[..., :-1], valid[..., 1:, :] & valid[..., :-1, :]
