"""A small UNet that learns on a CPU within minutes."""

from collections.abc import Sequence
from itertools import chain, pairwise, repeat

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from depthmix.models.blocks import (
    Block,
    doubled,
    in_float32,
    places,
    recomputed,
    smoothed,
    start_near,
    widths_between,
)

__all__ = ["LightDepthNet"]

MINIMUM_SIZE = 32


class LightDepthNet(nn.Module):
    """Predict log canonical depth from an RGB image with a UNet that works at half resolution and below.

    Two by two pixels become channels on the way in and pixels again on the way out, so edges keep their
    place while nothing wide runs at full resolution. Such a head leaves a checkerboard of period two, which
    spoils surface normals; the binomial filter behind it removes exactly that frequency. Every pixel is told
    where in the image it lies (floors are low and near, skies high and far), and the coarsest level sees the
    mean of the whole image.

    Plain 3x3 convolutions: depthwise ones have fewer multiplications, but were measured twice as slow here
    for an equal number of parameters. Group instead of batch normalisation: a batch mixes sources of
    different looks, so its statistics would fit none of them, and would differ between ranks.

    Args:
        widths: channels at 1/2, 1/4, 1/8, ... of the resolution, each a multiple of 8.
        bottleneck: blocks at the coarsest level, with dilation 1 and 2 in turn.
        initial_depth: canonical depth in metres around which an untrained network predicts.
        outputs: channels of the prediction: log canonical depth, then one for each head, which an untrained
            network predicts around 0.
        hidden: channels inside the blocks, in the order encoder, middle, decoder, each a multiple of 8; as
            many as outside by default. A pruned network has fewer.

    Raises:
        ValueError: a width is not a positive multiple of 8, or `initial_depth` or `outputs` not positive.

    Example:
        >>> LightDepthNet()(torch.zeros(1, 3, 48, 64)).shape
        torch.Size([1, 1, 48, 64])
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        bottleneck: int = 3,
        initial_depth: float = 5.0,
        outputs: int = 1,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not widths or any(width <= 0 or width % 8 for width in widths):
            raise ValueError(f"`widths` must be positive multiples of 8, got {list(widths)}")
        if not initial_depth > 0:
            raise ValueError(f"`initial_depth` must be positive, got {initial_depth}")
        if outputs < 1:
            raise ValueError(f"`outputs` must be at least 1, got {outputs}")
        self.widths, self.bottleneck, self.initial_depth = tuple(widths), bottleneck, initial_depth
        self.outputs, self.hidden, self.saves_memory = outputs, hidden, False
        finest, coarsest, pairs = widths[0], widths[-1], list(pairwise(widths))
        self.stem = nn.Conv2d(3 * 4 + 2, finest, 3, padding=1)
        inside = widths_between(chain(widths[:-1], repeat(coarsest, bottleneck), widths[:-1]), hidden)
        self.encoder = nn.ModuleList([Block(width, hidden=next(inside)) for width in widths[:-1]])
        self.down = nn.ModuleList([nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs])
        self.middle = nn.Sequential(*[Block(coarsest, 1 + i % 2, next(inside)) for i in range(bottleneck)])
        self.context = nn.Linear(coarsest, coarsest)
        self.up = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs])
        self.decoder = nn.ModuleList([Block(width, hidden=next(inside)) for width in widths[:-1]])
        self.head = nn.Conv2d(finest, 4 * outputs, 3, padding=1)
        start_near(self.head, initial_depth)

    @property
    def spec(self) -> dict[str, object]:
        """Class path and constructor arguments in plain values: what rebuilds this network."""
        arguments = {
            "widths": list(self.widths),
            "bottleneck": self.bottleneck,
            "initial_depth": self.initial_depth,
            "outputs": self.outputs,
            **({} if self.hidden is None else {"hidden": list(self.hidden)}),
        }
        return {"class_path": "depthmix.models.LightDepthNet", "init_args": arguments}

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The encoder from the image inwards: the stem, then each level with the way down from it."""
        levels = zip(self.encoder, self.down, strict=True)
        return (self.stem, *(nn.ModuleList(level) for level in levels))

    def checkpoint_gradients(self) -> None:
        """Compute the inside of every block again in the backward pass: less memory, more time."""
        self.saves_memory = True

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b outputs h w"]:
        """Predict log canonical depth, and the heads behind it, for RGB in [0, 1].

        Raises:
            ValueError: the image is smaller than 32 pixels in height or width.
        """
        height, width = image.shape[-2:]
        if min(height, width) < MINIMUM_SIZE:
            raise ValueError(f"`image` must be at least 32 x 32 pixels, got {height} x {width}")
        step = 2 ** len(self.widths)
        padding = (0, -width % step, 0, -height % step)
        pixels = functional.pad((image - 0.5) * 4, padding, mode="replicate")
        half = functional.pixel_unshuffle(pixels, 2)
        features = self._unet(self.stem(torch.cat([half, places(half, height, width, side=2)], 1)))
        return smoothed(functional.pixel_shuffle(in_float32(self.head, features), 2))[..., :height, :width]

    def _unet(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        kept = []
        for block, down in zip(self.encoder, self.down, strict=True):
            kept.append(self._block(block, x))
            x = down(kept[-1])
        x = self._block(self.middle, x + self.context(x.mean((2, 3)))[:, :, None, None])
        for block, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            x = self._block(block, doubled(up(x)) + kept.pop())
        return x

    def _block(self, block: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return recomputed(block, x) if self.saves_memory else block(x)
