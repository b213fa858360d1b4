"""Booster: pairs of glass, mirrors and metal, painted for measuring, so that even those have a depth."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import Fields, pinhole
from depthmix.sources.decode import read_grey8, read_image, read_npy
from depthmix.sources.encoding import measured
from depthmix.sources.files import read_bytes, refusing
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import NOISE, StereoCalibration, check_sigma, depth_of_disparity

__all__ = ["Booster"]


class Booster(Source):
    """Read every illumination of the left camera with the one disparity of its scene.

    Layout: `<root>/<part>/<scene>/{camera_00/im*.png, disp_00.npy, mask_00.png, calib_00-02.xml}`.

    Convention: disparities in pixels of the left picture, 0 = none. `mask_00` is 255 where the right camera
    sees the point, too. The XML of OpenCV holds the rectified cameras (proj_matL, proj_matR) and the baseline
    (baselineLR) in millimetres.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        part: folder of the scenes.
        occluded: whether pixels that the right camera does not see are valid.
        baseline_per_metre: units of baselineLR in one metre.
        sigma_disparity_px: one standard deviation of a disparity; pictures have 12 million pixels.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise=NOISE,
        licence="CC BY-NC-SA 4.0, as commonly stated; not confirmed at its publisher",
        citation="Zama Ramirez, Tosi, Poggi, Salti, Mattoccia, Di Stefano: Open Challenges in Deep Stereo: "
        "the Booster "
        "Dataset, CVPR 2022",
        size="228 train + 191 test pictures of 64 scenes",
    )
    layout = "<part>/<scene>/{camera_00/*.png, disp_00.npy, mask_00.png, calib_00-02.xml}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "booster",
        part: str = "train/balanced",
        occluded: bool = True,
        baseline_per_metre: float = 1000.0,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < baseline_per_metre < np.inf:
            raise ValueError(f"`baseline_per_metre` must be positive and finite, got {baseline_per_metre}")
        self.part, self.occluded, self.baseline_per_metre = part, occluded, baseline_per_metre
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List `<scene>/<picture>`."""
        found = files_below(self.root, f"{self.part}/*/camera_00/*.png", expected=self.layout)
        return sorted(f"{Path(file).parts[-3]}/{Path(file).stem}" for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, mask where it is read, calibration and disparity."""
        if key.count("/") != 1:
            raise self.unknown(key)
        scene, picture = key.split("/")
        folder = self.root / self.part / scene
        mask = [] if self.occluded else [folder / "mask_00.png"]
        return [
            folder / "camera_00" / f"{picture}.png",
            *mask,
            folder / "calib_00-02.xml",
            folder / "disp_00.npy",
        ]

    def read(self, key: str) -> Sample:
        """Read one picture."""
        image_file, *mask_files, calibration_file, label_file = self.files(key)
        image, values = read_image(image_file), read_npy(label_file)
        check_size(values, label_file, image, image_file)
        disparity, valid = measured(values)
        for file in mask_files:
            mask = read_grey8(file)
            check_size(mask, file, image, image_file)
            valid = valid & (mask == 255)
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

    def _calibration(self, file: Path, image: np.ndarray) -> StereoCalibration:
        fields = _read_opencv_xml(file)
        left, right = (fields.numbers(name, 12).reshape(3, 4) for name in ("proj_matL", "proj_matR"))
        camera = pinhole(fields, "proj_matL", left[:, :3])
        baseline = abs(fields.number("baselineLR")) / self.baseline_per_metre
        if not 0.001 < baseline < 10:
            raise fields.fail("baselineLR", f"gives {baseline:g} m: is `baseline_per_metre` right?")
        height, width = image.shape[:2]
        return StereoCalibration(camera, baseline, float(right[0, 2] - left[0, 2]), width, height)


def _read_opencv_xml(file: Path) -> Fields:
    """Read numbers and matrices of OpenCV's XML by their names."""
    data = read_bytes(file, max_bytes=1_000_000)
    # No part of this format needs declarations, and those can make a small file swell without end.
    if re.search(rb"<!(DOCTYPE|ENTITY)", data):
        raise BadSource("holds declarations, which OpenCV never writes", file=file)
    with refusing(file):
        nodes = list(ElementTree.fromstring(data))
    return Fields(file, {node.tag: (node.findtext("data") or node.text or "").strip() for node in nodes})
