"""Local losses on patches of several sizes, each aligned to the label by its own scale and shift."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import CONTRAST_FLOOR
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.draws import pick
from depthmix.losses.windows import draw_rows, read, read_windows, windows_at
from depthmix.masked import at_least_float32, count_valid
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["LocalPointLoss", "local_affine", "local_points"]

LEAST = 8  # points below which a patch has no weight
LEAST_CORRELATION = 0.1  # below it the fitted scale stays at this part of the ratio of the spreads


def local_points(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 4"],
    draws: Int[Tensor, "b 2 k"],
    level: int,
    pixels: int = 256,
) -> Float[Tensor, " b"]:
    """Compare points in balls around random anchors, each aligned by a scale and a 3-D shift.

    A ball holds the label's points within r z / f of its anchor, r being half the image's longer side over
    `level`; it is read inside the square window of half side r pixels around the anchor.

    Args:
        depth: predicted z, in any unit.
        target: z of the label, in any unit.
        valid: where `target` may be read.
        intrinsics: the camera of both maps.
        draws: random integers in [0, 2^32), two for each ball: the anchor and the phase.
        level: 4 for balls of a quarter of the image, 64 for small ones.
        pixels: at most this many valid pixels of a window are read.

    Convention: see `local_affine` for alignment and unit; mean over the balls that hold at least 8 points.
    0 where a row has none.

    Reference: local loss of Wang et al., MoGe (arXiv 2410.19115). The authors' code takes one row at a time,
    aligns by the exact truncated L1 fit, drops patches of negative scale and divides by depth; we fit
    by least squares in closed form for all rows at once and divide by the patch's own extent.
    """
    check_maps(depth=depth, target=target, valid=valid, intrinsics=intrinsics)
    size, half = (valid.shape[2], valid.shape[3]), half_side(valid, level)
    side = torch.full_like(draws[:, 0], 2 * half + 1)
    height, width = side.clamp_max(size[0]), side.clamp_max(size[1])
    anchor = pick(valid.flatten(1), draws[:, 0])
    windows = windows_at(anchor // size[1] - half, anchor % size[1] - half, height, width, size)
    tallest, broadest = (min(2 * half + 1, s) for s in size)
    take = min(pixels, tallest * broadest)
    index, keep, _ = read_windows(valid, windows, take, draws[:, 1], tallest)
    # The anchor rides along as one more pixel, so that both maps are read once.
    index = torch.cat([index, anchor[..., None]], 2)
    rays = _rays(index, size[1], intrinsics)
    points, label = (read(at_least_float32(z), index)[..., None] * rays for z in (depth, target))
    radius = half / (intrinsics[:, 0] * intrinsics[:, 1]).sqrt()[:, None, None] * label[:, :, -1:, 2]
    distance = (label - label[:, :, -1:]).square().sum(3).sqrt()
    keep = keep & (distance <= radius)[..., :-1]
    error, good = local_affine(points[:, :, :-1], label[:, :, :-1], keep)
    return torch.where(good, error, 0).sum(1) / good.sum(1).clamp_min(1)


def local_affine(
    prediction: Float[Tensor, "b k n c"], target: Float[Tensor, "b k n c"], keep: Bool[Tensor, "b k n"]
) -> tuple[Float[Tensor, "b k"], Bool[Tensor, "b k"]]:
    """Fit one scale and one shift a patch by least squares; sum |s p + t - g| over the patch's own extent.

    Args:
        prediction: values or points of each patch.
        target: those of the label.
        keep: which of them count.

    Returns:
        Sum of |s p + t - g| over the sum of |g - mean g|, and which patches count: at least 8 entries and a
        label that varies.

    Convention: the scale is positive. Where the two hardly agree (correlation below 0.1, also negative) it
    stays at 0.1 times the ratio of spreads, so that an inverted patch scores about 1 and is still pulled
    round: at a scale of 0 nothing would be. The gradient flows through scale and shift.
    """
    p, mean_p = _centred(prediction, keep)
    g, mean_g = _centred(target, keep)
    entries = keep.sum(2)
    gg = g.square().sum((2, 3))
    least = (CONTRAST_FLOOR * mean_p).square() * entries
    pp = torch.maximum(p.square().sum((2, 3)), torch.where(least > 0, least, 1))
    floor = LEAST_CORRELATION * (gg * pp).sqrt()
    scale = torch.maximum((p * g).sum((2, 3)), floor) / pp
    extent = g.abs().sum((2, 3))
    good = (entries >= LEAST) & (extent > CONTRAST_FLOOR * mean_g * entries)
    error = (scale[..., None, None] * p - g).abs().sum((2, 3))
    return error / torch.where(good, extent, 1), good


class LocalPointLoss(DepthLoss):
    """Compare local shape in 3-D, in balls of several sizes; see `local_points`. Mean over the levels.

    Args:
        levels: sizes of the balls; see `local_points`. Fine ones ask for labels without noise.
        patches: balls drawn per row and step, of each level.
        pixels: at most this many valid pixels of a ball's window are read.
        seed: start of the draws.

    Raises:
        ValueError: `levels` and `patches` differ in length or are below 1, or `pixels` is smaller than 8.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def __init__(
        self,
        levels: Sequence[int] = (4, 16, 64),
        patches: Sequence[int] = (16, 64, 128),
        pixels: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(levels) != len(patches) or not levels or min(*levels, *patches) < 1:
            raise ValueError(
                f"`levels` and `patches` must be equally many numbers >= 1, got {levels} and {patches}"
            )
        if pixels < LEAST:
            raise ValueError(f"`pixels` must be at least {LEAST}, got {pixels}")
        self.levels, self.patches, self.pixels, self.seed = tuple(levels), tuple(patches), pixels, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return the mean of `local_points` over the levels, for the balls of this step."""
        usable = self.usable(batch)
        camera = batch.camera_or(prediction.intrinsics)
        target = torch.where(usable, batch.target, 0)
        farthest = target.amax((1, 2, 3), True)  # the loss has no unit, and squares stay in range
        maps = prediction.depth, target / torch.where(farthest > 0, farthest, 1), usable, camera
        draws = draw_rows(batch.image, 2 * sum(self.patches), self.seed, step).view(-1, 2, sum(self.patches))
        parts = zip(self.levels, torch.split(draws, list(self.patches), 2), strict=True)
        return torch.stack([local_points(*maps, part, level, self.pixels) for level, part in parts]).mean(0)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a camera and the pixels of one patch."""
        return count_valid(self.usable(batch)) >= LEAST


def half_side(x: Tensor, level: int) -> int:
    """Return half the side of a level's windows in pixels, at least 2."""
    return max(2, round(max(x.shape[2:]) / (2 * level)))


def _rays(
    index: Int[Tensor, "b k n"], width: int, intrinsics: Float[Tensor, "b 4"]
) -> Float[Tensor, "b k n 3"]:
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    u, v = (index % width - cx) / fx, (index // width - cy) / fy
    return torch.stack([u, v, torch.ones_like(u)], 3)


def _centred(
    x: Float[Tensor, "b k n c"], keep: Bool[Tensor, "b k n"]
) -> tuple[Float[Tensor, "b k n c"], Float[Tensor, "b k"]]:
    """Return each patch less its mean, and its mean magnitude; both in units of its largest magnitude."""
    mask, count = keep[..., None], keep.sum(2).clamp_min(1)[..., None, None]
    x = torch.where(mask, at_least_float32(x), 0)
    size = x.detach().abs().amax((2, 3), True)
    x = x / torch.where(size > 0, size, 1)
    magnitude = x.detach().abs().sum((2, 3)) / count[..., 0, 0]
    x = torch.where(mask, x - x.sum(2, True) / count, 0)
    return x, magnitude
