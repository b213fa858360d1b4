"""What the numbers of a stored depth map mean in metres: fixed scales, ray lengths, missing values."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt16

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.decode import read_png16

__all__ = ["check_16_bits", "depth_of_code", "depth_of_ray_length", "measured", "read_depth_png16"]


def read_depth_png16(
    file: str | Path, *, per_metre: float, missing: Collection[int] = (0,)
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Read depth or disparity from 16-bit grey PNG.

    Args:
        file: the PNG.
        per_metre: stored numbers in one metre (or pixel, for disparities), as published: never inferred.
        missing: stored numbers that mean that nothing was measured.

    Returns:
        The map, 0 where nothing was measured, and where it may be read.

    Raises:
        BadSource: no such file, damaged, or not 16-bit grey: an 8-bit copy has lost the depth, also one that
            was saved with 16 bits again.
    """
    code = read_png16(file)
    depth, valid = depth_of_code(code, per_metre=per_metre, missing=missing)
    check_16_bits(code, valid, file)
    return depth, valid


def check_16_bits(code: UInt16[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], file: str | Path) -> None:
    """Refuse a map whose largest number fits into 8 bits; no published scale leaves a whole map that near.

    Raises:
        BadSource: it does.
    """
    largest = int(code[valid].max(initial=0))
    if 0 < largest <= 255:
        hint = "use the original file: a conversion has lost the high or the low bits"
        raise BadSource(f"holds 16 bits, but no number above {largest}", file=file, hint=hint)


def depth_of_code(
    code: UInt16[np.ndarray, "h w"], *, per_metre: float, missing: Collection[int] = (0,)
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Turn stored integers into depth and validity, as `read_depth_png16` does."""
    valid = ~np.isin(code, list(missing))
    return np.where(valid, code / np.float32(per_metre), np.float32(0)).astype(np.float32), valid


def measured(
    values: np.ndarray, *, lowest: float = 0.0, highest: float = np.inf
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Tell where floating-point depth may be read: finite, above `lowest` and below `highest`.

    Returns:
        The map as float32, 0 elsewhere, and where it may be read.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        depth = np.asarray(values).astype(np.float32)
    valid = np.isfinite(depth) & (depth > lowest) & (depth < highest)
    return np.where(valid, depth, np.float32(0)), valid


def depth_of_ray_length(
    length: Float32[np.ndarray, "h w"], intrinsics: Intrinsics
) -> Float32[np.ndarray, "h w"]:
    """Turn the distance to the camera's centre into z along the optical axis.

    Convention: z = length / |((u - cx) / fx, (v - cy) / fy, 1)|, in the unit of `length`.
    """
    rows, columns = (np.arange(count, dtype=np.float64) for count in length.shape)
    x = (columns - intrinsics.cx) / intrinsics.fx
    y = (rows - intrinsics.cy) / intrinsics.fy
    return (length / np.sqrt(x**2 + y[:, None] ** 2 + 1)).astype(np.float32)
