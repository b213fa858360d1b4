"""Write the layouts of Holopix50k and of frames from 3D films, with disparities that are known."""

import pickle
from pathlib import Path

import cv2
import numpy as np

from tests.data.stereo_pairs.make import two_layers

CLIPS = "wsvd_train_clip_frame_ids.pkl"
BARS = 12  # rows of black above and below the picture of a film with bars


def make_holopix(
    root: Path, *, count: int = 2, split: str = "train", offset: int = -9
) -> dict[str, np.ndarray]:
    """Write `count` pairs and return the disparity of each left view by key; the far wall is negative."""
    known: dict[str, np.ndarray] = {}
    for i in range(count):
        key = f"-LU0GXbipPXm7qD7lY{i}_"
        left, right, known[key] = two_layers(np.random.default_rng(i), offset=offset)
        for side, view in (("left", left), ("right", right)):
            _write(root / split / side / f"{key}_{side}.jpg", view)
    return known


def make_wsvd(
    root: Path,
    *,
    count: int = 2,
    offset: int = -9,
    top_bottom: bool = False,
    swapped: bool = False,
    squeezed: bool = True,
    bars: bool = False,
) -> dict[str, np.ndarray]:
    """Write `count` frames that hold both views and return the disparity of each left view by key.

    `squeezed` repeats rows (or columns) instead of dropping the others, so that halving gives the views back.
    """
    known: dict[str, np.ndarray] = {}
    clips = []
    for i in range(count):
        video, frame = f"-3Br2RCzmE{i}", 260 + i
        left, right, disparity = two_layers(np.random.default_rng(i), offset=offset)
        known[f"{video}/{frame:06d}"] = disparity
        views = [_with_bars(view) if bars else view for view in (left, right)]
        if squeezed:
            views = [np.repeat(view, 2, axis=1 if top_bottom else 0) for view in views]
        picture = np.concatenate(views[::-1] if swapped else views, axis=0 if top_bottom else 1)
        _write(root / video / f"{frame:06d}.png", picture)
        # The next frame of the clip is listed too; its picture is not there, as those of lost videos are.
        frames = np.array([frame, frame + 1])
        clips.append({"name": f"{video}.f137", "clips": [{"label": -1 if swapped else 1, "frames": frames}]})
    (root / CLIPS).write_bytes(pickle.dumps(clips, 2))
    return known


def _with_bars(view: np.ndarray) -> np.ndarray:
    barred = view.copy()
    barred[:BARS] = barred[-BARS:] = 0
    return barred


def _write(file: Path, image: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, 98] if file.suffix == ".jpg" else []
    assert cv2.imwrite(str(file), image[..., ::-1], options)
