"""What calibrated stereo sources share: the pair's calibration, and metres with a spread from disparities."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from depthmix.sample import Intrinsics
from depthmix.sources.calibration import Fields, pinhole

__all__ = [
    "NOISE",
    "StereoCalibration",
    "StereoViews",
    "check_sigma",
    "depth_of_disparity",
    "pair_calibration",
]

NOISE = "sigma_z = z^2 * sigma_disparity / (f * baseline)"


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


@dataclass(frozen=True, slots=True, eq=False)
class StereoViews:
    """Both pictures of a pair with the raw disparity of its label, for checks of the label.

    Args:
        left: the picture of the sample.
        right: the other picture, with the same rows.
        disparity: the label's own disparity in pixels of the pictures, or None where the pair has no label of
            its own.
        valid: where the disparity may be read.

    Convention: left[v, u] shows what right[v, u - disparity] shows.
    """

    left: UInt8[np.ndarray, "h w 3"]
    right: UInt8[np.ndarray, "h w 3"]
    disparity: Float32[np.ndarray, "h w"] | None = None
    valid: Bool[np.ndarray, "h w"] | None = None


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
    with np.errstate(invalid="ignore"):  # signalling NaN, as damaged files hold
        shifted = disparity.astype(np.float64) + calibration.doffs_px
    measured = np.isfinite(shifted) & (shifted > 0)
    focal_baseline = calibration.intrinsics.fx * calibration.baseline_m
    z = focal_baseline / np.where(measured, shifted, 1)
    sigma = z**2 * (sigma_disparity_px / focal_baseline)
    # Absurd disparities can leave the range of float32 after squaring; such a pixel says nothing anyway.
    limits = np.finfo(np.float32)
    valid = measured & (np.maximum(z, sigma) < limits.max) & (np.minimum(z, sigma) > limits.tiny)
    return np.where(valid, z, 0).astype(np.float32), np.where(valid, sigma, 0).astype(np.float32), valid


def check_sigma(sigma_disparity_px: float) -> float:
    """Return the standard deviation of a disparity that a source was given.

    Raises:
        ValueError: it is not positive and finite.
    """
    if not 0 < sigma_disparity_px < np.inf:
        raise ValueError(f"`sigma_disparity_px` must be positive and finite, got {sigma_disparity_px}")
    return sigma_disparity_px


def pair_calibration(
    fields: Fields, left: str, right: str, *, width: int, height: int, baseline_m: float | None = None
) -> StereoCalibration:
    """Build the calibration of a rectified pair from its two projection matrices, as KITTI writes them.

    Args:
        fields: the calibration file.
        left: name of the left camera's 3 x 4 matrix.
        right: name of the right camera's.
        width: columns of the pictures.
        height: rows of the pictures.
        baseline_m: the baseline where it is not in the matrices; by default it is (left[0, 3] - right[0, 3])
            / f.

    Raises:
        BadSource: a matrix is missing or of another form, the focal lengths differ, or the baseline is not
            positive.
    """
    first, second = (fields.numbers(name, 12).reshape(3, 4) for name in (left, right))
    camera = pinhole(fields, left, first[:, :3])
    if not np.isclose(first[0, 0], second[0, 0], rtol=1e-6):
        raise fields.fail(right, f"has another focal length than {left}: the pair is not rectified")
    baseline = float((first[0, 3] - second[0, 3]) / first[0, 0]) if baseline_m is None else baseline_m
    if not 0 < baseline < 100:
        raise fields.fail(right, f"gives a baseline of {baseline:g} m")
    # A point at infinity is seen at both principal points, so their distance belongs to every disparity.
    return StereoCalibration(camera, baseline, float(second[0, 2] - first[0, 2]), width, height)
