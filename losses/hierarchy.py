"""Hierarchical normalisation: compare each pixel inside nested ranges of depth and cells of the image."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import has_contrast
from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss, check_maps
from depthmix.losses.windows import Windows, compare, draw_rows, read, read_windows, spread
from depthmix.masked import at_least_float32, count_valid
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["HierarchicalLoss", "depth_contexts", "grid_contexts", "hierarchical"]

LEAST = 8  # valid pixels below which the median and deviation of a context say nothing
SORTED = 16384  # pixels of a row that the ranges of depth are read from


def hierarchical(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, " b"],
    ranges: Sequence[int] = (1, 2, 4),
    grids: Sequence[int] = (1, 2, 4),
    by: Literal["quantile", "value"] = "quantile",
    pixels: int = 1024,
) -> Float[Tensor, " b"]:
    """Average over each pixel's contexts how far it lies off when both maps are normalised there.

    Args:
        prediction: inverse depth.
        target: inverse depth up to a positive scale and a shift.
        valid: where `target` may be read.
        draws: one random integer in [0, 2^32) for each row, which moves the pixels that are read.
        ranges: levels of depth; a level of 4 cuts the label into four ranges.
        grids: levels of the image; a level of 4 cuts it into 4 x 4 cells.
        by: ranges of equally many pixels (`quantile`), or equally wide ones (`value`).
        pixels: at most this many valid pixels of a context are read.

    Convention: a context weighs as its number of valid pixels, which makes the mean over contexts a mean over
    pixels and levels. Contexts with fewer than 8 valid pixels or a constant label have no weight. 0 where no
    context is left.

    Reference: Zhang et al., Hierarchical Normalization for Robust Monocular Depth Estimation (NeurIPS 2022,
    arXiv 2210.09670), contexts by depth percentile, depth range and space. The bounds are values of the
    label itself; the public code of Metric3D adds bounds of normalised depth to depth in metres.
    """
    check_maps(prediction=prediction, target=target, valid=valid)
    families = [depth_contexts(target, valid, draws, ranges, by, pixels)] if ranges else []
    families += [grid_contexts(valid, draws, grids, pixels)] if grids else []
    index, keep, count = (torch.cat(parts, 1) for parts in zip(*families, strict=True))
    error, good = compare(read(prediction, index), read(target, index), keep, LEAST)
    weight = torch.where(good, count, 0)
    mean = (weight * error).sum(1) / weight.sum(1).clamp_min(torch.finfo(error.dtype).tiny)
    return torch.where(has_contrast(target, valid), mean, 0)


def depth_contexts(
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    draws: Int[Tensor, " b"],
    levels: Sequence[int],
    by: Literal["quantile", "value"],
    pixels: int,
) -> tuple[Int[Tensor, "b k n"], Bool[Tensor, "b k n"], Float[Tensor, "b k"]]:
    """Cut the label's values into ranges, `levels` times, and list pixels of each.

    Returns:
        Flat pixel indices, which of them count, and the part of the valid pixels that each range holds.

    Convention: bounds are values of the label, found on at most 16384 valid pixels of the row.
    """
    total = count_valid(valid)
    before = valid.flatten(1).cumsum(1, dtype=torch.int32)
    rank, inside = spread(total, min(SORTED, before.shape[1]), draws)
    place = torch.searchsorted(before, rank.int() + 1).clamp_max(before.shape[1] - 1)
    values = torch.where(inside, at_least_float32(target.detach()).flatten(1).gather(1, place), torch.inf)
    ordered, order = values.sort(dim=1, stable=True)
    place, total = place.gather(1, order), inside.sum(1)
    bounds = [_bounds(ordered, total, level, by) for level in levels]
    start = torch.cat([bound[:, :-1] for bound in bounds], 1)
    count = torch.cat([bound[:, 1:] for bound in bounds], 1) - start
    rank, keep = spread(count, pixels, draws[:, None].expand_as(count))
    at = (start[..., None] + rank).clamp_max(place.shape[1] - 1)
    index = place.gather(1, at.flatten(1)).view_as(at)
    return index, keep, count / total.clamp_min(1)[:, None]


def grid_contexts(
    valid: Bool[Tensor, "b 1 h w"], draws: Int[Tensor, " b"], levels: Sequence[int], pixels: int
) -> tuple[Int[Tensor, "b k n"], Bool[Tensor, "b k n"], Float[Tensor, "b k"]]:
    """Cut the image into level x level cells, `levels` times, and list pixels of each.

    Returns:
        Flat pixel indices, which of them count, and the part of the valid pixels that each cell holds.
    """
    cells = [_cells(valid, level) for level in levels]
    windows = Windows(*(torch.cat(parts, 1) for parts in zip(*cells, strict=True)))
    tallest = -(-valid.shape[2] // min(levels))
    phase = draws[:, None].expand_as(windows.top)
    index, keep, count = read_windows(valid, windows, pixels, phase, tallest)
    return index, keep, count / count_valid(valid).clamp_min(1)[:, None]


class HierarchicalLoss(DepthLoss):
    """Compare inverse depth in nested contexts up to scale and shift; see `hierarchical`.

    Args:
        ranges: levels of depth; a level of 4 cuts the label into four ranges.
        grids: levels of the image; a level of 4 cuts it into 4 x 4 cells.
        by: ranges of equally many pixels (`quantile`), or equally wide ones in inverse depth (`value`).
        pixels: at most this many valid pixels of a context are read.
        seed: start of the draws.

    Raises:
        ValueError: no level at all, a level below 1, fewer than 8 `pixels`, or an unknown `by`.
    """

    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        ranges: Sequence[int] = (1, 2, 4),
        grids: Sequence[int] = (1, 2, 4),
        by: Literal["quantile", "value"] = "quantile",
        pixels: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__()
        levels = [*ranges, *grids]
        if not levels or min(levels) < 1:
            raise ValueError(f"`ranges` and `grids` must hold levels of at least 1, got {ranges} and {grids}")
        if by not in ("quantile", "value"):
            raise ValueError(f"`by` must be quantile or value, got {by}")
        if pixels < LEAST:
            raise ValueError(f"`pixels` must be at least {LEAST}, got {pixels}")
        self.ranges, self.grids, self.by, self.pixels, self.seed = ranges, grids, by, pixels, seed

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return `hierarchical` of the inverse depths for the pixels of this step."""
        draws = draw_rows(batch.image, 1, self.seed, step)[:, 0]
        maps = prediction.inverse_depth, batch.inverse_depth, self.usable(batch)
        return hierarchical(*maps, draws, self.ranges, self.grids, self.by, self.pixels)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have the pixels of one context and a label that is not constant."""
        usable = self.usable(batch)
        return (count_valid(usable) >= LEAST) & has_contrast(batch.inverse_depth, usable)


def _bounds(
    ordered: Float[Tensor, "b m"], total: Int[Tensor, " b"], level: int, by: str
) -> Int[Tensor, "b k"]:
    """Return where each range starts in the ordered label, and where the last one ends."""
    part = torch.arange(level + 1, device=ordered.device)
    if by == "quantile":
        return total[:, None] * part // level
    low = torch.where(total > 0, ordered[:, 0], 0)[:, None]
    last = (total - 1).clamp_min(0)[:, None]
    high = torch.where(total[:, None] > 0, ordered.gather(1, last), 0)
    edges = low + (high - low) * (part / level)
    start = torch.searchsorted(ordered, edges)
    return torch.where(part < level, torch.minimum(start, total[:, None]), total[:, None])


def _cells(valid: Bool[Tensor, "b 1 h w"], level: int) -> Windows:
    """Cut the image into level x level cells whose sides differ by one pixel at most."""
    b, _, h, w = valid.shape
    part = torch.arange(level + 1, device=valid.device)
    rows, columns = part * h // level, part * w // level
    top, left = rows[:-1].repeat_interleave(level, output_size=level**2), columns[:-1].repeat(level)
    height = rows.diff().repeat_interleave(level, output_size=level**2)
    return Windows(*(x.expand(b, -1) for x in (top, left, height, columns.diff().repeat(level))))
