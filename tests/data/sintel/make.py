"""Write a tiny copy of MPI Sintel's training frames, with depth that is known."""

from pathlib import Path

import numpy as np

from depthmix.testing import Truth, known_view
from depthmix.testing.known import write_image

KEYS = ("alley_1/frame_0001", "market_2/frame_0007")
MARK = np.array([202021.25], "<f4").tobytes()
SKY = 1e6


def make(root: Path, *, render_pass: str = "final") -> dict[str, Truth]:
    """Write two frames; sky has a large depth that nothing marks."""
    truths = {}
    for seed, key in enumerate(KEYS):
        view = known_view(seed)
        depth = np.where(view.sky, SKY, view.depth).astype("<f4")
        write_image(root / "training" / render_pass / f"{key}.png", view.image)
        camera = view.intrinsics
        matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], "<f8")
        pose = np.hstack([np.eye(3), [[0.1], [-2.0], [3.5]]]).astype("<f8")
        size = np.array([depth.shape[1], depth.shape[0]], "<i4")
        for folder, suffix, content in (
            ("depth", ".dpt", MARK + size.tobytes() + depth.tobytes()),
            ("camdata_left", ".cam", MARK + matrix.tobytes() + pose.tobytes()),
        ):
            file = root / "training" / folder / f"{key}{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        truths[key] = Truth(depth.astype(np.float64), camera, rtol=1e-6)
    return truths
