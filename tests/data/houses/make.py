"""Write tiny copies of renderings and scans of buildings, with depth that is known."""

import json
import math
from pathlib import Path

import numpy as np
import OpenEXR

from depthmix.sample import Intrinsics
from depthmix.testing import Truth, known_view
from depthmix.testing.known import code16, write_image

SIZE = (48, 48)
ANGLE = 1.1
CAMERA = Intrinsics(24 / math.tan(ANGLE / 2), 24 / math.tan(ANGLE / 2), 23.5, 23.5)


def write_ken_burns(root: Path) -> dict[str, Truth]:
    """Write two views of a rig; nothing is hit in the sky."""
    truths = {}
    for number, camera in enumerate(("bl", "tr")):
        view = known_view(number, size=SIZE, camera=CAMERA)
        write_image(root / "asdf-flying" / f"00001-{camera}-image.png", view.image)
        stored = np.where(view.sky, 65504.0, view.depth * 100).astype(np.float32)
        file = root / "asdf-flying-depth" / f"00001-{camera}-depth.exr"
        file.parent.mkdir(exist_ok=True)
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"Y": stored}) as content:
            content.write(str(file))
        truths[f"asdf-flying/00001-{camera}"] = Truth(
            np.where(view.sky, np.nan, view.depth), CAMERA, sky=view.sky
        )
    meta = {"intSample": 1, "fltFov": math.degrees(ANGLE)}
    (root / "asdf-flying" / "00001-meta.json").write_text(json.dumps(meta))
    return truths


def write_taskonomy(root: Path, arrangement: str, *, masks: bool = False) -> dict[str, Truth]:
    """Write one view of each of two buildings, in one of the two arrangements of folders."""
    truths = {}
    for number, building in enumerate(("ackerman", "zurich")):
        view = known_view(number, size=SIZE, camera=CAMERA)
        name = f"point_{number}_view_3"
        code = code16(view.depth, 512, missing=65535)
        code[0, :4] = (46 * 512, 0, 65535, 40000)  # what is seen through holes of the scan
        depth = np.where((code == 0) | (code > 44.9 * 512), np.nan, code / 512)

        def place(domain: str, suffix: str, building: str = building, name: str = name) -> Path:
            folders = {
                "building": f"{building}/{domain}",
                "domain": f"{domain}/{building}",
                "component": f"{domain}/taskonomy/{building}",
            }
            return root / folders[arrangement] / f"{name}_domain_{domain}.{suffix}"

        write_image(place("rgb", "png"), view.image)
        write_image(place("depth_zbuffer", "png"), code)
        place("point_info", "json").parent.mkdir(parents=True)
        place("point_info", "json").write_text(json.dumps({"field_of_view_rads": ANGLE, "resolution": 48}))
        if masks:
            mask = np.where(np.indices(SIZE)[1] > 4, 255, 0).astype(np.uint8)
            write_image(place("mask_valid", "png"), mask)
            depth = np.where(mask > 0, depth, np.nan)
        component = "taskonomy/" if arrangement == "component" else ""
        truths[f"{component}{building}/{name}"] = Truth(depth, CAMERA)
    return truths


def write_replica(root: Path) -> dict[str, Truth]:
    """Write one frame of each of two rooms."""
    truths = {}
    camera = Intrinsics(60.0, 60.0, 31.5, 23.5)
    for number, room in enumerate(("office0", "room1")):
        view = known_view(number, camera=camera, has_sky=False)
        write_image(root / room / "results" / f"frame{number:06d}.jpg", view.image)
        write_image(root / room / "results" / f"depth{number:06d}.png", code16(view.depth, 6553.5))
        truths[f"{room}/{number:06d}"] = Truth(view.depth, camera, rtol=0, atol=0.5 / 6553.5 + 1e-6)
    stated = {"w": 64, "h": 48, "fx": 60.0, "fy": 60.0, "cx": 31.5, "cy": 23.5, "scale": 6553.5}
    (root / "cam_params.json").write_text(json.dumps({"camera": stated}))
    return truths


def write_matterport(root: Path) -> dict[str, Truth]:
    """Write one house; each of the two cameras has intrinsics of its own, counted from the bottom row."""
    truths, lines = {}, ["dataset matterport", "n_images 2", "depth_directory undistorted_depth_images"]
    house = root / "1pXnuDYAj8r"
    for number in range(2):
        camera = Intrinsics(55.0 + number, 54.0 + number, 33.0, 20.0 + number)
        view = known_view(number, camera=camera, has_sky=False)
        code = code16(view.depth, 4000)
        code[:2] = 0
        names = [f"0f37bd_{letter}{number}_4.{suffix}" for letter, suffix in (("d", "png"), ("i", "jpg"))]
        write_image(house / "undistorted_depth_images" / names[0], code)
        write_image(house / "undistorted_color_images" / names[1], view.image)
        from_bottom = view.size[0] - 1 - camera.cy
        lines.append(f"intrinsics_matrix {camera.fx} 0 {camera.cx}  0 {camera.fy} {from_bottom} 0 0 1")
        lines.append(f"scan {names[0]} {names[1]} {' '.join(['1'] * 16)}")
        truths[f"1pXnuDYAj8r/0f37bd_{number}_4"] = Truth(
            np.where(code > 0, view.depth, np.nan), camera, rtol=0, atol=1 / 8000 + 1e-6
        )
    (house / "undistorted_camera_parameters").mkdir()
    (house / "undistorted_camera_parameters" / "1pXnuDYAj8r.conf").write_text("\n".join(lines) + "\n")
    return truths
