"""Smooth random texture in space: one precomputed volume that repeats without seams."""

from functools import lru_cache

import numpy as np
from jaxtyping import Complex128, Float32, Int64

__all__ = ["fractal", "hashed", "keep"]

SIDE = 32
WAVES = (8, 4, 2, 1)  # wavelengths of the octaves, in cells of the volume
GAIN = 0.62  # amplitude of an octave relative to the one before


def fractal(
    points: Float32[np.ndarray, "n 3"], footprint: Float32[np.ndarray, " n"] | float = 0.0
) -> Float32[np.ndarray, " n"]:
    """Look up noise of four octaves, about -1 to 1 with mean 0.

    Args:
        points: positions; one unit is the longest wavelength.
        footprint: size of a pixel in the same unit. Octaves that a pixel cannot show are left out, which
            keeps far surfaces from flickering and lets a stereo matcher see the same in both views.

    Convention: the pattern repeats every four units.
    """
    cells = points * np.float32(WAVES[0])
    floor = np.floor(cells)
    x, y, z = (cells - floor).T
    i, j, k = floor.astype(np.int32).T & (SIDE - 1)
    rest = j * np.int32(SIDE) + k + _level(footprint) * np.int32(SIDE**3)
    near = _cells().take(rest + i * np.int32(SIDE**2)).view(np.float32).reshape(-1, 4)
    far = _cells().take(rest + ((i + 1) & (SIDE - 1)) * np.int32(SIDE**2)).view(np.float32).reshape(-1, 4)
    along_x = near + (far - near) * x[:, None]
    along_y = along_x[:, :2] + (along_x[:, 2:] - along_x[:, :2]) * y[:, None]
    return np.asarray(along_y[:, 0] + (along_y[:, 1] - along_y[:, 0]) * z)


def hashed(
    *integers: Int64[np.ndarray, " n"] | Float32[np.ndarray, " n"],
) -> Float32[np.ndarray, " n"]:
    """Turn whole numbers into one reproducible random number in [0, 1) each."""
    state = np.full(len(integers[0]), 0x9E3779B9, np.uint32)
    for value in integers:
        state ^= value.astype(np.int64).astype(np.uint32)
        state *= np.uint32(0x85EBCA6B)
        state ^= state >> np.uint32(15)
        state *= np.uint32(0xC2B2AE35)
        state ^= state >> np.uint32(13)
    return (state >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def keep(
    period: Float32[np.ndarray, " n"] | float, footprint: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, " n"]:
    """Weigh a pattern by how well pixels resolve it: 1 from six pixels a period on, 0 below two."""
    shown = (period / np.maximum(footprint, 1e-6) - 2) / 4
    return np.asarray(np.clip(shown, 0, 1), np.float32)


def _level(footprint: Float32[np.ndarray, " n"] | float) -> Int64[np.ndarray, " n"]:
    # Wavelength of octave k is 2^-k units; it is shown while it covers two pixels.
    shown = np.floor(-np.log2(np.maximum(np.float32(2) * footprint, np.float32(1e-6)))) + 1
    return np.asarray(len(WAVES) - np.clip(shown, 0, len(WAVES)), np.int32)


@lru_cache(maxsize=1)
def _cells() -> Complex128[np.ndarray, " cells"]:
    """Store with each point its neighbours in y and z, four floats in the 16 bytes of a complex number.

    One look-up then fetches all four, which is what the time of `fractal` goes into.
    """
    levels = _levels()
    along_y = np.roll(levels, -1, axis=2)
    corners = [levels, np.roll(levels, -1, axis=3), along_y, np.roll(along_y, -1, axis=3)]
    return np.ascontiguousarray(np.stack(corners, axis=-1)).view(np.complex128).ravel()


def _levels() -> Float32[np.ndarray, "level side side side"]:
    """Build the volume with all octaves, then with one finest octave less each time, down to none."""
    rng = np.random.default_rng(20240229)
    octaves = [GAIN**k * _octave(rng, wave) for k, wave in enumerate(WAVES)]
    scale = 0.45 / np.std(sum(octaves))
    shown = [sum(octaves[: len(octaves) - drop], np.zeros((SIDE,) * 3)) for drop in range(len(WAVES) + 1)]
    return np.asarray(np.stack(shown) * scale, np.float32)


def _octave(rng: np.random.Generator, wave: int) -> np.ndarray:
    """Random numbers on a coarse lattice, drawn out to the whole volume by a smooth curve."""
    lattice = rng.uniform(-1, 1, (SIDE // wave,) * 3)
    place = np.arange(SIDE) / wave
    low = np.floor(place).astype(int)
    part = place - low
    smooth = part * part * (3 - 2 * part)
    for axis in range(3):
        shape = [-1 if i == axis else 1 for i in range(3)]
        weight = smooth.reshape(shape)
        after = (low + 1) % lattice.shape[axis]
        lattice = lattice.take(low, axis) * (1 - weight) + lattice.take(after, axis) * weight
    return lattice
