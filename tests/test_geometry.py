"""Points, pixels and normals."""

import math

import pytest
import torch

from depthmix.geometry import has_neighbours, normals, normals_at, points_at, project, unit, unproject

CAMERA = torch.tensor([[40.0, 50.0, 15.0, 11.0]], dtype=torch.float64)


def depth_of_plane(normal: torch.Tensor, distance: float, h: int = 24, w: int = 32) -> torch.Tensor:
    """Depth at which each pixel's ray meets the plane n . X = distance."""
    rays = unproject(torch.ones(1, 1, h, w, dtype=torch.float64), CAMERA)
    return distance / (rays * normal.view(1, 3, 1, 1)).sum(1, keepdim=True)


def all_valid(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x[:, :1], dtype=torch.bool)


def test_the_pixel_at_the_principal_point_looks_along_the_axis():
    points = unproject(torch.full((1, 1, 24, 32), 3.0, dtype=torch.float64), CAMERA)
    assert points[0, :, 11, 15].tolist() == [0, 0, 3]
    assert points[0, :, 11, 16].tolist() == pytest.approx([3 / 40, 0, 3])
    assert points[0, :, 12, 15].tolist() == pytest.approx([0, 3 / 50, 3])


def test_projecting_undoes_unprojecting():
    z = 1 + torch.rand(2, 1, 6, 7, dtype=torch.float64)
    cameras = torch.cat([CAMERA, 2 * CAMERA])
    pixels = project(unproject(z, cameras), cameras)
    u, v = torch.meshgrid(torch.arange(7.0), torch.arange(6.0), indexing="xy")
    torch.testing.assert_close(pixels, torch.stack([u, v]).double().expand(2, 2, 6, 7))


def test_a_point_behind_the_camera_has_no_pixel_and_no_gradient():
    points = torch.tensor([[0.1, 0.2, -1.0], [0.1, 0.2, 0.0], [0.1, 0.2, 2.0]]).T.reshape(1, 3, 1, 3)
    points.requires_grad_()
    pixels = project(points, CAMERA)
    assert pixels.isnan().all(1).tolist() == [[[True, True, False]]]
    pixels.nansum().backward()
    assert points.grad.isfinite().all()
    assert not points.grad[..., :2].any()


@pytest.mark.parametrize("tilt", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("turn", [0.0, 1.1, 3.0])
def test_normals_of_a_plane_are_exact_everywhere_inside(tilt, turn):
    n = torch.tensor(
        [math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt)],
        dtype=torch.float64,
    )
    z = depth_of_plane(-n, 2.0)
    got, valid = normals(z, CAMERA, all_valid(z))
    assert valid[..., 1:-1, 1:-1].all()
    assert not valid[..., 0, :].any()
    assert not valid[..., :, -1].any()
    torch.testing.assert_close(got[0, :, 1:-1, 1:-1], n.view(3, 1, 1).expand(3, 22, 30))


def test_normals_face_the_camera_even_on_a_wall_seen_from_its_side():
    n = torch.tensor([-0.9, 0.0, 0.3], dtype=torch.float64)  # visible at the right of the image only
    z = depth_of_plane(-n, 1.0, w=200)
    points = unproject(torch.where(z > 0, z, 1), CAMERA)
    got, valid = normals(z, CAMERA, z > 0)
    assert valid.any()
    assert ((got * points).sum(1, keepdim=True)[valid] < 0).all()


def test_normals_have_length_one_everywhere_and_no_scale():
    z = 1 + torch.rand(1, 1, 9, 9, dtype=torch.float64)
    first, valid = normals(z, CAMERA, all_valid(z))
    torch.testing.assert_close(first.square().sum(1), torch.ones(1, 9, 9, dtype=torch.float64))
    for factor in (1e-38, 1e25, 1.5e38):
        again, _ = normals((factor * z).float(), CAMERA, valid.new_ones(valid.shape))
        torch.testing.assert_close(again.double(), first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rubbish", [0.0, torch.nan, torch.inf])
def test_normals_never_read_depth_outside_the_mask(rubbish):
    z = 1 + torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    valid = torch.rand(z.shape, generator=torch.Generator().manual_seed(1)) > 0.1
    expected, _ = normals(z, CAMERA, valid)
    leaf = torch.where(valid, z, rubbish).requires_grad_()
    got, good = normals(leaf, CAMERA, valid)
    assert torch.equal(got, expected)
    assert torch.equal(good, has_neighbours(valid))
    ahead = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).expand_as(got)
    assert torch.equal(torch.where(good, ahead, got), ahead)
    got.sum().backward()
    assert leaf.grad.isfinite().all()
    assert not leaf.grad[~valid].any()


def test_normals_are_the_cross_product_of_the_differences_of_points():
    z = 1 + torch.rand(2, 1, 7, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cameras = torch.cat([CAMERA, 2 * CAMERA])
    points = unproject(z, cameras)
    along_u = points[..., 1:-1, 2:] - points[..., 1:-1, :-2]
    along_v = points[..., 2:, 1:-1] - points[..., :-2, 1:-1]
    expected = torch.nn.functional.normalize(torch.linalg.cross(along_v, along_u, dim=1), dim=1)
    got, _ = normals(z, cameras, all_valid(z))
    torch.testing.assert_close(got[..., 1:-1, 1:-1], expected, rtol=1e-12, atol=1e-12)


def test_points_and_normals_of_some_pixels_are_those_of_all():
    g = torch.Generator().manual_seed(4)
    z = 1 + torch.rand(2, 1, 7, 8, generator=g, dtype=torch.float64)
    valid = torch.rand(z.shape, generator=g) > 0.1
    cameras, index = torch.cat([CAMERA, 2 * CAMERA]), torch.arange(56).expand(2, -1)
    expected, good = normals(z, cameras, valid)
    got = normals_at(torch.where(valid, z, torch.nan), cameras, index, good.flatten(1))
    torch.testing.assert_close(got, expected.flatten(2), rtol=1e-12, atol=1e-12)
    points = points_at(torch.where(valid, z, torch.nan), cameras, index, valid.flatten(1))
    assert torch.equal(points, unproject(torch.where(valid, z, 1), cameras).flatten(2))


def test_a_ramp_from_one_end_of_float32_to_the_other_keeps_a_normal_and_a_finite_gradient():
    z = torch.logspace(-37, 38, 32).expand(1, 1, 24, 32).clone().requires_grad_()
    got, _ = normals(z, CAMERA, all_valid(z))
    got.sum().backward()
    torch.testing.assert_close(got.square().sum(1), torch.ones(1, 24, 32))
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2)])
def test_images_smaller_than_the_stencil_have_no_normals(size):
    got, valid = normals(torch.ones(1, 1, *size), CAMERA, torch.ones(1, 1, *size, dtype=torch.bool))
    assert got.shape == (1, 3, *size)
    assert not valid.any()


def test_the_gradient_of_normals_is_right():
    z = (
        1 + torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: normals(t, CAMERA, all_valid(t))[0], z)


def test_the_zero_vector_stays_zero_with_a_finite_gradient():
    zero = torch.zeros(1, 3, 2, requires_grad=True)
    unit(zero).sum().backward()
    assert zero.grad.isfinite().all()
    assert not unit(zero).any()
