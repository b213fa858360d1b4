"""Write tiny copies of three layouts of NYU Depth V2: labelled .mat, synchronised PNG, raw recordings."""

from pathlib import Path

import cv2
import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import BOX, GROUND, WALL, Known, code16, known_view, write_image
from tests.sources.contract import Truth

SIZE = (48, 64)
# The published cameras at a tenth of the published size, rounded on purpose: they were typed anew.
COLOUR = Intrinsics(518.85790, 519.46961, 325.58245, 253.73617).resized(0.1, 0.1)
SENSOR = Intrinsics(582.62448, 582.69103, 313.04476, 238.44390).resized(0.1, 0.1)
SENSOR_DISTORTION = np.array([-0.0998972, 0.3906532, 0.0019291, -0.0019294, -0.5103173])
COLOUR_DISTORTION = np.array([0.2079662, -0.5861383, 0.0007223, 0.001048, 0.4985699])
TURN = np.array(
    [[0.999978, 0.0050518, 0.0043011], [-0.005036, 0.99998, -0.003688], [-0.0043197, 0.0036662, 0.999984]]
)
AT = np.array([0.0250319, -0.0002934, 0.0006624])
# A tenth of rows 45 to 470 and columns 41 to 600, the pixels that the toolbox keeps.
ROWS, COLUMNS = slice(5, 47), slice(5, 60)
SCENES = ("kitchen_0004", "bedroom_0001a", "kitchen_0004")


def room(seed: int) -> Known:
    """Look at a room whose depth has no hole and no sky."""
    return known_view(seed, size=SIZE, camera=COLOUR, has_sky=False)


def make_sync(root: Path) -> dict[str, Truth]:
    """Write two frames; every fifth pixel was not measured."""
    truths = {}
    for seed, scene in enumerate(("basement_0001a", "office_0003")):
        view = room(seed)
        depth = view.depth.copy()
        depth.flat[::5] = np.nan
        frame, shown = _framed(view.image, depth)
        write_image(root / scene / f"rgb_0000{seed}.jpg", frame)
        write_image(root / scene / f"sync_depth_0000{seed}.png", code16(depth, 1000))
        truths[f"{scene}/0000{seed}"] = shown
    return truths


def make_labelled(root: Path, *, inpainted: bool = False) -> dict[str, Truth]:
    """Write three images, of which the second is for testing."""
    import h5py
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    truths, images, raw, filled = {}, [], [], []
    for seed, scene in enumerate(SCENES):
        view = room(seed)
        depth = view.depth.copy()
        depth.flat[::5] = np.nan
        frame, shown = _framed(view.image, view.depth if inpainted else depth)
        images.append(frame.T)
        raw.append(np.nan_to_num(depth).T)
        filled.append(view.depth.T)
        truths[f"{scene}/{seed + 1:04d}"] = shown
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack(images)
        file["rawDepths"] = np.stack(raw).astype(np.float32)
        file["depths"] = np.stack(filled).astype(np.float32)
        names = [file.create_dataset(f"#refs#/{i}", data=_letters(name)) for i, name in enumerate(SCENES)]
        file["scenes"] = np.array([[name.ref for name in names]], h5py.ref_dtype)
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [3]], np.uint16), "testNdxs": np.array([[2]])})
    return truths


def make_raw(root: Path) -> dict[str, Known]:
    """Write two depth frames as the sensor saw them, each with three images, one of them nearest in time."""
    views = {}
    for seed, scene in enumerate(("cafe_0001a", "study_0008")):
        view = room(seed)
        depth = _seen_by_sensor(view)
        code = np.where(depth < 10, np.rint(1092.5 - 351.3 / depth), 2047).astype("<u2")
        folder, second = root / scene, 1294886363 + seed
        folder.mkdir(parents=True)
        head = f"P5 {SIZE[1]} {SIZE[0]} 65535\n".encode()
        (folder / f"d-{second}.011060-3164794231.pgm").write_bytes(head + code.tobytes())
        write_image(folder / f"r-{second}.016801-3160791608.ppm", view.image)
        for time in ("001810-3159791608", "049810-3162791608"):
            write_image(folder / f"r-{second}.{time}.ppm", np.zeros_like(view.image))
        (folder / f"a-{second}.012000-1.dump").write_bytes(bytes(20))
        views[f"{scene}/d-{second}.011060-3164794231"] = view
    return views


def _framed(image: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, Truth]:
    frame = np.full_like(image, 255)
    frame[ROWS, COLUMNS] = image[ROWS, COLUMNS]
    camera = COLOUR.cropped(COLUMNS.start, ROWS.start)
    return frame, Truth(depth[ROWS, COLUMNS], camera, rtol=1e-6, atol=0.0006)


def _letters(name: str) -> np.ndarray:
    return np.frombuffer(name.encode("utf-16-le"), "<u2")[:, None]


def _seen_by_sensor(view: Known) -> np.ndarray:
    """Cast a ray for each pixel of the depth sensor; the surfaces are given in the colour camera's frame."""
    v, u = np.indices(SIZE, np.float64)
    matrix = np.array([[SENSOR.fx, 0, SENSOR.cx], [0, SENSOR.fy, SENSOR.cy], [0, 0, 1]])
    rays = cv2.undistortPoints(np.stack([u, v], -1).reshape(-1, 1, 2), matrix, SENSOR_DISTORTION)[:, 0]
    x, y, z = (np.hstack([rays, np.ones((len(rays), 1))]) @ TURN).T
    front, ground = (view.points()[view.planes == plane] for plane in (BOX, GROUND))
    (left, _, box_z), (right, _, _), ground_y = front.min(0), front.max(0), ground[:, 1].mean()
    wall_z = view.depth[view.planes == WALL].min()
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, (ground_y + AT[1]) / y, np.inf)
    wall, box = (wall_z + AT[2]) / z, (box_z + AT[2]) / z
    across, down = box * x - AT[0], box * y - AT[1]
    hit = (across >= left) & (across <= right) & (down >= -0.3) & (down <= ground_y)
    return np.minimum(np.minimum(floor, wall), np.where(hit, box, np.inf)).reshape(SIZE)
