"""Clutter: many overlapping objects on a table, a floor or a terrace, seen from close by."""

import numpy as np

from depthmix.scenes import palette
from depthmix.scenes.camera import look
from depthmix.scenes.furniture import ROOM, small
from depthmix.scenes.layout import Ground, view_angles
from depthmix.scenes.mesh import box, crown, quad
from depthmix.scenes.rooms import shell
from depthmix.scenes.scene import Scene, SceneBuilder

__all__ = ["build"]


def build(rng: np.random.Generator) -> Scene:
    """Build a heap of things with a camera above and beside it."""
    builder = SceneBuilder()
    indoors = rng.random() < 0.75
    top = rng.uniform(0.4, 0.8) if indoors and rng.random() < 0.6 else 0.0
    radius = rng.uniform(0.45, 0.9) if top else rng.uniform(0.6, 1.6)
    room = rng.uniform(3.0, 6.0, 2)
    if indoors:
        shell(builder, rng, room[0], room[1], rng.uniform(2.3, 3.0))
        _background(builder, rng, room, radius)
    else:
        _outside(builder, rng)
    if top:
        builder.add(box(2.3 * radius, 1.9 * radius, 0.04), palette.wooden(rng), (0.0, 0.0, top - 0.04))
        builder.add(box(1.9 * radius, 1.5 * radius, top - 0.04), palette.wooden(rng))
    _heap(builder, rng, radius, top)
    distance = min(radius * rng.uniform(1.0, 2.1), 0.42 * float(room.min()) if indoors else 9.0)
    down = np.radians(rng.uniform(10, 42))
    towards = rng.uniform(0, 2 * np.pi)
    eye = (
        np.array([-np.cos(towards) * np.cos(down), -np.sin(towards) * np.cos(down), np.sin(down)]) * distance
    )
    eye[2] += top + 0.12
    tilt = -float(np.degrees(down))
    yaw, pitch, roll, fov = view_angles(rng, towards, 0.12, (tilt - 5, tilt + 14))
    lamp = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)), float(rng.uniform(1.7, 2.25)))
    light = palette.lamplight(rng, lamp) if indoors else palette.daylight(rng)
    return builder.build(light, palette.sky(rng), look(eye, yaw, pitch, roll), fov)


def _heap(builder: SceneBuilder, rng: np.random.Generator, radius: float, top: float) -> None:
    ground = Ground()
    tops: list[tuple[float, float, float, float]] = []
    for _ in range(int(rng.integers(18, 46))):
        thing = small(rng)
        angle, away = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform(0, 0.8))
        x, y = away * np.cos(angle), away * np.sin(angle) * (0.8 if top else 1.0)
        r = max(thing.size[:2]) / 2
        if ground.claim(x, y, r, overlap=0.9):
            thing.put(builder, (x, y, top), rng.uniform(0, 6.3))
            if thing.flat:
                tops.append((x, y, top + thing.size[2], r))
        elif tops and rng.random() < 0.5:  # on top of one that stands already, if that is wide enough
            x, y, z, wide = tops.pop(int(rng.integers(len(tops))))
            if r < 1.2 * wide:
                thing.put(builder, (x, y, z), rng.uniform(0, 6.3))


def _background(builder: SceneBuilder, rng: np.random.Generator, room: np.ndarray, radius: float) -> None:
    """Stand furniture along the walls, out of the way of the camera."""
    for side in range(4):
        thing = ROOM[int(rng.integers(len(ROOM)))](rng)
        length, away = (room[0], room[1] / 2) if side % 2 == 0 else (room[1], room[0] / 2)
        inward = away - thing.size[1] / 2 - 0.05
        if thing.size[0] > length or inward - thing.size[1] / 2 < 1.15 * radius or rng.random() < 0.2:
            continue
        angle, along = side * np.pi / 2, rng.uniform(-0.4, 0.4) * (length - thing.size[0])
        x = np.cos(angle) * along + np.sin(angle) * inward
        y = np.sin(angle) * along - np.cos(angle) * inward
        thing.put(builder, (x, y, 0.0), angle + np.pi)


def _outside(builder: SceneBuilder, rng: np.random.Generator) -> None:
    builder.add(quad(200, 200), palette.stone(rng) if rng.random() < 0.5 else palette.grass(rng))
    for _ in range(int(rng.integers(4, 12))):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(4, 14)
        at = (away * np.cos(angle), away * np.sin(angle))
        if rng.random() < 0.5:
            wall = box(rng.uniform(2, 7), 0.3, rng.uniform(0.8, 3.0))
            builder.add(wall, palette.stone(rng), (*at, 0.0), angle + np.pi / 2)
        else:
            builder.add(crown(rng.uniform(0.6, 1.8), rng), palette.leaves(rng), (*at, rng.uniform(0.3, 2.0)))
