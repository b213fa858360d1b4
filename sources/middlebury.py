"""Middlebury stereo, layout of 2014: disparities of a calibrated pair become metres with a known spread."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.arrays import read_npz
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import parse_fields, pinhole
from depthmix.sources.decode import read_grey8, read_image, read_pfm
from depthmix.sources.files import MAX_PIXELS, read_bytes
from depthmix.sources.layout import visible
from depthmix.sources.stereo import NOISE, StereoCalibration, StereoViews, check_sigma, depth_of_disparity

__all__ = ["MiddleburyStereo", "MotorcycleStereo", "parse_calibration", "read_calibration"]


class MiddleburyStereo(Source):
    """Read `<root>/<scene>/{im0.png, disp0.pfm, calib.txt}` as metric depth of the left view.

    Fits the data sets of 2014 and 2021, and with `disparity="disp0GT.pfm"` those of the evaluation
    (MiddEval3), which bring `mask0nocc.png`, too. Pictures of other lightings are named by `image`, such as
    "im0E.png" or "ambient/L0/im0e0.png".

    Args:
        root: folder of the scene folders.
        name: name of the source in the mix.
        image: name of the left picture inside its scene.
        disparity: name of its disparity map.
        occluded: whether pixels that the right camera does not see are valid; False needs mask0nocc.png,
            where 255 marks what both see.
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
        noise=NOISE,
        licence="free for research with citation, no licence named by the publisher",
        citation="Scharstein, Hirschmueller, Kitajima, Krathwohl, Nesic, Wang, Westling: "
        "High-resolution stereo datasets with subpixel-accurate ground truth, GCPR 2014",
        size="2014: 23 pairs with labels; 2021: 24; MiddEval3: 15 for training",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "<scene>/{im0.png, disp0.pfm, calib.txt}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "middlebury",
        image: str = "im0.png",
        disparity: str = "disp0.pfm",
        occluded: bool = True,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        self.image, self.disparity, self.occluded = image, disparity, occluded
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List the scene folders: those with at least one of the three files, so that a gap is noticed.

        Raises:
            BadSource: there is none.
        """
        wanted = (self.image, "calib.txt", self.disparity)
        scenes = [path.name for path in visible(self.root) if any((path / file).exists() for file in wanted)]
        if not scenes:
            raise BadSource("no scene in this folder", file=self.root, hint=f"expected {self.layout}")
        return scenes

    def files(self, key: str) -> Sequence[Path]:
        """List image, mask where it is read, calibration and disparity of a scene."""
        mask = [] if self.occluded else ["mask0nocc.png"]
        return [self.root / key / file for file in (self.image, *mask, "calib.txt", self.disparity)]

    def read(self, key: str) -> Sample:
        """Read one scene; pixels without a positive finite disparity are not valid.

        Raises:
            BadSource: a file is missing, damaged, or the sizes disagree.
            BadSample: no pixel has a depth.
        """
        image_file, *mask_files, calibration_file, disparity_file = self.files(key)
        calibration = read_calibration(calibration_file)
        image = read_image(image_file)
        disparity = read_pfm(disparity_file)
        masks = [(file, read_grey8(file)) for file in mask_files]
        stated = (calibration.height, calibration.width)
        sizes = [(image_file, image.shape[:2]), (disparity_file, disparity.shape)]
        for file, size in [*sizes, *((file, mask.shape) for file, mask in masks)]:
            if size != stated:
                reason = f"{size[1]} x {size[0]} pixels, calib.txt states {stated[1]} x {stated[0]}"
                raise BadSource(reason, file=file, hint="image, disparity and calib.txt must be of one size")
        for _, mask in masks:
            disparity = np.where(mask == 255, disparity, np.float32(np.inf))
        return self._sample(key, image, disparity, calibration)

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one is there."""
        image_file, *_, disparity_file = self.files(key)
        right_file = image_file.with_name(image_file.name.replace("im0", "im1"))
        if right_file == image_file or not right_file.exists():
            return None
        return _views(image_file, right_file, read_pfm(disparity_file))

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

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one is there."""
        image_file, disparity_file = self.files(key)
        right_file = self.root / f"{key}_right.png"
        return _views(image_file, right_file, _read_npz(disparity_file)) if right_file.exists() else None


def read_calibration(file: Path) -> StereoCalibration:
    """Read a `calib.txt` of 2014; `baseline` is in millimetres there.

    Raises:
        BadSource: no such file, or a field is missing, doubled, no number, not finite, or makes no sense.
    """
    return parse_calibration(read_bytes(file, max_bytes=1_000_000), file)


def parse_calibration(data: bytes, file: Path) -> StereoCalibration:
    """Do as `read_calibration` with bytes that were read already; errors name `file`.

    Raises:
        BadSource: a field is missing, doubled, no number, not finite, or makes no sense.
    """
    fields = parse_fields(data, file, "=")
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


def _views(left: Path, right: Path, disparity: Float32[np.ndarray, "h w"]) -> StereoViews:
    return StereoViews(read_image(left), read_image(right), disparity, np.isfinite(disparity))


def _skimage_data() -> Path:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        hint = "pip install depthmix[samples], or give the folder with the files"
        raise BadSource("scikit-image is not installed", field="root", hint=hint)
    return Path(found.origin).parent / "data"


def _read_npz(file: Path) -> Float32[np.ndarray, "h w"]:
    values = read_npz(file, "arr_0", max_items=MAX_PIXELS)
    if values.dtype != np.float32 or values.ndim != 2:
        raise BadSource(f"must hold float32 (h, w), got {values.dtype} {values.shape}", file=file)
    return values
