"""Shapes as triangles that carry shading normals, texture positions and the planar face they belong to."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int32

__all__ = ["Mesh", "ball", "box", "crown", "cylinder", "join", "quad", "torus", "turn"]

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Hold triangles without shared corners.

    Args:
        corners: positions in metres.
        normals: outward unit normals for shading, rounded over curved surfaces.
        texture: position on the surface in metres: along, along, across.
        face: number of the planar face from 1 on, 0 for curved surfaces.
    """

    corners: Float32[np.ndarray, "t 3 3"]
    normals: Float32[np.ndarray, "t 3 3"]
    texture: Float32[np.ndarray, "t 3 3"]
    face: Int32[np.ndarray, " t"]

    def placed(self, at: Vector, rotation: Float[np.ndarray, "3 3"] | None = None) -> "Mesh":
        """Rotate about the origin, then move; the texture goes along."""
        matrix = np.eye(3) if rotation is None else rotation
        corners = np.einsum("tci,ji->tcj", self.corners, matrix) + np.asarray(at)
        normals = np.einsum("tci,ji->tcj", self.normals, matrix)
        return replace(self, corners=corners.astype(np.float32), normals=normals.astype(np.float32))


def turn(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """Rotate by roll about x, pitch about y, then yaw about z (up), in radians."""
    (a, b, c), (p, q, r) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_z = np.array([[a, -p, 0], [p, a, 0], [0, 0, 1]])
    about_y = np.array([[b, 0, q], [0, 1, 0], [-q, 0, b]])
    about_x = np.array([[1, 0, 0], [0, c, -r], [0, r, c]])
    return np.asarray(about_z @ about_y @ about_x)


def join(*meshes: Mesh) -> Mesh:
    """Put shapes together into one; planar faces are numbered on."""
    last = np.cumsum([0, *(int(mesh.face.max(initial=0)) for mesh in meshes)])
    faces = [np.where(mesh.face > 0, mesh.face + add, 0) for mesh, add in zip(meshes, last[:-1], strict=True)]
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.texture for mesh in meshes]),
        np.concatenate(faces).astype(np.int32),
    )


def quad(width: float, height: float) -> Mesh:
    """Build a rectangle in the plane z = 0 with the normal up, centred on the origin."""
    x, y = width / 2, height / 2
    return _polygon(np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]]), face=1)


def box(width: float, depth: float, height: float, taper: float = 1.0) -> Mesh:
    """Build a box that stands on z = 0, centred in x and y.

    Args:
        width: along x.
        depth: along y.
        height: along z.
        taper: size of the top relative to the bottom along x; the sides lean for anything but 1.
    """
    if taper == 1:
        return _straight_box(width, depth, height)
    x, y, z, t = width / 2, depth / 2, height, taper
    bottom = [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)]
    top = [(-x * t, -y, z), (x * t, -y, z), (x * t, y, z), (-x * t, y, z)]
    sides = [(bottom[i], bottom[(i + 1) % 4], top[(i + 1) % 4], top[i]) for i in range(4)]
    polygons = [top, bottom[::-1], *sides]
    return join(*(_polygon(np.array(p, np.float64), face=1) for p in polygons))


# Legs, wheels and knobs come in equal sets; nothing changes a mesh once it is made.
@lru_cache(maxsize=64)
def cylinder(radius: float, height: float, top: float | None = None, sides: int = 20) -> Mesh:
    """Build an upright cylinder on z = 0, a cone frustum where `top` is another radius; caps are planar."""
    upper = radius if top is None else top
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    lean = np.array([radius - upper, height]) / np.hypot(radius - upper, height)
    normal = np.column_stack([ring * lean[1], np.full(sides + 1, lean[0])])
    low = np.column_stack([ring * radius, np.zeros(sides + 1)])
    high = np.column_stack([ring * upper, np.full(sides + 1, height)])
    along = angle * max(radius, upper)
    wall = _grid(
        np.stack([low, high]),
        np.stack([normal, normal]),
        np.stack([_columns(along, 0.0, 0.0), _columns(along, height, 0.0)]),
    )
    caps = [_polygon(high[:-1], face=1)] if upper > 0 else []
    caps.append(_polygon(low[:-1][::-1], face=1))
    return join(wall, *caps)


@lru_cache(maxsize=64)
def ball(radius: float, rings: int = 16) -> Mesh:
    """Build a sphere about the origin."""
    v = np.linspace(0, np.pi, rings + 1)[:, None]
    u = np.linspace(0, 2 * np.pi, 2 * rings + 1)[None]
    unit = np.stack([np.sin(v) * np.cos(u), np.sin(v) * np.sin(u), np.cos(v) + 0 * u], -1)
    return _grid(unit[::-1] * radius, unit[::-1], unit[::-1] * radius)


