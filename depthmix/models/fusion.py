"""A light decoder that joins the maps of any encoder."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from depthmix.models.blocks import Block, doubled, places, smoothed, start_near
from depthmix.models.input_size import resized

__all__ = ["FusionDecoder", "grids_of"]


class FusionDecoder(nn.Module):
    """Join maps from coarse to fine, then predict at the size of the image.

    Maps of a plain vision transformer, all of one size, are first spread over 4, 2, 1 and 1/2 times that
    size, the shallowest being the finest. Every cell is told where in the image it lies. Behind the finest
    map the pixels of the image come in, and two by two channels become pixels, as in `LightDepthNet`.

    Args:
        channels: of the maps, in the order of their layers.
        width: channels of the decoder, a multiple of 16.
        outputs: channels of the prediction.
        initial_depth: canonical depth in metres around which it predicts at first.

    Reference: Ranftl et al., DPT (arXiv 2103.13413), section 3, with bilinear steps in the place of strided
    convolutions.
    """

    def __init__(self, channels: Sequence[int], width: int, outputs: int, initial_depth: float) -> None:
        super().__init__()
        half = width // 2
        self.mix = nn.ModuleList([nn.Conv2d(inner + 2, width, 1) for inner in channels])
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for _ in channels])
        self.blocks = nn.ModuleList([Block(width) for _ in channels])
        self.narrow = nn.Conv2d(width, half, 1)
        self.stem = nn.Conv2d(3 * 4, half, 3, padding=1)
        self.finest = Block(half)
        self.head = nn.Conv2d(half, 4 * outputs, 3, padding=1)
        start_near(self.head, initial_depth)

    def forward(
        self, maps: Sequence[Float[Tensor, "b _ _ _"]], image: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b outputs rows columns"]:
        """Predict from maps and from the image that they were made of, at four times the finest grid."""
        grids = grids_of([(m.shape[-2], m.shape[-1]) for m in maps])
        joined = [
            norm(mix(torch.cat([found, places(found, found.shape[-2], found.shape[-1], side=1)], 1)))
            for mix, norm, found in zip(self.mix, self.norms, maps, strict=True)
        ]
        *fine, x = [resized(m, grid) for m, grid in zip(joined, grids, strict=True)]
        *blocks, coarsest = self.blocks
        x = coarsest(x)
        for block, kept in zip(reversed(blocks), reversed(fine), strict=True):
            x = block(resized(x, (kept.shape[-2], kept.shape[-1])) + kept)
        rows, columns = x.shape[-2:]
        pixels = functional.pixel_unshuffle(resized(image, (4 * rows, 4 * columns)), 2)
        x = self.finest(doubled(self.narrow(x)) + self.stem((pixels - 0.5) * 4))
        return smoothed(functional.pixel_shuffle(self.head(x), 2))


def grids_of(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the grid that each map is brought to: its own, or where all are equal 4, 2, 1, 1/2 times it.

    Example:
        >>> grids_of([(3, 5)] * 4), grids_of([(8, 8), (4, 4)])
        ([(12, 20), (6, 10), (3, 5), (2, 3)], [(8, 8), (4, 4)])
    """
    if len(sizes) == 1 or len(set(sizes)) > 1:
        return list(sizes)
    times = [4 / 2**level for level in range(len(sizes))]
    return [
        (-int(-rows * t // 1), -int(-columns * t // 1))
        for t, (rows, columns) in zip(times, sizes, strict=True)
    ]
