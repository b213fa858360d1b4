"""Streets: road and pavements between house fronts, cars, trees, poles and people under a sky."""

import numpy as np

from depthmix.scenes import palette
from depthmix.scenes.camera import look
from depthmix.scenes.furniture import OUTDOOR, car
from depthmix.scenes.layout import Ground, view_angles
from depthmix.scenes.mesh import box, join, quad
from depthmix.scenes.scene import Scene, SceneBuilder

__all__ = ["build"]


def build(rng: np.random.Generator) -> Scene:
    """Build a street along x, seen from the road, or from a pavement and at an angle."""
    builder, ground = SceneBuilder(), Ground()
    road, pavement = rng.uniform(5.0, 11.0), rng.uniform(1.2, 4.0)
    walking = rng.random() < 0.4
    y = rng.choice((-1, 1)) * (road / 2 + pavement / 2) if walking else rng.uniform(-0.3, 0.3) * road
    eye = np.array([0.0, y, rng.uniform(1.35, 1.9) if walking else rng.uniform(1.2, 2.4)])
    ground.claim(eye[0], eye[1], 1.6)
    _surface(builder, rng, road, pavement)
    front = road / 2 + pavement
    for side in (-1, 1):
        _row(builder, rng, side, front)
        _parked(builder, ground, rng, side, road)
        _pavement_things(builder, ground, rng, side, road / 2 + 0.4, front)
    _traffic(builder, ground, rng, road)
    if rng.random() < 0.5:
        _end(builder, rng, front)
    yaw, pitch, roll, fov = view_angles(rng, 0.0, 0.6 if walking else 0.22, (-8, 7))
    return builder.build(palette.daylight(rng), palette.sky(rng), look(eye, yaw, pitch, roll), fov)


def _surface(builder: SceneBuilder, rng: np.random.Generator, road: float, pavement: float) -> None:
    builder.add(
        quad(600, 600), palette.grass(rng) if rng.random() < 0.7 else palette.stone(rng), (0, 0, -0.02)
    )
    builder.add(quad(400, road), palette.road(rng))
    kerb, paving = rng.uniform(0.06, 0.16), palette.stone(rng)
    for side in (-1, 1):
        builder.add(box(400, pavement, kerb), paving, (0.0, side * (road + pavement) / 2, 0.0))
    if rng.random() < 0.7:
        paint = palette.paint(rng)
        dash, gap = rng.uniform(1.5, 4.0), rng.uniform(2.0, 5.0)
        pieces = [box(dash, 0.14, 0.004).placed((x, 0.0, 0.0)) for x in np.arange(-20, 70, dash + gap)]
        builder.add(join(*pieces), paint, (0.0, rng.uniform(-0.05, 0.05) * road, 0.0))


def _row(builder: SceneBuilder, rng: np.random.Generator, side: int, front: float) -> None:
    """Add house after house along one side, with gaps, hedges and walls between."""
    x, open_land = -30.0, rng.random() < 0.2
    while x < 120:
        w = rng.uniform(7, 22)
        back = front + rng.uniform(0.0, 5.0)
        if open_land or rng.random() < 0.12:
            _fence(builder, rng, x, w, side * (front + 0.3))
        else:
            _house(builder, rng, x + w / 2, side, back, w)
        x += w + (rng.uniform(0.5, 9) if rng.random() < 0.4 else 0.05)


def _house(
    builder: SceneBuilder, rng: np.random.Generator, x: float, side: int, front: float, width: float
) -> None:
    depth, storeys = rng.uniform(7, 14), int(rng.integers(1, 7))
    skin = palette.facade(rng)
    height = storeys * skin.scale + rng.uniform(0.2, 0.8)
    turned = 0.0 if side > 0 else np.pi
    at = (x, side * (front + depth / 2), 0.0)
    builder.add(box(width, depth, height), skin, at, turned)
    if storeys <= 3 and rng.random() < 0.7:
        roof = box(depth + 0.8, width + 0.5, rng.uniform(1.5, 3.5), 0.05)
        builder.add(roof, palette.stone(rng), (at[0], at[1], height), np.pi / 2)
    door = box(rng.uniform(0.9, 2.4), 0.2, rng.uniform(2.0, 2.6))
    place = x + rng.uniform(-0.4, 0.4) * width
    builder.add(door, palette.wooden(rng), (place, side * front, 0.0))
    for _ in range(int(rng.integers(0, 4))):  # balconies, signs, awnings
        piece = box(rng.uniform(1, 4), rng.uniform(0.3, 1.2), rng.uniform(0.15, 1.0))
        up = rng.integers(1, storeys + 1) * skin.scale - 0.6
        builder.add(
            piece, palette.thing(rng), (x + rng.uniform(-0.35, 0.35) * width, side * front, float(up))
        )


def _fence(builder: SceneBuilder, rng: np.random.Generator, x: float, width: float, y: float) -> None:
    kind = (palette.leaves, palette.stone, palette.wooden)[int(rng.integers(3))]
    builder.add(box(width, rng.uniform(0.15, 0.7), rng.uniform(0.7, 2.2)), kind(rng), (x + width / 2, y, 0.0))


def _parked(builder: SceneBuilder, ground: Ground, rng: np.random.Generator, side: int, road: float) -> None:
    share, x = rng.uniform(0, 0.9), rng.uniform(-8, 0)
    while x < 60:
        if rng.random() < share:
            thing = car(rng)
            y = side * (road / 2 - 1.05)
            if ground.claim(x, y, 2.2, overlap=1.0):
                thing.put(builder, (x, y, 0.0), np.pi / 2 * rng.choice((-1, 1)) + rng.normal(0, 0.03))
        x += rng.uniform(5.2, 8.0)


def _pavement_things(
    builder: SceneBuilder, ground: Ground, rng: np.random.Generator, side: int, near: float, far: float
) -> None:
    for _ in range(int(rng.integers(3, 14))):
        thing = OUTDOOR[int(rng.integers(len(OUTDOOR)))](rng)
        x = float(rng.uniform(-4, 22) if rng.random() < 0.5 else rng.uniform(0, 70))
        y = side * rng.uniform(near, max(far - 0.4, near + 0.1))
        if ground.claim(x, y, 0.5 * max(thing.size[:2]) + 0.3):
            thing.put(builder, (x, y, 0.1), rng.uniform(-0.4, 0.4) + (0 if side < 0 else np.pi))


def _traffic(builder: SceneBuilder, ground: Ground, rng: np.random.Generator, road: float) -> None:
    for _ in range(int(rng.integers(0, 6))):
        lane = rng.choice((-1, 1))
        x, y = float(rng.uniform(6, 55)), lane * road / 4 + rng.normal(0, 0.2)
        if ground.claim(x, y, 2.6, overlap=1.0):
            car(rng).put(builder, (x, y, 0.0), lane * np.pi / 2 + rng.normal(0, 0.04))


def _end(builder: SceneBuilder, rng: np.random.Generator, front: float) -> None:
    """Close the street by a building across it."""
    x, w, h = rng.uniform(25, 80), 2 * front + rng.uniform(6, 30), rng.uniform(6, 25)
    builder.add(box(w, 10, h), palette.facade(rng), (x + 5, 0.0, 0.0), np.pi / 2 * 3)
