"""Where the camera stands and the rays through its pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from depthmix.sample import Intrinsics

__all__ = ["Pose", "look", "pixel_grid", "pixel_rays", "rotate"]


@dataclass(frozen=True)
class Pose:
    """Place a camera in the world.

    Args:
        rotation: world directions to camera directions.
        centre: position of the camera in the world.

    Convention: the world is metres with z up; the camera is OpenCV's, x right, y down, z forward.
    """

    rotation: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, " 3"]

    def moved(self, right: float = 0.0, down: float = 0.0, forward: float = 0.0) -> "Pose":
        """Return a camera of the same direction, moved in its own frame."""
        return Pose(self.rotation, self.centre + self.rotation.T @ np.array([right, down, forward]))


def look(centre: Float[np.ndarray, " 3"], yaw: float, pitch: float, roll: float) -> Pose:
    """Look along `yaw` (0 = world x, counter-clockwise) and up by `pitch`, tilted by `roll`; radians."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    turned = np.cos(roll) * right + np.sin(roll) * down
    return Pose(np.stack([turned, np.cross(forward, turned), forward]), np.asarray(centre, np.float64))


def pixel_grid(size: tuple[int, int]) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """List u and v of all pixel centres, row by row."""
    v, u = np.mgrid[: size[0], : size[1]]
    return u.ravel().astype(np.float32), v.ravel().astype(np.float32)


def pixel_rays(
    pose: Pose, intrinsics: Intrinsics, u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 3"]:
    """Return world directions whose length is 1 along the optical axis, so that a hit's t is its depth z."""
    x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
    return rotate(pose.rotation.T, np.stack([x, y, np.ones_like(x)], axis=1))


def rotate(matrix: Float[np.ndarray, "3 3"], vectors: Float[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Multiply each vector by a matrix, with the same rounding on every machine load.

    The sum is written out because a BLAS may split the work, and so the rounding, by its number of threads.
    """
    m = matrix.astype(np.float64)
    x, y, z = vectors.T.astype(np.float64)
    return np.stack([m[i, 0] * x + m[i, 1] * y + m[i, 2] * z for i in range(3)], axis=1).astype(np.float32)
