"""Rays go through pixel centres at integers, and the world's axes end in the camera's."""

import numpy as np
import pytest

from depthmix.sample import Intrinsics
from depthmix.scenes.camera import look, pixel_grid, pixel_rays, rotate

CAMERA = Intrinsics(50.0, 52.0, 15.3, 11.9)


def test_rays_return_to_the_pixel_they_came_from():
    pose = look(np.array([1.0, 2.0, 3.0]), 0.4, -0.2, 0.1)
    u, v = pixel_grid((24, 32))
    points = rotate(pose.rotation, 7.0 * pixel_rays(pose, CAMERA, u, v))
    np.testing.assert_allclose(points[:, 2], 7.0, rtol=1e-5)
    np.testing.assert_allclose(CAMERA.fx * points[:, 0] / points[:, 2] + CAMERA.cx, u, atol=1e-4)
    np.testing.assert_allclose(CAMERA.fy * points[:, 1] / points[:, 2] + CAMERA.cy, v, atol=1e-4)


def test_open3d_agrees_once_the_half_pixel_is_added():
    o3d = pytest.importorskip("open3d")
    pose = look(np.zeros(3), 0.0, 0.0, 0.0)
    u, v = pixel_grid((24, 32))
    matrix = np.array([[50.0, 0, 15.3 + 0.5], [0, 52.0, 11.9 + 0.5], [0, 0, 1]])
    extrinsic = np.eye(4)
    extrinsic[:3, :3] = pose.rotation
    rays = o3d.t.geometry.RaycastingScene.create_rays_pinhole(matrix, extrinsic, 32, 24).numpy()
    np.testing.assert_allclose(rays[..., 3:].reshape(-1, 3), pixel_rays(pose, CAMERA, u, v), atol=1e-5)


def test_a_level_camera_sees_left_in_the_world_on_the_left_and_up_above():
    pose = look(np.zeros(3), 0.0, 0.0, 0.0)  # along world x, so world y is left and world z up
    np.testing.assert_allclose(pose.rotation @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(pose.rotation @ [0, 1, 0], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose.rotation @ [0, 0, 1], [0, -1, 0], atol=1e-12)


def test_poses_are_rotations_and_pitch_looks_up():
    pose = look(np.zeros(3), 0.7, 0.3, -0.1)
    np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose.rotation) == pytest.approx(1)
    assert pose.rotation[2, 2] > 0  # the optical axis climbs


def test_moving_right_moves_along_the_image_rows():
    pose = look(np.array([1.0, 2.0, 3.0]), 0.7, 0.3, -0.1)
    moved = pose.moved(right=0.5)
    np.testing.assert_allclose(pose.rotation @ (moved.centre - pose.centre), [0.5, 0, 0], atol=1e-12)
