"""Write scans in KITTI's two layouts, cast by a scanner beside the camera into boxes with known surfaces."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 96, 320
FOCAL_PX, CX, CY = 181.0, 159.5, 44.0
# Position of the scanner in the camera's frame, metres: beside, above and behind, as on KITTI's car.
SCANNER = np.array([0.06, -0.08, -0.27])
CAMERA_X = -0.06  # camera 2 stands beside camera 0, which the fourth column of P2 says
AXES = np.array(
    [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]
)  # forward, left, up to right, down, forward
# Near rectangles in front of a wall: left, right, top, bottom, z in the camera's frame.
BOXES = ((-1.0, 1.0, 0.1, 1.65, 6.0), (2.0, 3.0, 0.0, 1.65, 10.0), (-3.5, -2.5, 0.2, 1.65, 8.0))
CROWD = (
    *((x, x + 1.8, 0.2, 1.65, z) for x, z in ((-8, 14), (-4.5, 9), (-1, 5), (2.2, 7), (5, 11), (9, 18))),
    *((x, x + width, -3, 1.65, z) for x, width, z in ((-2, 0.15, 6.5), (1.6, 0.1, 8), (4, 0.1, 12))),
    (-12, 12, -1, 1.65, 22),
)
WALL_Z, GROUND_Y = 30.0, 1.65


def ranges(origin: np.ndarray, rays: np.ndarray, boxes: tuple[tuple[float, ...], ...] = BOXES) -> np.ndarray:
    """Return how far each ray goes until it meets box, ground or wall, in units of the ray's length."""
    reach = (WALL_Z - origin[2]) / rays[:, 2]
    down = np.where(rays[:, 1] > 0, rays[:, 1], 1e-9)
    reach = np.minimum(reach, (GROUND_Y - origin[1]) / down)
    for left, right, top, bottom, z in boxes:
        distance = (z - origin[2]) / rays[:, 2]
        x, y = (origin[:2] + distance[:, None] * rays[:, :2]).T
        hit = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        reach = np.where(hit, np.minimum(reach, distance), reach)
    return reach


def scan(step_degrees: float = 0.4) -> np.ndarray:
    """Cast the scanner's beams and return the points in the camera's frame."""
    up, side = np.meshgrid(
        np.deg2rad(np.linspace(-24.8, 2.0, 48)), np.deg2rad(np.arange(-40, 40, step_degrees)), indexing="ij"
    )
    rays = np.stack([np.cos(up) * np.sin(side), -np.sin(up), np.cos(up) * np.cos(side)], -1).reshape(-1, 3)
    return SCANNER + ranges(SCANNER, rays)[:, None] * rays


def true_depth() -> np.ndarray:
    """Return z at every pixel as the camera sees it."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - CX) / FOCAL_PX, (v - CY) / FOCAL_PX, np.ones(u.shape)], -1).reshape(-1, 3)
    return ranges(np.zeros(3), rays).reshape(HEIGHT, WIDTH)


def projection() -> np.ndarray:
    """Return P2, which moves from camera 0 to camera 2 and projects."""
    camera = np.array([[FOCAL_PX, 0, CX], [0, FOCAL_PX, CY], [0, 0, 1]])
    return camera @ np.hstack([np.eye(3), [[-CAMERA_X], [0], [0.0027]]])


def rectification() -> np.ndarray:
    """Return the small rotation from camera 0 to the rectified camera 0."""
    angle = 0.02
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


def mounting() -> np.ndarray:
    """Return the matrix that takes scanner points to camera 0, before its rectification."""
    position = SCANNER - np.array([-CAMERA_X, 0, 0.0027])
    return rectification().T @ np.hstack([AXES, position[:, None]])


def text(values: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in values.ravel())


def write_pair(image: Path, velodyne: Path, seed: int) -> None:
    for file in (image, velodyne):
        file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(image)
    points = (scan() - SCANNER) @ AXES
    np.hstack([points, np.ones((len(points), 1))]).astype("<f4").tofile(velodyne)


def make(root: Path, *, split: str = "training", count: int = 2) -> np.ndarray:
    """Write the object layout and return the depth that the camera sees."""
    folder = root / split
    (folder / "calib").mkdir(parents=True)
    fields = {"P2": projection(), "R0_rect": rectification(), "Tr_velo_to_cam": mounting()}
    for number in range(count):
        frame = f"{number:06d}"
        write_pair(folder / "image_2" / f"{frame}.png", folder / "velodyne" / f"{frame}.bin", number)
        lines = [f"{name}: {text(value)}\n" for name, value in fields.items()]
        (folder / "calib" / f"{frame}.txt").write_text("".join(lines) + "\n")
    return true_depth()


def make_raw(root: Path, *, count: int = 2) -> np.ndarray:
    """Write the raw layout and return the depth that the camera sees."""
    date = root / "2011_09_26"
    drive = date / "2011_09_26_drive_0001_sync"
    for number in range(count):
        frame = f"{number:010d}"
        scans = drive / "velodyne_points" / "data"
        write_pair(drive / "image_02" / "data" / f"{frame}.png", scans / f"{frame}.bin", number)
    time = "calib_time: 09-Jan-2012 13:57:47\n"
    cameras = f"{time}R_rect_00: {text(rectification())}\nP_rect_02: {text(projection())}\n"
    (date / "calib_cam_to_cam.txt").write_text(cameras)
    scanner = f"{time}R: {text(mounting()[:, :3])}\nT: {text(mounting()[:, 3])}\n"
    (date / "calib_velo_to_cam.txt").write_text(scanner)
    return true_depth()
