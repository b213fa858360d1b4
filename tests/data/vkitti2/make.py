"""Write a tiny data set in the layout of Virtual KITTI 2, with depth, classes and cameras that are known."""

from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import Known, code16, known_view, write_image
from tests.sources.contract import Truth

SIZE = (30, 96)
CAMERA = Intrinsics(58.0007, 58.0007, 47.5, 14.5)
SKY, OTHER = (90, 200, 255), (140, 140, 140)
VARIANTS = (("Scene01", "clone"), ("Scene20", "15-deg-left"))


def make(root: Path, *, camera: int = 0, apart: bool = False) -> dict[str, Truth]:
    """Write frame 5 of two variants; `apart` keeps each archive in a folder of its own."""
    truths = {}
    for seed, (scene, variant) in enumerate(VARIANTS):
        view = known_view(seed, size=SIZE, camera=CAMERA)
        part = f"{scene}/{variant}"

        def folder(kind: str, part: str = part) -> Path:
            return (root / f"vkitti_2.0.3_{kind}" if apart else root) / part

        write_frame(folder, view, f"Camera_{camera}")
        lines = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
        # Another frame has another camera here, so that the line has to be the right one.
        for frame in (4, 5):
            focal = CAMERA.fx + 5 - frame
            lines += [f"{frame} {side} {focal} {focal} {CAMERA.cx} {CAMERA.cy} " for side in (0, 1)]
        folder("textgt").mkdir(parents=True, exist_ok=True)
        (folder("textgt") / "intrinsic.txt").write_text("\n".join(lines) + "\n")
        table = "Category r g b\nTerrain 210 0 200\nSky 90 200 255\nBuilding 140 140 140\n"
        (folder("textgt") / "colors.txt").write_text(table)
        depth = np.where(view.sky, np.nan, view.depth)
        truths[f"{part}/Camera_{camera}/00005"] = Truth(depth, CAMERA, rtol=0, atol=0.0051, sky=view.sky)
    return truths


def write_frame(folder, view: Known, camera: str) -> None:
    """Write photo, depth in centimetres and the picture of classes."""
    write_image(folder("rgb") / f"frames/rgb/{camera}/rgb_00005.jpg", view.image)
    write_image(folder("depth") / f"frames/depth/{camera}/depth_00005.png", code16(view.depth, 100, 65535))
    classes = np.where(view.sky[..., None], SKY, OTHER).astype(np.uint8)
    write_image(folder("classSegmentation") / f"frames/classSegmentation/{camera}/classgt_00005.png", classes)
