"""Noise: centred, bounded, repeating, and silent where a pixel cannot show it."""

import numpy as np

from depthmix.scenes.noise import fractal, hashed, keep


def _points(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-9, 9, (count, 3)).astype(np.float32)


def test_noise_is_centred_and_bounded():
    values = fractal(_points())
    assert abs(values.mean()) < 0.05
    assert 0.3 < values.std() < 0.5
    assert np.abs(values).max() < 2


def test_noise_repeats_every_four_units():
    points = np.round(_points() * 64) / 64  # exact in float32, so that the shift is exact too
    np.testing.assert_allclose(fractal(points), fractal(points + np.float32(4)), atol=1e-6)


def test_noise_has_no_steps():
    start = _points(500)
    step = np.array([1e-3, -1e-3, 1e-3], np.float32)
    assert np.abs(fractal(start + step) - fractal(start)).max() < 0.05


def test_large_pixels_see_less_noise_and_in_the_end_none():
    spread = [
        fractal(_points(), np.full(4000, size, np.float32)).std() for size in (0.01, 0.1, 0.2, 0.4, 0.6)
    ]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] == 0


def test_hashes_are_even_and_reproducible():
    cells = np.arange(20000)
    numbers = hashed(cells, np.full(20000, 7))
    np.testing.assert_array_equal(numbers, hashed(cells.astype(np.float32), np.full(20000, 7.0)))
    assert np.histogram(numbers, bins=10, range=(0, 1))[0].min() > 1800
    assert np.abs(numbers - hashed(cells, np.full(20000, 8))).mean() > 0.2
    assert hashed(np.array([-1.0]))[0] != hashed(np.array([1.0]))[0]


def test_a_pattern_fades_between_six_and_two_pixels_a_period():
    np.testing.assert_allclose(keep(0.6, np.array([0.01, 0.1, 0.15, 0.3, 1.0])), [1, 1, 0.5, 0, 0], atol=1e-6)
