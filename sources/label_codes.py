"""Say how the numbers of a label file are stored and what they mean, and turn them into a target."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind
from depthmix.sources.arrays import read_hdf5, read_npz
from depthmix.sources.decode import read_grey8, read_npy, read_pfm, read_png16, read_tiff
from depthmix.sources.encoding import depth_of_ray_length
from depthmix.sources.exr import read_exr
from depthmix.sources.stereo import NOISE, StereoCalibration, check_sigma, depth_of_disparity

__all__ = ["Encoding", "LabelCode", "Meaning"]

Encoding = Literal["png16", "png8", "npy", "npz", "hdf5", "exr", "pfm", "tiff"]
Meaning = Literal["depth", "distance", "scaled depth", "inverse depth", "disparity"]
Labels = tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"], Float32[np.ndarray, "h w"] | None]

_NAMED: Final = ("npz", "hdf5")


@dataclass(frozen=True, slots=True)
class LabelCode:
    """Describe label files.

    Args:
        means: "depth" is z in metres, "distance" the way to the camera's centre in metres, "scaled depth" z
            times a factor that differs from image to image, "inverse depth" has an unknown scale and shift,
            "disparity" is in pixels: metric with `baseline_m`, without it as good as "inverse depth".
        encoding: form of the files.
        field: name of the array in npz and hdf5, of the channel in exr; "" takes the only channel.
        per_unit: stored numbers in one metre or pixel: 1000 for millimetres, 256 for KITTI's PNG.
        missing: stored numbers that say that nothing was measured; what is not finite always says so.
        lowest: metres below which depth is not valid.
        highest: metres above which depth is not valid.
        baseline_m: distance of the two cameras in metres; 0 = not known.
        doffs_px: added to every disparity.
        sigma_disparity_px: one standard deviation of a disparity.

    Raises:
        ValueError: an option is out of its range, or does not go with another one.
    """

    means: Meaning
    encoding: Encoding
    field: str = ""
    per_unit: float = 1.0
    missing: tuple[float, ...] = (0.0,)
    lowest: float = 0.0
    highest: float = float("inf")
    baseline_m: float = 0.0
    doffs_px: float = 0.0
    sigma_disparity_px: float = 0.5

    def __post_init__(self) -> None:
        for option, allowed in (("means", get_args(Meaning)), ("encoding", get_args(Encoding))):
            if getattr(self, option) not in allowed:
                raise ValueError(
                    f"`{option}` must be one of {', '.join(allowed)}, got {getattr(self, option)!r}"
                )
        if not 0 < self.per_unit < np.inf:
            raise ValueError(f"`per_unit` must be positive and finite, got {self.per_unit}")
        if not 0 <= self.lowest < self.highest:
            raise ValueError(f"`lowest` must be in [0, highest), got {self.lowest} and {self.highest}")
        if not 0 <= self.baseline_m < np.inf:
            raise ValueError(f"`baseline_m` must be finite and not negative, got {self.baseline_m}")
        if not np.isfinite(self.doffs_px):
            raise ValueError(f"`doffs_px` must be finite, got {self.doffs_px}")
        check_sigma(self.sigma_disparity_px)
        if self.encoding in _NAMED and not self.field:
            raise ValueError(f"`field` must name the array in {self.encoding} files")
        if self.field and self.encoding not in (*_NAMED, "exr"):
            raise ValueError(
                f"`field` is for npz, hdf5 and exr files, got {self.field!r} for {self.encoding}"
            )
        for option in ("baseline_m", "doffs_px"):
            if getattr(self, option) and self.means != "disparity":
                raise ValueError(
                    f"`{option}` is for disparities, got {getattr(self, option)} for {self.means}"
                )
        ranged = self.lowest > 0 or self.highest < np.inf
        if ranged and self.kind is LabelKind.AFFINE_DISPARITY:
            raise ValueError("`lowest` and `highest` are metres, which this label does not have")

    @property
    def kind(self) -> LabelKind:
        """What is mathematically known about the target."""
        metric = self.means in ("depth", "distance") or (self.means == "disparity" and self.baseline_m > 0)
        if metric:
            return LabelKind.METRIC_DEPTH
        return LabelKind.SCALED_DEPTH if self.means == "scaled depth" else LabelKind.AFFINE_DISPARITY

    @property
    def unit(self) -> str:
        """Unit of the target in words."""
        units = {
            LabelKind.METRIC_DEPTH: "m",
            LabelKind.SCALED_DEPTH: "m up to scale",
            LabelKind.AFFINE_DISPARITY: "inverse depth up to scale and shift",
        }
        return units[self.kind]

    @property
    def noise(self) -> str:
        """The noise model."""
        return NOISE if self.means == "disparity" and self.baseline_m else ""

    @property
    def needs_camera(self) -> bool:
        """Whether the target cannot be had without the focal length."""
        return self.means == "distance" or (self.kind is LabelKind.METRIC_DEPTH and self.means == "disparity")

    def stored(self, file: Path) -> Shaped[np.ndarray, "h w"]:
        """Read the numbers as they are stored.

        Raises:
            BadSource: no such file, damaged, or no map.
        """
        numbers = np.squeeze(self._decoded(file))
        if numbers.ndim != 2 or numbers.dtype.kind not in "iuf":
            reason = f"must be one map (h, w) of numbers, got {numbers.dtype} {numbers.shape}"
            raise BadSource(reason, file=file)
        return numbers

    def labels(self, stored: Shaped[np.ndarray, "h w"], camera: Intrinsics | None) -> Labels:
        """Turn stored numbers into target, validity, and where a noise model is known the standard deviation.

        Args:
            stored: what `stored` returned.
            camera: that of these pixels, where `needs_camera`.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # damaged floats; what is not finite is not known
            known = ~np.isin(stored, np.array(self.missing, np.float64))
            values = (stored.astype(np.float64) / self.per_unit).astype(np.float32)
        known &= np.isfinite(values)
        if self.kind is LabelKind.AFFINE_DISPARITY:
            return np.where(known, values, np.float32(0)), known, None
        sigma = None
        if self.means == "disparity":
            assert camera is not None
            height, width = values.shape
            pair = StereoCalibration(camera, self.baseline_m, self.doffs_px, width, height)
            values, sigma, near = depth_of_disparity(
                np.where(known, values, np.float32(np.nan)), pair, self.sigma_disparity_px
            )
            known &= near
        if self.means == "distance":
            assert camera is not None
            values = depth_of_ray_length(np.where(known, values, np.float32(0)), camera)
        valid = known & (values > self.lowest) & (values < self.highest)
        return np.where(valid, values, np.float32(0)), valid, sigma

    def _decoded(self, file: Path) -> Shaped[np.ndarray, "..."]:
        match self.encoding:
            case "png16":
                return read_png16(file)
            case "png8":
                return read_grey8(file)
            case "npy":
                return read_npy(file)
            case "npz":
                return read_npz(file, self.field)
            case "hdf5":
                return read_hdf5(file, self.field)
            case "exr":
                return read_exr(file, (self.field,) if self.field else ())
            case "pfm":
                return read_pfm(file)
            case _:
                return read_tiff(file)
