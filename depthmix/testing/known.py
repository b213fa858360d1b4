"""A small scene whose depth, planes and sky are known in closed form, for the writers of raw layouts."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depthmix.sample import Intrinsics

__all__ = [
    "BOX",
    "GROUND",
    "WALL",
    "Known",
    "code16",
    "known_view",
    "rays",
    "right_view",
    "write_image",
    "write_pfm",
]

GROUND_Y, WALL_Z, WALL_TOP = 1.2, 6.0, -1.0
GROUND, WALL, BOX = 1, 2, 3


@dataclass(frozen=True)
class Known:
    """One view: `depth` is z in metres and inf on sky; `planes` has 1 ground, 2 wall, 3 box, 0 sky."""

    image: np.ndarray
    depth: np.ndarray
    planes: np.ndarray
    intrinsics: Intrinsics

    @property
    def sky(self) -> np.ndarray:
        """Where nothing is hit."""
        return np.asarray(np.isinf(self.depth))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.depth.shape[0], self.depth.shape[1]

    @property
    def ray_length(self) -> np.ndarray:
        """Distance to the camera's centre instead of z."""
        return np.asarray(self.depth * np.linalg.norm(rays(self.intrinsics, self.size), axis=-1))

    def disparity(self, baseline_m: float, doffs_px: float = 0.0) -> np.ndarray:
        """Disparity in pixels; the sky has -doffs, as a point at infinity has."""
        return np.asarray(self.intrinsics.fx * baseline_m / self.depth - doffs_px)

    def normals(self) -> np.ndarray:
        """Unit normals towards the camera, camera frame, 0 on sky."""
        table = np.array([[0, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, -1]], np.float64)
        return np.asarray(table[self.planes])

    def points(self) -> np.ndarray:
        """Points of all pixels in the camera frame."""
        depth = np.where(self.sky, np.nan, self.depth)
        return np.asarray(rays(self.intrinsics, self.size) * depth[..., None])


def rays(camera: Intrinsics, size: tuple[int, int]) -> np.ndarray:
    """Viewing ray of every pixel with z = 1."""
    v, u = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)


def known_view(
    seed: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    camera: Intrinsics | None = None,
    has_sky: bool = True,
) -> Known:
    """Look over flat ground at a wall with a box before it; above the wall is sky, or more wall.

    The seed moves the box and changes the texture, so two seeds give two different samples.
    """
    random = np.random.default_rng(seed)
    height, width = size
    camera = camera or Intrinsics(0.8 * width, 0.82 * width, 0.51 * width - 0.5, 0.45 * height)
    ray = rays(camera, size)
    with np.errstate(divide="ignore"):
        ground = np.where(ray[..., 1] > 0, GROUND_Y / ray[..., 1], np.inf)
    wall = np.where((ray[..., 1] * WALL_Z >= WALL_TOP) | (not has_sky), WALL_Z, np.inf)
    box_z, left = 2.0 + random.random(), -0.9 + random.random()
    x, y = ray[..., 0] * box_z, ray[..., 1] * box_z
    box = np.where((x >= left) & (x <= left + 0.8) & (y >= -0.3) & (y <= GROUND_Y), box_z, np.inf)
    surfaces = np.stack([ground, wall, box])
    depth = surfaces.min(0)
    planes = np.where(np.isinf(depth), 0, surfaces.argmin(0) + 1).astype(np.int32)
    image = cv2.GaussianBlur(random.integers(0, 256, (*size, 3)).astype(np.uint8), (3, 3), 0.8)
    return Known(image, depth, planes, camera)


def right_view(view: Known, baseline_m: float, doffs_px: float = 0.0) -> np.ndarray:
    """Show the same surfaces to a camera `baseline_m` to the right, by moving pixels; holes repeat the left.

    For layouts that need a right picture, not for measuring how well a matcher does.
    """
    columns = np.arange(view.depth.shape[1])
    far_first = np.argsort(-np.where(view.sky, 1e9, view.depth), axis=1)
    shifted = np.rint(columns - view.disparity(baseline_m, doffs_px)).astype(int)
    right = view.image.copy()
    for row in range(len(right)):
        for u in far_first[row]:
            if 0 <= shifted[row, u] < len(columns):
                right[row, shifted[row, u]] = view.image[row, u]
    return right


def write_image(file: Path, image: np.ndarray) -> None:
    """Write RGB or grey pixels; the suffix chooses the format, 16 bits need PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image[..., ::-1] if image.ndim == 3 else image)


def write_pfm(file: Path, values: np.ndarray) -> None:
    """Write a little-endian PFM, bottom row first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f"{'PF' if values.ndim == 3 else 'Pf'}\n{values.shape[1]} {values.shape[0]}\n-1.0\n"
    file.write_bytes(head.encode() + values[::-1].astype("<f4").tobytes())


def code16(values: np.ndarray, per_unit: float, missing: int = 0) -> np.ndarray:
    """Return the 16-bit integers of a map; what is not finite becomes `missing`."""
    finite = np.isfinite(values)
    return np.where(finite, np.rint(np.where(finite, values, 0) * per_unit), missing).astype(np.uint16)
