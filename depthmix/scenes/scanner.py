"""A rotating laser scanner beside the camera: its own beams, its own place, its own faults."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from depthmix.scenes.camera import Pose, rotate
from depthmix.scenes.mesh import turn
from depthmix.scenes.render import Renderer

__all__ = ["Rig", "draw_rig", "scan"]

RINGS = 64
LOWEST_DEG, HIGHEST_DEG = -25.0, 15.0
STEP_DEG = 0.4
SECTOR_DEG = 60.0  # to both sides of straight ahead; the camera sees none of what lies behind
NEAREST_M, FARTHEST_M = 0.2, 80.0
RANGE_NOISE_M = 0.02
AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # x forward, y left, z up -> camera


@dataclass(frozen=True)
class Rig:
    """Hold how scanner and cameras are mounted; the three parts of KITTI's chain.

    Args:
        mounting: scanner to camera 0.
        rectification: camera 0 to rectified camera 0.
        to_camera_2: added to a point of rectified camera 0 to have it in camera 2, which takes the image.
    """

    mounting: Float[np.ndarray, "3 4"]
    rectification: Float[np.ndarray, "3 3"]
    to_camera_2: Float[np.ndarray, " 3"]

    def scanner_pose(self, camera: Pose) -> Pose:
        """Place the scanner in the world; its rotation takes world directions to the scanner's."""
        turned = self.rectification @ self.mounting[:, :3]
        moved = self.rectification @ self.mounting[:, 3] + self.to_camera_2
        return Pose(turned.T @ camera.rotation, camera.centre + camera.rotation.T @ moved)


def draw_rig(rng: np.random.Generator, outdoors: bool) -> Rig:
    """Mount the scanner above and behind the camera on a car, just above it on a hand-held rig."""
    back = rng.uniform(0.2, 0.35) if outdoors else rng.uniform(0.0, 0.08)
    offset = np.array([rng.uniform(-0.05, 0.05), -rng.uniform(0.06, 0.12), -back])
    wobble = turn(*rng.normal(0, np.radians(0.7), 3))
    return Rig(
        np.column_stack([AXES @ wobble, offset]),
        turn(*rng.normal(0, np.radians(0.4), 3)),
        np.array([0.06, -0.0004, 0.003]) * rng.uniform(0.5, 1.2),
    )


def scan(renderer: Renderer, pose: Pose, rng: np.random.Generator) -> Float32[np.ndarray, "n 4"]:
    """Cast all beams of one turn and return the echoes: x forward, y left, z up, reflectance.

    Beams are lost at random, on surfaces that they graze, beyond the scanner's reach, and in the sky.
    """
    beams = _beams()
    hits = renderer.cast(pose.centre, rotate(pose.rotation.T, beams))
    hit = hits.triangle >= 0
    facing = np.abs((rotate(pose.rotation, hits.normal) * beams).sum(axis=1))
    lost = 0.03 + 0.5 * (1 - facing) ** 6
    heard = hit & (hits.t > NEAREST_M) & (hits.t < FARTHEST_M) & (rng.random(len(beams)) > lost)
    distance = hits.t[heard] + rng.normal(0, RANGE_NOISE_M, int(heard.sum())).astype(np.float32)
    colors = np.array([material.colors[0] for material in renderer.scene.materials], np.float32)
    bright = colors.mean(axis=1)[renderer.scene.part[hits.triangle[heard]]] * facing[heard]
    points = beams[heard] * distance[:, None]
    return np.column_stack([points, np.clip(bright, 0, 0.99)]).astype(np.float32)


def _beams() -> Float32[np.ndarray, "n 3"]:
    """List the unit directions of one turn, ring by ring from the top, as the scanner stores them."""
    up = np.radians(np.linspace(HIGHEST_DEG, LOWEST_DEG, RINGS))[:, None]
    side = np.radians(np.arange(SECTOR_DEG, -SECTOR_DEG, -STEP_DEG))[None]
    beams = np.stack([np.cos(up) * np.cos(side), np.cos(up) * np.sin(side), np.sin(up) + 0 * side], axis=-1)
    return beams.reshape(-1, 3).astype(np.float32)
