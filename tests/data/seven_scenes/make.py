"""Write a tiny copy of 7-Scenes, with depth that is known."""

from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing import known_view
from depthmix.testing.known import code16, write_image

SIZE = (48, 64)
# The publisher's depth camera at a tenth of its size.
SENSOR = Intrinsics(58.5, 58.5, 31.5, 23.5)
COLOUR = Intrinsics(52.5, 52.5, 31.5, 23.5)
KEYS = ("chess/seq-01/000000", "chess/seq-03/000007")


def make(root: Path) -> dict[str, np.ndarray]:
    """Write one frame of training and one for tests, and return the sensor's depth by key."""
    known = {}
    for seed, key in enumerate(KEYS):
        view = known_view(seed, size=SIZE, camera=SENSOR, has_sky=False)
        depth = view.depth.copy()
        depth[:, :3] = np.nan
        code = code16(depth, 1000, missing=65535)
        depth[-2:] = np.nan
        code[-2:] = 0
        known[key] = depth
        sequence, _, number = key.rpartition("/")
        stem = root / sequence
        write_image(stem / f"frame-{number}.color.png", view.image)
        write_image(stem / f"frame-{number}.depth.png", code)
        (stem / f"frame-{number}.pose.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (root / "chess/TrainSplit.txt").write_text("sequence1\n")
    (root / "chess/TestSplit.txt").write_text("sequence3\n")
    return known