def torus(radius: float, tube: float, sides: int = 24) -> Mesh:
    """Build a ring around the z axis, centred on the origin."""
    v = np.linspace(0, 2 * np.pi, sides // 2 + 1)[:, None]
    u = np.linspace(0, 2 * np.pi, sides + 1)[None]
    outward = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v) + 0 * u], -1)
    centre = np.stack([np.cos(u) + 0 * v, np.sin(u) + 0 * v, 0 * u * v], -1) * radius
    texture = np.stack([u * radius + 0 * v, v * tube + 0 * u, 0 * u * v], -1)
    return _grid(centre + outward * tube, outward, texture)


def crown(radius: float, rng: np.random.Generator, rings: int = 14) -> Mesh:
    """Build a lumpy ball about the origin: the crown of a tree, a bush, a stone."""
    mesh = ball(radius, rings)
    unit = mesh.normals.astype(np.float64)
    waves = rng.normal(0, 1.0, (6, 3)) * rng.uniform(1.5, 5.0, (6, 1))
    bumps = np.sin(np.einsum("tci,ki->tck", unit, waves) + rng.uniform(0, 6.3, 6)).mean(axis=-1)
    swollen = (1 + 0.45 * bumps)[..., None] * unit * radius * rng.uniform(0.75, 1.2, 3)
    edges = np.cross(swollen[:, 1] - swollen[:, 0], swollen[:, 2] - swollen[:, 0])
    flat = edges / np.maximum(np.linalg.norm(edges, axis=-1, keepdims=True), 1e-12)
    normals = 0.5 * unit + 0.5 * flat[:, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    corners = swollen.astype(np.float32)
    return Mesh(corners, normals.astype(np.float32), corners, mesh.face)


def _straight_box(width: float, depth: float, height: float) -> Mesh:
    unit, normals, axes = _unit_box()
    corners = unit * np.array([width, depth, height], np.float32)
    face = np.repeat(np.arange(1, 7, dtype=np.int32), 2)
    return Mesh(corners, normals, np.einsum("tci,tji->tcj", corners, axes), face)


@lru_cache(maxsize=1)
def _unit_box() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corners and normals of a box of side 1, and for each triangle its texture axes as rows."""
    mesh = box(1.0, 1.0, 1.0, taper=1.0 + 1e-12)  # the general way, hardly leaning
    corners, normals = np.round(mesh.corners * 2) / 2, np.round(mesh.normals)
    normal = normals[:, 0]
    level = np.where(np.abs(normal[:, 2:]) > 0, [1.0, 0.0, 0.0], np.cross([0.0, 0.0, 1.0], normal))
    axes = np.stack([level, np.cross(normal, level), normal], axis=1)
    return corners.astype(np.float32), normals.astype(np.float32), axes.astype(np.float32)


def _polygon(points: Float[np.ndarray, "n 3"], face: int) -> Mesh:
    """Fan out a planar convex polygon whose corners run counter-clockwise seen from outside."""
    normal = _cross(points[1] - points[0], points[2] - points[0])
    normal /= np.linalg.norm(normal)
    # Texture axes: level along the face and, on anything but floors, up; so that bricks lie flat.
    tilt = float(np.hypot(normal[0], normal[1]))
    level = np.array([-normal[1], normal[0], 0.0]) / tilt if tilt > 1e-6 else np.array([1.0, 0.0, 0.0])
    axes = np.stack([level, _cross(normal, level), normal])
    texture = points @ axes.T
    index = np.array([(0, i, i + 1) for i in range(1, len(points) - 1)])
    corners = points[index].astype(np.float32)
    normals = np.broadcast_to(normal.astype(np.float32), corners.shape)
    return Mesh(corners, normals, texture[index].astype(np.float32), np.full(len(index), face, np.int32))


def _cross(a: Float[np.ndarray, " 3"], b: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    # numpy's own is ten times slower on a single pair.
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _grid(
    points: Float[np.ndarray, "v u 3"],
    normals: Float[np.ndarray, "v u 3"],
    texture: Float[np.ndarray, "v u 3"],
) -> Mesh:
    """Cut a curved sheet into triangles; rows run up, columns counter-clockwise seen from above."""
    rows, columns = points.shape[:2]
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    index = np.concatenate(
        [np.stack([i, i + 1, i + columns + 1], 1), np.stack([i, i + columns + 1, i + columns], 1)]
    )
    fields = [
        np.asarray(field).reshape(-1, 3)[index].astype(np.float32) for field in (points, normals, texture)
    ]
    return Mesh(fields[0], fields[1], fields[2], np.zeros(len(index), np.int32))


def _columns(u: Float[np.ndarray, " n"], v: float, w: float) -> Float[np.ndarray, "n 3"]:
    return np.stack([u, np.full_like(u, v), np.full_like(u, w)], 1)
