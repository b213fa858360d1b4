"""What LiDAR sources share: points of a scanner's frame become the sparse depth of a camera's."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

from depthmix.sample import Intrinsics
from depthmix.sources.lidar import inside_image, nearest_point_depth, project_points, remove_occluded

__all__ = ["check_occlusion", "depth_of_points"]


def depth_of_points(
    points: np.ndarray,
    to_camera: Float64[np.ndarray, "4 4"],
    camera: Intrinsics,
    size: tuple[int, int],
    *,
    nearest_m: float = 0.0,
    occlusion_gap: float = 0.2,
    occlusion_window: tuple[int, int] = (8, 6),
) -> Float32[np.ndarray, "h w"]:
    """Draw points into a camera; the nearest wins, and what a nearer surface hides is removed.

    Args:
        points: (n, 3) in the scanner's frame.
        to_camera: scanner to camera, both at their own time.
        camera: pinhole camera of the image.
        size: rows and columns of the image.
        nearest_m: nearer points are dropped, such as those on the own car.
        occlusion_gap: see `remove_occluded`; 0 keeps every point.
        occlusion_window: see `remove_occluded`.

    Returns:
        z in metres, inf where no point falls.
    """
    inner = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    pixels, z = project_points(points, inner @ to_camera[:3])
    seen = inside_image(pixels, z, size) & (z > nearest_m)
    depth = nearest_point_depth(pixels[seen], z[seen], size)
    return remove_occluded(depth, occlusion_gap, occlusion_window) if occlusion_gap else depth


def check_occlusion(gap: float, window: Sequence[int]) -> tuple[int, int]:
    """Check the options of `remove_occluded` when a source is made, and return the window.

    Raises:
        ValueError: an option is out of range.
    """
    if not 0 <= gap < 1:
        raise ValueError(f"`occlusion_gap` must be in [0, 1), got {gap}")
    if len(window) != 2 or min(window) < 1:
        raise ValueError(f"`occlusion_window` must be at least 1 x 1, got {window}")
    return window[0], window[1]
