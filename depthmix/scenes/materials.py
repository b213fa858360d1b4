"""Surfaces: colour as a function of the position on an object, in metres, so that patterns tell the scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from depthmix.scenes.noise import fractal, hashed, keep

__all__ = ["KINDS", "Material", "albedo"]

Points = Float32[np.ndarray, "n 3"]
Values = Float32[np.ndarray, " n"]


@dataclass(frozen=True)
class Material:
    """Describe a surface.

    Args:
        kind: name of the pattern, one of `KINDS`.
        colors: three linear RGB colours that the pattern mixes.
        scale: size of the pattern in metres.
        amount: contrast, about 0 to 1.
        seed: another seed gives another piece of the same material.
    """

    kind: str
    colors: tuple[tuple[float, float, float], ...]
    scale: float
    amount: float
    seed: int


@dataclass(frozen=True)
class _Spot:
    """What the pattern functions get for the points of one kind."""

    colors: Float32[np.ndarray, "n 3 3"]
    scale: Values
    amount: Values
    seed: Values
    pixel: Values  # size of a pixel on the surface in metres

    def noise(self, points: Points, wave: Values | float, shift: float = 0.0) -> Values:
        wave = np.asarray(wave, np.float32)
        moved = points / wave.reshape(-1, 1) + (self.seed * np.float32(0.377) + np.float32(shift))[:, None]
        return fractal(moved, self.pixel / wave)

    def blend(self, a: int, b: int, weight: Values) -> Points:
        first, second = self.colors[:, a], self.colors[:, b]
        return np.asarray(first + (second - first) * weight[:, None])


def albedo(
    materials: Sequence[Material],
    index: Int64[np.ndarray, " n"],
    points: Points,
    pixel: Values,
) -> Points:
    """Compute the linear colour of surface points.

    Args:
        materials: the surfaces of the scene.
        index: which of them each point lies on.
        points: position on the object in metres: along the surface, along the surface, across.
        pixel: size of a pixel on the surface in metres, for leaving out what it cannot show.
    """
    names = list(KINDS)
    kinds = np.array([names.index(m.kind) for m in materials])
    colors = np.array([m.colors for m in materials], np.float32)
    numbers = np.array([(m.scale, m.amount, m.seed % 997) for m in materials], np.float32)
    result = np.zeros((len(points), 3), np.float32)
    kind_at = kinds[index]
    for k in np.unique(kind_at):
        at = np.flatnonzero(kind_at == k)
        which = index[at]
        scale, amount, seed = numbers[which].T
        spot = _Spot(colors[which], scale, amount, seed, pixel[at])
        result[at] = KINDS[names[k]](points[at], spot)
    return np.clip(result, 0.004, 0.95)


def _grain(points: Points, spot: _Spot, wave: Values | float, strength: float) -> Values:
    """Brightness factor around 1 with fine noise, for surfaces that would be flat otherwise."""
    return np.asarray(np.exp(strength * spot.amount * spot.noise(points, wave, 7.7)), np.float32)


def _plaster(points: Points, spot: _Spot) -> Points:
    clouds = spot.noise(points, spot.scale)
    base = spot.blend(0, 1, np.clip(0.5 + 0.8 * spot.amount * clouds, 0, 1))
    return np.asarray(base * (_grain(points, spot, 0.09, 0.35) * _grain(points, spot, 0.4, 0.15))[:, None])


def _marble(points: Points, spot: _Spot) -> Points:
    warp = spot.noise(points, spot.scale * 2)
    veins = np.abs(np.sin(9 * warp + 6 * spot.noise(points, spot.scale, 3.1)))
    return spot.blend(0, 1, np.clip(1.4 * spot.amount * (1 - veins) ** 2, 0, 1))


def _speckle(points: Points, spot: _Spot) -> Points:
    fine = spot.noise(points, spot.scale)
    coarse = spot.noise(points, spot.scale * 6, 1.3)
    base = spot.blend(0, 1, np.clip(0.5 + 1.1 * spot.amount * fine, 0, 1))
    patch = np.clip(0.5 * spot.amount * (coarse - 0.1), 0, 1)[:, None]
    return base * (1 - patch) + spot.colors[:, 2] * patch


def _foliage(points: Points, spot: _Spot) -> Points:
    leaves = spot.noise(points, spot.scale)
    clumps = spot.noise(points, spot.scale * 4, 2.2)
    base = spot.blend(0, 1, np.clip(0.5 + leaves + 0.4 * clumps, 0, 1))
    return base * np.clip(0.75 + 0.9 * spot.amount * (leaves + 0.5 * clumps), 0.08, 1.6)[:, None]


def _planks(points: Points, spot: _Spot) -> Points:
    width = spot.scale
    row = np.floor(points[:, 1] / width)
    along = points[:, 0] + 3.7 * hashed(row, spot.seed)
    board = np.floor(along / (width * 9))
    tint = hashed(row, board, spot.seed + 5) * keep(width, spot.pixel)
    stretched = np.stack([along * 0.08, points[:, 1], points[:, 2] + 0.3 * tint], 1)
    grain = spot.noise(stretched, width * 0.5)
    base = spot.blend(0, 1, np.clip(0.3 + 0.5 * tint + 0.6 * spot.amount * grain, 0, 1))
    gap = _line(points[:, 1], width, 0.004, spot.pixel)
    return base * (1 - 0.6 * gap)[:, None]


def _wood(points: Points, spot: _Spot) -> Points:
    stretched = points * np.array([0.12, 1, 1], np.float32)
    rings = spot.noise(stretched, spot.scale)
    fine = spot.noise(stretched, spot.scale * 0.3, 4.0)
    value = 0.5 + 0.5 * np.sin(14 * rings) * keep(spot.scale / 4, spot.pixel) * 0.6 + 0.4 * fine
    return spot.blend(0, 1, np.clip(spot.amount * value, 0, 1))


def _bricks(points: Points, spot: _Spot) -> Points:
    height = spot.scale
    row = np.floor(points[:, 1] / height)
    shifted = points[:, 0] + np.where(row % 2 == 0, 0, height * 1.5)
    stone = hashed(row, np.floor(shifted / (height * 3)), spot.seed) * keep(height * 2, spot.pixel)
    base = spot.blend(0, 1, np.clip(0.7 * stone + 0.3 * spot.noise(points, height * 2), 0, 1))
    base = base * _grain(points, spot, height * 0.6, 0.5)[:, None]
    joint = np.maximum(
        _line(points[:, 1], height, 0.012, spot.pixel), _line(shifted, height * 3, 0.012, spot.pixel)
    )
    return np.asarray(base + (spot.colors[:, 2] - base) * (0.85 * joint)[:, None])


def _tiles(points: Points, spot: _Spot) -> Points:
    cell = np.floor(points[:, :2] / spot.scale[:, None])
    tint = hashed(cell[:, 0], cell[:, 1], spot.seed) * keep(spot.scale, spot.pixel)
    base = spot.blend(0, 1, np.clip(0.6 * spot.amount * tint, 0, 1))
    base = base * _grain(points, spot, spot.scale * 0.5, 0.35)[:, None]
    joint = np.maximum(
        _line(points[:, 0], spot.scale, 0.008, spot.pixel), _line(points[:, 1], spot.scale, 0.008, spot.pixel)
    )
    return np.asarray(base + (spot.colors[:, 2] - base) * (0.8 * joint)[:, None])


def _checks(points: Points, spot: _Spot) -> Points:
    cell = np.floor(points[:, :2] / spot.scale[:, None])
    odd = (cell[:, 0] + cell[:, 1]) % 2
    weight = 0.5 + (odd - 0.5) * keep(spot.scale * 2, spot.pixel)
    return np.asarray(spot.blend(0, 1, weight) * _grain(points, spot, spot.scale * 0.7, 0.4)[:, None])


def _stripes(points: Points, spot: _Spot) -> Points:
    """Upright bands of random width and colour: books, slats, fabric."""
    place = points[:, 0] / spot.scale
    band = np.floor(place + 0.35 * np.sin(2.4 * np.floor(place)))
    pick = hashed(band, spot.seed)
    shade = 0.6 + 0.7 * hashed(band, spot.seed + 9)
    colors = np.where((pick < 0.45)[:, None], spot.colors[:, 0], spot.colors[:, 1])
    colors = np.where((pick > 0.8)[:, None], spot.colors[:, 2], colors) * shade[:, None]
    shown = keep(spot.scale * 1.5, spot.pixel)[:, None]
    mean = spot.colors.mean(axis=1)
    return np.asarray((mean + (colors - mean) * shown) * _grain(points, spot, 0.12, 0.4)[:, None])


def _weave(points: Points, spot: _Spot) -> Points:
    wave = np.float32(2 * np.pi) / spot.scale
    threads = np.sin(points[:, 0] * wave) * np.sin(points[:, 1] * wave) * keep(spot.scale, spot.pixel)
    worn = spot.noise(points, 0.5)
    weight = np.clip(0.5 + 0.35 * threads + 0.5 * spot.amount * worn, 0, 1)
    return np.asarray(spot.blend(0, 1, weight) * _grain(points, spot, 0.03, 0.5)[:, None])


def _painting(points: Points, spot: _Spot) -> Points:
    """Blots of three colours, for pictures, posters and screens."""
    first = spot.noise(points, spot.scale)
    second = spot.noise(points, spot.scale * 0.6, 5.5)
    base = spot.blend(0, 1, np.clip(0.5 + 3 * first, 0, 1))
    patch = np.clip(4 * second - 0.4, 0, 1)[:, None]
    return base * (1 - patch) + spot.colors[:, 2] * patch


def _facade(points: Points, spot: _Spot) -> Points:
    """A house front: storeys of `scale` metres with dark panes in light frames."""
    storey = spot.scale
    column = storey * np.float32(0.62) * (1 + 0.5 * ((spot.seed % 5) / 5))
    across, up = points[:, 0] / column, points[:, 1] / storey
    cell = (np.floor(across), np.floor(up))
    x, y = np.abs(across - cell[0] - 0.5) * column, np.abs(up - cell[1] - 0.55) * storey
    half_x, half_y = column * (0.24 + 0.03 * (spot.seed % 4)), storey * (0.22 + 0.03 * (spot.seed % 3))
    outer = _inside(x - half_x, spot.pixel) * _inside(y - half_y, spot.pixel)
    pane = _inside(x - half_x + 0.09, spot.pixel) * _inside(y - half_y + 0.09, spot.pixel)
    pane = pane * (1 - _inside(x - 0.03, spot.pixel))
    wall = _plaster(points, spot)
    glass = (0.03 + 0.12 * hashed(*cell, spot.seed))[:, None] * np.array([0.8, 1.0, 1.25], np.float32)
    glass = glass * (1 + 0.5 * spot.noise(points, 2.0, 8.8))[:, None]
    framed = wall + (spot.colors[:, 2] - wall) * outer[:, None]
    band = _line(points[:, 1] + 0.1, storey, 0.12, spot.pixel)[:, None]
    framed = framed * (1 - 0.35 * band * (1 - outer[:, None]))
    return np.asarray(framed + (glass - framed) * pane[:, None])


def _line(place: Values, period: Values, width: float, pixel: Values) -> Values:
    """Coverage of a pixel by lines of `width` metres at every whole multiple of `period`."""
    distance = np.abs(place - np.round(place / period) * period)
    shown = np.clip((width / 2 - distance) / np.maximum(pixel, 1e-6) + 0.5, 0, 1)
    thin = np.minimum(1, width / np.maximum(pixel, 1e-6))  # a line thinner than a pixel pales
    return np.asarray(shown * thin * keep(period, pixel), np.float32)


def _inside(distance: Values, pixel: Values) -> Values:
    """Coverage of a pixel at a signed distance to an edge, 1 inside."""
    return np.asarray(np.clip(0.5 - distance / np.maximum(pixel, 1e-6), 0, 1), np.float32)


KINDS: dict[str, Callable[[Points, _Spot], Points]] = {
    "plaster": _plaster,
    "marble": _marble,
    "speckle": _speckle,
    "foliage": _foliage,
    "planks": _planks,
    "wood": _wood,
    "bricks": _bricks,
    "tiles": _tiles,
    "checks": _checks,
    "stripes": _stripes,
    "weave": _weave,
    "painting": _painting,
    "facade": _facade,
}
