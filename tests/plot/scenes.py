"""Tiny labelled images with known answers: a slanted floor that meets a wall, in every kind of label."""

from typing import Any

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

HEIGHT, WIDTH = 24, 32
# Floor nearer than wall, twice right and once asked as equal.
PAIRS = np.array([[3, 22, 5, 6, -1], [20, 5, 25, 20, 1], [10, 5, 20, 5, 0]], np.int32)
CAMERA = Intrinsics(fx=30.0, fy=30.0, cx=15.5, cy=8.0)


def corner_depth() -> np.ndarray:
    """Depth of a floor 1.5 m below the camera that runs into a wall at 6 m."""
    slope = (np.indices((HEIGHT, WIDTH))[0] - CAMERA.cy) / CAMERA.fy
    floor = 1.5 / np.maximum(slope, 1e-6)
    return np.minimum(floor, 6.0).astype(np.float32)


def corner(kind: LabelKind = LabelKind.METRIC_DEPTH, **changes: Any) -> Sample:
    """A sample of the corner; the upper four rows are sky."""
    depth = corner_depth()
    sky = np.zeros((HEIGHT, WIDTH), np.bool_)
    sky[:4] = True
    depthless = kind in (LabelKind.NONE, LabelKind.ORDINAL)
    target = {LabelKind.NONE: np.zeros_like(depth), LabelKind.AFFINE_DISPARITY: 3 / depth - 1}.get(
        kind, depth
    )
    fields = {
        "image": np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3),
        "target": target.astype(np.float32),
        "valid": np.zeros_like(sky) if depthless else ~sky,
        "sky": sky,
        "planes": np.where(sky, 0, np.where(depth < 6, 2, 1)).astype(np.int32),
        "sigma": None,
        "intrinsics": None if kind is LabelKind.AFFINE_DISPARITY else CAMERA,
        "quality": Quality.HIGH,
        "kind": kind,
        "source": "demo",
        "key": "corner",
        "pairs": PAIRS if kind is LabelKind.ORDINAL else None,
    }
    return Sample(**{**fields, **changes})
