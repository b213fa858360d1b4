"""KITTI stereo of 2012 and 2015: laser scans that were gathered over frames, as disparities of a pair."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import read_fields
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import (
    NOISE,
    StereoCalibration,
    StereoViews,
    check_sigma,
    depth_of_disparity,
    pair_calibration,
)

__all__ = ["KittiStereo"]

# Release -> folders of left and right picture, of the calibration, and its two matrices.
_FOLDERS = {
    2012: ("colored_0", "colored_1", "calib", "P2", "P3", "disp_{}"),
    2015: ("image_2", "image_3", "calib_cam_to_cam", "P_rect_02", "P_rect_03", "disp_{}_0"),
}


class KittiStereo(Source):
    """Read the first frame of each training pair with its disparity.

    Layout 2012: `<root>/<split>/{colored_0, colored_1, disp_occ, disp_noc}/*_10.png, calib/*.txt`; 2015:
    `<root>/<split>/{image_2, image_3, disp_occ_0, disp_noc_0}/*_10.png, calib_cam_to_cam/*.txt`. The
    calibration is an archive of its own; without it there are no metres, and `metric=False` gives what is
    left: inverse depth up to scale and shift.

    Convention: disparity is a 16-bit PNG / 256, 0 = none. `occ` holds all pixels, `noc` those that the other
    camera sees, too. The fourth column of the projection matrices gives the baseline.

    Args:
        root: folder that holds the split.
        name: name of the source in the mix.
        release: 2012 or 2015.
        split: "training"; the test labels are kept by the publisher.
        pixels: "occ" or "noc".
        metric: whether the calibration is read.
        sigma_disparity_px: one standard deviation of a disparity; the publisher counts errors from 3 px on.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise=NOISE,
        licence="CC BY-NC-SA 3.0",
        citation="Geiger, Lenz, Urtasun: Are we ready for Autonomous Driving?, CVPR 2012; Menze, Geiger: "
        "Object Scene Flow for Autonomous Vehicles, CVPR 2015",
        size="194 pairs of 2012 and 200 of 2015 with labels",
        read_on_real_files=True,
    )
    layout = "<split>/{image_2,image_3,disp_occ_0}/*_10.png with calib_cam_to_cam/*.txt, or 2012's names"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "kitti_stereo",
        release: int = 2015,
        split: str = "training",
        pixels: Literal["occ", "noc"] = "occ",
        metric: bool = True,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        if release not in _FOLDERS:
            raise ValueError(f"`release` must be 2012 or 2015, got {release}")
        if pixels not in ("occ", "noc"):
            raise ValueError(f"`pixels` must be 'occ' or 'noc', got {pixels!r}")
        self.release, self.split, self.pixels, self.metric = release, split, pixels, metric
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)
        if not metric:
            unit = "inverse depth up to scale and shift"
            kind = LabelKind.AFFINE_DISPARITY
            self.card = replace(self.card, kind=kind, quality=Quality.LOW, unit=unit, noise="")

    def keys(self) -> Sequence[str]:
        """List the frames with a label."""
        folder = f"{self.split}/{_FOLDERS[self.release][5].format(self.pixels)}"
        found = files_below(self.root, f"{folder}/*_10.png", expected=self.layout)
        return [Path(file).stem for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List the left picture, the calibration where it is read, and the disparity."""
        left, _, calibration, _, _, label = _FOLDERS[self.release]
        folder = self.root / self.split
        text = folder / calibration / f"{key.removesuffix('_10')}.txt"
        label_file = folder / label.format(self.pixels) / f"{key}.png"
        return [folder / left / f"{key}.png", *([text] if self.metric else []), label_file]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, *calibration_files, label_file = self.files(key)
        image = read_image(image_file)
        disparity, valid = read_depth_png16(label_file, per_metre=256)
        check_size(disparity, label_file, image, image_file)
        if not calibration_files:
            return self.sample(key, image=image, target=disparity, valid=valid)
        calibration = self._calibration(calibration_files[0], image)
        depth, sigma, positive = depth_of_disparity(disparity, calibration, self.sigma_disparity_px)
        camera = calibration.intrinsics
        return self.sample(
            key, image=image, target=depth, valid=valid & positive, sigma=sigma, intrinsics=camera
        )

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one was unpacked."""
        left, right = _FOLDERS[self.release][:2]
        right_file = self.root / self.split / right / f"{key}.png"
        if not right_file.exists():
            return None
        disparity, valid = read_depth_png16(self.files(key)[-1], per_metre=256)
        return StereoViews(
            read_image(self.root / self.split / left / f"{key}.png"), read_image(right_file), disparity, valid
        )

    def _calibration(self, file: Path, image: np.ndarray) -> StereoCalibration:
        first, second = _FOLDERS[self.release][3:5]
        height, width = image.shape[:2]
        return pair_calibration(read_fields(file, ":"), first, second, width=width, height=height)
