"""SceneFlow (FlyingThings3D, Driving, Monkaa): rendered pairs with exact disparities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_pfm
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import StereoViews

__all__ = ["SceneFlow"]


class SceneFlow(Source):
    """Read left pictures with depth in units of the stereo baseline.

    Layout: `<root>/{frames_cleanpass, disparity}/**/left/<frame>.png|webp, .pfm`, as the archives of each of
    the three data sets unpack; give the folder of one of them.

    Convention: f = 1050 px (450 px below a folder named 15mm_focallength), principal point (479.5, 269.5),
    both for 960 x 540. The baseline is 1 unit of a renderer that knows no metres, so depth = f / disparity is
    scaled depth. Disparities of the left view are positive; 0, negative and infinite ones are not valid.

    Args:
        root: folder of one data set.
        name: name of the source in the mix.
        frames: "frames_cleanpass" or "frames_finalpass".
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.SCALED_DEPTH,
        unit="stereo baselines",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Mayer, Ilg, Haeusser, Fischer, Cremers, Dosovitskiy, Brox: A Large Dataset to Train "
        "Convolutional "
        "Networks for Disparity, Optical Flow, and Scene Flow Estimation, CVPR 2016",
        size="FlyingThings3D 21 818 train + 4 248 test pairs, Driving 4 392, Monkaa 8 591",
        read_on_real_files=True,
    )
    layout = "{frames_cleanpass,disparity}/**/left/<frame>.{png,pfm}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "scene_flow",
        frames: Literal["frames_cleanpass", "frames_finalpass"] = "frames_cleanpass",
    ) -> None:
        super().__init__(root, name=name)
        if frames not in ("frames_cleanpass", "frames_finalpass"):
            raise ValueError(f"`frames` must be 'frames_cleanpass' or 'frames_finalpass', got {frames!r}")
        self.frames = frames

    def keys(self) -> Sequence[str]:
        """List the left disparities, as their path without the folder and the suffix."""
        found = files_below(self.root, "disparity/**/left/*.pfm", expected=self.layout)
        return [file.removeprefix("disparity/").removesuffix(".pfm") for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List picture and disparity."""
        image = self.root / self.frames / f"{key}.png"
        small = image.with_suffix(".webp")
        return [small if small.exists() else image, self.root / "disparity" / f"{key}.pfm"]

    def read(self, key: str) -> Sample:
        """Read one picture."""
        image_file, label_file = self.files(key)
        image, disparity = read_image(image_file), read_pfm(label_file)
        check_size(disparity, label_file, image, image_file)
        height, width = disparity.shape
        focal = 450.0 if "15mm_focallength" in Path(key).parts else 1050.0
        camera = Intrinsics(focal, focal, 479.5, 269.5).resized(width / 960, height / 540)
        # Beyond a ten-thousandth of a pixel lies what the renderer had for infinity.
        valid = np.isfinite(disparity) & (disparity > 1e-4)
        depth = np.where(valid, camera.fx / np.where(valid, disparity, 1), 0).astype(np.float32)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right ones were unpacked."""
        image_file, label_file = self.files(key)
        right_file = image_file.parents[1] / "right" / image_file.name
        if not right_file.exists():
            return None
        disparity = read_pfm(label_file)
        return StereoViews(read_image(image_file), read_image(right_file), disparity, np.isfinite(disparity))
