"""Rendered labels against closed forms: planes, a sphere, normals, ids, sky, shadow."""

import builtins
from dataclasses import replace

import numpy as np
import pytest

from depthmix.errors import ConfigError
from depthmix.sample import Intrinsics
from depthmix.scenes.camera import look, pixel_grid
from depthmix.scenes.mesh import ball, box, quad
from depthmix.scenes.render import Renderer
from tests.scenes.conftest import SUN, scene_of

pytest.importorskip("open3d")
SIZE = (48, 64)
CAMERA = Intrinsics(55.0, 56.0, 30.2, 24.9)
POSE = look(np.array([0.0, 0.0, 1.5]), 0.3, -0.35, 0.05)


def _directions() -> np.ndarray:
    """Camera-frame directions with z = 1, straight from the convention, in float64."""
    u, v = (axis.astype(np.float64) for axis in pixel_grid(SIZE))
    return np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], axis=1)


def test_depth_of_a_plane_is_the_closed_form():
    view = Renderer(scene_of(POSE, (quad(200.0, 200.0), (0.0, 0.0, 0.0)))).view(POSE, CAMERA, SIZE)
    down = _directions() @ POSE.rotation @ [0, 0, 1]  # how much each ray climbs for one metre of depth
    expected = np.where(down < 0, -1.5 / np.where(down < 0, down, 1), np.inf).reshape(SIZE)
    near = expected < 60
    np.testing.assert_allclose(view.depth[near], expected[near], rtol=1e-4)
    assert (view.planes[near] == 1).all()


def test_normals_of_a_plane_point_at_the_camera_in_its_own_frame():
    view = Renderer(scene_of(POSE, (quad(200.0, 200.0), (0.0, 0.0, 0.0)))).view(POSE, CAMERA, SIZE)
    up = POSE.rotation @ [0, 0, 1]
    hit = ~view.sky
    np.testing.assert_allclose(view.normals[hit], np.broadcast_to(up, (hit.sum(), 3)), atol=1e-5)
    below = look(np.array([0.0, 0.0, -1.5]), 0.3, 0.35, 0.05)
    seen = Renderer(scene_of(below, (quad(200.0, 200.0), (0.0, 0.0, 0.0)))).view(below, CAMERA, SIZE)
    facing = np.einsum("hwc,hwc->hw", seen.normals, _directions().reshape(*SIZE, 3))
    assert (facing[~seen.sky] < 0).all()


def test_depth_and_normals_of_a_sphere_are_the_closed_form():
    centre, radius = np.array([3.0, 0.9, 0.6]), 0.8
    mesh = ball(radius, rings=160)
    view = Renderer(scene_of(POSE, (mesh, (3.0, 0.9, 0.6)))).view(POSE, CAMERA, SIZE)
    towards = POSE.rotation @ (centre - POSE.centre)
    rays = _directions()
    a, b = (rays**2).sum(axis=1), rays @ towards
    inside = b**2 - a * (towards @ towards - radius**2)
    # Rays that graze the rim are left out: there the flat triangles matter, and not by 1e-4.
    clear = inside / (a * radius**2) > 0.15
    expected = (b - np.sqrt(np.maximum(inside, 0))) / a
    depth = view.depth.reshape(-1)
    np.testing.assert_allclose(depth[clear], expected[clear], rtol=1e-4)
    outward = (rays[clear] * expected[clear, None] - towards) / radius
    cosine = (view.normals.reshape(-1, 3)[clear] * outward).sum(axis=1)
    assert cosine.min() > np.cos(np.radians(1.5))
    assert (view.planes == 0).all()


def test_rays_that_leave_the_scene_are_sky_without_labels():
    up = look(np.zeros(3), 0.0, 1.2, 0.0)
    view = Renderer(scene_of(up, (box(1.0, 1.0, 1.0), (0.0, 0.0, -5.0)))).view(up, CAMERA, SIZE)
    assert view.sky.all()
    assert np.isinf(view.depth).all()
    assert not view.planes.any()
    assert not view.normals.any()
    assert np.isfinite(view.radiance).all()
    assert view.radiance.min() > 0


def test_each_face_in_the_scene_has_its_own_number_beyond_255():
    boxes = [(box(0.5, 0.5, 0.5), (4.0 + i // 10, i % 10 - 5.0, 0.0)) for i in range(60)]
    scene = scene_of(POSE, *boxes)
    assert len(np.unique(scene.mesh.face)) == 360
    view = Renderer(scene).view(POSE, CAMERA, SIZE)
    assert view.planes.max() > 255


def test_a_box_throws_its_shadow_on_the_ground():
    pose = look(np.array([0.0, 0.0, 3.0]), 0.0, -0.5, 0.0)
    light = replace(SUN, position=(0.0, 1.0, 1.0))
    shapes = ((quad(50.0, 50.0), (0.0, 0.0, 0.0)), (box(0.5, 0.5, 2.0), (5.0, 0.0, 0.0)))
    renderer = Renderer(scene_of(pose, *shapes, light=light))
    lit = renderer.visible(np.array([[5.0, 1.5, 0.01], [5.0, -1.5, 0.01], [5.0, -3.0, 0.01]], np.float32))
    assert lit.tolist() == [True, False, True]
    dark, bright = np.quantile(renderer.view(pose, CAMERA, SIZE).radiance[25:].mean(axis=2), [0.01, 0.5])
    assert dark < 0.5 * bright


def test_rendering_twice_gives_the_same_bytes():
    scene = scene_of(POSE, (quad(9.0, 9.0), (0.0, 0.0, 0.0)), (ball(0.5), (3.0, 0.0, 0.5)))
    first, second = (Renderer(scene).view(POSE, CAMERA, SIZE) for _ in range(2))
    assert first.radiance.tobytes() == second.radiance.tobytes()
    assert first.depth.tobytes() == second.depth.tobytes()


@pytest.mark.parametrize(
    ("raised", "hint"),
    [
        (ModuleNotFoundError("No module named 'open3d'"), r"pip install depthmix\[3d\]"),
        (
            ImportError("libusb-1.0.so.0: cannot open shared object file"),
            "libusb-1.0.so.0: .*apt-get install",
        ),
    ],
)
def test_an_open3d_that_does_not_import_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, raised: ImportError, hint: str
):
    real = builtins.__import__

    def without(name: str, *rest: object, **options: object) -> object:
        if name == "open3d":
            raise raised
        return real(name, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=f"open3d is needed to render the demo scenes: .*{hint}"):
        Renderer(scene_of(POSE, (ball(1.0), (0.0, 0.0, 0.0))))
