"""What is equal for all recipes of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from torch import nn

from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet, LiteDepthNet

__all__ = ["NETS", "SIZES", "STEPS", "Settings"]

NETS: Final[dict[str, Callable[..., nn.Module]]] = {
    "light": LightDepthNet,
    "lite": LiteDepthNet,  # EfficientNet-lite0 as ImageNet left it, frozen
    "lite_scratch": partial(LiteDepthNet, pretrained=None, frozen=False),
}
SIZES: Final = {"48x64": (48, 64), "96x128": (96, 128)}
STEPS: Final = {"smoke": 60, "small": 800, "core": 800, "narrow": 800}


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what every recipe of a benchmark has in common.

    Args:
        preset: name of the corpus in `depthmix.scenes.PRESETS`: smoke, small, core or narrow.
        size: height x width of all images that the network sees: a key of `SIZES`.
        net: name of the network in `NETS`.
        steps: optimiser steps of each run.
        batch: images per step.
        looks: times during a training at which it is measured on the validation scenes.

    Raises:
        ConfigError: a name that is not known, or a number below 1.
    """

    preset: str = "core"
    size: str = "48x64"
    net: str = "light"
    steps: int = 800
    batch: int = 12
    looks: int = 5

    def __post_init__(self) -> None:
        choices = {"preset": list(STEPS), "size": list(SIZES), "net": list(NETS)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                reason = f"must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                raise ConfigError(reason, field=f"--{name}")
        for name in ("steps", "batch", "looks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, got {getattr(self, name)}", field=f"--{name}")

    @property
    def height(self) -> int:
        """Rows of the images that the network sees."""
        return SIZES[self.size][0]

    @property
    def width(self) -> int:
        """Columns of the images that the network sees."""
        return SIZES[self.size][1]

    @property
    def stored(self) -> tuple[int, int]:
        """Size of the prepared images: a quarter larger, room for the crops of the augmentation."""
        return self.height * 5 // 4, self.width * 5 // 4

    @property
    def focal(self) -> float:
        """Focal length in pixels of the canonical camera, near that of the rendered images."""
        return 60.0 * self.width / 64

    def network(self, heads: int = 0) -> nn.Module:
        """Build the network with fresh weights."""
        options: dict[str, Any] = {"outputs": 1 + heads} if heads else {}
        return NETS[self.net](**options)
