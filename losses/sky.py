"""Losses of the sky: a head that finds it, and depth that keeps it behind everything else."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.masked import at_least_float32, masked_mean
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["SkyBehindLoss", "SkyLoss", "sky_behind", "sky_cross_entropy"]

# Logits are cut here, so that an infinite one stays finite; no network works near it.
LOGIT_LIMIT = 1e4


def sky_cross_entropy(
    sky_logit: Float[Tensor, "b 1 h w"], sky: Bool[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """Average the cross entropy over sky and over valid pixels of each row, then over the two.

    Args:
        sky_logit: logit of the probability of sky.
        sky: pixels known to be sky.
        valid: pixels with a depth, so known not to be sky.

    Convention: balanced, so a strip of sky weighs as much as the ground below it; a row that shows one of
    the two is judged by that one. Pixels in neither mask are unknown and never read: a hole of a LiDAR
    label is not sky. Where both masks claim a pixel it counts as sky.
    """
    check_maps(sky_logit=sky_logit, sky=sky, valid=valid)
    ground = valid & sky.logical_not()
    logit = torch.where(sky | ground, at_least_float32(sky_logit), 0).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    entropy = softplus(torch.where(sky, -logit, logit))
    kinds = sky.flatten(1).any(1).to(entropy.dtype) + ground.flatten(1).any(1)
    return (masked_mean(entropy, sky) + masked_mean(entropy, ground)) / kinds.clamp_min(1)


def sky_behind(
    log_depth: Float[Tensor, "b 1 h w"],
    sky: Bool[Tensor, "b 1 h w"],
    farthest: Float[Tensor, " b"],
    margin: float = 0.0,
) -> Float[Tensor, " b"]:
    """Average how far sky pixels come in front of a limit, max(0, farthest + margin - log_depth), per row.

    Args:
        log_depth: logarithm of the predicted depth.
        sky: pixels known to be sky.
        farthest: logarithm of the depth that the row's sky must lie behind, finite.
        margin: how much further behind, in log depth.

    Convention: in the logarithm the pull is the same however near the sky was put; in inverse depth it
    would fade with distance, and towards one fixed depth (200 m in Metric3D) it would draw a near scene's
    sky and a far one's to the same place.
    """
    check_maps(log_depth=log_depth, sky=sky)
    limit = (at_least_float32(farthest) + margin)[:, None, None, None]
    return masked_mean((limit - torch.where(sky, at_least_float32(log_depth), limit)).clamp_min(0), sky)


class SkyLoss(DepthLoss):
    """Train the sky head on sky against pixels with depth; see `sky_cross_entropy`.

    A row of any kind bears it: what it reads is `sky` and `valid`, no number of the label.
    """

    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"sky"})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `sky_cross_entropy`."""
        return sky_cross_entropy(self.head(prediction, "sky"), batch.sky, batch.valid)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a pixel known to be sky, or known not to be."""
        return (batch.sky | batch.valid).flatten(1).any(1)


class SkyBehindLoss(DepthLoss):
    """Push the sky behind the farthest valid pixel of its image; see `sky_behind`.

    Farthest by the label where that is metric and has a camera, else by the prediction itself, detached: a
    relative label has no unit to set a limit in.

    Args:
        margin: how much further behind, in log depth.

    Raises:
        ValueError: `margin` is negative or infinite.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__()
        if not 0 <= margin < float("inf"):
            raise ValueError(f"`margin` must be finite and not negative, got {margin}")
        self.margin = margin

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `sky_behind` the farthest valid pixel."""
        usable, log_depth = self.usable(batch), prediction.log_depth
        check_maps(log_depth=log_depth, target=batch.target, valid=usable, sky=batch.sky)
        metric = (batch.kind == int(LabelKind.METRIC_DEPTH)) & batch.camera_known
        labelled = torch.where(metric[:, None, None, None], batch.target.log(), log_depth.detach())
        farthest = torch.where(usable, labelled, -torch.inf).amax((1, 2, 3))
        bearing = self.supervised(batch)
        sky = batch.sky & bearing[:, None, None, None]
        return sky_behind(log_depth, sky, torch.where(bearing, farthest, 0), self.margin)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a sky pixel and a valid one."""
        return batch.sky.flatten(1).any(1) & self.usable(batch).flatten(1).any(1)
