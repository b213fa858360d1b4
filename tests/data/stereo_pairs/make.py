"""Write stereo pairs of two textured layers whose disparity is known at every pixel."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

SIZE = (96, 160)
BACKGROUND, FOREGROUND = 4, 14


def make(
    root: Path,
    *,
    layout: Literal["files", "folders"] = "files",
    count: int = 2,
    offset: int = 0,
    rows: int = 0,
) -> dict[str, np.ndarray]:
    """Write `count` pairs and return the disparity of each left view, by key.

    `offset` is added to all disparities, `rows` moves the right views down.
    """
    known: dict[str, np.ndarray] = {}
    for i in range(count):
        key = f"pair{i}"
        left, right, known[key] = two_layers(np.random.default_rng(i), offset=offset, rows=rows)
        for side, view in (("left", left), ("right", right)):
            file = root / (f"{key}_{side}.png" if layout == "files" else f"{side}/{key}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), view)
    return known


def two_layers(
    random: np.random.Generator, *, offset: int = 0, rows: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return left view, right view (RGB) and disparity: a near pillar before a far wall."""
    height, width = SIZE
    margin = 64
    wall, pillar = (_texture(random, (height + 2 * margin, width + 2 * margin)) for _ in range(2))
    start, stop = 60, 110
    views = []
    for view in (0, 1):
        far, near = ((BACKGROUND + offset) * view, (FOREGROUND + offset) * view)
        top = margin - rows * view
        image = _window(wall, top, margin + far).copy()
        columns = slice(start - near, stop - near)
        image[:, columns] = _window(pillar, top, margin + near)[:, columns]
        views.append(image)
    disparity = np.full(SIZE, float(BACKGROUND + offset))
    disparity[:, start:stop] = FOREGROUND + offset
    return views[0], views[1], disparity


def _window(texture: np.ndarray, top: int, left: int) -> np.ndarray:
    return texture[top : top + SIZE[0], left : left + SIZE[1]]


def _texture(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    noise = cv2.GaussianBlur(random.random((*size, 3)).astype(np.float32), (0, 0), 1.2)
    return (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
