"""Exact geometry and lit colour of a scene, by ray casting."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from depthmix.errors import ConfigError
from depthmix.sample import Intrinsics
from depthmix.scenes.camera import Pose, pixel_grid, pixel_rays, rotate
from depthmix.scenes.materials import albedo
from depthmix.scenes.scene import Scene
from depthmix.scenes.shading import lit, sky_color

__all__ = ["Hits", "Renderer", "View"]

LIBRARIES = "libegl1 libgl1 libx11-6 libusb-1.0-0"  # what open3d's wheel expects from a Debian system


@dataclass(frozen=True)
class Hits:
    """What rays met; fields of rays that met nothing are 0 except `t`, which is inf.

    Args:
        t: distance in lengths of the ray's direction.
        triangle: the triangle met, -1 for none.
        uv: where on it.
        normal: unit normal of the triangle in the world, towards the origin of the ray.
    """

    t: Float32[np.ndarray, " n"]
    triangle: Int32[np.ndarray, " n"]
    uv: Float32[np.ndarray, "n 2"]
    normal: Float32[np.ndarray, "n 3"]


@dataclass(frozen=True)
class View:
    """Exact labels and linear colour of one camera image.

    Args:
        radiance: linear RGB before the camera's exposure.
        depth: z in metres, inf where there is sky.
        planes: number of the planar face in the scene, 0 on curved surfaces and sky.
        normals: unit, camera frame, towards the camera; 0 on sky.
    """

    radiance: Float32[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    planes: Int32[np.ndarray, "h w"]
    normals: Float32[np.ndarray, "h w 3"]

    @property
    def sky(self) -> Bool[np.ndarray, "h w"]:
        """Where no surface is met."""
        return np.asarray(np.isinf(self.depth))


class Renderer:
    """Cast rays into one scene.

    Args:
        scene: what to render.

    Raises:
        ConfigError: open3d is not installed.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._open3d = _open3d()
        # One thread: the tree of triangles, and so the winner of a tie, must not depend on the machine.
        self._rays = self._open3d.t.geometry.RaycastingScene(nthreads=1)
        corners = np.ascontiguousarray(scene.mesh.corners.reshape(-1, 3))
        both = np.concatenate([scene.mesh.normals, scene.mesh.texture], axis=2)
        self._surface = (both[:, 0].copy(), both[:, 1] - both[:, 0], both[:, 2] - both[:, 0])
        index = np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)
        self._rays.add_triangles(self._tensor(corners), self._tensor(index))

    def cast(
        self,
        origins: Float32[np.ndarray, "n 3"] | Float[np.ndarray, " 3"],
        directions: Float32[np.ndarray, "n 3"],
    ) -> Hits:
        """Find the first surface along each ray."""
        answer = self._rays.cast_rays(self._tensor(_rays(origins, directions)), nthreads=1)
        t = answer["t_hit"].numpy()
        found = np.isfinite(t)
        triangle = np.where(found, answer["primitive_ids"].numpy().astype(np.int32), np.int32(-1))
        normal = np.where(found[:, None], answer["primitive_normals"].numpy(), np.float32(0))
        away = (normal * directions).sum(axis=1) > 0
        return Hits(t, triangle, answer["primitive_uvs"].numpy(), np.where(away[:, None], -normal, normal))

    def view(self, pose: Pose, intrinsics: Intrinsics, size: tuple[int, int]) -> View:
        """Render one image with its exact labels; the labels are those of the pixel centres."""
        u, v = pixel_grid(size)
        hits, radiance, shadow = self._colors(pose, intrinsics, u, v)
        edge = np.flatnonzero(_changes(self._identity(hits), shadow, size))
        radiance[edge] = (radiance[edge] + 2 * self._smooth(pose, intrinsics, u[edge], v[edge])) / 3
        hit = hits.triangle >= 0
        planes = np.where(hit, self.scene.mesh.face[hits.triangle], np.int32(0))
        normals = rotate(pose.rotation, hits.normal)
        return View(
            radiance.reshape(*size, 3), hits.t.reshape(size), planes.reshape(size), normals.reshape(*size, 3)
        )

    def _smooth(
        self, pose: Pose, intrinsics: Intrinsics, u: Float32[np.ndarray, " n"], v: Float32[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n 3"]:
        """Average two rays beside the middle of each pixel, for those that a border runs through."""
        right, down = np.array([[-1, 1], [-0.6, 0.6]], np.float32)[..., None] / 3
        both = self._colors(pose, intrinsics, (u + right).ravel(), (v + down).ravel())[1]
        return np.asarray(both.reshape(2, -1, 3).mean(axis=0))

    def visible(self, points: Float32[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Tell which points the lamp or sun reaches."""
        towards = _towards_light(self.scene, points)
        far = float("inf") if self.scene.light.is_sun else 1.0
        rays = self._tensor(_rays(points, towards))
        return np.asarray(~self._rays.test_occlusions(rays, tnear=0.0, tfar=far, nthreads=1).numpy())

    def _identity(self, hits: Hits) -> Int32[np.ndarray, " n"]:
        part, face = self.scene.part[hits.triangle], self.scene.mesh.face[hits.triangle]
        return np.asarray(np.where(hits.triangle >= 0, part + len(self.scene.materials) * face + 1, 0))

    def _colors(
        self, pose: Pose, intrinsics: Intrinsics, u: Float32[np.ndarray, " n"], v: Float32[np.ndarray, " n"]
    ) -> tuple[Hits, Float32[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
        """Cast the rays of some pixels and light what they meet; also tell what lies in shadow."""
        directions = pixel_rays(pose, intrinsics, u, v)
        hits = self.cast(pose.centre, directions)
        hit = np.flatnonzero(hits.triangle >= 0)
        radiance, shadow = np.zeros((len(u), 3), np.float32), np.zeros(len(u), np.bool_)
        open_sky = np.flatnonzero(hits.triangle < 0)
        radiance[open_sky] = sky_color(self.scene.sky, self.scene.light, directions[open_sky])
        radiance[hit], shadow[hit] = self._lit(pose, intrinsics, directions[hit], hits, hit)
        return hits, radiance, shadow

    def _lit(
        self,
        pose: Pose,
        intrinsics: Intrinsics,
        directions: Float32[np.ndarray, "n 3"],
        hits: Hits,
        hit: Int32[np.ndarray, " n"],
    ) -> tuple[Float32[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
        t, triangle, flat = hits.t[hit], hits.triangle[hit], hits.normal[hit]
        surface = self._interpolated(triangle, hits.uv[hit])
        rounded, texture = surface[:, :3], surface[:, 3:]
        rounded = rounded * np.where((rounded * flat).sum(axis=1) < 0, -1, 1).astype(np.float32)[:, None]
        facing = -(flat * directions).sum(axis=1) / np.linalg.norm(directions, axis=1)
        pixel = t / np.float32(intrinsics.fx) / np.clip(facing, 0.25, 1)
        color = albedo(self.scene.materials, self.scene.part[triangle], texture, pixel)
        points = pose.centre.astype(np.float32) + directions * t[:, None] + flat * (1e-3 + 2e-4 * t)[:, None]
        seen = self.visible(points)
        towards = _towards_light(self.scene, points)
        return color * lit(self.scene.light, rounded, towards, seen), ~seen

    def _interpolated(
        self, triangle: Int32[np.ndarray, " n"], uv: Float32[np.ndarray, "n 2"]
    ) -> Float32[np.ndarray, "n 6"]:
        """Return shading normal and texture position at points on triangles."""
        first, along_u, along_v = (part.take(triangle, axis=0) for part in self._surface)
        return np.asarray(first + along_u * uv[:, :1] + along_v * uv[:, 1:])

    def _tensor(self, array: np.ndarray) -> object:
        return self._open3d.core.Tensor(array)


def _towards_light(scene: Scene, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    place = np.asarray(scene.light.position, np.float32)
    return np.broadcast_to(place, points.shape) if scene.light.is_sun else place - points


def _rays(
    origins: Float32[np.ndarray, "n 3"] | Float[np.ndarray, " 3"], directions: Float32[np.ndarray, "n 3"]
) -> Float32[np.ndarray, "n 6"]:
    rays = np.empty((len(directions), 6), np.float32)
    rays[:, :3], rays[:, 3:] = origins, directions
    return rays


def _changes(
    identity: Int32[np.ndarray, " n"], shadow: Bool[np.ndarray, " n"], size: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Mark both pixels beside every border between surfaces or between light and shadow."""
    what = (2 * identity + shadow).reshape(size)
    marked = np.zeros(size, np.bool_)
    across, down = what[:, 1:] != what[:, :-1], what[1:] != what[:-1]
    marked[:, 1:] |= across
    marked[:, :-1] |= across
    marked[1:] |= down
    marked[:-1] |= down
    return marked.ravel()


def _open3d() -> ModuleType:
    try:
        import open3d
    except ImportError as error:
        # A wheel that is there but lacks a system library fails with ImportError, too.
        absent = isinstance(error, ModuleNotFoundError)
        needed = "pip install depthmix[3d]" if absent else f"apt-get install {LIBRARIES}, or their like"
        raise ConfigError(f"open3d is needed to render the demo scenes: {error}", hint=needed) from error
    module: ModuleType = open3d
    return module
