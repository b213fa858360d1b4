"""DrivingStereo: street pairs with disparities of a network that were filtered by laser scans."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import read_fields
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import NOISE, StereoViews, check_sigma, depth_of_disparity, pair_calibration

__all__ = ["DrivingStereo"]

_PER_PIXEL = {"half": 256, "full": 128}


class DrivingStereo(Source):
    """Read left pictures with the depth of their disparity maps.

    Layout: `<root>/{left, disparity}/**/<sequence>_<time>.jpg|png` and `<root>/calib/**/<size>-image-calib/
    <sequence>.txt`, where `left`, `right`, `disparity` and `calib` name the folders into which the archives
    were unpacked; sub-folders by date or size are followed. A frame's sequence is the part of its name before
    "_".

    Convention: 16-bit PNG, 0 = none; disparities of half size / 256, of full size / 128. The baseline is the
    length of T_103: the fourth column of P_rect_103 of the half-size files still belongs to the full size.

    Args:
        root: folder that holds the four folders.
        name: name of the source in the mix.
        size: "half" (881 x 400) or "full" (1762 x 800).
        left: folder of the left pictures.
        right: folder of the right pictures, only for checks.
        disparity: folder of the disparity maps.
        calib: folder of the calibrations.
        sigma_disparity_px: one standard deviation of a disparity.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise=NOISE,
        licence="MIT for the site's code; terms of the data not found at the publisher",
        citation="Yang, Song, Huang, Deng, Shi, Zhou: DrivingStereo: A Large-Scale Dataset for Stereo "
        "Matching in Autonomous Driving Scenarios, CVPR 2019",
        size="174 437 train + 7 751 test pairs",
    )
    layout = "left/**/<sequence>_<time>.jpg, disparity/**/*.png, calib/**/<size>-image-calib/<sequence>.txt"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "driving_stereo",
        size: Literal["half", "full"] = "half",
        left: str = "train-left-image",
        right: str = "train-right-image",
        disparity: str = "train-disparity-map",
        calib: str = "calib",
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        if size not in _PER_PIXEL:
            raise ValueError(f"`size` must be 'half' or 'full', got {size!r}")
        self.size, self.left, self.right = size, left, right
        self.disparity, self.calib = disparity, calib
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List the frames that have a disparity map, with their sub-folders."""
        found = files_below(self.root, f"{self.disparity}/**/*.png", expected=self.layout)
        return [file.removeprefix(f"{self.disparity}/").removesuffix(".png") for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List picture, calibration and disparity."""
        sequence = Path(key).name.split("_")[0]
        calibration = self.root / self.calib / f"{self.size}-image-calib" / f"{sequence}.txt"
        # Training pictures are JPG; some releases of the test set have PNG.
        image = self.root / self.left / f"{key}.jpg"
        drawn = image.with_suffix(".png")
        return [
            drawn if drawn.exists() else image,
            calibration,
            self.root / self.disparity / f"{key}.png",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, calibration_file, disparity_file = self.files(key)
        image = read_image(image_file)
        disparity, valid = read_depth_png16(disparity_file, per_metre=_PER_PIXEL[self.size])
        check_size(disparity, disparity_file, image, image_file)
        fields = read_fields(calibration_file, ":")
        baseline = float(np.linalg.norm(fields.numbers("T_103", 3)))
        if not 0 < baseline < 10:
            raise BadSource(
                f"must be metres, got a length of {baseline:g}", file=calibration_file, field="T_103"
            )
        height, width = image.shape[:2]
        calibration = pair_calibration(
            fields, "P_rect_101", "P_rect_103", width=width, height=height, baseline_m=baseline
        )
        depth, sigma, positive = depth_of_disparity(disparity, calibration, self.sigma_disparity_px)
        return self.sample(
            key,
            image=image,
            target=depth,
            valid=valid & positive,
            sigma=sigma,
            intrinsics=calibration.intrinsics,
        )

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right ones were unpacked."""
        left_file, _, disparity_file = self.files(key)
        right_file = self.root / self.right / f"{key}{left_file.suffix}"
        if not right_file.exists():
            return None
        disparity, valid = read_depth_png16(disparity_file, per_metre=_PER_PIXEL[self.size])
        return StereoViews(read_image(left_file), read_image(right_file), disparity, valid)
