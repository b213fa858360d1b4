"""Find the planes of a dense depth map: seeds that are locally flat, grown to all pixels that fit."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

__all__ = ["PlaneSearch", "find_planes"]

ROUNDS: Final = 3  # fits of one plane; later ones change little
COARSE: Final = 160  # longest side of the grid on which seeds are tried; most of them lead nowhere


@dataclass(frozen=True, slots=True)
class PlaneSearch:
    """Hold what counts as a plane.

    Args:
        tolerance: largest relative distance of inverse depth from the plane.
        min_share: smallest plane as a share of the image.
        window: odd side of the patches that seeds are fitted to, in pixels.
        most: most planes that are looked for.

    Raises:
        ValueError: an option is out of range.
    """

    tolerance: float = 0.01
    min_share: float = 0.01
    window: int = 9
    most: int = 40

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(f"`tolerance` must lie in (0, 1), got {self.tolerance}")
        if not 0 < self.min_share < 1:
            raise ValueError(f"`min_share` must lie in (0, 1), got {self.min_share}")
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"`window` must be odd and at least 3, got {self.window}")
        if self.most < 1:
            raise ValueError(f"`most` must be at least 1, got {self.most}")


def find_planes(
    depth: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], search: PlaneSearch | None = None
) -> Int32[np.ndarray, "h w"]:
    """Number the planes of a depth map from 1 on, largest first; 0 = none.

    On a plane, 1/z is affine in the pixel coordinates, whatever the camera, so planes are found and fitted by
    linear least squares in inverse depth and no camera is needed. The flattest patch that is left is the next
    seed; pixels that are connected to it and keep within the tolerance belong to its plane. Seeds are tried
    on a coarser grid, and what comes of them is grown again on all pixels. Nothing is drawn at random.

    Args:
        depth: z, dense.
        valid: where it may be read.
        search: what counts as a plane.
    """
    import cv2

    search = search or PlaneSearch()
    inverse = np.zeros(depth.shape)
    np.divide(1, depth, out=inverse, where=valid)
    flatness, whole = _local_residual(inverse, valid, search.window)
    stride = max(1, math.ceil(max(depth.shape) / COARSE))
    fine, coarse = _Grid(inverse, 1), _Grid(inverse, stride)
    free, tried, found = valid.copy(), np.zeros(coarse.inverse.shape, np.bool_), []
    flat = (whole & (flatness < search.tolerance))[::stride, ::stride]
    candidates = np.flatnonzero(flat.ravel())
    order = candidates[np.argsort(flatness[::stride, ::stride].ravel()[candidates], kind="stable")]
    least = max(search.window**2, round(search.min_share * depth.size))
    half = search.window // 2
    for seed in order:
        small = divmod(int(seed), flat.shape[1])
        place = (small[0] * stride, small[1] * stride)
        if not free[place] or tried[small]:
            continue
        plane = fine.fitted(free, _around(place, half))
        region, plane = coarse.grown(free[::stride, ::stride], small, plane, search.tolerance)
        tried |= region
        tried[_around(small, -(-half // stride))] = True
        if np.count_nonzero(region) * stride**2 < least:
            continue
        if stride > 1:
            region, _ = fine.grown(free, place, plane, search.tolerance)
        if np.count_nonzero(region) >= least:
            # Pixels at the rim mix two surfaces.
            inner = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
            found.append(inner)
            free &= ~region
            if len(found) == search.most:
                break
    planes = np.zeros(depth.shape, np.int32)
    for number, region in enumerate(sorted(found, key=np.count_nonzero, reverse=True), start=1):
        planes[region] = number
    return planes


class _Grid:
    """Every n-th pixel of inverse depth, with planes in the coordinates of all pixels."""

    def __init__(self, inverse: Float64[np.ndarray, "h w"], stride: int) -> None:
        self.inverse = np.ascontiguousarray(inverse[::stride, ::stride])
        self.rows, self.columns = (np.arange(0, count, stride, dtype=np.float64) for count in inverse.shape)

    def fitted(
        self, region: Bool[np.ndarray, "h w"], inside: tuple[slice, slice] = (slice(0, None), slice(0, None))
    ) -> Float64[np.ndarray, " 3"]:
        """Return slope down, slope to the right and level of the plane through a region, or a part of it."""
        rows, columns = np.nonzero(region[inside])
        step = max(1, len(rows) // 4000)
        rows, columns = rows[::step] + inside[0].start, columns[::step] + inside[1].start
        design = np.stack([self.rows[rows], self.columns[columns], np.ones(len(rows))], 1)
        return np.asarray(np.linalg.lstsq(design, self.inverse[rows, columns], rcond=None)[0])

    def grown(
        self,
        free: Bool[np.ndarray, "h w"],
        place: tuple[int, int],
        plane: Float64[np.ndarray, " 3"],
        tolerance: float,
    ) -> tuple[Bool[np.ndarray, "h w"], Float64[np.ndarray, " 3"]]:
        """Return what is connected to `place` and fits the plane, which is fitted again in between."""
        import cv2

        for turn in range(ROUNDS):
            expected = plane[0] * self.rows[:, None] + plane[1] * self.columns + plane[2]
            near = free & (np.abs(self.inverse - expected) < tolerance * self.inverse)
            _, parts = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
            if not parts[place]:
                return np.zeros_like(free), plane
            region = parts == parts[place]
            if turn < ROUNDS - 1:
                plane = self.fitted(region)
        return region, plane


def _around(place: tuple[int, int], half: int) -> tuple[slice, slice]:
    row, column = place
    return slice(max(0, row - half), row + half + 1), slice(max(0, column - half), column + half + 1)


def _local_residual(
    inverse: Float64[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], window: int
) -> tuple[Float64[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Return the relative residual of the best local plane, and where the whole window is valid."""
    import cv2

    half = window // 2
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    flat, ramp = np.full(window, 1.0 / window), offsets / (offsets @ offsets)

    def filtered(values: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
        # sepFilter2D takes the kernel along the rows first.
        return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, across, down, borderType=cv2.BORDER_REPLICATE))

    mean, squares = filtered(inverse, flat, flat), filtered(inverse**2, flat, flat)
    spread = (offsets @ offsets) / window
    slopes = [filtered(inverse, ramp, flat), filtered(inverse, flat, ramp)]
    residual = squares - mean**2 - spread * (slopes[0] ** 2 + slopes[1] ** 2)
    whole = cv2.erode(valid.astype(np.uint8), np.ones((window, window), np.uint8), borderValue=0) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.maximum(residual, 0)) / mean, whole
