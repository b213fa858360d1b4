"""Rigid motions between the frames of scanners, vehicles and cameras."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64

__all__ = ["FARTHEST_M", "inverse", "is_rigid", "moved", "rigid", "rotation_of_quaternion"]


FARTHEST_M: Final = 1e9  # of any place from its origin; squares and products of such numbers stay finite


def rotation_of_quaternion(quaternion: Sequence[float]) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation of a quaternion (w, x, y, z) of any length but 0.

    Raises:
        ValueError: not four finite numbers, or all 0.

    Example:
        >>> rotation_of_quaternion([1, 0, 0, 0]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    numbers = np.asarray(quaternion, np.float64)
    with np.errstate(over="ignore"):
        length = np.linalg.norm(numbers)
    if numbers.shape != (4,) or not np.isfinite(length) or length == 0:
        raise ValueError(f"a rotation needs four finite numbers (w, x, y, z), not all 0, got {quaternion}")
    w, x, y, z = numbers / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rigid(rotation: Float64[np.ndarray, "3 3"], translation: Sequence[float]) -> Float64[np.ndarray, "4 4"]:
    """Return the 4 x 4 matrix of x -> rotation x + translation.

    Raises:
        ValueError: the translation is not finite or longer than `FARTHEST_M` along an axis.
    """
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    if not (np.abs(matrix[:3, 3]) <= FARTHEST_M).all():
        raise ValueError(f"a place must be finite and within {FARTHEST_M:g} m, got {list(translation)}")
    return matrix


def inverse(motion: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Return the motion back."""
    back = np.eye(4)
    back[:3, :3] = motion[:3, :3].T
    back[:3, 3] = -back[:3, :3] @ motion[:3, 3]
    return back


def moved(points: np.ndarray, motion: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "n 3"]:
    """Apply a motion to points (n, 3)."""
    result: Float64[np.ndarray, "n 3"] = points.astype(np.float64) @ motion[:3, :3].T + motion[:3, 3]
    return result


def is_rigid(motion: np.ndarray, tolerance: float = 1e-3) -> bool:
    """Tell whether a matrix is a rotation with a translation, up to the rounding of a text file."""
    if motion.shape != (4, 4) or not (np.abs(motion) <= FARTHEST_M).all():
        return False
    turn = motion[:3, :3]
    off = max(np.abs(turn @ turn.T - np.eye(3)).max(), np.abs(motion[3] - [0, 0, 0, 1]).max())
    return bool(off <= tolerance and np.linalg.det(turn) > 0)
