"""Write a tiny data set in the layout of ETH3D's high-resolution photos, taken by a lens that bends lines."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from depthmix.sample import Intrinsics
from tests.sources.contract import Truth

SIZE = (48, 64)
FX, FY, CX, CY = 51.0, 52.0, 32.4, 23.6
K1, K2, P1, P2, K3, K4, S1, S2 = -0.25, 0.05, 0.004, -0.003, 0.02, 0.01, 0.002, -0.001
CAMERA = Intrinsics(FX, FY, CX - 0.5, CY - 0.5)


def lens(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of rays (x, y, 1), counted from the corner of the image, as COLMAP does."""
    r = (x * x + y * y) ** 0.5 + 1e-12
    bend = np.arctan(r) / r
    u, v = x * bend, y * bend
    q = u**2 + v**2
    radial = K1 * q + K2 * q**2 + K3 * q**3 + K4 * q**4
    u, v = (
        u + u * radial + 2 * P1 * u * v + P2 * (q + 2 * u**2) + S1 * q,
        v + v * radial + 2 * P2 * u * v + P1 * (q + 2 * v**2) + S2 * q,
    )
    return FX * u + CX, FY * v + CY


def slope(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Return z of a slanted wall along rays (x, y, 1)."""
    return 1 / (0.2 + 0.03 * seed + 0.05 * x + 0.1 * y)


def make(root: Path, *, undistort: bool) -> dict[str, Truth]:
    """Write two photos of two scenes; two of three pixels were not measured."""
    truths = {}
    for seed, scene in enumerate(("courtyard", "pipes")):
        rays = rays_of_pixels()
        depth = slope(rays[..., 0], rays[..., 1], seed).astype(np.float32)
        depth[np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) % 3 > 0] = np.inf
        key = f"DSC_028{seed}"
        _write(root / scene, key, np.random.default_rng(seed), depth)
        known = np.where(np.isfinite(depth), depth, np.nan)
        truths[f"{scene}/{key}"] = Truth(_straight(known), CAMERA) if undistort else Truth(known, None)
    return truths


def _write(scene: Path, photo: str, random: np.random.Generator, depth: np.ndarray) -> None:
    for folder in ("images/dslr_images", "ground_truth_depth/dslr_images", "dslr_calibration_jpg"):
        (scene / folder).mkdir(parents=True)
    image = cv2.GaussianBlur(random.integers(0, 256, (*SIZE, 3)).astype(np.uint8), (7, 7), 2)
    assert cv2.imwrite(str(scene / f"images/dslr_images/{photo}.JPG"), image)
    depth.astype("<f4").tofile(scene / f"ground_truth_depth/dslr_images/{photo}.JPG")
    numbers = " ".join(map(str, (FX, FY, CX, CY, K1, K2, P1, P2, K3, K4, S1, S2)))
    (scene / "dslr_calibration_jpg/cameras.txt").write_text(
        "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
        f"0 PINHOLE 64 48 1 1 1 1\n7 THIN_PRISM_FISHEYE {SIZE[1]} {SIZE[0]} {numbers}\n"
    )
    points = "12.5 13.5 -1 " * 40
    (scene / "dslr_calibration_jpg/images.txt").write_text(
        "# Image list with two lines of data per image:\n"
        f"1 1 0 0 0 0 0 0 0 dslr_images/DSC_0001.JPG\n\n"
        f"2 1 0 0 0 0 0 0 0 dslr_images/DSC_0002.JPG\n{points}\n"
        f"3 1 0 0 0 0 0 0 7 dslr_images/{photo}.JPG\n\n"
    )


@cache
def rays_of_pixels() -> np.ndarray:
    """Invert the lens for every pixel by steps with the pinhole's slope."""
    row, column = np.indices(SIZE, np.float64)
    x, y = np.zeros(SIZE), np.zeros(SIZE)
    for _ in range(60):
        u, v = lens(x, y)
        x, y = x + (column + 0.5 - u) / FX, y + (row + 0.5 - v) / FY
    return np.stack([x, y], -1)


def _straight(known: np.ndarray) -> np.ndarray:
    """Return for each pixel of the pinhole camera what the nearest pixel of the photo knows."""
    row, column = np.indices(SIZE, np.float64)
    u, v = lens((column + 0.5 - CX) / FX, (row + 0.5 - CY) / FY)
    inside = (u >= 0.5) & (u <= SIZE[1] - 0.5) & (v >= 0.5) & (v <= SIZE[0] - 0.5)
    nearest = tuple(np.where(inside, np.rint(at - 0.5), 0).astype(int) for at in (v, u))
    return np.where(inside, known[nearest], np.nan)
