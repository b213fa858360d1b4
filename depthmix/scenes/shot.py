"""Build the scene of one image and choose a view that shows something."""

from dataclasses import dataclass

import numpy as np

from depthmix.errors import DepthmixError
from depthmix.sample import Intrinsics
from depthmix.scenes import clutter, rooms, streets
from depthmix.scenes.camera import pixel_grid, pixel_rays
from depthmix.scenes.plan import Job, Preset, scene_seed
from depthmix.scenes.render import Renderer
from depthmix.scenes.scene import Scene

__all__ = ["Shot", "camera_of", "take"]

BUILDERS = {"rooms": rooms.build, "streets": streets.build, "clutter": clutter.build}
NEAREST_M = {"rooms": 0.6, "streets": 1.5, "clutter": 0.3}
ATTEMPTS = 50


@dataclass(frozen=True)
class Shot:
    """Hold what one image is made from.

    Args:
        renderer: the scene, ready for rays.
        intrinsics: of the left or only camera.
        near: depth that 2 percent of the pixels are nearer than, in metres.
        far: depth that 98 percent of the pixels that are not sky are nearer than.
        rng: source of everything random that is left to draw.
    """

    renderer: Renderer
    intrinsics: Intrinsics
    near: float
    far: float
    rng: np.random.Generator


def take(job: Job, preset: Preset, seed: int) -> Shot:
    """Draw scenes until one shows something from its camera.

    Raises:
        DepthmixError: none does.
    """
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng(scene_seed(seed, job, attempt))
        scene = BUILDERS[job.family](rng)
        intrinsics = camera_of(scene, preset.size, rng)
        renderer = Renderer(scene)
        distances = _survey(renderer, intrinsics, preset.size)
        seen = distances[np.isfinite(distances)]
        if len(seen) < 0.45 * len(distances):
            continue
        near, low, high, far = np.quantile(seen, [0.02, 0.1, 0.9, 0.98])
        if near > NEAREST_M[job.family] and high > 1.25 * low:
            return Shot(renderer, intrinsics, float(near), float(far), rng)
    raise DepthmixError(
        f"no usable view in {ATTEMPTS} scenes", sample=f"{job.source}/{job.key}", hint="take another seed"
    )


def camera_of(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Intrinsics:
    """Turn the field of view into a camera whose principal point lies near the middle."""
    height, width = size
    focal = width / 2 / np.tan(scene.fov / 2)
    shift = rng.normal(0, 0.01 * width, 2)
    return Intrinsics(
        float(focal), float(focal), float((width - 1) / 2 + shift[0]), float((height - 1) / 2 + shift[1])
    )


def _survey(renderer: Renderer, intrinsics: Intrinsics, size: tuple[int, int]) -> np.ndarray:
    """Measure the depth on a coarse grid of pixels."""
    u, v = pixel_grid(size)
    coarse = (u % 4 == 2) & (v % 4 == 2)
    pose = renderer.scene.pose
    return renderer.cast(pose.centre, pixel_rays(pose, intrinsics, u[coarse], v[coarse])).t
