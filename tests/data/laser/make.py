"""Write laser scans of one known street as car data sets do, where every sensor fires at its own time."""

import json
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.sources.poses import inverse, moved, rigid, rotation_of_quaternion
from depthmix.testing import Truth
from depthmix.testing.known import code16, write_image
from tests.data.kitti.make import CX, CY, FOCAL_PX, HEIGHT, WIDTH, scan

SIZE = (HEIGHT, WIDTH)
CAMERA = Intrinsics(FOCAL_PX, FOCAL_PX, CX, CY)
# Quaternions (w, x, y, z), of any length, and places in metres. The car drives a metre between scan and
# picture.
TURNS = {
    "scanner": (0.99, 0.01, -0.02, 0.1),
    "camera": (0.5, -0.5, 0.5, -0.5),
    "then": (1, 0, 0, 0.5),
    "now": (1, 0.01, 0, 0.53),
}
PLACES = {
    "scanner": (0.9, 0.0, 1.8),
    "camera": (1.7, 0.1, 1.5),
    "then": (400.0, 1100.0, 2.0),
    "now": (400.7, 1100.6, 2.0),
}


def motion(name: str) -> np.ndarray:
    """Return the motion of a sensor to the car, or of the car to the world."""
    return rigid(rotation_of_quaternion(TURNS[name]), PLACES[name])


def points_in(frame: np.ndarray, *, seed: int) -> np.ndarray:
    """Return points of the street in a frame given by its motion to the world; the seed leaves out half."""
    street = scan(1.0)[seed::2]
    return moved(moved(street, motion("now") @ motion("camera")), inverse(frame))


def seen(seed: int, nearest_m: float = 0.0) -> Truth:
    """Return what the camera sees of these points: the nearest on each pixel, one point after the other."""
    depth = np.full(SIZE, np.nan)
    for x, y, z in scan(1.0)[seed::2]:
        u, v = CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy
        if z > nearest_m and 0 <= u <= WIDTH - 1 and 0 <= v <= HEIGHT - 1:
            place = round(v), round(u)
            depth[place] = np.fmin(depth[place], z)
    return Truth(depth, CAMERA, rtol=1e-4)


