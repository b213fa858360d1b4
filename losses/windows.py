"""Windows of an image read as lists of valid pixels of one fixed length, for losses that compare locally."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from depthmix.alignment import normalised_difference
from depthmix.losses.draws import MASK, draw
from depthmix.masked import count_valid, masked_mean

__all__ = [
    "Windows",
    "check_windows",
    "compare",
    "draw_rows",
    "read",
    "read_windows",
    "span",
    "spread",
    "windows_at",
]

# An odd number near 2^32 over the golden ratio: its multiples are spread evenly over the 32-bit numbers.
GOLDEN = 0x9E3779B1


class Windows(NamedTuple):
    """Name rectangles of pixels that lie inside the image: first row and column, and size."""

    top: Int[Tensor, "b k"]
    left: Int[Tensor, "b k"]
    height: Int[Tensor, "b k"]
    width: Int[Tensor, "b k"]


def check_windows(windows: int, sides: tuple[float, float], pixels: int, least: int) -> None:
    """Check the options that losses in windows share.

    Raises:
        ValueError: `windows` is smaller than 1, `pixels` than `least`, or `sides` not rising in (0, 1].
    """
    if windows < 1:
        raise ValueError(f"`windows` must be at least 1, got {windows}")
    if pixels < least:
        raise ValueError(f"`pixels` must be at least {least}, got {pixels}")
    if not 0 < sides[0] <= sides[1] <= 1:
        raise ValueError(f"`sides` must be rising parts in (0, 1], got {sides}")


def draw_rows(
    image: Int[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"], count: int, seed: int, step: int
) -> Int[Tensor, "b n"]:
    """Return `count` integers in [0, 2^32) for each row, others for each image.

    Convention: the numbers of `draw`, moved round by a number read off a coarse grid of the row's own image.
    So rows differ, and none depends on its place in the batch or on its neighbours.
    """
    coarse = image[..., ::8, ::8].flatten(1)
    content = (coarse if image.dtype == torch.uint8 else 255 * coarse.float()).long().sum(1)
    return (draw(count, seed, step, image.device) + content[:, None] * GOLDEN) & MASK


def span(
    draws: Int[Tensor, "*n"], low: Int[Tensor, "*n"] | int, high: Int[Tensor, "*n"] | int
) -> Int[Tensor, "*n"]:
    """Turn draws into integers from `low` to `high`, both included."""
    return low + (draws * (high - low + 1) >> 32)


def windows_at(
    row: Int[Tensor, "b k"],
    column: Int[Tensor, "b k"],
    height: Int[Tensor, "b k"],
    width: Int[Tensor, "b k"],
    size: tuple[int, int],
) -> Windows:
    """Build windows with these first rows and columns, pushed inside the image where they stick out."""
    h, w = size
    top, left = torch.minimum(row, h - height).clamp_min(0), torch.minimum(column, w - width).clamp_min(0)
    return Windows(top, left, height, width)


def spread(
    count: Int[Tensor, "*k"], take: int, phase: Int[Tensor, "*k"]
) -> tuple[Int[Tensor, "*k n"], Bool[Tensor, "*k n"]]:
    """Choose `take` of `count` ranks in equal steps; all of them where there are no more than that.

    Args:
        count: length of each list.
        take: how many ranks to name.
        phase: a draw in [0, 2^32) that moves the steps, so that each rank is equally likely.

    Returns:
        The ranks, none twice, and where they lie inside the list.
    """
    place = (torch.arange(take, device=count.device) << 16) + (phase[..., None] >> 16)
    rank = place * count[..., None].clamp_min(take) // (take << 16)
    return rank, rank < count[..., None]


def read_windows(
    valid: Bool[Tensor, "b 1 h w"], windows: Windows, take: int, phase: Int[Tensor, "b k"], tallest: int
) -> tuple[Int[Tensor, "b k n"], Bool[Tensor, "b k n"], Int[Tensor, "b k"]]:
    """List `take` valid pixels of each window: all of them, or every so-many-th in reading order.

    Counting along valid pixels and not along the grid, a sparse label is read as fully as a dense one.

    Args:
        valid: where the label may be read.
        windows: the windows, inside the image.
        take: length of each list.
        phase: draws in [0, 2^32); see `spread`.
        tallest: a height that no window exceeds.

    Returns:
        Flat pixel indices, which of them count, and the number of valid pixels of each window.
    """
    w, pixels = valid.shape[-1], valid.shape[-2] * valid.shape[-1]
    before = pad(valid.flatten(1).cumsum(1, dtype=torch.int32), (1, 0))
    line = torch.arange(tallest, device=valid.device)
    start = (windows.top[..., None] + line) * w + windows.left[..., None]
    start = torch.where(line < windows.height[..., None], start, 0)
    first = before.gather(1, start.flatten(1)).view_as(start).long()
    past = before.gather(1, (start + windows.width[..., None]).flatten(1)).view_as(start)
    inside = torch.where(line < windows.height[..., None], past - first, 0)
    running = inside.cumsum(2)
    rank, keep = spread(running[..., -1], take, phase)
    at = torch.searchsorted(running, rank, right=True).clamp_max(tallest - 1)
    wanted = rank + (first - running + inside).gather(2, at) + 1
    index = torch.searchsorted(before, wanted.flatten(1).int()).view_as(wanted) - 1
    return index.clamp(0, pixels - 1), keep, running[..., -1]


def read(x: Float[Tensor, "b 1 h w"], index: Int[Tensor, "b k n"]) -> Float[Tensor, "b k n"]:
    """Read a map at flat pixel indices."""
    return x.flatten(1).gather(1, index.flatten(1)).view(index.shape)


def compare(
    prediction: Float[Tensor, "b k n"],
    target: Float[Tensor, "b k n"],
    keep: Bool[Tensor, "b k n"],
    least: int,
) -> tuple[Float[Tensor, "b k"], Bool[Tensor, "b k"]]:
    """Average |p - g| over each list, both normalised by the list's own median and mean absolute deviation.

    Returns:
        The averages, and which lists count: at least `least` pixels and a label that is not constant.
    """
    p, g, mask = prediction.flatten(0, 1), target.flatten(0, 1), keep.flatten(0, 1)
    difference, contrast = normalised_difference(p, g, mask)
    error = masked_mean(difference.abs(), mask)
    good = (count_valid(mask) >= least) & contrast
    return error.view(keep.shape[:2]), good.view(keep.shape[:2])
