"""Materials: colours in range, the same each time, and calm where pixels are large."""

import numpy as np
import pytest

from depthmix.scenes import palette
from depthmix.scenes.materials import KINDS, Material, albedo

COLORS = ((0.6, 0.4, 0.3), (0.1, 0.2, 0.3), (0.8, 0.8, 0.7))


def _shown(kind: str, pixel: float, seed: int = 3) -> np.ndarray:
    material = Material(kind, COLORS, 3.0 if kind == "facade" else 0.15, 0.8, seed)
    side = np.linspace(-4, 4, 90, dtype=np.float32)
    points = np.stack(
        [*(axis.ravel() for axis in np.meshgrid(side, side)), np.zeros(8100, np.float32)], axis=1
    )
    return albedo([material], np.zeros(8100, np.int32), points, np.full(8100, pixel, np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_reflectances(kind: str):
    color = _shown(kind, 0.005)
    assert color.shape == (8100, 3)
    assert color.dtype == np.float32
    assert color.min() > 0
    assert color.max() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_material_has_texture_to_match_and_another_seed_another_piece(kind: str):
    assert _shown(kind, 0.005).mean(axis=1).std() > 0.015
    assert np.abs(_shown(kind, 0.005) - _shown(kind, 0.005, seed=8)).max() > 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_vanish_when_a_pixel_is_far_larger(kind: str):
    assert _shown(kind, 30.0).mean(axis=1).std() < 0.02 + 0.1 * _shown(kind, 0.005).mean(axis=1).std()


def test_surfaces_keep_their_own_material():
    grey = Material("plaster", ((0.5,) * 3,) * 3, 1.0, 0.0, 1)
    white = Material("plaster", ((0.9,) * 3,) * 3, 1.0, 0.0, 1)
    points = np.zeros((4, 3), np.float32)
    color = albedo([grey, white], np.array([0, 1, 1, 0]), points, np.full(4, 0.01, np.float32))
    np.testing.assert_allclose(color[:, 0], [0.5, 0.9, 0.9, 0.5], rtol=1e-5)


def test_the_palette_draws_known_kinds_only():
    rng = np.random.default_rng(0)
    makers = [palette.wall, palette.ceiling, palette.floor, palette.wooden, palette.bark, palette.paint]
    makers += [palette.fabric, palette.thing, palette.picture, palette.stone, palette.road, palette.grass]
    for maker in [*makers, palette.leaves, palette.facade]:
        for _ in range(20):
            material = maker(rng)
            assert material.kind in KINDS
            assert all(0 <= part <= 1 for color in material.colors for part in color)
