"""A source of known views whose faults are chosen, one at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.stereo import StereoViews
from tests.data.known import BOX, Known, known_view, right_view

METRES = SourceCard("rgb-d", Quality.HIGH, LabelKind.METRIC_DEPTH, "m", "dense", "", "CC0-1.0", "nobody")
INVERSE = SourceCard(
    "web stereo", Quality.LOW, LabelKind.AFFINE_DISPARITY, "1/m", "dense", "", "CC0-1.0", "nobody"
)
Change = Callable[[Sample], Sample]


class Views(Source):
    """Known views, each as wrong as `change` makes it."""

    def __init__(
        self,
        root: Path,
        *,
        name: str = "views",
        count: int = 6,
        first: int = 0,
        card: SourceCard = METRES,
        change: Change = lambda sample: sample,
        broken: Sequence[int] = (),
        disparity_scale: float | None = None,
    ) -> None:
        super().__init__(root, name=name)
        self.card, self.change, self.broken, self.disparity_scale = card, change, broken, disparity_scale
        self._seeds = {f"{number:03d}": number for number in range(first, first + count)}

    def keys(self) -> Sequence[str]:
        return list(self._seeds)

    def files(self, key: str) -> Sequence[Path]:
        return [self.root / key]

    def read(self, key: str) -> Sample:
        if self._seeds[key] in self.broken:
            raise BadSource("is broken on purpose", file=self.root / key)
        view = shaded_view(self._seeds[key])
        # No surface of the world faces the camera exactly, and no sensor is free of noise.
        random = np.random.default_rng(self._seeds[key])
        tilt = 1 + 0.1 * np.linspace(-1, 1, view.depth.shape[1])
        depth = view.depth * tilt * (1 + 0.001 * random.standard_normal(view.depth.shape))
        target = depth if self.card.kind is LabelKind.METRIC_DEPTH else 1 / depth
        return self.change(
            self.sample(
                key,
                image=view.image,
                target=np.where(view.sky, 1, target).astype(np.float32),
                valid=~view.sky,
                sky=view.sky,
                planes=view.planes,
                intrinsics=view.intrinsics,
            )
        )

    def views(self, key: str) -> StereoViews | None:
        if self.disparity_scale is None:
            return None
        view = known_view(self._seeds[key], size=(96, 128), has_sky=False)
        disparity = view.disparity(0.4).astype(np.float32)
        valid = np.ones(disparity.shape, np.bool_)
        return StereoViews(view.image, right_view(view, 0.4), disparity * self.disparity_scale, valid)


def shaded_view(seed: int) -> Known:
    """A view whose surfaces differ in brightness, so that its image has edges where the label steps."""
    view = known_view(seed, size=(96, 128))
    brightness = np.array([230, 150, 90, 20])[view.planes][..., None]
    noise = np.random.default_rng(seed).integers(-12, 13, view.image.shape)
    # Ground gets brighter to the side, so that no two pictures have one fingerprint.
    stripes = 25 * np.sin(np.arange(view.image.shape[1]) / (2.0 + 0.37 * seed))[None, :, None]
    image = np.clip(brightness + noise + stripes, 0, 255).astype(np.uint8)
    assert (view.planes == BOX).any()
    return Known(cv2.GaussianBlur(image, (3, 3), 0.6), view.depth, view.planes, view.intrinsics)


class WithFiles(Views):
    """Views that have a raw file each, as preparing asks for."""

    def files(self, key: str) -> Sequence[Path]:
        file = self.root / key
        file.write_text(key)
        return [file]
