"""Photos: exposure does not depend on how bright the scene is, noise is seeded, JPEG comes back."""

import numpy as np

from depthmix.scenes.photo import decoded, develop, draw_exposure, jpeg


def _ramp(factor: float = 1.0) -> np.ndarray:
    row = np.linspace(0.05, 1.0, 64, dtype=np.float32)
    return np.broadcast_to(row[None, :, None], (48, 64, 3)) * np.float32(factor)


def _photo(factor: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    radiance = _ramp(factor)
    return develop(radiance, draw_exposure(rng, radiance), rng)


def test_exposure_cancels_the_brightness_of_the_scene():
    dim, bright = _photo(0.1, 5).astype(int), _photo(10.0, 5).astype(int)
    assert np.abs(dim - bright).mean() < 3


def test_photos_are_neither_black_nor_white_and_differ_by_seed():
    means = [_photo(1.0, seed).mean() for seed in range(30)]
    assert 60 < min(means) < max(means) < 200
    assert np.std(means) > 4


def test_a_photo_keeps_the_order_of_brightness():
    columns = _photo(1.0, 1)[8:40, 8:56].mean(axis=(0, 2))
    assert (np.diff(columns[::8]) > 0).all()


def test_the_same_seed_gives_the_same_photo():
    np.testing.assert_array_equal(_photo(1.0, 9), _photo(1.0, 9))


def test_a_second_camera_is_only_a_little_brighter_or_darker():
    rng = np.random.default_rng(0)
    first = draw_exposure(rng, _ramp())
    second = first.varied(rng)
    assert second.gain != first.gain
    assert np.abs(np.array(second.gain) / first.gain - 1).max() < 0.12
    assert (second.blur, second.quality) == (first.blur, first.quality)


def test_jpeg_keeps_red_red():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 220
    assert np.abs(decoded(jpeg(red, 95)).astype(int) - red).max() < 12
