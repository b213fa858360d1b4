"""Write the layout of OASIS from scenes whose depth, planes and camera are known."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing.known import Known, known_view, write_image
from tests.data.ordinal.make import row

COLUMNS = [
    *("Image", "FocalLength", "Mask", "Normal", "Depth", "RelativeDepth", "Fold", "Occlusion", "SharpOcc"),
    *("SmoothOcc", "SurfaceSemantic", "PlanarInstance", "SmoothInstance", "ContinuousInstance"),
]
LOST = 30  # an id beyond those that count as planes


@dataclass(frozen=True)
class Photo:
    """What was written: the scene, and its depth with a factor of its own for each surface."""

    view: Known
    depth: np.ndarray
    planes: np.ndarray
    largest: int


def make_oasis(root: Path, *, split: str = "train", count: int = 3) -> dict[str, Photo]:
    """Write `count` photos and return what is known of them, by key."""
    folder, table, known = root / "OASIS_trainval", [COLUMNS], {}
    for i in range(count):
        # The principal point that the publisher's code takes for granted.
        view = known_view(i, camera=Intrinsics(50.0, 50.0, 32.0, 24.0), has_sky=False)
        key = f"{110603 + i}_DT"
        known[key] = _write(folder, key, view, np.random.default_rng(i))
        cells = dict.fromkeys(COLUMNS, "")
        cells |= {
            "Image": f"OASIS/OASIS_trainval/image/{key}.png",
            "FocalLength": "50.0",
            "Depth": f"OASIS/OASIS_trainval/depth/{key}.pkl",
            "PlanarInstance": f"OASIS/OASIS_trainval/segmentation/planar_instance/{key}.png",
            "ContinuousInstance": f"OASIS/OASIS_trainval/segmentation/continuous_instance/{key}.png",
        }
        table.append(list(cells.values()))
    (folder / f"OASIS_{split}.csv").write_text("".join(",".join(line) + "\n" for line in table))
    return known


def _write(folder: Path, key: str, view: Known, random: np.random.Generator) -> Photo:
    factors = np.array([np.nan, 7.0, 300.0, 0.02])  # of nothing, ground, wall, box
    depth = view.depth * factors[view.planes]
    depth[random.random(view.size) < 0.1] = np.nan
    depth[:, :2] = np.nan
    rows, columns = (np.flatnonzero(np.isfinite(depth).any(axis)) for axis in (1, 0))
    box = {"min_y": rows[0], "max_y": rows[-1], "min_x": columns[0], "max_x": columns[-1]}
    inside = depth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    write_image(folder / "image" / f"{key}.png", view.image)
    surfaces = np.repeat(view.planes.astype(np.uint8)[..., None], 3, axis=2)
    write_image(folder / "segmentation" / "continuous_instance" / f"{key}.png", surfaces)
    planes = view.planes.copy()
    planes[:4] = LOST
    write_image(folder / "segmentation" / "planar_instance" / f"{key}.png", planes.astype(np.uint8))
    for name in ("depth", "DIW_style_rel_depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "depth" / f"{key}.pkl").write_bytes(pickle.dumps({**box, "depth": inside}, 2))
    pairs = "".join(row(view, random, first_pixel=0) + "\n" for _ in range(5))
    (folder / "DIW_style_rel_depth" / f"{key}.csv").write_text(pairs)
    counts = [np.isfinite(depth[view.planes == i]).sum() for i in range(4)]
    return Photo(view, depth, np.where(planes == LOST, 0, planes), int(np.argmax(counts)))
