"""Shapes: normals point out, faces are planar, textures keep metres, rotations are right-handed."""

import numpy as np
import pytest

from depthmix.scenes.mesh import Mesh, ball, box, crown, cylinder, join, quad, torus, turn

SOLIDS = {
    "box": box(1.0, 2.0, 0.5),
    "leaning box": box(1.0, 2.0, 0.5, taper=0.6),
    "roof": box(1.0, 2.0, 0.5, taper=0.05),
    "cylinder": cylinder(0.5, 1.2),
    "cone": cylinder(0.5, 1.0, 0.0),
    "ball": ball(0.7),
    "torus": torus(0.6, 0.2),
    "crown": crown(0.8, np.random.default_rng(0)),
}
solids = pytest.mark.parametrize("mesh", SOLIDS.values(), ids=SOLIDS.keys())


def _edges(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = np.moveaxis(mesh.corners.astype(np.float64), 1, 0)
    return b - a, c - a


@solids
def test_triangles_turn_outwards_and_enclose_a_volume(mesh: Mesh):
    # The sum of signed tetrahedra is the volume when all triangles turn one way and there is no hole.
    a, b, c = np.moveaxis(mesh.corners.astype(np.float64), 1, 0)
    volume = np.einsum("ti,ti->", a, np.cross(b, c)) / 6
    moved = a + 10, b + 10, c + 10
    elsewhere = np.einsum("ti,ti->", moved[0], np.cross(moved[1], moved[2])) / 6
    assert volume > 0.05
    assert volume == pytest.approx(elsewhere, rel=1e-3)


@solids
def test_shading_normals_are_unit_and_lie_on_the_outer_side(mesh: Mesh):
    flat = np.cross(*_edges(mesh))
    real = np.linalg.norm(flat, axis=1) > 1e-9
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-4)
    assert (np.einsum("ti,tci->tc", flat, mesh.normals)[real] > 0).all()


@solids
def test_every_numbered_face_is_one_plane(mesh: Mesh):
    for number in np.unique(mesh.face[mesh.face > 0]):
        corners = mesh.corners[mesh.face == number].reshape(-1, 3).astype(np.float64)
        thickness = np.linalg.svd(corners - corners.mean(axis=0), compute_uv=False)[2]
        assert thickness < 1e-5


def test_a_box_has_the_volume_of_its_sides_and_six_faces():
    mesh = box(1.0, 2.0, 0.5)
    a, b, c = np.moveaxis(mesh.corners.astype(np.float64), 1, 0)
    assert np.einsum("ti,ti->", a, np.cross(b, c)) / 6 == pytest.approx(1.0)
    assert set(mesh.face) == {1, 2, 3, 4, 5, 6}
    assert mesh.corners[..., 2].min() == 0


@pytest.mark.parametrize("mesh", [quad(2.0, 3.0), box(1.0, 2.0, 0.5), box(1.0, 2.0, 0.5, taper=0.5)])
def test_textures_on_planes_keep_lengths(mesh: Mesh):
    for a, b in ((0, 1), (1, 2), (2, 0)):
        on_object = np.linalg.norm(mesh.corners[:, a] - mesh.corners[:, b], axis=1)
        on_texture = np.linalg.norm(mesh.texture[:, a] - mesh.texture[:, b], axis=1)
        np.testing.assert_allclose(on_object, on_texture, atol=1e-5)


def test_textures_stand_upright_on_walls():
    side = box(1.0, 2.0, 0.5)
    walls = np.abs(side.normals[:, 0, 2]) < 0.5
    np.testing.assert_allclose(side.texture[walls][..., 1], side.corners[walls][..., 2], atol=1e-6)


def test_turning_by_a_right_angle_takes_x_to_y():
    np.testing.assert_allclose(turn(np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(turn(0.0, 0.0, np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    placed = quad(1.0, 1.0).placed((1.0, 2.0, 3.0), turn(0.3, 0.2, 0.1))
    np.testing.assert_allclose(placed.corners.reshape(-1, 3).mean(axis=0), [1, 2, 3], atol=0.2)
    np.testing.assert_allclose(np.linalg.norm(placed.normals, axis=2), 1, atol=1e-5)


def test_joined_shapes_keep_their_faces_apart():
    mesh = join(box(1.0, 1.0, 1.0), ball(1.0, 4), quad(1.0, 1.0))
    assert set(mesh.face) == {0, 1, 2, 3, 4, 5, 6, 7}
