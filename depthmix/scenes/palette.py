"""Random materials by what they are for: walls, floors, furniture, streets, things."""

import colorsys
from collections.abc import Sequence

import numpy as np

from depthmix.scenes.materials import Material
from depthmix.scenes.scene import Light, Sky

__all__ = [
    "bark",
    "ceiling",
    "daylight",
    "fabric",
    "facade",
    "floor",
    "grass",
    "lamplight",
    "leaves",
    "paint",
    "picture",
    "road",
    "sky",
    "stone",
    "thing",
    "tone",
    "wall",
    "wooden",
]

Color = tuple[float, float, float]
Range = tuple[float, float]


def tone(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> Color:
    """Draw a linear RGB colour; hue 0 to 1 may run past 1."""
    h, s, v = rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value)
    red, green, blue = colorsys.hsv_to_rgb(h, s, v)
    return red**2.2, green**2.2, blue**2.2


def wall(rng: np.random.Generator) -> Material:
    """Draw an indoor wall: mostly plaster or wallpaper in a pale colour, at times brick or wood."""
    base = tone(rng, (0, 1), (0.02, 0.35), (0.55, 0.95))
    kind = _pick(rng, {"plaster": 6, "weave": 1, "stripes": 1, "bricks": 1, "planks": 1, "tiles": 1})
    scale = {"plaster": (0.5, 1.5), "weave": (0.05, 0.12), "stripes": (0.1, 0.25), "bricks": (0.07, 0.1)}
    if kind in ("bricks", "planks", "stripes"):
        base = tone(rng, (0.02, 0.14), (0.15, 0.6), (0.4, 0.9))
    return _material(rng, kind, base, scale.get(kind, (0.12, 0.25)), (0.35, 0.7))


def ceiling(rng: np.random.Generator) -> Material:
    """Draw a ceiling: pale plaster, now and then boards."""
    if rng.random() < 0.15:
        return _material(
            rng, "planks", tone(rng, (0.04, 0.12), (0.1, 0.5), (0.5, 0.95)), (0.1, 0.2), (0.5, 0.9)
        )
    return _material(rng, "plaster", tone(rng, (0, 1), (0.0, 0.12), (0.75, 0.98)), (0.5, 1.5), (0.2, 0.5))


def floor(rng: np.random.Generator) -> Material:
    """Draw a floor: boards, tiles, checks, carpet or stone."""
    kind = _pick(rng, {"planks": 4, "tiles": 3, "checks": 1, "speckle": 2, "marble": 1, "weave": 1})
    if kind == "planks":
        return _material(rng, kind, tone(rng, (0.04, 0.12), (0.3, 0.7), (0.3, 0.8)), (0.08, 0.18), (0.6, 1))
    scale = {"tiles": (0.25, 0.6), "checks": (0.2, 0.5), "speckle": (0.05, 0.15), "marble": (0.6, 1.5)}
    base = tone(rng, (0, 1), (0.05, 0.4), (0.3, 0.85))
    return _material(rng, kind, base, scale.get(kind, (0.03, 0.08)), (0.6, 1))


def wooden(rng: np.random.Generator) -> Material:
    """Draw furniture wood, or paint over it."""
    if rng.random() < 0.25:
        return paint(rng)
    base = tone(rng, (0.03, 0.12), (0.3, 0.75), (0.25, 0.85))
    return _material(rng, _pick(rng, {"wood": 3, "planks": 1}), base, (0.08, 0.25), (0.7, 1))


def paint(rng: np.random.Generator) -> Material:
    """Draw a painted or metal surface of any colour."""
    base = tone(rng, (0, 1), (0.0, 0.85), (0.2, 0.95))
    return _material(rng, _pick(rng, {"plaster": 3, "speckle": 1}), base, (0.15, 0.5), (0.4, 0.8))


def fabric(rng: np.random.Generator) -> Material:
    """Draw cloth for sofas, beds, curtains and rugs."""
    kind = _pick(rng, {"weave": 3, "stripes": 1, "checks": 1, "speckle": 2})
    scale = {"weave": (0.02, 0.06), "stripes": (0.04, 0.12), "checks": (0.05, 0.15), "speckle": (0.04, 0.1)}
    return _material(rng, kind, tone(rng, (0, 1), (0.1, 0.8), (0.25, 0.85)), scale[kind], (0.6, 1))


def thing(rng: np.random.Generator) -> Material:
    """Draw any surface for an object lying about."""
    kinds = (
        "plaster",
        "marble",
        "speckle",
        "wood",
        "checks",
        "stripes",
        "weave",
        "painting",
        "tiles",
        "planks",
    )
    kind = kinds[rng.integers(len(kinds))]
    base = tone(rng, (0, 1), (0.1, 0.9), (0.2, 0.95))
    return _material(rng, kind, base, (0.03, 0.12), (0.6, 1))


def picture(rng: np.random.Generator) -> Material:
    """Draw a picture or poster."""
    colors = tuple(tone(rng, (0, 1), (0.1, 0.9), (0.1, 0.95)) for _ in range(3))
    return Material("painting", colors, rng.uniform(0.15, 0.6), 1.0, int(rng.integers(1 << 30)))


