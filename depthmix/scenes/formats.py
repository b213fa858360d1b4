"""Write the file formats of the raw data sets as bytes."""

import json

import numpy as np
from jaxtyping import Float, Float32, Shaped

from depthmix.sample import Intrinsics

__all__ = ["camera_json", "kitti_calibration", "middlebury_calibration", "npy", "pfm", "png"]


def png(array: Shaped[np.ndarray, "h w *c"]) -> bytes:
    """Encode RGB or grey, 8 or 16 bit."""
    import cv2

    shown = array[..., ::-1] if array.ndim == 3 else array
    return bytes(cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def npy(array: Shaped[np.ndarray, "*shape"]) -> bytes:
    """Encode an array in NumPy's own format."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def pfm(values: Float32[np.ndarray, "h w"]) -> bytes:
    """Encode a float map: bottom row first; the negative scale says little-endian."""
    height, width = values.shape
    header = f"Pf\n{width} {height}\n-1.0\n".encode("ascii")
    return header + np.ascontiguousarray(values[::-1], "<f4").tobytes()


def camera_json(intrinsics: Intrinsics) -> bytes:
    """Encode a camera as a small JSON object."""
    values = {name: getattr(intrinsics, name) for name in ("fx", "fy", "cx", "cy")}
    return (json.dumps(values) + "\n").encode("ascii")


def middlebury_calibration(
    intrinsics: Intrinsics, *, baseline_m: float, doffs_px: float, size: tuple[int, int], disparities: int
) -> bytes:
    """Encode `calib.txt` of Middlebury 2014; the baseline is in millimetres there."""
    f, cx, cy = intrinsics.fx, intrinsics.cx, intrinsics.cy
    lines = [
        f"cam0=[{f:.6f} 0 {cx:.6f}; 0 {f:.6f} {cy:.6f}; 0 0 1]",
        f"cam1=[{f:.6f} 0 {cx + doffs_px:.6f}; 0 {f:.6f} {cy:.6f}; 0 0 1]",
        f"doffs={doffs_px:.6f}",
        f"baseline={1000 * baseline_m:.6f}",
        f"width={size[1]}",
        f"height={size[0]}",
        f"ndisp={disparities}",
        "isint=0",
        "vmin=0",
        f"vmax={disparities - 1}",
        "dyavg=0",
        "dymax=0",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def kitti_calibration(
    intrinsics: Intrinsics,
    *,
    to_camera_2: Float[np.ndarray, " 3"],
    rectification: Float[np.ndarray, "3 3"],
    mounting: Float[np.ndarray, "3 4"],
) -> bytes:
    """Encode `calib.txt` of one frame of KITTI object.

    Args:
        intrinsics: of all four rectified cameras.
        to_camera_2: what is added to a point of rectified camera 0 to have it in camera 2.
        rectification: camera 0 to rectified camera 0.
        mounting: scanner to camera 0.
    """
    matrix = np.array([[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1]])
    moves = (np.zeros(3), np.array([-0.54, 0, 0]), to_camera_2, to_camera_2 - np.array([0.54, 0, 0]))
    rows = {f"P{i}": np.column_stack([matrix, matrix @ move]) for i, move in enumerate(moves)}
    rows |= {"R0_rect": rectification, "Tr_velo_to_cam": mounting, "Tr_imu_to_velo": np.eye(3, 4)}
    lines = [f"{name}: {' '.join(f'{x:.12e}' for x in row.ravel())}" for name, row in rows.items()]
    return ("\n".join(lines) + "\n").encode("ascii")
