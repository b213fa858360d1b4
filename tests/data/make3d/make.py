"""Write a tiny data set in the layout of Make3D: upright photos, grids with few rows and many columns."""

from pathlib import Path

import cv2
import numpy as np

from tests.data.known import Known, known_view, write_image
from tests.sources.contract import Truth

PHOTO, GRID = (136, 102), (11, 61)
# Columns of the grid, and rows in the photo's aspect.
SIZE = (81, 61)
# The middles of the eleven cells over 81 rows.
ROWS = np.array([3, 11, 18, 25, 33, 40, 47, 55, 62, 69, 77])
FOLDERS = {"train": ("Train400Img", "Train400Depth"), "test": ("Test134", "Gridlaserdata")}


def make(root: Path, *, split: str = "train") -> dict[str, Truth]:
    """Write two photos; the sky gives what the scanner gives without a return."""
    truths = {}
    for seed, stem in enumerate(("10.21op2-p-046t000", "combined1-p-139t0")):
        view = known_view(seed, size=SIZE)
        _write(root, FOLDERS[split], stem, view)
        label = np.full(SIZE, np.nan)
        label[ROWS] = np.where(view.sky, np.nan, view.depth)[ROWS]
        truths[f"{split}/{stem}"] = Truth(label, None)
    return truths


def grid_of(view: Known) -> np.ndarray:
    """Return Position3DGrid: height, side, depth along the axis, distance."""
    cells = np.concatenate([view.points(), view.ray_length[..., None]], -1)[ROWS]
    return np.where(view.sky[ROWS][..., None], 81.9, cells[..., [1, 0, 2, 3]])


def _write(root: Path, folders: tuple[str, str], stem: str, view: Known) -> None:
    from scipy.io import savemat

    images, grids = (root / folder for folder in folders)
    write_image(images / f"img-{stem}.jpg", cv2.resize(view.image, PHOTO[::-1]))
    grids.mkdir(parents=True, exist_ok=True)
    savemat(grids / f"depth_sph_corr-{stem}.mat", {"Position3DGrid": grid_of(view)})
