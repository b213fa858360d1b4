"""Write a tiny copy of TUM RGB-D, with depth that is known."""

from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing import Truth, known_view
from depthmix.testing.known import Known, code16, write_image

# The camera of the publisher's page, at a tenth of the published size.
CAMERA = Intrinsics(525.0, 525.0, 319.5, 239.5).resized(0.1, 0.1)
SEQUENCE = "rgbd_dataset_freiburg1_xyz"
# As in the first lines of that sequence: the two cameras run at their own times. The second depth map is
# within 20 ms of both images, but each of them has a closer one.
DEPTH = ("1305031102.160407", "1305031102.194330", "1305031102.226738")
IMAGE = ("1305031102.175304", "1305031102.211214")
PAIRS = {0: 0, 2: 1}


def view(number: int, camera: Intrinsics = CAMERA) -> Known:
    return known_view(number, camera=camera, has_sky=False)


def make(root: Path, *, sequence: str = SEQUENCE, camera: Intrinsics = CAMERA) -> dict[str, Truth]:
    """Write three depth maps and two images, which go with the first and the last."""
    folder = root / sequence
    truths = {}
    for number, name in enumerate(DEPTH):
        depth = view(number, camera).depth.copy()
        depth[:, :4] = np.nan
        write_image(folder / "depth" / f"{name}.png", code16(depth, 5000))
        if number in PAIRS:
            truths[f"{sequence}/{name}"] = Truth(depth, camera, rtol=0, atol=1.1e-4)
    for number, partner in PAIRS.items():
        write_image(folder / "rgb" / f"{IMAGE[partner]}.png", view(number, camera).image)
    for kind, names in (("depth", DEPTH), ("rgb", IMAGE)):
        lines = "".join(f"{name} {kind}/{name}.png\n" for name in names)
        (folder / f"{kind}.txt").write_text(f"# {kind} maps\n# timestamp filename\n{lines}")
    return truths
