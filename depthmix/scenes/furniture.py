"""Things made of several shapes: furniture, cars, trees. Each stands on the origin, its front to -y."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depthmix.scenes import palette
from depthmix.scenes.materials import Material
from depthmix.scenes.mesh import Mesh, Vector, ball, box, crown, cylinder, torus, turn
from depthmix.scenes.scene import SceneBuilder

__all__ = ["OUTDOOR", "ROOM", "SMALL", "Thing", "car", "small", "tree"]


@dataclass(frozen=True)
class Thing:
    """Hold shapes with materials.

    Args:
        pieces: shape, material and place of each.
        size: of the box around all of them.
        flat: whether something can stand on top.
    """

    pieces: tuple[tuple[Mesh, Material, Vector], ...]
    size: Vector
    flat: bool = False

    def put(self, builder: SceneBuilder, at: Vector, yaw: float) -> None:
        """Add all pieces to a scene, turned about the vertical."""
        rotation = turn(yaw)
        for mesh, material, offset in self.pieces:
            place = rotation @ np.array(offset) + np.array(at)
            builder.add(
                mesh, material, (float(place[0]), float(place[1]), float(place[2])), rotation=rotation
            )


Rng = np.random.Generator


def table(rng: Rng) -> Thing:
    """Draw a table with four legs."""
    w, d, h = rng.uniform(0.7, 1.9), rng.uniform(0.6, 1.0), rng.uniform(0.42, 0.78)
    top, leg, thick = palette.wooden(rng), palette.wooden(rng), rng.uniform(0.025, 0.05)
    pieces = [(box(w, d, thick), top, (0.0, 0.0, h - thick))]
    x, y, r = w / 2 - 0.08, d / 2 - 0.08, rng.uniform(0.02, 0.045)
    pieces += [(_leg(r, h - thick), leg, (sx * x, sy * y, 0.0)) for sx in (-1, 1) for sy in (-1, 1)]
    for _ in range(int(rng.integers(0, 5))):
        item = small(rng)
        place = (rng.uniform(-x, x) * 0.85, rng.uniform(-y, y) * 0.85)
        pieces += [(m, s, (ox + place[0], oy + place[1], oz + h)) for m, s, (ox, oy, oz) in item.pieces]
    return Thing(tuple(pieces), (w, d, h))


def chair(rng: Rng) -> Thing:
    """Draw a chair with a back."""
    w, h, back = rng.uniform(0.4, 0.55), rng.uniform(0.42, 0.5), rng.uniform(0.35, 0.6)
    seat, leg = (palette.fabric(rng) if rng.random() < 0.6 else palette.wooden(rng)), palette.wooden(rng)
    pieces = [
        (box(w, w, 0.05), seat, (0.0, 0.0, h)),
        (box(w, 0.04, back), seat, (0.0, w / 2 - 0.02, h + 0.05)),
    ]
    x = w / 2 - 0.04
    pieces += [(_leg(0.018, h), leg, (sx * x, sy * x, 0.0)) for sx in (-1, 1) for sy in (-1, 1)]
    return Thing(tuple(pieces), (w, w, h + back))


def sofa(rng: Rng) -> Thing:
    """Draw a sofa or an armchair with cushions."""
    w, d, h, arm = (
        rng.uniform(0.9, 2.3),
        rng.uniform(0.75, 1.0),
        rng.uniform(0.35, 0.48),
        rng.uniform(0.12, 0.22),
    )
    cloth, cushion, back = palette.fabric(rng), palette.fabric(rng), rng.uniform(0.3, 0.5)
    pieces = [
        (box(w, d, h), cloth, (0.0, 0.0, 0.0)),
        (box(w, 0.2, back), cloth, (0.0, d / 2 - 0.1, h)),
        (box(arm, d, 0.2), cloth, (-w / 2 + arm / 2, 0.0, h)),
        (box(arm, d, 0.2), cloth, (w / 2 - arm / 2, 0.0, h)),
        (box(0.4, 0.14, 0.36, 0.8), cushion, (rng.uniform(-0.3, 0.3) * w, d / 2 - 0.28, h)),
    ]
    return Thing(tuple(pieces), (w, d, h + back))


def bed(rng: Rng) -> Thing:
    """Draw a bed with a head board, a cover and a pillow."""
    w, d, h = rng.uniform(0.9, 1.9), rng.uniform(1.9, 2.1), rng.uniform(0.35, 0.55)
    pieces = [
        (box(w, d, h * 0.6), palette.wooden(rng), (0.0, 0.0, 0.0)),
        (box(w * 0.97, d * 0.96, h * 0.4), palette.fabric(rng), (0.0, 0.0, h * 0.6)),
        (box(w, 0.06, h + 0.5), palette.wooden(rng), (0.0, d / 2, 0.0)),
        (box(w * 0.4, 0.4, 0.13, 0.85), palette.fabric(rng), (-w * 0.22, d / 2 - 0.3, h)),
        (box(w * 1.01, d * 0.55, h * 0.42), palette.fabric(rng), (0.0, -d * 0.21, h * 0.6)),
    ]
    return Thing(tuple(pieces), (w, d, h + 0.5))


def shelf(rng: Rng) -> Thing:
    """Draw an open shelf with rows of books."""
    w, d, h = rng.uniform(0.6, 1.6), rng.uniform(0.25, 0.4), rng.uniform(0.9, 2.1)
    frame, rows = palette.wooden(rng), int(rng.integers(2, 6))
    step = h / rows
    pieces = [(box(0.03, d, h), frame, (side * w / 2, 0.0, 0.0)) for side in (-1.0, 1.0)]
    pieces += [(box(w, d, 0.03), frame, (0.0, 0.0, i * step)) for i in range(rows)]
    pieces += [(box(w + 0.03, d, 0.03), frame, (0.0, 0.0, h)), (box(w, 0.02, h), frame, (0.0, d / 2, 0.0))]
    for i in range(rows):
        filled = rng.uniform(0.3, 0.97) * (w - 0.06)
        books = Material("stripes", _three(rng), rng.uniform(0.02, 0.05), 1.0, int(rng.integers(1 << 30)))
        pieces.append(
            (
                box(filled, d * 0.7, step * rng.uniform(0.55, 0.85)),
                books,
                ((filled - w) / 2 + 0.03, 0.02, i * step + 0.03),
            )
        )
    return Thing(tuple(pieces), (w, d, h))


def cabinet(rng: Rng) -> Thing:
    """Draw a cupboard or chest whose doors stand out a little, with knobs."""
    w, d, h = rng.uniform(0.5, 1.8), rng.uniform(0.4, 0.65), rng.uniform(0.6, 2.2)
    body, front, knob = palette.wooden(rng), palette.wooden(rng), palette.paint(rng)
    columns, rows = max(1, round(w / 0.5)), int(rng.integers(1, 4))
    pieces = [(box(w, d, h), body, (0.0, 0.0, 0.0))]
    for i in range(columns):
        for j in range(rows):
            x, z = (i + 0.5) / columns * w - w / 2, 0.06 + j * (h - 0.08) / rows
            door = box(w / columns - 0.03, 0.02, (h - 0.08) / rows - 0.03)
            pieces += [
                (door, front, (x, -d / 2 - 0.01, z)),
                (ball(0.018, 6), knob, (x + w / columns * 0.35, -d / 2 - 0.035, z + 0.2)),
            ]
    if h < 1.3:
        item = small(rng)
        pieces += [
            (m, s, (ox + rng.uniform(-0.3, 0.3) * w, oy, oz + h)) for m, s, (ox, oy, oz) in item.pieces
        ]
    return Thing(tuple(pieces), (w, d + 0.05, h))


def floor_lamp(rng: Rng) -> Thing:
    """Draw a lamp on a pole."""
    h, r = rng.uniform(1.2, 1.8), rng.uniform(0.15, 0.25)
    pole, shade = palette.paint(rng), palette.fabric(rng)
    return Thing(
        (
            (cylinder(r * 0.8, 0.03), pole, (0.0, 0.0, 0.0)),
            (cylinder(0.015, h, sides=8), pole, (0.0, 0.0, 0.0)),
            (cylinder(r, 0.3, r * 0.6), shade, (0.0, 0.0, h - 0.15)),
        ),
        (2 * r, 2 * r, h + 0.15),
    )


def plant(rng: Rng) -> Thing:
    """Draw a plant in a pot."""
    r, h, leaf = rng.uniform(0.12, 0.25), rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.45)
    top = h + leaf * rng.uniform(0.8, 1.4)
    return Thing(
        (
            (cylinder(r * 0.75, h, r), palette.thing(rng), (0.0, 0.0, 0.0)),
            (cylinder(0.02, top, sides=6), palette.bark(rng), (0.0, 0.0, 0.0)),
            (crown(leaf, rng), palette.leaves(rng), (0.0, 0.0, top)),
        ),
        (2 * leaf, 2 * leaf, top + leaf),
    )


def small(rng: Rng) -> Thing:
    """Draw one simple object: box, ball, can, cone, ring or stone, 8 to 40 cm large."""
    size, surface = float(rng.uniform(0.08, 0.4)), palette.thing(rng)
    shape = int(rng.integers(7))
    if shape <= 1:
        w, d, h = (size * rng.uniform(0.4, 1.2) for _ in range(3))
        return Thing(((box(w, d, h), surface, (0.0, 0.0, 0.0)),), (w, d, h), flat=True)
    if shape == 2:
        return Thing(((ball(size / 2, 20), surface, (0.0, 0.0, size / 2)),), (size,) * 3)
    if shape == 3:
        h = size * float(rng.uniform(0.6, 2.0))
        return Thing(
            ((cylinder(size / 3, h, size / 3 * rng.uniform(0.7, 1.1)), surface, (0.0, 0.0, 0.0)),),
            (size, size, h),
            flat=True,
        )
    if shape == 4:
        return Thing(((cylinder(size / 2, size, 0.02), surface, (0.0, 0.0, 0.0)),), (size,) * 3)
    if shape == 5:
        tube = size * float(rng.uniform(0.1, 0.18))
        mesh, lift = torus(size / 2 - tube, tube, 32), tube
        if rng.random() < 0.4:  # leaning upright
            mesh, lift = mesh.placed((0.0, 0.0, 0.0), turn(0.0, 0.0, 1.4)), size / 2
        return Thing(((mesh, surface, (0.0, 0.0, lift)),), (size, size, size))
    return Thing(((crown(size / 2, rng, 16), surface, (0.0, 0.0, size * 0.38)),), (size,) * 3)


def car(rng: Rng) -> Thing:
    """Draw a car, a van or a lorry, front to -y."""
    w, d, h = rng.uniform(1.65, 1.95), rng.uniform(3.6, 4.9), rng.uniform(0.55, 0.75)
    body, glass, tyre = palette.paint(rng), _glass(rng), _tyre(rng)
    cabin, long = rng.uniform(0.5, 0.7), rng.uniform(0.45, 0.6)
    if rng.random() < 0.2:
        d, cabin, long = d * 1.25, rng.uniform(1.2, 1.9), 0.92
    across = turn(np.pi / 2)
    top = box(d * long, w * 0.88, cabin, rng.uniform(0.65, 0.85) if cabin < 1 else 0.95)
    roof = box(d * long * 0.6, w * 0.86, 0.04)
    pieces = [
        (box(w, d, h), body, (0.0, 0.0, 0.22)),
        (top.placed((0.0, 0.0, 0.0), across), glass if cabin < 1 else body, (0.0, d * 0.05, 0.22 + h)),
        (roof.placed((0.0, 0.0, 0.0), across), body, (0.0, d * 0.05, 0.22 + h + cabin)),
        (box(w * 0.9, 0.1, 0.15), palette.paint(rng), (0.0, -d / 2 - 0.03, 0.3)),
        (box(w * 0.8, 0.06, 0.12), palette.paint(rng), (0.0, d / 2 + 0.02, 0.6)),
    ]
    wheel = cylinder(0.32, 0.2, sides=18).placed((0.0, 0.0, 0.0), turn(0.0, np.pi / 2))
    pieces += [(wheel, tyre, (sx * w / 2 - 0.1, sy * d * 0.31, 0.32)) for sx in (-1, 1) for sy in (-1, 1)]
    return Thing(tuple(pieces), (w, d, 0.26 + h + cabin))


def tree(rng: Rng) -> Thing:
    """Draw a tree with one to three crowns, or a bush."""
    h, r = rng.uniform(1.5, 4.0), rng.uniform(1.0, 2.3)
    leaf = palette.leaves(rng)
    if rng.random() < 0.25:
        return Thing(((crown(r * 0.5, rng), leaf, (0.0, 0.0, r * 0.35)),), (r, r, r))
    pieces = [
        (cylinder(rng.uniform(0.12, 0.25), h + r * 0.3, 0.09, sides=10), palette.bark(rng), (0.0, 0.0, 0.0))
    ]
    for _ in range(int(rng.integers(1, 4))):
        place = (rng.uniform(-0.4, 0.4) * r, rng.uniform(-0.4, 0.4) * r, h + r * rng.uniform(0.5, 1.0))
        pieces.append((crown(r * rng.uniform(0.7, 1.0), rng), leaf, place))
    return Thing(tuple(pieces), (r, r, h + 2 * r))


def person(rng: Rng) -> Thing:
    """Draw a figure from rounded shapes."""
    h = rng.uniform(1.5, 1.9)
    top, legs, skin = palette.fabric(rng), palette.fabric(rng), palette.paint(rng)
    pieces = [(cylinder(0.08, h * 0.48, 0.1, 10), legs, (side * 0.1, 0.0, 0.0)) for side in (-1.0, 1.0)]
    pieces += [
        (cylinder(0.2, h * 0.36, 0.17, 14), top, (0.0, 0.0, h * 0.47)),
        (ball(0.11, 10), skin, (0.0, 0.0, h - 0.11)),
    ]
    return Thing(tuple(pieces), (0.5, 0.4, h))


def street_lamp(rng: Rng) -> Thing:
    """Draw a pole with an arm or a sign."""
    h, metal = rng.uniform(3.0, 7.0), palette.paint(rng)
    if rng.random() < 0.4:
        h = rng.uniform(2.2, 3.0)
        head = (box(0.6, 0.03, 0.6), palette.picture(rng), (0.0, -0.06, h - 0.6))
    else:
        head = (box(0.25, 1.3, 0.12), metal, (0.0, -0.6, h))
    return Thing(((cylinder(0.07, h, 0.05, 10), metal, (0.0, 0.0, 0.0)), head), (0.3, 0.3, h))


def _leg(radius: float, height: float) -> Mesh:
    return cylinder(radius, height, sides=8)


def _three(rng: Rng) -> tuple[palette.Color, ...]:
    return tuple(palette.tone(rng, (0, 1), (0.2, 0.9), (0.2, 0.9)) for _ in range(3))


def _glass(rng: Rng) -> Material:
    dark = palette.tone(rng, (0.5, 0.65), (0.1, 0.4), (0.15, 0.35))
    return Material("plaster", (dark, (0.25, 0.28, 0.3), dark), 0.8, 1.0, int(rng.integers(1 << 30)))


def _tyre(rng: Rng) -> Material:
    return Material("speckle", ((0.02,) * 3, (0.05,) * 3, (0.3,) * 3), 0.1, 0.8, int(rng.integers(1 << 30)))


ROOM: tuple[Callable[[Rng], Thing], ...] = (table, chair, sofa, bed, shelf, cabinet, floor_lamp, plant)
OUTDOOR: tuple[Callable[[Rng], Thing], ...] = (tree, street_lamp, person)
SMALL: tuple[Callable[[Rng], Thing], ...] = (small, plant, chair, table)