def picture(seed: int) -> np.ndarray:
    """Return noise."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def _table(name: str) -> dict[str, list[float]]:
    return {"rotation": list(TURNS[name]), "translation": list(PLACES[name])}


def write_nuscenes(root: Path, *, version: str = "v1.0-trainval", count: int = 2) -> dict[str, Truth]:
    """Write `count` key frames of one camera, each with a sweep between them that is no sample."""
    inner = [[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]
    tables: dict[str, list[dict[str, object]]] = {
        "scene": [{"token": "s", "name": "scene-0061"}],
        "sensor": [{"token": "front", "channel": "CAM_FRONT"}, {"token": "top", "channel": "LIDAR_TOP"}],
        "calibrated_sensor": [
            {"token": "c-front", "sensor_token": "front", "camera_intrinsic": inner, **_table("camera")},
            {"token": "c-top", "sensor_token": "top", "camera_intrinsic": [], **_table("scanner")},
        ],
        "ego_pose": [{"token": "then", **_table("then")}, {"token": "now", **_table("now")}],
        "sample": [],
        "sample_data": [],
    }
    truths = {}
    for number in range(count):
        time = 1532402927612460 + number * 500000
        image, sweep = (
            f"samples/CAM_FRONT/n015__CAM_FRONT__{time}.jpg",
            f"samples/LIDAR_TOP/n015__{time}.pcd.bin",
        )
        tables["sample"].append({"token": f"t{number}", "scene_token": "s"})
        for file, sensor, pose in ((image, "c-front", "now"), (sweep, "c-top", "then")):
            row = {"sample_token": f"t{number}", "calibrated_sensor_token": sensor, "ego_pose_token": pose}
            row |= {"filename": file, "is_key_frame": True, "timestamp": time}
            tables["sample_data"] += [row, row | {"filename": f"sweeps/{number}", "is_key_frame": False}]
        write_image(root / image, picture(number))
        points = points_in(motion("then") @ motion("scanner"), seed=number)
        (root / sweep).parent.mkdir(parents=True, exist_ok=True)
        np.hstack([points, np.ones((len(points), 2))]).astype("<f4").tofile(root / sweep)
        truths[f"scene-0061/{time}/CAM_FRONT"] = seen(number, 1.0)
    (root / version).mkdir()
    for name, rows in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows))
    return truths


def _pose(name: str, other: str) -> dict[str, dict[str, float]]:
    matrix = motion(name) @ motion(other)
    turn = quaternion(matrix[:3, :3])
    return {
        "rotation": dict(zip(("qw", "qx", "qy", "qz"), turn, strict=True)),
        "translation": dict(zip("xyz", matrix[:3, 3].tolist(), strict=True)),
    }


def quaternion(turn: np.ndarray) -> list[float]:
    """Return (w, x, y, z) of a rotation by less than a half turn."""
    w = np.sqrt(1 + np.trace(turn)) / 2
    x, y, z = (turn[i, j] - turn[j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    return [float(number) for number in (w, x / (4 * w), y / (4 * w), z / (4 * w))]


def write_dgp(root: Path, *, count: int = 2, folder: str = "000000") -> dict[str, Truth]:
    """Write one scene of `count` samples, a file of splits that names it, and a mask of the own car."""
    scene = root / folder
    inner = {"fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy, "skew": 0.0}
    calibration = {"names": ["LIDAR", "CAMERA_01"], "intrinsics": [dict.fromkeys(inner, 0.0), inner]}
    content: dict[str, list[object]] = {"samples": [], "data": []}
    truths = {}
    for number in range(count):
        time = f"1556919594020{number}"
        image, sweep = f"rgb/CAMERA_01/{time}.png", f"point_cloud/LIDAR/{time}.npz"
        content["samples"].append({"datum_keys": [f"c{number}", f"l{number}"], "calibration_key": "abc"})
        views = {"c": ("CAMERA_01", "image", image, _pose("now", "camera"))}
        views["l"] = ("LIDAR", "point_cloud", sweep, _pose("then", "scanner"))
        for key, (name, kind, file, pose) in views.items():
            datum = {kind: {"filename": file, "pose": pose}}
            content["data"].append({"key": f"{key}{number}", "id": {"name": name}, "datum": datum})
        write_image(scene / image, picture(number))
        points = points_in(motion("then") @ motion("scanner"), seed=number)
        (scene / sweep).parent.mkdir(parents=True, exist_ok=True)
        np.savez(scene / sweep, data=np.hstack([points, np.ones((len(points), 1))]))
        truths[f"{folder}/CAMERA_01/{time}"] = seen(number, 0.5)
    (scene / "calibration").mkdir()
    (scene / "calibration" / "abc.json").write_text(json.dumps(calibration))
    (scene / "scene_abc.json").write_text(json.dumps(content))
    splits = {"scene_splits": {"0": {"filenames": [f"{folder}/scene_abc.json"]}, "1": {"filenames": []}}}
    (root / "ddad.json").write_text(json.dumps(splits))
    return truths


def write_argoverse2(root: Path, *, split: str = "train", count: int = 2) -> dict[str, Truth]:
    """Write one log of `count` sweeps, a picture 12 ms after each and more pictures between them."""
    import pyarrow
    from pyarrow import feather

    log = root / split / "00a6ffc1"
    camera = "ring_front_center"
    start, step, late = 315968251660164000, 100_000_000, 12_000_000

    def write(name: str, columns: dict[str, object]) -> None:
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pyarrow.table(columns), str(log / name), compression="lz4")

    def rows(names: list[str]) -> dict[str, object]:
        turns = np.array([np.array(TURNS[name]) / np.linalg.norm(TURNS[name]) for name in names])
        places = np.array([PLACES[name] for name in names], np.float64)
        columns: dict[str, object] = {name: turns[:, i] for i, name in enumerate(("qw", "qx", "qy", "qz"))}
        return columns | {f"t{axis}_m": places[:, i] for i, axis in enumerate("xyz")}

    inner = {f"{name}_px": [np.nan, getattr(CAMERA, name)] for name in ("fx", "fy", "cx", "cy")}
    sensors = ["up_lidar", camera]
    write("calibration/intrinsics.feather", {"sensor_name": sensors, **inner})
    write(
        "calibration/egovehicle_SE3_sensor.feather", {"sensor_name": sensors, **rows(["scanner", "camera"])}
    )
    times, names, truths = [], [], {}
    for number in range(count):
        time = start + number * step
        times += [time, time + late]
        names += ["then", "now"]
        for offset in (late, late + step // 2):
            write_image(log / "sensors/cameras" / camera / f"{time + offset}.jpg", picture(number))
        points = points_in(motion("then"), seed=number).astype(np.float32)
        write(f"sensors/lidar/{time}.feather", {axis: points[:, i] for i, axis in enumerate("xyz")})
        truths[f"{log.name}/{time}"] = seen(number, 1.0)
    write("city_SE3_egovehicle.feather", {"timestamp_ns": times, **rows(names)})
    return truths


def write_kitti_depth(root: Path, *, count: int = 2) -> dict[str, Truth]:
    """Write the depth archive beside the raw data, from frame 5 on."""
    drive, day = "2011_09_26_drive_0001_sync", root / "raw" / "2011_09_26"
    truths = {}
    for number in range(count):
        truth, frame = seen(number), f"{number + 5:010d}"
        write_image(day / drive / "image_02" / "data" / f"{frame}.png", picture(number))
        depth = root / "train" / drive / "proj_depth" / "groundtruth" / "image_02" / f"{frame}.png"
        write_image(depth, code16(truth.target, 256))
        truths[f"{drive}/{frame}"] = Truth(truth.target, CAMERA, rtol=0, atol=0.5 / 256 + 1e-6)
    rows = [[CAMERA.fx, 0, CAMERA.cx, 44.9], [0, CAMERA.fy, CAMERA.cy, 0.2], [0, 0, 1, 0.003]]
    line = " ".join(f"{number:e}" for row in rows for number in row)
    (day / "calib_cam_to_cam.txt").write_text(f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {line}\n")
    return truths


def write_kitti_selection(root: Path, *, count: int = 2) -> dict[str, Truth]:
    """Write selected frames with a camera each."""
    truths = {}
    for number in range(count):
        truth = seen(number)
        name = "2011_09_26_drive_0002_sync_{}_" + f"{number:010d}_image_02"
        write_image(root / "image" / f"{name.format('image')}.png", picture(number))
        write_image(
            root / "groundtruth_depth" / f"{name.format('groundtruth_depth')}.png", code16(truth.target, 256)
        )
        matrix = (
            f"{CAMERA.fx} 0.000000 {CAMERA.cx} 0.000000 {CAMERA.fy} {CAMERA.cy} 0.000000 0.000000 1.000000\n"
        )
        (root / "intrinsics").mkdir(exist_ok=True)
        (root / "intrinsics" / f"{name.format('image')}.txt").write_text(matrix)
        truths[name.format("image")] = Truth(truth.target, CAMERA, rtol=0, atol=0.5 / 256 + 1e-6)
    return truths
