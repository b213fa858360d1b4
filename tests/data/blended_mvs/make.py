"""Write a tiny data set in the layout of BlendedMVS, with depth that is known up to the project's unit."""

from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import known_view, write_image, write_pfm
from tests.sources.contract import Truth

SIZE = (36, 48)
CAMERA = Intrinsics(36.25, 36.25, 24.5, 17.75)
PROJECTS = (("58c4bb4f4a69c55606122be4", 0.01), ("5a0271884e62597cdee0d0eb", 37.0))


def make(root: Path) -> dict[str, Truth]:
    """Write one view of two projects with units of their own; the sky is 0, as everything without surface."""
    truths = {}
    for seed, (project, unit) in enumerate(PROJECTS):
        view = known_view(seed, size=SIZE, camera=CAMERA)
        folder = root / project
        write_image(folder / "blended_images/00000000.jpg", view.image)
        masked = np.where(view.sky[..., None], 0, view.image).astype(np.uint8)
        write_image(folder / "blended_images/00000000_masked.jpg", masked)
        write_pfm(folder / "rendered_depth_maps/00000000.pfm", np.where(view.sky, 0, view.depth * unit))
        (folder / "cams").mkdir()
        (folder / "cams/pair.txt").write_text("1\n0\n0\n")
        (folder / "cams/00000000_cam.txt").write_text(
            "extrinsic\n1 0 0 0 \n0 1 0 0 \n0 0 1 0 \n0.0 0.0 0.0 1.0 \n\nintrinsic\n"
            f"{CAMERA.fx} 0.0 {CAMERA.cx} \n0.0 {CAMERA.fy} {CAMERA.cy} \n0.0 0.0 1.0 \n\n"
            "-0.5 0.04 128.0 9.5 \n"
        )
        depth = np.where(view.sky, np.nan, view.depth * unit)
        truths[f"{project}/00000000"] = Truth(depth, CAMERA, sky=np.zeros(SIZE, np.bool_))
    return truths
