"""A scene: shapes with materials, light and sky, and a builder that the families share."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Float32, Int32

from depthmix.scenes.camera import Pose
from depthmix.scenes.materials import Material
from depthmix.scenes.mesh import Mesh, Vector, join, turn

__all__ = ["Light", "Scene", "SceneBuilder", "Sky"]


@dataclass(frozen=True)
class Light:
    """Light a scene by one lamp or sun that casts shadows and by light from all around.

    Args:
        position: of the lamp, or the direction towards the sun.
        is_sun: whether the light comes from infinitely far.
        color: linear RGB of the lamp or sun.
        above: light from above.
        below: light from below, reflected by the ground.
    """

    position: Vector
    is_sun: bool
    color: Vector
    above: Vector
    below: Vector


@dataclass(frozen=True)
class Sky:
    """Describe what rays see that hit nothing.

    Args:
        horizon: linear RGB at the horizon.
        zenith: linear RGB overhead.
        clouds: cover, 0 to 1.
        seed: shape of the clouds.
    """

    horizon: Vector
    zenith: Vector
    clouds: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """Hold everything that is rendered.

    Args:
        mesh: all triangles; `mesh.face` numbers the planes of the whole scene.
        part: the object that each triangle belongs to.
        materials: the material of each object.
        light: how it is lit.
        sky: what lies behind.
        pose: where the first camera stands.
        fov: its horizontal field of view in radians.
    """

    mesh: Mesh
    part: Int32[np.ndarray, " t"]
    materials: tuple[Material, ...]
    light: Light
    sky: Sky
    pose: Pose
    fov: float


@dataclass
class SceneBuilder:
    """Collect shapes; each planar face gets its own number in the scene."""

    meshes: list[Mesh] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    places: list[Vector] = field(default_factory=list)
    rotations: list[Float[np.ndarray, "3 3"]] = field(default_factory=list)

    def add(
        self,
        mesh: Mesh,
        material: Material,
        at: Vector = (0.0, 0.0, 0.0),
        yaw: float = 0.0,
        rotation: Float[np.ndarray, "3 3"] | None = None,
    ) -> None:
        """Add a shape, turned by `yaw` about the vertical or by `rotation`, then moved."""
        self.meshes.append(mesh)
        self.materials.append(material)
        self.places.append(at)
        self.rotations.append(turn(yaw) if rotation is None else rotation)

    def build(self, light: Light, sky: Sky, pose: Pose, fov: float) -> Scene:
        """Put all shapes together and in their places."""
        part = np.repeat(np.arange(len(self.meshes)), [len(mesh.face) for mesh in self.meshes])
        rotation = np.array(self.rotations, np.float32)[part]
        mesh = join(*self.meshes)
        placed = replace(
            mesh,
            corners=_turned(mesh.corners, rotation) + np.array(self.places, np.float32)[part][:, None],
            normals=_turned(mesh.normals, rotation),
        )
        return Scene(placed, part.astype(np.int32), tuple(self.materials), light, sky, pose, fov)


def _turned(
    corners: Float32[np.ndarray, "t 3 3"], rotation: Float32[np.ndarray, "t 3 3"]
) -> Float32[np.ndarray, "t 3 3"]:
    return np.asarray(np.einsum("tci,tji->tcj", corners, rotation))
