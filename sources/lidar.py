"""From laser points to a sparse depth map: project, keep the nearest, drop what the camera can not see."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from depthmix.errors import BadSource
from depthmix.sources.files import DAMAGED, read_bytes

__all__ = ["inside_image", "nearest_point_depth", "project_points", "read_velodyne", "remove_occluded"]

_MAX_POINTS = 10_000_000
_MAX_RANGE_M = 1_000.0  # no scanner on the road reaches a third of it, so larger numbers are no coordinates
_ALONG = 2  # pixels that two points may stand apart sideways and still count as one row or column


def read_velodyne(file: str | Path) -> Float32[np.ndarray, "n 4"]:
    """Read a scan: x forward, y left, z up in metres, and reflectance.

    Raises:
        BadSource: no such file, no whole number of points, none at all, or coordinates that are none.
    """
    data = read_bytes(file, max_bytes=16 * _MAX_POINTS)
    if not data or len(data) % 16:
        raise BadSource(f"{len(data)} bytes are no whole number of 16-byte points", file=file, hint=DAMAGED)
    points = np.frombuffer(data, "<f4").reshape(-1, 4).astype(np.float32)
    strange = ~np.isfinite(points).all(1) | (np.abs(points[:, :3]) > _MAX_RANGE_M).any(1)
    if strange.any():
        reason = f"{int(strange.sum())} of {len(points)} points are not finite or beyond {_MAX_RANGE_M:g} m"
        raise BadSource(reason, file=file, hint=DAMAGED)
    return points


def project_points(
    points: Float[np.ndarray, "n 3"], to_image: Float64[np.ndarray, "3 4"]
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
    """Project points with a matrix that takes them to (u z, v z, z).

    Returns:
        Pixel coordinates (u, v), meaningless where z is not positive, and z.
    """
    homogeneous = points.astype(np.float64) @ to_image[:, :3].T + to_image[:, 3]
    z = homogeneous[:, 2]
    return homogeneous[:, :2] / np.where(z > 0, z, 1)[:, None], z


def inside_image(
    pixels: Float64[np.ndarray, "n 2"], z: Float64[np.ndarray, " n"], size: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Tell which points lie in front of the camera and between the outermost pixel centres.

    Convention: pixel centres lie at integers, so 0 <= u <= w - 1 and 0 <= v <= h - 1.
    """
    limits = np.array([size[1] - 1, size[0] - 1])
    return (z > 0) & (pixels >= 0).all(1) & (pixels <= limits).all(1)


def nearest_point_depth(
    pixels: Float64[np.ndarray, "n 2"], z: Float64[np.ndarray, " n"], size: tuple[int, int]
) -> Float32[np.ndarray, "h w"]:
    """Draw points that lie inside the image onto their nearest pixels; the nearest point wins.

    Returns:
        z, and inf where no point falls.
    """
    columns, rows = np.rint(pixels).astype(np.intp).T
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (rows, columns), z.astype(np.float32))
    return depth


def remove_occluded(
    depth: Float32[np.ndarray, "h w"], gap: float = 0.2, window: tuple[int, int] = (8, 6)
) -> Float32[np.ndarray, "h w"]:
    """Remove background points that shine through a nearer surface.

    The scanner stands beside the camera and sees past the edges of near objects; what it sees there falls
    onto the object in the image. Such a point is enclosed: it has clearly nearer points on two opposite
    sides, above and below or left and right. A background point beside an object has them on one side only
    and stays, unless it is within 2 pixels of the edge. On cast streets with KITTI's mounting the rule
    removes 99 % of the wrong points and 0.6 % of the right ones, in a crowd 89 % and 1 %. It is made for that
    density of points: at a quarter of the resolution it takes 3 to 6 % of the right ones.

    Args:
        depth: z with inf where there is no point.
        gap: relative difference of z from which on a point is clearly nearer. Smaller gaps hide less than a
            pixel or two of parallax, and far ground seen at a low angle falls by as much from row to row.
        window: rows and columns searched to each side, more than the distance of two scan lines (about
            5 rows) or of two shots (about 2 columns) on KITTI.

    Returns:
        The map with inf in place of the removed points.
    """
    rows, columns = window
    behind = depth * np.float32(1 - gap)
    beside = _running_min(depth, -_ALONG, _ALONG, axis=1)
    vertical = (_running_min(beside, -rows, -1, 0) < behind) & (_running_min(beside, 1, rows, 0) < behind)
    stacked = _running_min(depth, -_ALONG, _ALONG, axis=0)
    horizontal = (_running_min(stacked, -columns, -1, 1) < behind) & (
        _running_min(stacked, 1, columns, 1) < behind
    )
    # An empty pixel compares as farther than anything, and stays empty.
    return np.where(vertical | horizontal, np.float32(np.inf), depth)


def _running_min(
    depth: Float32[np.ndarray, "h w"], first: int, last: int, axis: int
) -> Float32[np.ndarray, "h w"]:
    # The minimum over the neighbours at offsets first..last along one axis; outside the image is no point.
    padding = [(0, 0), (0, 0)]
    padding[axis] = (max(-first, 0), max(last, 0))
    padded = np.moveaxis(np.pad(depth, padding, constant_values=np.inf), axis, 0)
    size, start = depth.shape[axis], padding[axis][0]
    views = [padded[start + offset : start + offset + size] for offset in range(first, last + 1)]
    nearest = views[0].copy()
    for view in views[1:]:
        np.minimum(nearest, view, out=nearest)
    return np.moveaxis(nearest, 0, axis)
