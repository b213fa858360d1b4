"""Write tiny copies of stereo data sets of streets, and of plain calibrated pairs."""

import json
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing.known import Known, code16, known_view, right_view, write_image

BASELINE_M = 0.54
CAMERA = Intrinsics(300.0, 300.0, 33.2, 21.7)  # a long lens, so that disparities are worth their 16 bits
DOFFS_PX = 1.25


def views(*keys: str, doffs: bool = False) -> dict[str, Known]:
    return {key: known_view(number, camera=CAMERA) for number, key in enumerate(keys)}


def projection(x: float, doffs: float = 0.0) -> str:
    """The 3 x 4 matrix of a camera that stands x metres to the right."""
    numbers = [CAMERA.fx, 0, CAMERA.cx + doffs, -CAMERA.fx * x, 0, CAMERA.fy, CAMERA.cy, 0, 0, 0, 1, 0]
    return " ".join(f"{number:.12e}" for number in numbers)


def labelled(view: Known, per_pixel: float = 256) -> np.ndarray:
    return code16(np.where(view.sky, np.nan, view.disparity(BASELINE_M, DOFFS_PX)), per_pixel)


def make_kitti(root: Path, release: int = 2015) -> dict[str, Known]:
    known = views("000000_10", "000007_10")
    left, right, calib, names, label = {
        2012: ("colored_0", "colored_1", "calib", ("P2", "P3"), "disp_occ"),
        2015: ("image_2", "image_3", "calib_cam_to_cam", ("P_rect_02", "P_rect_03"), "disp_occ_0"),
    }[release]
    for key, view in known.items():
        write_image(root / "training" / left / f"{key}.png", view.image)
        write_image(root / "training" / right / f"{key}.png", right_view(view, BASELINE_M, DOFFS_PX))
        write_image(root / "training" / label / f"{key}.png", labelled(view))
        (root / "training" / calib).mkdir(exist_ok=True)
        # Camera 0 is the origin; camera 2 stands 6 cm to its right.
        lines = [f"{names[0]}: {projection(0.06)}", f"{names[1]}: {projection(0.06 + BASELINE_M, DOFFS_PX)}"]
        text = "\n".join(["calib_time: 09-Jan-2012 14:00:15", *lines])
        (root / "training" / calib / f"{key[:6]}.txt").write_text(text + "\n")
    return known


def make_cityscapes(root: Path, *, fine: bool = True) -> dict[str, Known]:
    known = views("aachen/aachen_000000_000019", "bochum/bochum_000000_000313")
    for key, view in known.items():
        write_image(root / "leftImg8bit" / "train" / f"{key}_leftImg8bit.png", view.image)
        right = right_view(view, BASELINE_M)
        write_image(root / "rightImg8bit" / "train" / f"{key}_rightImg8bit.png", right)
        disparity = view.disparity(BASELINE_M)
        # p = 256 d + 1: the sky, at infinity, has p = 1, which is not the code of nothing.
        code = np.rint(disparity * 256 + 1).astype(np.uint16)
        code[:3, :5] = 0
        write_image(root / "disparity" / "train" / f"{key}_disparity.png", code)
        inner = {"fx": CAMERA.fx, "fy": CAMERA.fy, "u0": CAMERA.cx, "v0": CAMERA.cy}
        content = {"extrinsic": {"baseline": BASELINE_M, "x": 1.7}, "intrinsic": inner}
        file = root / "camera" / "train" / f"{key}_camera.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
        if fine:
            names = np.where(view.sky, 23, 7).astype(np.uint8)
            names[-4:] = 1  # the own car
            write_image(root / "gtFine" / "train" / f"{key}_gtFine_labelIds.png", names)
    return known


def make_driving(root: Path, size: str = "half") -> dict[str, Known]:
    sequence = "2018-07-11-14-48-52"
    known = views(
        f"{sequence}/{sequence}_2018-07-11-14-50-08-769", f"{sequence}/{sequence}_2018-07-11-14-50-10-769"
    )
    for key, view in known.items():
        write_image(root / "train-left-image" / f"{key}.jpg", view.image)
        write_image(root / "train-right-image" / f"{key}.jpg", right_view(view, BASELINE_M, DOFFS_PX))
        write_image(
            root / "train-disparity-map" / f"{key}.png", labelled(view, 256 if size == "half" else 128)
        )
    folder = root / "calib" / f"{size}-image-calib"
    folder.mkdir(parents=True)
    # The fourth column of the half-size files is twice too large, as the published ones are.
    twice = 2 if size == "half" else 1
    lines = [
        f"T_103: {-BASELINE_M} 0 0",
        f"P_rect_101: {projection(0)}",
        f"P_rect_103: {projection(twice * BASELINE_M, DOFFS_PX)}",
    ]
    (folder / f"{sequence}.txt").write_text("\n".join(lines) + "\n")
    return known


