"""Write a tiny data set in the layout of HR-WSI, with values that are known."""

from pathlib import Path

import cv2
import numpy as np

SIZE = (24, 32)


def make(
    root: Path, *, split: str = "train", count: int = 2, sky: bool = True, bits: int = 8
) -> dict[str, dict[str, np.ndarray]]:
    """Write `count` photos and return, by key, what the label must hold."""
    folder = root / split
    for name in ("imgs", "gts", "valid_masks", *(["sky_masks"] if sky else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {f"{i:04d}": _write(folder, f"{i:04d}", np.random.default_rng(i), sky, bits) for i in range(count)}


def _write(
    folder: Path, key: str, random: np.random.Generator, sky: bool, bits: int
) -> dict[str, np.ndarray]:
    dtype, largest = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    codes = random.integers(0, largest + 1, SIZE).astype(dtype)
    is_sky = np.arange(SIZE[0])[:, None].repeat(SIZE[1], 1) < (4 if sky else 0)
    mask = random.random(SIZE) < 0.8
    photo = cv2.GaussianBlur(random.integers(0, 256, (*SIZE, 3)).astype(np.uint8), (7, 7), 2)
    cv2.imwrite(str(folder / "imgs" / f"{key}.jpg"), photo)
    cv2.imwrite(str(folder / "gts" / f"{key}.png"), codes)
    cv2.imwrite(str(folder / "valid_masks" / f"{key}.png"), mask.astype(np.uint8) * 255)
    if sky:
        cv2.imwrite(str(folder / "sky_masks" / f"{key}.png"), is_sky.astype(np.uint8) * 255)
    return {"inverse_depth": codes.astype(np.float64) / largest, "valid": mask & ~is_sky, "sky": is_sky}
