"""Write evaluation scenes: a floor with sky above it, exact in depth, normals and plane ids."""

import json
from pathlib import Path

import cv2
import numpy as np

SIZE = (24, 32)
CAMERA = {"fx": 28.0, "fy": 28.0, "cx": 15.5, "cy": 7.5}


def make(root: Path, *, count: int = 2) -> dict[str, dict[str, np.ndarray]]:
    """Write `count` scenes and return their exact maps by key; scene i has its floor 1.5 + i/4 m below."""
    for name in ("images", "depth", "planes", "normals", "cameras"):
        (root / name).mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, np.ndarray]] = {}
    for i in range(count):
        key = f"scene{i}"
        known[key] = _floor(1.5 + i / 4)
        photo = np.random.default_rng(i).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{key}.png"), photo)
        np.save(root / "depth" / f"{key}.npy", known[key]["depth"])
        np.save(root / "normals" / f"{key}.npy", known[key]["normals"])
        cv2.imwrite(str(root / "planes" / f"{key}.png"), known[key]["planes"].astype(np.uint16))
        (root / "cameras" / f"{key}.json").write_text(json.dumps(CAMERA))
    return known


def _floor(height: float) -> dict[str, np.ndarray]:
    rows = np.arange(SIZE[0])[:, None].repeat(SIZE[1], 1)
    below = rows > CAMERA["cy"]
    # The ray of row v meets the plane y = height at z = fy height / (v - cy).
    depth = np.where(below, CAMERA["fy"] * height / np.where(below, rows - CAMERA["cy"], 1), np.inf)
    normals = np.where(below[..., None], [0.0, -1.0, 0.0], 0.0)
    return {
        "depth": depth.astype(np.float32),
        "planes": np.where(below, 400, 0),
        "normals": normals.astype(np.float16),
    }
