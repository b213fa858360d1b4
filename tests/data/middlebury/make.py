"""Write scenes in Middlebury's layout of 2014: a slanted plane whose depth is known, with a hole."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32
FOCAL_PX, CX, CY, DOFFS_PX, BASELINE_MM = 40.0, 15.0, 11.5, 3.5, 193.001


def write_pfm(file: Path, rows: np.ndarray, *, order: str = "<", scale: float = 1.0) -> None:
    """Write rows (top row first) as a PFM with the bottom row first."""
    magic = "Pf" if rows.ndim == 2 else "PF"
    header = f"{magic}\n{rows.shape[1]} {rows.shape[0]}\n{'-' if order == '<' else ''}{scale}\n"
    file.write_bytes(header.encode() + rows[::-1].astype(f"{order}f4").tobytes())


def plane_depth() -> np.ndarray:
    """Return z of the plane 1/z = 0.3 + 0.004 u + 0.006 v in float64."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return 1 / (0.3 + 0.004 * u + 0.006 * v)


def calibration_text(**changes: str) -> str:
    """Return the text of calib.txt; a change to an empty text leaves the line out."""
    lines = {
        "cam0": f"[{FOCAL_PX} 0 {CX}; 0 {FOCAL_PX} {CY}; 0 0 1]",
        "cam1": f"[{FOCAL_PX} 0 {CX + DOFFS_PX}; 0 {FOCAL_PX} {CY}; 0 0 1]",
        "doffs": f"{DOFFS_PX}",
        "baseline": f"{BASELINE_MM}",
        "width": f"{WIDTH}",
        "height": f"{HEIGHT}",
        "ndisp": "16",
    }
    return "".join(f"{name}={value}\n" for name, value in {**lines, **changes}.items() if value)


def make(root: Path, scenes: tuple[str, ...] = ("Adirondack", "Bicycle")) -> np.ndarray:
    """Write the scenes and return their depth, NaN where it is not known."""
    for number, scene in enumerate(scenes):
        folder = root / scene
        folder.mkdir(parents=True)
        rng = np.random.default_rng(number)
        for image in ("im0.png", "im1.png"):
            Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / image)
        disparity = FOCAL_PX * BASELINE_MM / 1000 / plane_depth() - DOFFS_PX
        disparity[:4, :5] = np.inf
        disparity[4, :5] = np.nan
        disparity[5, :5] = -DOFFS_PX
        write_pfm(folder / "disp0.pfm", disparity)
        (folder / "calib.txt").write_text(calibration_text())
    depth = plane_depth()
    depth[:6, :5] = np.nan
    return depth
