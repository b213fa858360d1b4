"""The loss of the focal head: how far the focal length that a network reads off an image is wrong."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction, log_focal_of
from depthmix.sample import LabelKind

__all__ = ["FocalLoss", "focal_error"]

# Raw channels are cut here, so that an infinite one stays finite; no network works near it.
RAW_LIMIT = 1e4


def focal_error(log_focal: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, " b"]:
    """Return |log f - log f*| of the focal length f that a map states, per row.

    Args:
        log_focal: its mean over all pixels is the logarithm of focal length over diagonal of the image.
        intrinsics: fx, fy, cx, cy of the same image in pixels.

    Convention: about the relative error of f; the absolute value and not its square, since some cameras of
    a mix are wrong (a photo that was cropped after it was taken). Pixels need not agree with each other:
    only their mean is trained.
    """
    check_maps(log_focal=log_focal, intrinsics=intrinsics)
    stated = at_least_float32(log_focal).clamp(-RAW_LIMIT, RAW_LIMIT).mean((1, 2, 3))
    height, width = log_focal.shape[-2:]
    return (stated - log_focal_of(at_least_float32(intrinsics), height, width)).abs()


class FocalLoss(DepthLoss):
    """Train the focal head on images whose camera is known; see `focal_error`.

    A row of any kind bears it: what it reads is the camera of the crop, no number of the label. It has
    nothing to do with the loss for unbalanced classes of that name.
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "focal"})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `focal_error`."""
        known = self.supervised(batch)
        cameras = torch.where(known[:, None], batch.intrinsics, 1)
        return torch.where(known, focal_error(self.head(prediction, "focal"), cameras), 0)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera."""
        return self.bears(batch)
