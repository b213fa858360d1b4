"""Middlebury stereo, layout of 2014: disparities of a calibrated pair become metres with a known spread."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from zipfile import ZipFile

import numpy as np
from jaxtyping import Bool, Float32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import pinhole, read_fields
from depthmix.sources.decode import read_image, read_pfm
from depthmix.sources.files import MAX_PIXELS, file_size, refusing
from depthmix.sources.layout import visible

__all__ = [
    "MiddleburyStereo",
    "MotorcycleStereo",
    "StereoCalibration",
    "depth_of_disparity",
    "read_calibration",
]


@dataclass(frozen=True, slots=True)
class StereoCalibration:
    """Describe a rectified stereo pair.

    Args:
        intrinsics: the left camera.
        baseline_m: distance of the two cameras in metres.
        doffs_px: difference of the two principal points, added to every disparity.
        width: columns of the image that the numbers belong to.
        height: rows of that image.
    """

    intrinsics: Intrinsics
    baseline_m: float
    doffs_px: float
    width: int
    height: int


class MiddleburyStereo(Source):
    """Read `<root>/<scene>/{im0.png, disp0.pfm, calib.txt}` as metric depth of the left view.

    Args:
        root: folder of the scene folders.
        name: name of the source in the mix.
        sigma_disparity_px: one standard deviation of a disparity. The default is for matcher-made maps:
            against Middlebury's own truth a semi-global matcher errs by 0.2 to 0.4 px in the median, and a
            standard deviation is 1.48 medians. Structured light is better: the default is on the safe side.

    Raises:
        BadSource: no such folder.
        ValueError: `sigma_disparity_px` is not positive and finite.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="sigma_z = z^2 * sigma_disparity / (f * baseline)",
        licence="free for research with citation, no licence named by the publisher",
        citation="Scharstein, Hirschmueller, Kitajima, Krathwohl, Nesic, Wang, Westling: "
        "High-resolution stereo datasets with subpixel-accurate ground truth, GCPR 2014",
    )
    layout: ClassVar[str] = "<scene>/{im0.png, disp0.pfm, calib.txt}"

    def __init__(
        self, root: str | Path, *, name: str = "middlebury", sigma_disparity_px: float = 0.5
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < sigma_disparity_px < np.inf:
            raise ValueError(f"`sigma_disparity_px` must be positive and finite, got {sigma_disparity_px}")
        self.sigma_disparity_px = sigma_disparity_px

    def keys(self) -> Sequence[str]:
        """List the scene folders: those with at least one of the three files, so that a gap is noticed.

        Raises:
            BadSource: there is none.
        """
        wanted = ("im0.png", "calib.txt", "disp0.pfm")
        scenes = [path.name for path in visible(self.root) if any((path / file).exists() for file in wanted)]
        if not scenes:
            raise BadSource("no scene in this folder", file=self.root, hint=f"expected {self.layout}")
        return scenes

    def files(self, key: str) -> Sequence[Path]:
        """List image, calibration and disparity of a scene."""
        return [self.root / key / file for file in ("im0.png", "calib.txt", "disp0.pfm")]

    def read(self, key: str) -> Sample:
        """Read one scene; pixels without a positive finite disparity are not valid.

        Raises:
            BadSource: a file is missing, damaged, or the sizes disagree.
            BadSample: no pixel has a depth.
        """
        image_file, calibration_file, disparity_file = self.files(key)
        calibration = read_calibration(calibration_file)
        image = read_image(image_file)
        disparity = read_pfm(disparity_file)
        stated = (calibration.height, calibration.width)
        for file, size in ((image_file, image.shape[:2]), (disparity_file, disparity.shape)):
            if size != stated:
                reason = f"{size[1]} x {size[0]} pixels, calib.txt states {stated[1]} x {stated[0]}"
                raise BadSource(reason, file=file, hint="image, disparity and calib.txt must be of one size")
        return self._sample(key, image, disparity, calibration)

    def _sample(
        self,
        key: str,
        image: np.ndarray,
        disparity: Float32[np.ndarray, "h w"],
        calibration: StereoCalibration,
    ) -> Sample:
        depth, sigma, valid = depth_of_disparity(disparity, calibration, self.sigma_disparity_px)
        return self.sample(
            key, image=image, target=depth, valid=valid, sigma=sigma, intrinsics=calibration.intrinsics
        )


class MotorcycleStereo(MiddleburyStereo):
    """Read the scene Motorcycle (a quarter of the published size) that scikit-image installs.

    Args:
        root: folder with the three files; by default that of the installed scikit-image.
        name: name of the source in the mix.
        sigma_disparity_px: as in `MiddleburyStereo`.

    Raises:
        BadSource: scikit-image is not installed, or brings no such files.
    """

    layout: ClassVar[str] = "motorcycle_left.png and motorcycle_disp.npz, as scikit-image installs them"
    calibration: ClassVar[StereoCalibration] = StereoCalibration(
        Intrinsics(994.978, 994.978, 311.193, 254.877), 0.193001, 31.086, 741, 500
    )

    def __init__(
        self, root: str | Path | None = None, *, name: str = "motorcycle", sigma_disparity_px: float = 0.5
    ) -> None:
        super().__init__(root or _skimage_data(), name=name, sigma_disparity_px=sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List the one scene.

        Raises:
            BadSource: none of its files is in the folder.
        """
        if not any(file.exists() for file in self.files("motorcycle")):
            raise BadSource("no Motorcycle in this folder", file=self.root, hint=f"expected {self.layout}")
        return ["motorcycle"]

    def files(self, key: str) -> Sequence[Path]:
        """List the left image and the disparity."""
        return [self.root / f"{key}_left.png", self.root / f"{key}_disp.npz"]

    def read(self, key: str) -> Sample:
        """Read the scene.

        Raises:
            BadSource: a file is missing, damaged, or of another size than the calibration.
        """
        image_file, disparity_file = self.files(key)
        image, disparity = read_image(image_file), _read_npz(disparity_file)
        size = (self.calibration.height, self.calibration.width)
        if image.shape[:2] != size or disparity.shape != size:
            reason = f"image {image.shape[:2]} and disparity {disparity.shape} must both be {size}"
            raise BadSource(
                reason, file=disparity_file, hint="the calibration belongs to scikit-image's files"
            )
        return self._sample(key, image, disparity, self.calibration)


def read_calibration(file: Path) -> StereoCalibration:
    """Read a `calib.txt` of 2014; `baseline` is in millimetres there.

    Raises:
        BadSource: no such file, or a field is missing, doubled, no number, not finite, or makes no sense.
    """
    fields = read_fields(file, "=")
    sizes = {name: fields.positive(name) for name in ("width", "height")}
    for name, size in sizes.items():
        if size != int(size):
            raise fields.fail(name, f"must be a whole number, got {size:g}")
    return StereoCalibration(
        intrinsics=pinhole(fields, "cam0", fields.numbers("cam0", 9).reshape(3, 3)),
        baseline_m=fields.positive("baseline") / 1000,
        doffs_px=fields.number("doffs"),
        width=int(sizes["width"]),
        height=int(sizes["height"]),
    )


def depth_of_disparity(
    disparity: Float32[np.ndarray, "h w"], calibration: StereoCalibration, sigma_disparity_px: float
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Turn disparities into z, its standard deviation and validity.

    Args:
        disparity: pixels; inf or NaN where nothing was measured.
        calibration: the rectified pair.
        sigma_disparity_px: one standard deviation of a disparity.

    Returns:
        z in metres, sigma_z in metres, and where both may be read; 0 elsewhere.

    Convention: z = B f / (d + doffs) and sigma_z = z^2 sigma_d / (f B). A pixel with d + doffs <= 0 would lie
    beyond infinity and is not valid.
    """
    shifted = disparity.astype(np.float64) + calibration.doffs_px
    measured = np.isfinite(shifted) & (shifted > 0)
    focal_baseline = calibration.intrinsics.fx * calibration.baseline_m
    z = focal_baseline / np.where(measured, shifted, 1)
    sigma = z**2 * (sigma_disparity_px / focal_baseline)
    # Absurd disparities can leave the range of float32 after squaring; such a pixel says nothing anyway.
    limits = np.finfo(np.float32)
    valid = measured & (np.maximum(z, sigma) < limits.max) & (np.minimum(z, sigma) > limits.tiny)
    return np.where(valid, z, 0).astype(np.float32), np.where(valid, sigma, 0).astype(np.float32), valid


def _skimage_data() -> Path:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        hint = "pip install depthmix[samples], or give the folder with the files"
        raise BadSource("scikit-image is not installed", field="root", hint=hint)
    return Path(found.origin).parent / "data"


def _read_npz(file: Path) -> Float32[np.ndarray, "h w"]:
    file_size(file)
    with refusing(file), ZipFile(file) as archive:
        member = archive.getinfo("arr_0.npy")
        # The size that the archive states bounds what is unpacked, whatever its bytes would swell to.
        if member.file_size > 4 * MAX_PIXELS:
            raise BadSource(f"unpacks to {member.file_size} bytes, more than {4 * MAX_PIXELS}", file=file)
        with archive.open(member) as stream:
            values = np.lib.format.read_array(stream, allow_pickle=False)
        if values.dtype != np.float32 or values.ndim != 2:
            raise BadSource(f"must hold float32 (h, w), got {values.dtype} {values.shape}", file=file)
        return np.asarray(values)
