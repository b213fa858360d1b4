"""Write a tiny copy of ARKitScenes, with depth that is known and a tablet that was held in any way."""

from pathlib import Path

import cv2
import numpy as np

from depthmix.testing import Truth, known_view
from depthmix.testing.known import code16, write_image

# How often the upright picture is turned against the clock to give what the tablet stored.
HELD = {
    "Training/41048190/41048190_3414.582": 0,
    "Training/41069021/41069021_305.244": 1,
    "Validation/41069042/41069042_7.100": 2,
    "Validation/41124801/41124801_8.200": 3,
}
SKY = ("Up", "Left", "Down", "Right")


def pose(turns: int) -> str:
    """Write the turn from the world to a camera that looks 25 degrees downwards, held in this way."""
    level = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64)
    tilt = cv2.Rodrigues(np.array([np.deg2rad(25), 0, 0]))[0]
    roll = np.linalg.matrix_power(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float64), turns)
    return " ".join(f"{value:.9f}" for value in cv2.Rodrigues(roll @ tilt @ level)[0][:, 0])


def make(root: Path, *, label: str = "lowres", images: str = "lowres_wide") -> dict[str, Truth]:
    """Write one frame a video, and what has no partner; the second camera is named 1 ms early."""
    truths, rows = {}, ["video_id,visit_id,fold,sky_direction"]
    for seed, (key, turns) in enumerate(HELD.items()):
        view = known_view(seed, has_sky=False)
        depth = view.depth.copy()
        depth[:, :3] = np.nan
        confidence = np.full(view.size, 2, np.uint8)
        confidence[-4:, 10:] = 1
        confidence[-2:, 10:] = 0
        folder, stem = (root / key).parent, key.rpartition("/")[2]
        for asset, values in ((images, view.image), (f"{label}_depth", code16(depth, 1000))):
            write_image(folder / asset / f"{stem}.png", np.rot90(values, turns))
        write_image(folder / "confidence" / f"{stem}.png", np.rot90(confidence, turns))
        # The camera of what was stored: the corner of the corner pixel is the origin.
        k, (height, width) = view.intrinsics, view.size
        u, v = k.cx + 0.5, k.cy + 0.5
        stored = [
            (width, height, k.fx, k.fy, u, v),
            (height, width, k.fy, k.fx, v, width - u),
            (width, height, k.fx, k.fy, width - u, height - v),
            (height, width, k.fy, k.fx, height - v, u),
        ][turns]
        video, _, seconds = stem.partition("_")
        named = f"{float(seconds) - (0.001 if turns == 1 else 0):.3f}"
        cameras = folder / f"{images}_intrinsics"
        cameras.mkdir()
        (cameras / f"{video}_{named}.pincam").write_text(" ".join(map(str, stored)))
        moments = (float(seconds) - 0.4, float(seconds) + 0.02)
        # Some time before, it was held in another way.
        lines = (f"{t} {pose(turns + other)} 1 2 3\n" for t, other in zip(moments, (1, 0), strict=True))
        (folder / "lowres_wide.traj").write_text("".join(lines))
        rows.append(f"{video},1,{key.split('/')[0]},{SKY[turns]}")
        if label == "lowres":
            depth[confidence < 2] = np.nan
        truths[key] = Truth(depth, k, rtol=0, atol=5.1e-4)
    write_image(folder / images / "41124801_8.217.png", view.image)
    write_image(folder / f"{label}_depth" / "41124801_8.234.png", code16(view.depth, 1000))
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return truths
