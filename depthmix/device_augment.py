"""Vary the rows of a training batch on its device, each as its own draw says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from depthmix.batch import Batch
from depthmix.device_change import Turn, add_noise, blur, grey_level, recolour, turned
from depthmix.device_cut import cut, window
from depthmix.device_jpeg import compressed
from depthmix.errors import ConfigError

__all__ = ["OFF", "DeviceAugment", "DeviceAugmentOptions"]

LIMITS = {"scale": (1.0, 8.0), "rotation": (0.0, 45.0), "blur": (0.0, 10.0), "hue": (0.0, 0.5)}


@dataclass(frozen=True)
class DeviceAugmentOptions:
    """Choose how images are varied after they have reached the device; as it stands, nothing changes.

    Args:
        brightness: colours are multiplied by a factor in 1 -/+ this.
        contrast: distances from the mean brightness are multiplied by a factor in 1 -/+ this.
        saturation: distances from grey are multiplied by a factor in 1 -/+ this.
        hue: colours turn around the grey axis by up to this part of a full turn, either way.
        gamma: colours are raised to a power between 1 / (1 + this) and 1 + this.
        blur: standard deviation of a Gaussian blur, up to so many pixels.
        noise: standard deviation of noise, up to this (of 1).
        jpeg: JPEG compression, with a quality between 100 and 100 less so many per cent; 0.7 goes down to 30.
        scale: largest magnification of a window of the image; labels and camera follow.
        rotation: the camera rolls by up to so many degrees, either way; labels and camera follow.
        cutmix: probability that a window of the image, or all but a window, shows the next image of the same
            source in the batch; labels stay where the row's own image does, see `device_cut`. It is the one
            variation for which it matters how a batch is spread over processes.

    Raises:
        ConfigError: an option is out of its range.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    scale: float = 1.0
    rotation: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for option in fields(self):
            low, high = LIMITS.get(option.name, (0.0, 1.0))
            value = getattr(self, option.name)
            if not low <= value <= high:
                reason = f"must be in [{low:g}, {high:g}], got {value}"
                raise ConfigError(reason, field=f"device_augment.{option.name}")


OFF = DeviceAugmentOptions()
NAMES = tuple(option.name for option in fields(OFF))


class DeviceAugment:
    """Vary a batch; what happens to a row depends on its draw and its source alone.

    Only what is pasted into a row is up to its neighbours, and those are up to the plan of the mixture: so it
    is the same with any number of workers, and after resuming.

    Args:
        options: of each source, in the order of `Batch.source`.
    """

    def __init__(self, options: Sequence[DeviceAugmentOptions]) -> None:
        self.options = tuple(options)
        self._table = torch.tensor([[getattr(one, name) for name in NAMES] for one in self.options])
        most = {name: max(getattr(one, name) for one in self.options) for name in NAMES}
        self._turns = most["scale"] > 1 or most["rotation"] > 0
        self._colours = any(most[name] for name in ("brightness", "contrast", "saturation", "hue", "gamma"))
        self._radius, self._noisy = math.ceil(2 * most["blur"]), most["noise"] > 0
        self._pressed = most["jpeg"] > 0
        self._cuts = most["cutmix"] > 0

    def __call__(self, batch: Batch) -> Batch:
        """Return the varied batch, with float images."""
        pictures = self._colours or self._radius or self._noisy or self._pressed
        if not (pictures or self._turns or self._cuts):
            return batch
        device = batch.image.device
        if self._table.device != device:
            self._table = self._table.to(device)
        strength = dict(zip(NAMES, self._table.index_select(0, batch.source).unbind(1), strict=True))
        draws = torch.tensor(batch.draws or (0,) * len(batch), device=device)
        image = batch.image_float
        grey = grey_level(image)  # of the whole image, in whole numbers
        batch = replace(batch, image=image)
        if self._turns:
            batch = self._turned(batch, draws, strength)
        batch = replace(batch, image=self._varied(batch.image, grey, draws, strength))
        return _cut(batch, draws, strength["cutmix"]) if self._cuts else batch

    def _turned(self, batch: Batch, draws: Int[Tensor, " b"], strength: dict[str, Tensor]) -> Batch:
        unit = [uniform(draws, stream) for stream in range(4)]
        turn = Turn.of(
            batch,
            angle=torch.deg2rad(strength["rotation"] * (2 * unit[0] - 1)),
            zoom=torch.exp(torch.log(strength["scale"].double()) * unit[1]),
            across=unit[2],
            down=unit[3],
        )
        return turned(batch, turn, (strength["scale"] > 1) | (strength["rotation"] > 0))

    def _varied(
        self,
        image: Float[Tensor, "b 3 h w"],
        grey: Float[Tensor, " b"],
        draws: Int[Tensor, " b"],
        strength: dict[str, Tensor],
    ) -> Float[Tensor, "b 3 h w"]:
        def around(stream: int, name: str) -> Float[Tensor, " b"]:
            return strength[name] * (2 * uniform(draws, stream) - 1)

        if self._colours:
            power = torch.log1p(strength["gamma"].double())
            image = recolour(
                image,
                grey,
                brightness=1 + around(4, "brightness"),
                contrast=1 + around(5, "contrast"),
                saturation=1 + around(6, "saturation"),
                hue=around(7, "hue"),
                gamma=torch.exp(power * (2 * uniform(draws, 8) - 1)).float(),
            )
        if self._radius:
            image = blur(image, strength["blur"] * uniform(draws, 9), self._radius)
        if self._noisy:
            counter = torch.arange(image[0].numel(), device=image.device).view(image.shape[1:])
            bits = mix(mix(draws + 11)[:, None, None, None] + counter)
            image = add_noise(image, bits, strength["noise"] * uniform(draws, 10))
        if self._pressed:  # last of what cameras and files do
            image = compressed(image, 100 - 100 * strength["jpeg"] * uniform(draws, 18))
        return image


def _cut(batch: Batch, draws: Int[Tensor, " b"], probability: Float[Tensor, " b"]) -> Batch:
    chance, tall, wide, down, across, side = (uniform(draws, stream) for stream in range(12, 18))
    height, width = batch.image.shape[-2:]
    own = window((height, width), tall=tall, wide=wide, down=down, across=across)
    return cut(batch, own ^ (side < 0.5)[:, None, None, None], chance < probability)


def uniform(draws: Int[Tensor, " b"], stream: int) -> Float[Tensor, " b"]:
    """Return one number in [0, 1) for each draw, another one in each stream."""
    return (mix(mix(draws) + stream) >> 8).float() * 2.0**-24


def mix(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Hash whole numbers to 32 bits."""
    # The two-round hash of the hash-prospector search (public domain); products stay below 2^63.
    x = x & 0xFFFFFFFF
    x = (x ^ x >> 16) * 0x21F0AAAD & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x735A2D97 & 0xFFFFFFFF
    return x ^ x >> 15
