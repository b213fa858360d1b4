"""Pieces that the networks share."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

__all__ = [
    "GROUPS",
    "Block",
    "doubled",
    "in_float32",
    "places",
    "recomputed",
    "smoothed",
    "start_near",
    "widths_between",
]

GROUPS = 8  # of the normalisation


class Block(nn.Module):
    """Two convolutions around a shortcut; the second starts at zero, as if it were not there.

    Args:
        width: channels.
        dilation: of the first convolution.
        hidden: channels between the two, a multiple of 8; as many as outside by default.
    """

    def __init__(self, width: int, dilation: int = 1, hidden: int | None = None) -> None:
        super().__init__()
        hidden = width if hidden is None else hidden
        self.first = nn.Conv2d(width, hidden, 3, padding=dilation, dilation=dilation, bias=False)
        self.first_norm = nn.GroupNorm(GROUPS, hidden)
        self.second = nn.Conv2d(hidden, width, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(GROUPS, width)
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return features of the same shape."""
        inner = functional.silu(self.first_norm(self.first(x)))
        out: Tensor = functional.silu(x + self.second_norm(self.second(inner)))
        return out


def widths_between(widths: Iterable[int], hidden: Sequence[int] | None) -> Iterator[int]:
    """Return the hidden channels of blocks, block by block: those that are given, or as many as outside.

    Raises:
        ValueError: another number of them than blocks, or one is no positive multiple of 8.
    """
    if hidden is None:
        return iter(widths)
    # One more is enough to see: whoever asks for a billion blocks must not get a list of them.
    blocks = len(list(islice(widths, len(hidden) + 1)))
    if len(hidden) != blocks or any(count <= 0 or count % GROUPS for count in hidden):
        rule = f"positive multiples of {GROUPS}, one for each block"
        raise ValueError(f"`hidden` must be {rule}, got {list(hidden)}")
    return iter(hidden)


def smoothed(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Filter with (1, 2, 1) / 4 along rows and columns: zero at a period of two pixels."""
    x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
    return (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 4


def doubled(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Double rows and columns bilinearly."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def places(
    cells: Float[Tensor, "b c hh ww"], height: int, width: int, side: int
) -> Float[Tensor, "b 2 hh ww"]:
    """Say where each cell of `side` pixels lies in the unpadded image: -1 at one border, 1 at the other."""
    rows, columns = cells.shape[-2:]
    v = side * (2 * torch.arange(rows, device=cells.device, dtype=cells.dtype) + 1) / height - 1
    u = side * (2 * torch.arange(columns, device=cells.device, dtype=cells.dtype) + 1) / width - 1
    grid = torch.stack([u.expand(rows, columns), v[:, None].expand(rows, columns)])
    return grid.expand(cells.shape[0], -1, -1, -1)


def recomputed(part: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d hh ww"]:
    """Apply a part whose inner values are computed again in the backward pass, not kept for it."""
    learns = x.requires_grad or any(parameter.requires_grad for parameter in part.parameters())
    if not (learns and torch.is_grad_enabled()):  # else its input would be kept for nothing
        out: Tensor = part(x)
    else:  # nothing here draws numbers, so no state of a generator is kept
        out = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False)
    return out


def in_float32(head: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """Apply a head in float32 under autocast: bfloat16 holds a log depth between 2 and 4 in steps of 1/64."""
    if not torch.is_autocast_enabled(x.device.type):
        out: Tensor = head(x)
    else:
        with torch.autocast(x.device.type, enabled=False):
            out = head(x.float())
    return out


def start_near(head: nn.Conv2d, depth: float) -> None:
    """Let a head predict around `depth` at first, in its first four channels: those of one 2x2 cell."""
    # Small but not zero: a map without any contrast has no gradient under scale-and-shift losses.
    nn.init.normal_(head.weight, std=0.01)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
        nn.init.constant_(head.bias[:4], math.log(depth))