def bark(rng: np.random.Generator) -> Material:
    """Draw the trunk of a tree."""
    return _material(rng, "wood", tone(rng, (0.03, 0.12), (0.1, 0.5), (0.2, 0.55)), (0.05, 0.15), (0.8, 1))


def stone(rng: np.random.Generator) -> Material:
    """Draw paving, concrete or bricks for outdoor walls and pavements."""
    kind = _pick(rng, {"bricks": 2, "tiles": 2, "speckle": 2})
    scale = {"bricks": (0.08, 0.2), "tiles": (0.3, 0.8), "speckle": (0.1, 0.3)}
    base = tone(rng, (0.0, 0.15), (0.05, 0.45), (0.35, 0.8))
    return _material(rng, kind, base, scale[kind], (0.6, 1))


def road(rng: np.random.Generator) -> Material:
    """Draw asphalt, or paving now and then."""
    if rng.random() < 0.2:
        return stone(rng)
    base = tone(rng, (0.0, 0.7), (0.0, 0.12), (0.25, 0.6))
    return _material(rng, "speckle", base, (0.06, 0.2), (0.5, 0.9))


def grass(rng: np.random.Generator) -> Material:
    """Draw grass or bare soil."""
    base = tone(rng, (0.1, 0.32), (0.3, 0.7), (0.3, 0.6))
    return _material(rng, "foliage", base, (0.15, 0.5), (0.6, 1))


def leaves(rng: np.random.Generator) -> Material:
    """Draw foliage of any season."""
    base = tone(rng, (0.1, 0.36), (0.35, 0.8), (0.25, 0.65))
    return _material(rng, "foliage", base, (0.2, 0.6), (0.7, 1))


def facade(rng: np.random.Generator) -> Material:
    """Draw a house front with windows."""
    base = tone(rng, (0.0, 0.2), (0.05, 0.55), (0.35, 0.95))
    colors = (base, _shifted(base, rng.uniform(0.6, 1.3)), tone(rng, (0, 1), (0, 0.2), (0.5, 0.95)))
    return Material(
        "facade", colors, rng.uniform(2.7, 3.8), rng.uniform(0.4, 0.8), int(rng.integers(1 << 30))
    )


def daylight(rng: np.random.Generator) -> Light:
    """Draw the sun somewhere above, sharp or behind haze."""
    yaw, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.25)
    direction = (np.cos(height) * np.cos(yaw), np.cos(height) * np.sin(yaw), np.sin(height))
    power, warm = rng.uniform(0.3, 1.5), rng.uniform(0.75, 1.0)
    above = tone(rng, (0.53, 0.63), (0.05, 0.3), (0.75, 0.95))
    color = (power, power * (0.5 + 0.5 * warm), power * warm * 0.95)
    return Light(
        (float(direction[0]), float(direction[1]), float(direction[2])), True, color, above, (0.3, 0.28, 0.25)
    )


def lamplight(rng: np.random.Generator, position: tuple[float, float, float]) -> Light:
    """Draw a lamp at a place, with light bouncing off the room around."""
    power, warm = rng.uniform(0.7, 1.8), rng.uniform(0.7, 1.05)
    around = rng.uniform(0.25, 0.6)
    color = (power, power * (0.5 + 0.5 * warm), power * warm)
    return Light(
        position, False, color, (around, around, around), (0.85 * around, 0.81 * around, 0.76 * around)
    )


def sky(rng: np.random.Generator) -> Sky:
    """Draw a sky from blue to overcast."""
    grey = rng.uniform(0.0, 1.0) ** 1.5
    zenith = tone(rng, (0.56, 0.62), (0.15 + 0.5 * (1 - grey), 0.2 + 0.55 * (1 - grey)), (0.65, 0.9))
    horizon = tone(rng, (0.52, 0.62), (0.02, 0.18), (0.85, 1.0))
    return Sky(horizon, zenith, float(rng.uniform(0.1, 0.9)), int(rng.integers(1 << 20)))


def _material(rng: np.random.Generator, kind: str, base: Color, scale: Range, amount: Range) -> Material:
    """Complete a base colour by a darker or lighter second and a contrasting third."""
    factor = rng.uniform(0.3, 0.6) if rng.random() < 0.6 else rng.uniform(1.6, 2.4)
    second = _shifted(base, factor)
    if kind in ("checks", "stripes", "painting", "marble", "weave") and rng.random() < 0.6:
        second = tone(rng, (0, 1), (0.05, 0.8), (0.15, 0.95))
    third = (
        tone(rng, (0, 1), (0.0, 0.3), (0.3, 0.9))
        if rng.random() < 0.5
        else _shifted(base, rng.uniform(0.4, 1.5))
    )
    return Material(
        kind, (base, second, third), rng.uniform(*scale), rng.uniform(*amount), int(rng.integers(1 << 30))
    )


def _shifted(color: Color, factor: float) -> Color:
    red, green, blue = (min(0.92, part * factor + 0.01) for part in color)
    return red, green, blue


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names: Sequence[str] = list(weights)
    share = np.array(list(weights.values()), np.float64)
    return names[int(rng.choice(len(names), p=share / share.sum()))]