def make_argoverse(root: Path) -> dict[str, Known]:
    log = "273c1883-673a-36bf-b124-88311b1a80be"
    known = views(f"{log}/315975640448534784", f"{log}/315975640648534784")
    pictures = root / "rectified_stereo_images_v1.1" / "train" / log
    maps = root / "disparity_maps_v1.1" / "train" / log
    for key, view in known.items():
        time = key.split("/")[1]
        for side, image in (("left", view.image), ("right", right_view(view, BASELINE_M, DOFFS_PX))):
            name = f"stereo_front_{side}_rect"
            write_image(pictures / name / f"{name}_{time}.jpg", image)
        write_image(maps / "stereo_front_left_rect_disparity" / f"disparity_{time}.png", labelled(view))
    cameras = []
    for number, (side, doffs) in enumerate((("left", 0.0), ("right", DOFFS_PX))):
        value = {
            "focal_length_x_px_": CAMERA.fx,
            "focal_length_y_px_": CAMERA.fy,
            "focal_center_x_px_": CAMERA.cx + doffs,
            "focal_center_y_px_": CAMERA.cy,
            "vehicle_SE3_camera_": {"translation": [1.6, 0.15 - number * BASELINE_M, 1.37]},
        }
        cameras.append({"key": f"image_raw_stereo_front_{side}_rect", "value": value})
    text = json.dumps({"camera_data_": cameras})
    (pictures / "vehicle_calibration_stereo_info.json").write_text(text)
    return known


def make_diml(root: Path, *, outdoor: bool) -> dict[str, Known]:
    known = views("Cafe/in_k_01_0001", "Office/in_k_02_0001") if not outdoor else views("A/0001", "B/0001")
    for key, view in known.items():
        scene, frame = key.split("/")
        names = ("outleft", f"{frame}.png", "depthmap", f"{frame}.png")
        if not outdoor:
            names = ("color", f"{frame}_c.png", "depth_filled", f"{frame}_depth_filled.png")
        write_image(root / scene / names[0] / names[1], view.image)
        write_image(root / scene / names[2] / names[3], code16(np.where(view.sky, np.nan, view.depth), 1000))
    return known


def smooth_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left and right picture of a slanted, textured wall, and its true depth; no pixel is hidden."""
    height, width, fx, baseline = 96, 256, 200.0, 0.1
    random = np.random.default_rng(seed)
    u = np.arange(width, dtype=np.float64)
    disparity = 8 + 4 * u / width
    texture = random.random((height, 4 * width)).cumsum(1)
    texture -= np.linspace(0, 1, 4 * width) * texture[:, -1:]
    grid = np.arange(4 * width, dtype=np.float64)
    # The right picture shows texture(x); the left one shows at u what the right one shows at u - d.
    right = np.stack([np.interp(u + 40, grid, row) for row in texture])
    left = np.stack([np.interp(u - disparity + 40, grid, row) for row in texture])
    low, high = texture.min(), texture.max()
    pictures = [np.rint((view - low) / (high - low) * 255).astype(np.uint8) for view in (left, right)]
    depth = np.broadcast_to(fx * baseline / disparity, (height, width))
    return pictures[0], pictures[1], depth


def make_pairs(root: Path) -> dict[str, np.ndarray]:
    """Two pairs with stereodemo's JSON; the left fifth and the lowest tenth show nothing."""
    known = {}
    for number, key in enumerate(("hall", "room")):
        left, right, known[key] = smooth_pair(number)
        write_image(root / f"{key}_left.png", left)
        write_image(root / f"{key}_right.png", right)
    content = {
        "width": 256,
        "height": 96,
        "baseline_meters": 0.1,
        "fx": 200.0,
        "fy": 200.0,
        "cx0": 127.0,
        "cx1": 127.0,
        "cy": 48.0,
        "depth_range": [1.0, 5.0],
        "left_image_rect_normalized": [0.2, 0, 1, 0.9],
    }
    (root / "stereodemo_calibration.json").write_text(json.dumps(content))
    return known
