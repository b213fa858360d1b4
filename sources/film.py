"""Pinhole cameras whose film is tilted or shifted against the lens, as for photos of buildings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics

__all__ = ["NOMINAL_CAMERA", "Film", "film_of_matrix"]

# 60 degrees from left to right at 4 : 3: f = 886.81 pixels at 1024 x 768.
NOMINAL_CAMERA = np.diag([np.tan(np.pi / 6), 0.75 * np.tan(np.pi / 6), -1.0])
_LARGEST_SKEW_PX = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """The rays of a camera with a flat film, wherever its optical axis points.

    Args:
        ray_of_pixel: matrix from (u, v, 1), pixel centres at integers, to a ray.
        normal_part: the part of every such ray along the normal of the film.
        intrinsics: the pinhole camera with the film's normal as its axis, or None where the rows and columns
            of the film are not at right angles.
    """

    ray_of_pixel: Float64[np.ndarray, "3 3"]
    normal_part: float
    intrinsics: Intrinsics | None

    def depth_of_distance(self, distance: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """Turn distances to the centre into z along the normal of the film."""
        v, u = np.indices(distance.shape, dtype=np.float64)
        rays = np.stack([u, v, np.ones_like(u)], -1) @ self.ray_of_pixel.T
        depth: np.ndarray = distance * (self.normal_part / np.linalg.norm(rays, axis=-1))
        return depth.astype(np.float32)


def film_of_matrix(
    matrix: Float64[np.ndarray, "3 3"], size: tuple[int, int], file: Path, scene: str = ""
) -> Film:
    """Return the camera of the publisher's matrix `M_cam_from_uv`.

    Args:
        matrix: from (u, v, 1) in the square from -1 to 1, v upwards, to rays (x right, y up, z backwards).
        size: rows and columns of the image.
        file: where the matrix was read, for messages.
        scene: the scene it belongs to, for messages.

    Raises:
        BadSource: the matrix is no camera that looks forwards.
    """
    height, width = size
    square = np.array([[2 / width, 0, 1 / width - 1], [0, -2 / height, 1 - 1 / height], [0, 0, 1]])
    with np.errstate(over="ignore", invalid="ignore"):  # numbers of a damaged table
        rays = np.diag([1.0, -1.0, -1.0]) @ matrix @ square
        right, down, corner = rays.T
        normal = np.cross(right, down)
    if not np.isfinite(rays).all() or normal @ corner <= 0 or normal[2] <= 0:
        raise BadSource("M_cam_from_uv is no camera that looks forwards", file=file, field=scene)
    normal /= np.linalg.norm(normal)
    step = float(np.linalg.norm(right))
    across = right / step
    along = np.cross(normal, across)
    part, row = float(normal @ corner), float(along @ down)
    # What is left of a column's direction along the rows moves a pixel by this much from the middle row on.
    skew, middle = float(across @ down) / step, (height - 1) / 2
    camera = Intrinsics(
        fx=part / step,
        fy=part / row,
        cx=-float(across @ corner) / step - skew * middle,
        cy=-float(along @ corner) / row,
    )
    return Film(rays, part, camera if abs(skew) * middle <= _LARGEST_SKEW_PX else None)
