"""Write a tiny data set in the layout of DIODE, with depth that is known."""

from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import Known, known_view, write_image
from tests.sources.contract import Truth

SIZE = (48, 64)
# The published camera at a sixteenth of the published size.
CAMERA = Intrinsics(886.81, 927.06, 511.5, 383.5).resized(1 / 16, 1 / 16)


def make(root: Path, *, split: str = "train") -> dict[str, Truth]:
    """Write a room and a street; every third return is missing, and so is the sky."""
    truths = {}
    for seed, place in enumerate(("indoors", "outdoor")):
        key = f"{place}/scene_0000{seed}/scan_00183/0000{seed}_00183_{place}_000_010"
        truths[key] = _write(root / split / key, known_view(seed, size=SIZE, camera=CAMERA))
    return truths


def _write(stem: Path, view: Known) -> Truth:
    hit = np.isfinite(view.depth)
    hit.flat[::3] = False
    write_image(stem.with_name(f"{stem.name}.png"), view.image)
    # Where the laser had no return, real files hold numbers that mean nothing.
    depth = np.where(view.sky, 0, view.depth).astype(np.float32)
    np.save(stem.with_name(f"{stem.name}_depth.npy"), depth[..., None])
    np.save(stem.with_name(f"{stem.name}_depth_mask.npy"), hit.astype(np.float64))
    return Truth(np.where(hit, view.depth, np.nan), CAMERA)
