"""CutMix on the device: a window of one image is pasted into another, and each row keeps its own label.

The usual form joins the two labels as well. Here they often cannot be joined: inverse depth of unknown scale
and shift has another scale in either part, metres another camera. Since every row is both pasted into and cut
out of, nothing is lost by reading the label of one part alone: the row's own, be it the window or what is
around it. So the row stays one image of one camera with one scale, and no loss has to know of the cut.

Reference: Yun et al., CutMix (arXiv 1905.04899); Yang et al., Depth Anything (arXiv 2401.10891), equations 5
to 8, which paste between images without labels and take one affine-invariant loss in each part.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.device_change import ranked, where_labelled

__all__ = ["cut", "next_of_source", "window"]

SIDES: Final = (0.4, 0.8)  # of a window, as parts of the image's own sides


def window(
    size: tuple[int, int],
    *,
    tall: Float[Tensor, " b"],
    wide: Float[Tensor, " b"],
    down: Float[Tensor, " b"],
    across: Float[Tensor, " b"],
) -> Bool[Tensor, "b 1 h w"]:
    """Mark one window in each row.

    Args:
        size: height and width of the image.
        tall: height of the window, from the smallest (0) to the largest (1).
        wide: its width, alike.
        down: its place, from the top (0) to the bottom (1).
        across: its place, from the left (0) to the right (1).
    """
    spans = []
    for length, extent, place in ((size[0], tall, down), (size[1], wide, across)):
        side = (length * (SIDES[0] + (SIDES[1] - SIDES[0]) * extent)).round()
        first = torch.minimum((place * (length - side + 1)).floor(), length - side)
        at = torch.arange(length, device=extent.device)
        spans.append((at >= first[:, None]) & (at < (first + side)[:, None]))
    return (spans[0][:, :, None] & spans[1][:, None, :])[:, None]


def next_of_source(source: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Return the next row of the same source behind each row, counted round; the row itself where alone.

    Example:
        >>> next_of_source(torch.tensor([0, 1, 0, 0]))
        tensor([2, 1, 3, 0])
    """
    rows = torch.arange(len(source), device=source.device)
    ahead = (rows - rows[:, None] - 1) % len(source)
    return torch.where(source == source[:, None], ahead, len(source)).argmin(1)


def cut(batch: Batch, own: Bool[Tensor, "b 1 h w"], change: Bool[Tensor, " b"]) -> Batch:
    """Show the next row of the same source wherever a row is not its own; labels stay where it is.

    Args:
        batch: with float images.
        own: where each row keeps its image and its label.
        change: rows to cut; the others stay, and so do those without another row of their source, and those
            that would lose their last label.
    """
    partner = next_of_source(batch.source)
    another = partner != torch.arange(len(batch), device=partner.device)
    fields = {
        "image": torch.where(own, batch.image, batch.image.index_select(0, partner)),
        "target": torch.where(own, batch.target, 0),
        "valid": batch.valid & own,
        "sky": batch.sky & own,
        "planes": ranked(torch.where(own, batch.planes, 0)),
        "sigma": torch.where(own, batch.sigma, 0),
        "pairs": _inside(batch.pairs, own),
    }
    return where_labelled(batch, change & another, fields)


def _inside(pairs: Int[Tensor, "b p 5"], own: Bool[Tensor, "b 1 h w"]) -> Int[Tensor, "b p 5"]:
    """Turn pairs into padding of which a point lies elsewhere."""
    width, flat = own.shape[-1], own.flatten(1)
    at = pairs[..., :4].long().clamp_min(0)
    first, second = (flat.gather(1, at[..., k + 1] * width + at[..., k]) for k in (0, 2))
    return torch.where((first & second)[..., None], pairs, -1)
