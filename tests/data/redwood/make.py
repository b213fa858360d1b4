"""Write a tiny copy of what Open3D's recorders write, and of Redwood's scans of objects."""

import json
from pathlib import Path

import numpy as np

from depthmix.testing import Truth, known_view
from depthmix.testing.known import Known, code16, write_image

KEYS = ("bedroom/000000", "bedroom/000001")
# Numbers and times of the two cameras of a scan: the second image has no depth near in time.
DEPTH = ("0000001-000000000000", "0000002-000000066534")
IMAGE = ("0000001-000000001000", "0000002-000000034000", "0000003-000000067000")


def view(seed: int) -> Known:
    return known_view(seed, has_sky=False)


def label(seed: int) -> np.ndarray:
    depth = view(seed).depth.copy()
    depth[:, :3] = np.nan
    return depth


def make(root: Path, *, colours: str = "color") -> dict[str, Truth]:
    """Write one scene with its camera."""
    truths = {}
    for seed, key in enumerate(KEYS):
        scene, _, name = key.partition("/")
        write_image(root / scene / colours / f"{name}.jpg", view(seed).image)
        write_image(root / scene / "depth" / f"{name}.png", code16(label(seed), 1000))
        k = view(seed).intrinsics
        camera = {"width": 64, "height": 48, "intrinsic_matrix": [k.fx, 0, 0, 0, k.fy, 0, k.cx, k.cy, 1]}
        (root / scene / "camera_intrinsic.json").write_text(json.dumps(camera, indent=4))
        truths[key] = Truth(label(seed), k, rtol=0, atol=5.1e-4)
    return truths


def make_scan(root: Path) -> dict[str, Truth]:
    """Write one scan whose cameras run at their own times; the root is the scene."""
    for seed, name in zip((0, 2, 1), IMAGE, strict=True):
        write_image(root / "rgb" / f"{name}.png", view(seed).image)
    for seed, name in enumerate(DEPTH):
        write_image(root / "depth" / f"{name}.png", code16(label(seed), 1000))
    return {name: Truth(label(seed), None, rtol=0, atol=5.1e-4) for seed, name in enumerate(DEPTH)}
