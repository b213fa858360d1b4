"""Errors of the first and second image derivatives of inverse depth, over a pyramid (MAGE and MALE)."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment import has_contrast, normalised_difference
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.stencil import Filter, has_stencil, mean_derivative
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["GradientErrorLoss", "LaplacianErrorLoss", "gradient_error", "laplacian_error"]


def gradient_error(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    scales: int = 6,
) -> Float[Tensor, " b"]:
    """Average the absolute error of Scharr gradients over the levels of a pyramid (MAGE), per row.

    Args:
        prediction: values in the unit of `target`.
        target: labels.
        valid: where `target` may be read.
        scales: levels of the pyramid, each half the size of the one before.

    Convention: levels, holes and borders as in `mean_derivative`; both maps are averaged over the same
    pixels, so equal maps score 0 whatever the holes.

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: Bochkovskii et al., Depth Pro (arXiv 2410.02073), multi-scale derivative loss, p = 1, Scharr
    filter, six scales. The paper leaves open how levels are blurred, filters normed and holes treated.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    return mean_derivative(_error(prediction, target, valid), valid, scales, "scharr")


def laplacian_error(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    scales: int = 6,
) -> Float[Tensor, " b"]:
    """Average the absolute error of Laplacians over the levels of a pyramid (MALE), per row.

    Args:
        prediction: values in the unit of `target`.
        target: labels.
        valid: where `target` may be read.
        scales: levels of the pyramid, each half the size of the one before.

    Convention: levels, holes and borders as in `mean_derivative`.

    Raises:
        ValueError: shapes, types or devices do not fit each other.

    Reference: as for `gradient_error`, with the Laplace filter.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    return mean_derivative(_error(prediction, target, valid), valid, scales, "laplace")


class _DerivativeLoss(DepthLoss):
    """Compare canonical inverse depth where the label is metric, normalised inverse depth elsewhere."""

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}
    needs: ClassVar[frozenset[Need]] = frozenset({"dense"})
    kind: ClassVar[Filter]

    def __init__(self, scales: int = 6) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"`scales` must be at least 1, got {scales}")
        self.scales = scales

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `gradient_error` or `laplacian_error` of inverse depths in a common unit."""
        usable = self.usable(batch)
        p, g = prediction.inverse_depth, batch.inverse_depth
        error, contrast = normalised_difference(p, g, usable)
        canonical = g * prediction.focal_ratio
        metric = _is_canonical(batch)[:, None, None, None]
        error = torch.where(metric, _error(p, canonical, usable), error)
        value = mean_derivative(error, usable, self.scales, self.kind)
        return torch.where(metric[:, 0, 0, 0] | contrast, value, 0)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a whole stencil at some level and, unless metric, a label with contrast."""
        usable = self.usable(batch)
        return has_stencil(usable, self.scales, self.kind) & (
            _is_canonical(batch) | has_contrast(batch.inverse_depth, usable)
        )


class GradientErrorLoss(_DerivativeLoss):
    """Match first derivatives of inverse depth at several scales (MAGE); see `gradient_error`.

    A metric label with a camera is brought into the canonical camera of the prediction, f / (f_c z), and
    compared as it is; of other labels the unit is unknown, so both maps are first shifted by their median and
    divided by their mean absolute deviation, per image. Holes cost stencils: it asks for dense labels.

    Raises:
        ValueError: `scales` is smaller than 1.
    """

    kind: ClassVar[Filter] = "scharr"


class LaplacianErrorLoss(_DerivativeLoss):
    """Match second derivatives of inverse depth (MALE); see `laplacian_error` and `GradientErrorLoss`.

    Raises:
        ValueError: `scales` is smaller than 1.
    """

    kind: ClassVar[Filter] = "laplace"


def _error(
    prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    return torch.where(valid, at_least_float32(prediction) - at_least_float32(target), 0)


def _is_canonical(batch: Batch) -> Bool[Tensor, " b"]:
    return (batch.kind == int(LabelKind.METRIC_DEPTH)) & batch.camera_known
