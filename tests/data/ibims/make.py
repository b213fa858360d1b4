"""Write tiny copies of both archives of iBims-1: PNG folders, and MATLAB structures."""

from pathlib import Path

import numpy as np

from tests.data.known import BOX, GROUND, WALL, Known, code16, known_view, write_image
from tests.sources.contract import Truth

SIZE = (48, 64)
NAMES = ("corridor_01", "office_24")


def make(root: Path, *, planes: bool = True) -> dict[str, Truth]:
    """Write two images as PNG folders."""
    truths = {}
    for seed, name in enumerate(NAMES):
        view = known_view(seed, size=SIZE)
        masks = _masks()
        write_image(root / f"rgb/{name}.png", view.image)
        write_image(root / f"depth/{name}.png", code16(view.depth, 65535 / 50))
        for folder, mask in masks.items():
            write_image(root / folder / f"{name}.png", mask * np.uint8(255))
        for folder, ids in _plane_masks(view).items() if planes else ():
            write_image(root / folder / f"{name}.png", ids)
        camera = view.intrinsics
        (root / "calib").mkdir(exist_ok=True)
        # The publisher counts pixels from 1.
        numbers = (camera.fx, camera.fy, camera.cx + 1, camera.cy + 1)
        (root / f"calib/{name}.txt").write_text(",".join(f"{number:.6f}" for number in numbers))
        truths[name] = _truth(view, masks, atol=25 / 65535 + 1e-6, planes=planes)
    return truths


def make_mat(root: Path) -> dict[str, Truth]:
    """Write two images as MATLAB structures."""
    truths = {}
    for seed, name in enumerate(NAMES):
        view, masks = known_view(seed, size=SIZE), _masks()
        write_mat(root / f"{name}.mat", structure(view, masks))
        truths[name] = _truth(view, masks)
    return truths


def structure(view: Known, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the fields of `data` for one view."""
    camera = view.intrinsics
    matrix = np.array([[camera.fx, 0, camera.cx + 1], [0, camera.fy, camera.cy + 1], [0, 0, 1]])
    depth = np.where(view.sky, 0, view.depth)
    empty = {f"{name}_paras": np.zeros((0, 7)) for name in ("mask_wall", "mask_table", "mask_floor")}
    fields = {"rgb": view.image, "depth": depth, "calib": matrix.T, "edges": np.zeros(SIZE, np.uint8)}
    return fields | masks | _plane_masks(view) | empty


def write_mat(file: Path, fields: dict[str, np.ndarray]) -> None:
    """Write `data` as one structure."""
    from scipy.io import savemat

    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"data": fields})


def _masks() -> dict[str, np.ndarray]:
    masks = {name: np.ones(SIZE, np.uint8) for name in ("mask_invalid", "mask_transp")}
    masks["mask_invalid"][:, :6] = 0
    masks["mask_transp"][20:30, 30:44] = 0
    return masks


def _plane_masks(view: Known) -> dict[str, np.ndarray]:
    # The wall is two planes, left and right; the numbers of all masks begin at 1.
    wall = np.where(view.planes == WALL, 1 + (np.arange(SIZE[1]) >= 32), 0)
    masks = {"mask_wall": wall, "mask_table": view.planes == BOX, "mask_floor": view.planes == GROUND}
    return {name: mask.astype(np.uint8) for name, mask in masks.items()}


def _truth(view: Known, masks: dict[str, np.ndarray], *, atol: float = 0.0, planes: bool = True) -> Truth:
    allowed = (masks["mask_invalid"] > 0) & (masks["mask_transp"] > 0)
    label = np.where(allowed & ~view.sky, view.depth, np.nan)
    right_wall = (view.planes == WALL) & (np.arange(SIZE[1]) >= 32)
    ids = np.where(allowed & planes, np.where(right_wall, 9, view.planes), 0)
    return Truth(label, view.intrinsics, rtol=1e-6, atol=atol, planes=ids)
