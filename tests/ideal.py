"""A wall whose paint tells metres from left to right, and a network that reads its distance off it."""

import numpy as np
from torch import Tensor, nn

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

PAINT = 0.12  # brightness a metre
DISTANCE = 3.0  # of the wall, in metres


def centred(focal: float, size: tuple[int, int]) -> Intrinsics:
    return Intrinsics(focal, focal, (size[1] - 1) / 2, (size[0] - 1) / 2)


def wall(focal: float, size: tuple[int, int], distance: float = DISTANCE) -> np.ndarray:
    """A photo of the wall, taken face on: brightness = 1/2 + PAINT X, dithered to eight bits."""
    across = (np.arange(size[1]) - (size[1] - 1) / 2) / focal * distance
    shades = 255 * (0.5 + PAINT * across)
    assert 0 < shades.min() < shades.max() < 255
    return np.floor(shades[:, None] + np.random.default_rng(0).random((*size, 3))).astype(np.uint8)


def wall_sample(focal: float, size: tuple[int, int], distance: float = DISTANCE) -> Sample:
    full = np.ones(size, np.bool_)
    return Sample(
        image=wall(focal, size, distance),
        target=np.full(size, distance, np.float32),
        valid=full,
        sky=~full,
        planes=full.astype(np.int32),
        sigma=None,
        intrinsics=centred(focal, size),
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        source="made",
        key="0",
    )


class Ideal(nn.Module):
    """Return log(z f_c / f) of the wall without knowing f: PAINT of brightness is a metre is f / z pixels."""

    outputs = 1

    def __init__(self, focal_canonical: float) -> None:
        super().__init__()
        self.focal_canonical = focal_canonical
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.sizes.append(tuple(image.shape[-2:]))
        left, right = image[..., : image.shape[-1] // 2], image[..., -(image.shape[-1] // 2) :]
        apart = image.shape[-1] - left.shape[-1]
        slope = (right.mean((1, 2, 3)) - left.mean((1, 2, 3))).abs() / apart  # brightness a pixel
        log_canonical = (slope * self.focal_canonical / PAINT).log()
        return log_canonical[:, None, None, None].expand(-1, 1, *image.shape[-2:])
