"""DIML/CVL RGB-D: Kinect rooms with filled holes, and outdoor pairs of a ZED camera with depth maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below

__all__ = ["DimlIndoor", "DimlOutdoor"]

_CITATION = (
    "Cho, Min, Kim, Sohn: DIML/CVL RGB-D Dataset: 2M RGB-D Images of Natural Indoor and Outdoor Scenes, 2021"
)


class _Diml(Source):
    """What both halves share: depth in millimetres, and a focal length only when the user states one."""

    folders: tuple[str, str, str, str]

    def __init__(
        self, root: str | Path, *, name: str, per_metre: float = 1000.0, focal_px: float = 0.0
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < per_metre < np.inf:
            raise ValueError(f"`per_metre` must be positive and finite, got {per_metre}")
        if not 0 <= focal_px < np.inf:
            raise ValueError(f"`focal_px` must be finite and not negative, got {focal_px}")
        self.per_metre, self.focal_px = per_metre, focal_px

    def keys(self) -> Sequence[str]:
        """List the depth maps as `<folders>/<frame>`."""
        _, _, folder, end = self.folders
        found = files_below(self.root, f"**/{folder}/*{end}", expected=self.layout)
        return sorted(
            file.removesuffix(end).replace(f"/{folder}/", "/").removeprefix(f"{folder}/") for file in found
        )

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth."""
        image_folder, image_end, depth_folder, depth_end = self.folders
        place, frame = (self.root / key).parent, Path(key).name
        return [place / image_folder / f"{frame}{image_end}", place / depth_folder / f"{frame}{depth_end}"]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=self.per_metre)
        check_size(depth, depth_file, image, image_file)
        middle = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
        camera = Intrinsics(self.focal_px, self.focal_px, *middle) if self.focal_px else None
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)


class DimlIndoor(_Diml):
    """Read the indoor half: `<root>/**/<scene>/{color/*_c.png, depth_filled/*_depth_filled.png}`.

    Convention: 16-bit PNG in millimetres, 0 = none. Holes of the Kinect were filled by the publisher, so the
    label is smooth where the sensor saw nothing. No camera is published with the pictures.

    Args:
        root: folder of the data set, such as that of the HR or LR test pictures.
        name: name of the source in the mix.
        per_metre: stored numbers in one metre.
        focal_px: focal length of the stored pictures, if the user knows it; 0 = no camera.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation=_CITATION,
        size="about 220 000 frames; the sample set has 1 609 train + 503 test",
    )
    layout = "<scene>/{color/*_c.png, depth_filled/*_depth_filled.png}"
    folders = ("color", "_c.png", "depth_filled", "_depth_filled.png")

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "diml_indoor",
        per_metre: float = 1000.0,
        focal_px: float = 0.0,
    ) -> None:
        super().__init__(root, name=name, per_metre=per_metre, focal_px=focal_px)


class DimlOutdoor(_Diml):
    """Read the outdoor half: `<root>/**/<scene>/{outleft/*.png, depthmap/*.png}`.

    Convention: 16-bit PNG in millimetres, 0 = none: depth of a stereo camera, with an error that grows with
    its square; focal length and baseline are not published with the pictures, so no sigma is given.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        per_metre: stored numbers in one metre.
        focal_px: focal length of the stored pictures, if the user knows it; 0 = no camera.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation=_CITATION,
        size="about 1.8 million frames; the sample set has 1 505 train + 500 test",
    )
    layout = "<scene>/{outleft,depthmap}/*.png"
    folders = ("outleft", ".png", "depthmap", ".png")

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "diml_outdoor",
        per_metre: float = 1000.0,
        focal_px: float = 0.0,
    ) -> None:
        super().__init__(root, name=name, per_metre=per_metre, focal_px=focal_px)
