"""Light on surfaces and the colour of the sky."""

import numpy as np
from jaxtyping import Bool, Float32

from depthmix.scenes.noise import fractal
from depthmix.scenes.scene import Light, Sky

__all__ = ["lit", "sky_color"]

LAMP_REACH_M = (
    3.0  # a lamp's light halves about here; rooms would be black at the far end by the true square law
)


def lit(
    light: Light,
    normals: Float32[np.ndarray, "n 3"],
    towards: Float32[np.ndarray, "n 3"],
    seen: Bool[np.ndarray, " n"],
) -> Float32[np.ndarray, "n 3"]:
    """Add up Lambert's law for the lamp or sun and light from above and below."""
    distance = np.linalg.norm(towards, axis=1)
    strength = np.clip((normals * towards).sum(axis=1) / distance, 0, 1) * seen
    if not light.is_sun:
        strength = strength / (1 + (distance / np.float32(LAMP_REACH_M)) ** 2)
    up = (0.5 + 0.5 * normals[:, 2])[:, None]
    above, below = np.array(light.above, np.float32), np.array(light.below, np.float32)
    around = below + (above - below) * up
    # A touch of light from one side, so that faces in shadow still differ.
    side = 1 + 0.18 * (normals[:, 0] * np.float32(0.8) + normals[:, 1] * np.float32(0.6))
    return np.asarray(
        around * side[:, None] + strength[:, None] * np.array(light.color, np.float32), np.float32
    )


def sky_color(sky: Sky, light: Light, directions: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Colour rays that leave the scene: gradient, clouds on a layer far above, a glow around the sun."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    height = np.clip(unit[:, 2], 0, 1)
    blend = (1 - (1 - height) ** 3)[:, None]
    horizon, zenith = np.array(sky.horizon, np.float32), np.array(sky.zenith, np.float32)
    color = horizon + (zenith - horizon) * blend
    layer = unit[:, :2] / (height + 0.12)[:, None]
    drift = np.float32(sky.seed % 89) * np.float32(0.13)
    points = np.column_stack([layer * 0.55 + drift, np.full(len(unit), drift)]).astype(np.float32)
    cover = np.clip(2.2 * fractal(points) + 3.2 * sky.clouds - 1.6, 0, 1) * np.clip(height * 8, 0, 1)
    white = np.float32(0.25) * horizon + np.float32(0.75 * horizon.max())
    color = color + (white - color) * (0.85 * cover)[:, None]
    if light.is_sun:
        sun = np.asarray(light.position, np.float32)
        glow = np.clip((unit * sun).sum(axis=1) / np.linalg.norm(sun), 0, 1) ** 24
        color = color + 0.6 * glow[:, None] * np.asarray(light.color, np.float32)
    return np.asarray(color, np.float32)
