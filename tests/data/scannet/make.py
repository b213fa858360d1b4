"""Write a tiny copy of frames that were extracted from ScanNet, with depth that is known."""

from pathlib import Path

import cv2
import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing import Truth, known_view
from depthmix.testing.known import code16, write_image

# The depth camera at a tenth of its size, and the colour camera, which has about twice the pixels.
DEPTH = Intrinsics(57.09, 57.09, 31.5, 23.5)
KEYS = ("scene0000_00/0", "scene0000_00/10", "scene0707_00/20")


def matrix(camera: Intrinsics) -> str:
    """Write a camera as SensReader does."""
    rows = ((camera.fx, 0, camera.cx, 0), (0, camera.fy, camera.cy, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)


def make(root: Path) -> dict[str, Truth]:
    """Write two frames of one scene and one of another."""
    truths = {}
    for seed, key in enumerate(KEYS):
        view = known_view(seed, camera=DEPTH, has_sky=False)
        depth = view.depth.copy()
        depth[:, :3] = np.nan
        code = code16(depth, 1000)
        code[0, 10:20] = 12000
        depth[0, 10:20] = np.nan
        scene, _, number = key.rpartition("/")
        write_image(root / scene / "color" / f"{number}.jpg", cv2.resize(view.image, (130, 97)))
        write_image(root / scene / "depth" / f"{number}.png", code)
        folder = root / scene / "intrinsic"
        folder.mkdir(exist_ok=True)
        (folder / "intrinsic_depth.txt").write_text(matrix(DEPTH))
        (folder / "intrinsic_color.txt").write_text(matrix(Intrinsics(117.0, 117.2, 64.8, 48.4)))
        pose = root / scene / "pose" / f"{number}.txt"
        pose.parent.mkdir(exist_ok=True)
        # Tracking was lost: this frame has no pose, but a depth.
        pose.write_text("-inf -inf -inf -inf\n" * 4)
        truths[key] = Truth(depth, DEPTH, rtol=0, atol=5.1e-4)
    (root / "scannetv2_train.txt").write_text("scene0000_00\n")
    return truths
