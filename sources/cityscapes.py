"""Cityscapes: street pairs with disparities of a semi-global matcher, cameras, and names for every pixel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image, read_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import NOISE, StereoCalibration, StereoViews, check_sigma, depth_of_disparity
from depthmix.sources.tables import MISFIT, read_json

__all__ = ["Cityscapes"]

# Numbers of Cityscapes' own labelIds; they are part of its format, unlike those of derived data sets.
_SKY, _CAR_AND_BORDERS = 23, (1, 2, 3)


class Cityscapes(Source):
    """Read left pictures with the depth of their disparity maps.

    Layout: `<root>/{leftImg8bit, disparity, camera[, gtFine][, rightImg8bit]}/<split>/<city>/<frame>_*`, as
    the archives leftImg8bit_trainvaltest, disparity_trainvaltest and camera_trainvaltest unpack.

    Convention: p = 0 is invalid, else d = (p - 1) / 256 pixels; d = 0 lies at infinity and is not valid. The
    baseline is in metres. Where `gtFine` was unpacked, its sky becomes the sky, and the own car and the
    borders of rectification are not valid; the train_extra split has none, and its sky is only what the
    matcher left out.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: "train", "val", "test" or "train_extra".
        sigma_disparity_px: one standard deviation of a disparity; semi-global matching errs by half a pixel.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise=NOISE,
        licence="Cityscapes terms: non-commercial, research and teaching",
        citation="Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016",
        size="2 975 train, 500 val, 1 525 test, 19 998 train_extra",
    )
    layout = "{leftImg8bit,disparity,camera}/<split>/<city>/<frame>_*"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "cityscapes",
        split: str = "train",
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        self.split, self.sigma_disparity_px = split, check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List `<city>/<frame>` of all disparity maps of the split."""
        start = f"disparity/{self.split}/"
        found = files_below(self.root, f"{start}*/*_disparity.png", expected=self.layout)
        return [file.removeprefix(start).removesuffix("_disparity.png") for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera, label map where it is there, and disparity."""
        names = self._file(key, "gtFine", "_gtFine_labelIds.png")
        return [
            self._file(key, "leftImg8bit", "_leftImg8bit.png"),
            self._file(key, "camera", "_camera.json"),
            *([names] if names.exists() else []),
            self._file(key, "disparity", "_disparity.png"),
        ]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, camera_file, *names_files, disparity_file = self.files(key)
        image, code = read_image(image_file), read_png16(disparity_file)
        check_size(code, disparity_file, image, image_file)
        calibration = _calibration(camera_file, image.shape[1], image.shape[0])
        disparity = np.where(code > 0, (code.astype(np.float32) - 1) / 256, np.nan).astype(np.float32)
        depth, sigma, valid = depth_of_disparity(disparity, calibration, self.sigma_disparity_px)
        sky = np.zeros(valid.shape, np.bool_)
        for file in names_files:
            names = read_grey8(file)
            check_size(names, file, image, image_file)
            sky = names == _SKY
            valid = valid & ~sky & ~np.isin(names, _CAR_AND_BORDERS)
        return self.sample(
            key,
            image=image,
            target=depth,
            valid=valid,
            sky=sky,
            sigma=sigma,
            intrinsics=calibration.intrinsics,
        )

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right ones were unpacked."""
        right_file = self._file(key, "rightImg8bit", "_rightImg8bit.png")
        if not right_file.exists():
            return None
        left, code = read_image(self.files(key)[0]), read_png16(self.files(key)[-1])
        disparity = (np.maximum(code, 1).astype(np.float32) - 1) / 256
        return StereoViews(left, read_image(right_file), disparity, code > 0)

    def _file(self, key: str, folder: str, end: str) -> Path:
        return self.root / folder / self.split / f"{key}{end}"


def _calibration(file: Path, width: int, height: int) -> StereoCalibration:
    content: Any = read_json(file)
    try:
        inner, baseline = content["intrinsic"], float(content["extrinsic"]["baseline"])
        camera = Intrinsics(*(float(inner[name]) for name in ("fx", "fy", "u0", "v0")))
    except MISFIT as error:
        raise BadSource(f"is no camera of Cityscapes ({error!r})", file=file) from error
    if not 0 < baseline < 10:
        raise BadSource(f"must be metres, got {baseline:g}", file=file, field="extrinsic.baseline")
    return StereoCalibration(camera, baseline, 0.0, width, height)
