"""Rooms: four walls with doors, windows and pictures, furniture along them and in the middle."""

import numpy as np

from depthmix.scenes import palette
from depthmix.scenes.camera import look
from depthmix.scenes.furniture import ROOM, Thing, chair, small, table
from depthmix.scenes.layout import Ground, view_angles
from depthmix.scenes.mesh import box, quad, turn
from depthmix.scenes.scene import Scene, SceneBuilder

__all__ = ["build", "shell"]


def build(rng: np.random.Generator) -> Scene:
    """Build a furnished room seen from a place near one of its walls."""
    width, depth, height = rng.uniform(2.6, 6.5), rng.uniform(3.0, 8.5), rng.uniform(2.3, 3.3)
    builder, ground = SceneBuilder(), Ground()
    shell(builder, rng, width, depth, height)
    eye = np.array(
        [rng.uniform(-0.4, 0.4) * width, (0.5 - rng.uniform(0.05, 0.3)) * depth * rng.choice((-1, 1)), 0.0]
    )
    eye[2] = rng.uniform(0.7, 1.85)
    ground.claim(eye[0], eye[1], 0.75)
    _along_walls(builder, ground, rng, (width, depth))
    _in_the_middle(builder, ground, rng, (width, depth))
    for side in range(4):
        _on_the_wall(builder, rng, side, (width, depth, height))
    target = rng.uniform(-0.25, 0.25, 2) * (width, depth)
    towards = float(np.arctan2(target[1] - eye[1], target[0] - eye[0]))
    yaw, pitch, roll, fov = view_angles(rng, towards, 0.25, (-24, 6))
    lamp = (rng.uniform(-0.3, 0.3) * width, rng.uniform(-0.3, 0.3) * depth, height - rng.uniform(0.15, 0.6))
    return builder.build(palette.lamplight(rng, lamp), palette.sky(rng), look(eye, yaw, pitch, roll), fov)


def shell(builder: SceneBuilder, rng: np.random.Generator, width: float, depth: float, height: float) -> None:
    """Add floor, ceiling, walls (one may differ) and skirting boards, centred on the origin."""
    paper, accent, trim = palette.wall(rng), palette.wall(rng), palette.paint(rng)
    odd = int(rng.integers(6))
    builder.add(quad(width, depth), palette.floor(rng))
    builder.add(quad(width, depth), palette.ceiling(rng), (0.0, 0.0, height), rotation=turn(0.0, 0.0, np.pi))
    for side in range(4):
        length, away = (width, depth / 2) if side % 2 == 0 else (depth, width / 2)
        angle = side * np.pi / 2
        x, y = np.sin(angle) * away, -np.cos(angle) * away
        # A thin box rather than a sheet, so that light and rays cannot slip out at the corners.
        builder.add(
            box(length + 0.2, 0.1, height), accent if side == odd else paper, (*_out(x, y, 0.05), 0.0), angle
        )
        builder.add(box(length, 0.02, 0.1), trim, (*_out(x, y, -0.01), 0.0), angle)


def _along_walls(
    builder: SceneBuilder, ground: Ground, rng: np.random.Generator, size: tuple[float, float]
) -> None:
    for _ in range(int(rng.integers(6, 14))):
        thing = ROOM[int(rng.integers(len(ROOM)))](rng)
        side = int(rng.integers(4))
        length, away = (size[0], size[1] / 2) if side % 2 == 0 else (size[1], size[0] / 2)
        if thing.size[0] > length or thing.size[1] > away:
            continue
        along = rng.uniform(-0.5, 0.5) * (length - thing.size[0])
        angle = side * np.pi / 2
        inward = away - thing.size[1] / 2 - 0.04
        x = np.cos(angle) * along + np.sin(angle) * inward
        y = np.sin(angle) * along - np.cos(angle) * inward
        if ground.claim(x, y, max(thing.size[:2]) / 2):
            thing.put(builder, (x, y, 0.0), angle + np.pi)


def _in_the_middle(
    builder: SceneBuilder, ground: Ground, rng: np.random.Generator, size: tuple[float, float]
) -> None:
    if rng.random() < 0.6:
        w, d = rng.uniform(0.3, 0.6) * size[0], rng.uniform(0.3, 0.6) * size[1]
        builder.add(box(w, d, 0.012), palette.fabric(rng), (0.0, 0.0, 0.0), rng.normal(0, 0.1))
    for _ in range(int(rng.integers(2, 9))):
        maker = (table, chair, chair, small, small)[int(rng.integers(5))]
        thing: Thing = maker(rng)
        x, y = rng.uniform(-0.4, 0.4, 2) * size
        if ground.claim(x, y, float(np.hypot(*thing.size[:2])) / 2):
            thing.put(builder, (x, y, 0.0), rng.uniform(0, 6.3))


def _on_the_wall(
    builder: SceneBuilder, rng: np.random.Generator, side: int, size: tuple[float, float, float]
) -> None:
    """Hang a door or window and some pictures side by side."""
    length, away = (size[0], size[1] / 2) if side % 2 == 0 else (size[1], size[0] / 2)
    angle, start = side * np.pi / 2, -length / 2 + rng.uniform(0.1, 0.6)
    while start < length / 2 - 0.5:
        kind = int(rng.integers(4))
        w = (0.85, rng.uniform(0.8, 1.8), rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.0))[kind]
        if start + w > length / 2 - 0.1:
            break
        x, y = np.cos(angle) * (start + w / 2), np.sin(angle) * (start + w / 2)
        at = (x + np.sin(angle) * away, y - np.cos(angle) * away)
        _hang(builder, rng, kind, w, at, angle, size[2])
        start += w + rng.uniform(0.2, 1.6)


def _hang(
    builder: SceneBuilder,
    rng: np.random.Generator,
    kind: int,
    width: float,
    at: tuple[float, float],
    angle: float,
    ceiling: float,
) -> None:
    frame = palette.wooden(rng)
    if kind == 0:  # door
        builder.add(box(width + 0.14, 0.05, 2.08), frame, (*_out(*at, -0.02), 0.0), angle)
        builder.add(box(width, 0.06, 2.0), palette.wooden(rng), (*_out(*at, -0.03), 0.0), angle)
        return
    height = rng.uniform(0.8, 1.3) if kind == 1 else width * rng.uniform(0.6, 1.3)
    bottom = min(rng.uniform(0.8, 1.4), ceiling - height - 0.15)
    inner = palette.picture(rng)
    builder.add(box(width, 0.04, height), frame, (*_out(*at, -0.02), bottom), angle)
    cells = 2 if kind == 1 else 1
    for i in range(cells):
        w = width / cells - 0.08
        x = (i + 0.5) * width / cells - width / 2
        place = (at[0] + np.cos(angle) * x, at[1] + np.sin(angle) * x)
        builder.add(box(w, 0.03, height - 0.1), inner, (*_out(*place, -0.035), bottom + 0.05), angle)


def _out(x: float, y: float, distance: float) -> tuple[float, float]:
    """Move a point on a wall outwards, along the larger of its two coordinates' axis."""
    if abs(x) > abs(y):
        return x + np.sign(x) * distance, y
    return x, y + np.sign(y) * distance
