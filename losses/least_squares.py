"""Scale-and-shift-invariant losses after a least squares fit, with the gradient of the fit in closed form."""

from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.alignment import CONTRAST_FLOOR
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["LeastSquaresLoss", "ssi_least_squares"]

Residual = Literal["l1", "mse"]


def ssi_least_squares(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    residual: Residual = "l1",
) -> Float[Tensor, " b"]:
    """Fit the prediction to the label by least squares and sum the residuals over 2 N, per row.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift; a constant, no gradient flows into it.
        valid: where `target` may be read.
        residual: "l1" adds magnitudes, "mse" squares.

    Convention: residuals are counted in standard deviations of the label (squares in variances), because the
    unit of a relative label means nothing. With the correlation r of the two maps "mse" is (1 - r^2) / 2.
    The fitted scale counts by its magnitude. So an inverted map stays inverted and pays (1 + 3 r^2) / 2, and
    its gradient turns it round; with the scale limited to 0 it would pay 1/2 and have no gradient. Sums are
    centred, so low contrast on a large offset costs no digits, and the gradient runs through the fit. A
    prediction flatter than `CONTRAST_FLOOR` of its mean is fitted as if it were at that floor, and one that
    is exactly constant has no gradient: no direction is better than its opposite. 0 on a row whose label is
    constant.

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), equations 3 and 4, per image. The authors' gist solves
    uncentred normal equations, takes any sign of the scale, and leaves the residuals in the label's unit.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    prediction = at_least_float32(prediction)
    target = target.to(prediction.dtype)
    return _FittedResidual.apply(prediction, target, valid, residual == "mse")  # type: ignore[no-any-return, no-untyped-call]


class LeastSquaresLoss(DepthLoss):
    """Compare predicted and labelled inverse depth after a least squares fit; see `ssi_least_squares`.

    Raises:
        ValueError: `residual` is neither "l1" nor "mse".
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, residual: Residual = "l1") -> None:
        super().__init__()
        if residual not in get_args(Residual):
            raise ValueError(f'`residual` must be "l1" or "mse", got {residual!r}')
        self.residual: Residual = residual

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `ssi_least_squares` of the inverse depths."""
        return ssi_least_squares(
            prediction.inverse_depth, batch.inverse_depth, self.usable(batch), self.residual
        )

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a label that is not constant."""
        usable = self.usable(batch)
        weight = usable.flatten(1).to(batch.target.dtype)
        _, _, variance, floor = _centred(at_least_float32(batch.inverse_depth), usable, weight)
        return (variance > floor)[:, 0]


class _FittedResidual(torch.autograd.Function):
    """Fit and compare in a handful of passes; autograd's own chain needs three times as many.

    In units in which the largest values are 1, with p and g centred, v = mean(p p) and c = mean(p g):
    s = |c| / v, e = s p - g, and the value is sum(f(e)) / (2 N u), f(e) = |e| or e^2 and u the label's
    standard deviation or variance. With f' = f'(e) and q = sum(f' p), its derivative by p is
    (s (f' - mean(f')) + q ds) / (2 N u), where ds = (sign(c) g - 2 s p) / (N v).
    """

    @staticmethod
    def forward(
        ctx: Any,
        prediction: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
        squared: bool,
    ) -> Float[Tensor, " b"]:
        weight = valid.flatten(1).to(prediction.dtype)
        count = weight.sum(1, keepdim=True).clamp_min(1)
        size, p, variance, floor = _centred(prediction, valid, weight)
        _, g, label_variance, label_floor = _centred(target, valid, weight)
        steep, varies = variance > floor, label_variance > label_floor
        divisor = torch.where(varies, label_variance if squared else label_variance.sqrt(), 1)
        share = torch.where(varies, 1 / (2 * count * divisor), 0)
        covariance = (p * g).sum(1, keepdim=True) / count
        variance = torch.maximum(variance, floor)
        variance = torch.where(variance > 0, variance, 1)
        scale = covariance.abs() / variance
        missing = g.addcmul_(p, -scale)  # -e
        by_label = covariance.sign() / (count * variance)
        by_itself = torch.where(steep, -2 * scale / (count * variance), 0)
        rows = torch.stack([scale, by_label, by_itself, share, share / size, count])
        ctx.save_for_backward(missing, p, weight, rows)
        ctx.squared, ctx.shape = squared, prediction.shape
        magnitudes = missing * missing if squared else missing.abs()
        return (share * magnitudes.sum(1, keepdim=True))[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " b"]) -> tuple[Tensor, None, None, None]:
        missing, p, weight, rows = ctx.saved_tensors
        scale, by_label, by_itself, _, factor, count = rows.unbind()
        factor = factor * gradient[:, None]
        slope = 2 * missing if ctx.squared else missing.sign()  # -f'
        pull = -(slope * p).sum(1, keepdim=True)
        centre = slope.sum(1, keepdim=True) / count
        out = slope.mul_(-factor * scale)
        out = out.addcmul_(weight, factor * scale * centre)
        out = out.addcmul_(missing, factor * pull * by_label)  # the label is missing + scale p
        out = out.addcmul_(p, factor * pull * (by_label * scale + by_itself))
        return out.view(ctx.shape), None, None, None


def _centred(
    x: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], weight: Float[Tensor, "b n"]
) -> tuple[Float[Tensor, "b 1"], Float[Tensor, "b n"], Float[Tensor, "b 1"], Float[Tensor, "b 1"]]:
    """Return size, centred values in units of it, their variance, and the variance of a flat row."""
    values = torch.where(valid, x, 0).flatten(1)
    size = torch.maximum(values.amax(1, keepdim=True), -values.amin(1, keepdim=True))
    size = torch.where(size > 0, size, 1)  # squares of anything float32 holds stay in range
    values = values.div_(size)
    count = weight.sum(1, keepdim=True).clamp_min(1)
    mean = values.sum(1, keepdim=True) / count
    values = values.addcmul_(weight, -mean)
    variance = (values * values).sum(1, keepdim=True) / count
    return size, values, variance, (CONTRAST_FLOOR * mean).square()
