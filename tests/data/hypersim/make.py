"""Write a tiny data set in the layout of Hypersim: one scene with a plain film, one with a tilted one."""

from pathlib import Path

import h5py
import numpy as np

from depthmix.sample import Intrinsics
from tests.data.known import known_view, rays, write_image
from tests.sources.contract import Truth

SIZE = (48, 64)
NOMINAL = Intrinsics(886.81, 886.81, 511.5, 383.5).resized(1 / 16, 1 / 16)
# The published matrix of ai_037_002, whose film is shifted and tilted.
TILTED = [0.579607251, 0, -0.069552869, 0, 0.434686533, 0.092733125, 0, 0.004054127, -1.003909174]
PLAIN = [np.tan(np.pi / 6), 0, 0, 0, 0.75 * np.tan(np.pi / 6), 0, 0, 0, -1]
# A film tilted both ways: its rows and columns are not at right angles.
SKEWED = [0.58, 0, 0, 0, 0.43, 0, 0.1, 0.1, -1.0]


def film_camera(matrix: list[float]) -> Intrinsics:
    """Fit the pinhole camera of a matrix to its rays, turned so that the film's normal is the axis."""
    height, width = SIZE
    v, u = np.mgrid[:height, :width].astype(np.float64)
    square = np.stack([(2 * u + 1) / width - 1, 1 - (2 * v + 1) / height, np.ones_like(u)], -1)
    ray = square @ np.reshape(matrix, (3, 3)).T * [1, -1, -1]
    across, along = ray[0, 1] - ray[0, 0], ray[1, 0] - ray[0, 0]
    normal = np.cross(across, along)
    axes = [across, np.cross(normal, across), normal]
    turned = ray @ np.stack([axis / np.linalg.norm(axis) for axis in axes], -1)
    x, y = turned[..., 0] / turned[..., 2], turned[..., 1] / turned[..., 2]
    (fx, cx), (fy, cy) = np.polyfit(x.ravel(), u.ravel(), 1), np.polyfit(y.ravel(), v.ravel(), 1)
    return Intrinsics(fx, fy, cx, cy)


def make(root: Path, *, missing: str = "unknown") -> dict[str, Truth]:
    """Write both scenes with a table of cameras and one of the split, and return the truth by key."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    lines = [",".join(["scene_name", "camera_physical_bmpaperture_tex", *names])]
    scenes = (("ai_001_001", PLAIN), ("ai_037_002", TILTED))
    truths = {}
    for seed, (scene, matrix) in enumerate(scenes):
        lines.append(",".join([scene, '"AColor(0, 0, 0, 0)"', *map(repr, map(float, matrix))]))
        camera = film_camera(matrix)
        view = known_view(seed, size=SIZE, camera=camera)
        images = root / scene / "images"
        write_image(images / "scene_cam_00_final_preview/frame.0003.tonemap.jpg", view.image)
        folder = images / "scene_cam_00_geometry_hdf5"
        folder.mkdir(parents=True)
        length = np.where(view.sky, np.nan, view.depth * np.linalg.norm(rays(camera, SIZE), axis=-1))
        with h5py.File(folder / "frame.0003.depth_meters.hdf5", "w") as file:
            file.create_dataset("dataset", data=length.astype(np.float16), compression="gzip")
        sky = view.sky if missing == "sky" else np.zeros(SIZE, np.bool_)
        depth = np.where(view.sky, np.nan, view.depth)
        truths[f"{scene}/cam_00/0003"] = Truth(depth, camera, rtol=5e-4, sky=sky)
    (root / "metadata_camera_parameters.csv").write_text("\n".join(lines) + "\n")
    head = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name\n"
    rows = "ai_001_001,cam_00,3,True,,train\nai_037_002,cam_00,3,True,,val\nai_037_002,cam_00,4,True,,test\n"
    (root / "metadata_images_split_scene_v1.csv").write_text(head + rows)
    return truths
