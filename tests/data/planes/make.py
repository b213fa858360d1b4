"""Write images with plane ids in every encoding, cameras and plane parameters."""

import json
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

SIZE = (40, 60)
CAMERA = {"fx": 50.0, "fy": 51.0, "cx": 29.5, "cy": 19.5}
PARAMETERS = {"1": [0.0, -1.0, 0.0, -1.5], "300": [0.6, 0.0, 0.8, 4.0]}


def make(
    root: Path,
    *,
    count: int = 2,
    encoding: Literal["grey16", "rgb24", "npy"] = "grey16",
    camera: Literal["each", "one", "none"] = "each",
    largest: int = 300,
    parameters: bool = True,
) -> dict[str, np.ndarray]:
    """Write `count` images and return their id maps by key: blocks of 2 x 4 pixels with ids 1 to 300.

    `largest` moves the ids up so that the last one is `largest`; id 0 fills the top left block.
    """
    for name in ("images", "planes"):
        (root / name).mkdir(parents=True, exist_ok=True)
    known: dict[str, np.ndarray] = {}
    for i in range(count):
        key = f"view{i}"
        known[key] = _ids(i, largest)
        random = np.random.default_rng(i)
        cv2.imwrite(str(root / "images" / f"{key}.png"), random.integers(0, 256, (*SIZE, 3)).astype(np.uint8))
        write_ids(root / "planes" / key, known[key], encoding)
        _write_json(root / "intrinsics" / f"{key}.json", CAMERA if camera == "each" else None)
        _write_json(root / "parameters" / f"{key}.json", PARAMETERS if parameters else None)
    _write_json(root / "intrinsics.json", CAMERA if camera == "one" else None)
    return known


def write_ids(stem: Path, ids: np.ndarray, encoding: str) -> None:
    """Write one id map in the given encoding."""
    if encoding == "npy":
        np.save(stem.with_suffix(".npy"), ids)
    elif encoding == "grey16":
        cv2.imwrite(str(stem.with_suffix(".png")), ids.astype(np.uint16))
    else:
        blue, green, red = ids // 65536, ids // 256 % 256, ids % 256
        cv2.imwrite(str(stem.with_suffix(".png")), np.stack([blue, green, red], -1).astype(np.uint8))


def _ids(seed: int, largest: int) -> np.ndarray:
    blocks = np.arange(1, 301).reshape(SIZE[0] // 2, SIZE[1] // 4) + largest - 300
    ids = np.roll(blocks, seed, axis=0).repeat(2, axis=0).repeat(4, axis=1)
    ids[:2, :4] = 0
    return ids.astype(np.int32)


def _write_json(file: Path, content: object) -> None:
    if content is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))
