"""Write a tiny copy of SUN RGB-D, with depth that is known."""

from pathlib import Path

import numpy as np

from depthmix.testing import Truth, known_view
from depthmix.testing.known import code16, write_image

NYU = "kv1/NYUdata/NYU0001/NYU0001"
SUN3D = "xtion/sun3ddata/brown_bm_1/brown_bm_1/0000068-000002264677"


def rotated(code: np.ndarray) -> np.ndarray:
    """Write the three highest bits as the lowest ones."""
    return ((code.astype(np.uint32) << 3 | code.astype(np.uint32) >> 13) & 0xFFFF).astype(np.uint16)


def make(root: Path) -> dict[str, Truth]:
    """Write one scene whose depth is named as its image, and one whose depth is not."""
    truths = {}
    for seed, (key, depth_name) in enumerate({NYU: "NYU0001", SUN3D: "0000068-000002260000"}.items()):
        view = known_view(seed, has_sky=False)
        depth = view.depth.copy()
        depth[:, :5] = np.nan
        # Beyond what the toolbox reads, and beyond what 13 bits hold.
        far = depth.copy()
        far[:6, 10:20] = 9.87
        scene, _, image_name = key.rpartition("/")
        write_image(root / scene / "image" / f"{image_name}.jpg", view.image)
        write_image(root / scene / "depth" / f"{depth_name}.png", rotated(code16(far, 1000)))
        filled = np.where(np.isfinite(far), far, view.depth)
        write_image(root / scene / "depth_bfx" / f"{depth_name}.png", rotated(code16(filled, 1000)))
        camera = view.intrinsics
        numbers = f"{camera.fx} 0 {camera.cx} 0 {camera.fy} {camera.cy} 0 0 1 \n"
        (root / scene / "intrinsics.txt").write_text(numbers)
        depth[:6, 10:20] = np.nan
        truths[key] = Truth(depth, camera, rtol=0, atol=5.1e-4)
    return truths
