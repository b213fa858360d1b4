"""Trained networks with known answers."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthmix.trained import Trained

FOCAL = 100.0


class Brightness(nn.Module):
    """Predict a canonical depth of 1 m + 4 m times the mean colour: a net whose answer a test can compute."""

    def forward(self, image: Tensor) -> Tensor:
        """Return log canonical depth."""
        return (1 + 4 * image.mean(1, keepdim=True)).log()


def trained(*, metric: bool = True, height: int = 48, width: int = 64) -> Trained:
    """Wrap the network as a checkpoint would."""
    return Trained(
        net=Brightness().eval(),
        focal_canonical=FOCAL,
        metric=metric,
        height=height,
        width=width,
        sources={},
    )


class Lens(nn.Module):
    """State a focal length in diagonals besides the depth of `Brightness`, wobbling from pixel to pixel."""

    def __init__(self, diagonals: float) -> None:
        super().__init__()
        self.diagonals = diagonals
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return log canonical depth and the channel of the focal head."""
        self.sizes.append(tuple(image.shape[-2:]))
        depth = (1 + 4 * image.mean(1, keepdim=True)).log()
        wobble = torch.linspace(-1, 1, image.shape[-1]).expand_as(depth)
        return torch.cat([depth, math.log(self.diagonals) + wobble], 1)


def lens(diagonals: float, **options: Any) -> Trained:
    """Wrap a network with a focal head as a checkpoint would."""
    return replace(trained(), net=Lens(diagonals), heads=("focal",), **options)


def same_input(seen: list[Tensor]) -> nn.Module:
    """A network that keeps what it was shown."""

    class Spy(Brightness):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image)
            return super().forward(image)

    return Spy()


def is_folder_empty(folder: Path) -> bool:
    """Tell whether nothing was written."""
    return not folder.exists() or not any(folder.iterdir())
