"""Argoverse 1 stereo: rectified street pairs with disparities from gathered laser scans."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import NOISE, StereoCalibration, StereoViews, check_sigma, depth_of_disparity
from depthmix.sources.tables import MISFIT, read_json

__all__ = ["ArgoverseStereo"]

_LEFT, _RIGHT = "stereo_front_left_rect", "stereo_front_right_rect"


class ArgoverseStereo(Source):
    """Read left pictures with the depth of their disparity maps.

    Layout: `<root>/rectified_stereo_images_v1.1/<split>/<log>/{stereo_front_left_rect/*.jpg,
    vehicle_calibration_stereo_info.json}` and `<root>/disparity_maps_v1.1/<split>/<log>/
    stereo_front_left_rect_disparity/*.png`; names hold the time of capture, of which pictures and maps share
    the last part.

    Convention: 16-bit PNG / 256 pixels, 0 = none. The baseline is the distance of the two cameras' places on
    the vehicle as the calibration states them, or `baseline_m`.

    Args:
        root: folder that holds both.
        name: name of the source in the mix.
        split: "train" or "val"; the test labels are kept by the publisher.
        baseline_m: baseline in place of the calibration's, 0 takes the calibration's.
        sigma_disparity_px: one standard deviation of a disparity.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise=NOISE,
        licence="CC BY-NC-SA 4.0",
        citation="Chang et al.: Argoverse: 3D Tracking and Forecasting with Rich Maps, CVPR 2019",
        size="6 624 pairs in 74 logs (train, val, test)",
    )
    layout = "rectified_stereo_images_v1.1/<split>/<log>/..., disparity_maps_v1.1/<split>/<log>/..."

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "argoverse_stereo",
        split: str = "train",
        baseline_m: float = 0.0,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        if not 0 <= baseline_m < 10:
            raise ValueError(f"`baseline_m` must lie in [0, 10), got {baseline_m}")
        self.split, self.baseline_m = split, baseline_m
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List `<log>/<time>` of all disparity maps of the split."""
        pattern = f"disparity_maps_v1.1/{self.split}/*/{_LEFT}_disparity/*.png"
        parts = [file.split("/") for file in files_below(self.root, pattern, expected=self.layout)]
        return sorted(f"{part[2]}/{Path(part[4]).stem.rsplit('_', 1)[-1]}" for part in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, calibration and disparity."""
        if key.count("/") != 1:
            raise self.unknown(key)
        log, time = key.split("/")
        pictures = self.root / "rectified_stereo_images_v1.1" / self.split / log
        maps = self.root / "disparity_maps_v1.1" / self.split / log / f"{_LEFT}_disparity"
        return [
            pictures / _LEFT / f"{_LEFT}_{time}.jpg",
            pictures / "vehicle_calibration_stereo_info.json",
            maps / f"disparity_{time}.png",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, calibration_file, disparity_file = self.files(key)
        image = read_image(image_file)
        disparity, valid = read_depth_png16(disparity_file, per_metre=256)
        check_size(disparity, disparity_file, image, image_file)
        calibration = self._calibration(calibration_file, image)
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
        right_file = left_file.parents[1] / _RIGHT / left_file.name.replace(_LEFT, _RIGHT)
        if not right_file.exists():
            return None
        disparity, valid = read_depth_png16(disparity_file, per_metre=256)
        return StereoViews(read_image(left_file), read_image(right_file), disparity, valid)

    def _calibration(self, file: Path, image: np.ndarray) -> StereoCalibration:
        content: Any = read_json(file)
        try:
            values = {name: _camera(content, name) for name in (_LEFT, _RIGHT)}
            numbers = ("focal_length_x_px_", "focal_length_y_px_", "focal_center_x_px_", "focal_center_y_px_")
            left, right = (
                Intrinsics(*(float(values[name][number]) for number in numbers)) for name in (_LEFT, _RIGHT)
            )
            places = [
                np.array(values[name]["vehicle_SE3_camera_"]["translation"], float).reshape(3)
                for name in (_LEFT, _RIGHT)
            ]
        except MISFIT as error:
            raise BadSource(f"is no stereo calibration of Argoverse ({error!r})", file=file) from error
        baseline = self.baseline_m or float(np.linalg.norm(places[0] - places[1]))
        if not 0.01 < baseline < 10:
            raise BadSource(f"states cameras {baseline:g} m apart", file=file, hint="state `baseline_m`")
        height, width = image.shape[:2]
        return StereoCalibration(left, baseline, right.cx - left.cx, width, height)


def _camera(content: Any, name: str) -> Any:
    for camera in content["camera_data_"]:
        if name in camera["key"]:
            return camera["value"]
    raise KeyError(name)
