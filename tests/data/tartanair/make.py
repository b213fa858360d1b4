"""Write tiny flights in the layouts of TartanAir and TartanAir V2, with depth and sky that are known."""

from pathlib import Path

import cv2
import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import Known, known_view, write_image
from tests.sources.contract import Truth

CAMERA = Intrinsics(320.0, 320.0, 319.5, 239.5).resized(0.1, 0.1)
CAMERA_V2 = Intrinsics(320.0, 320.0, 319.5, 319.5).resized(0.05, 0.05)
FLIGHTS = (("abandonedfactory", "Easy"), ("ocean", "Hard"))
FLIGHTS_V2 = (("AbandonedCable", "Data_easy"), ("Ocean", "Data_hard"))


def make(root: Path, *, sky: float = 10000.0, side: str = "left", twice: bool = False) -> dict[str, Truth]:
    """Write one frame of two flights; `twice` puts each world into a second folder of its name."""
    truths = {}
    for seed, (world, level) in enumerate(FLIGHTS):
        view = known_view(seed, size=(48, 64), camera=CAMERA)
        flight = f"{world}/{world}/{level}/P001" if twice else f"{world}/{level}/P001"
        write_image(root / flight / f"image_{side}" / f"000007_{side}.png", view.image)
        file = root / flight / f"depth_{side}" / f"000007_{side}_depth.npy"
        file.parent.mkdir(parents=True)
        np.save(file, np.where(view.sky, sky, view.depth).astype(np.float32))
        truths[f"{flight}/000007"] = truth(view, CAMERA)
    return truths


def make_v2(root: Path, *, sky: float = 65504.0, name: str = "lcam_front") -> dict[str, Truth]:
    """Write one frame of two flights with depth as the bytes of a PNG."""
    truths = {}
    for seed, (world, level) in enumerate(FLIGHTS_V2):
        view = known_view(seed, size=(32, 32), camera=CAMERA_V2)
        flight = root / world / level / "P000"
        write_image(flight / f"image_{name}" / f"000000_{name}.png", view.image)
        depth = np.where(view.sky, sky, view.depth).astype("<f4")
        file = flight / f"depth_{name}" / f"000000_{name}_depth.png"
        file.parent.mkdir(parents=True)
        # OpenCV calls the bytes blue, green, red, alpha in the order in which they lie in memory.
        assert cv2.imwrite(str(file), depth[..., None].view(np.uint8))
        truths[f"{world}/{level}/P000/000000"] = truth(view, CAMERA_V2)
    return truths


def truth(view: Known, camera: Intrinsics) -> Truth:
    """Return depth without the sky, and the sky."""
    return Truth(np.where(view.sky, np.nan, view.depth), camera, sky=view.sky)
