"""Points, pixels and normals."""

import math

import pytest
import torch

from depthmix.geometry import has_neighbours, normals, project, unit, unproject

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
    points = unproject(depth_of_plane(-n, 2.0), CAMERA)
    got, valid = normals(points, all_valid(points))
    assert valid[..., 1:-1, 1:-1].all()
    assert not valid[..., 0, :].any()
    assert not valid[..., :, -1].any()
    torch.testing.assert_close(got[0, :, 1:-1, 1:-1], n.view(3, 1, 1).expand(3, 22, 30))


def test_normals_face_the_camera_even_on_a_wall_seen_from_its_side():
    n = torch.tensor([-0.9, 0.0, 0.3], dtype=torch.float64)  # visible at the right of the image only
    z = depth_of_plane(-n, 1.0, w=200)
    points = unproject(torch.where(z > 0, z, 1), CAMERA)
    got, valid = normals(points, z > 0)
    assert valid.any()
    assert ((got * points).sum(1, keepdim=True)[valid] < 0).all()


def test_normals_have_length_one_everywhere_and_no_scale():
    z = 1 + torch.rand(1, 1, 9, 9, dtype=torch.float64)
    first, valid = normals(unproject(z, CAMERA), all_valid(z))
    torch.testing.assert_close(first.square().sum(1), torch.ones(1, 9, 9, dtype=torch.float64))
    for factor in (1e-25, 1e25):
        again, _ = normals(unproject((factor * z).float(), CAMERA), valid.new_ones(valid.shape))
        torch.testing.assert_close(again.double(), first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rubbish", [0.0, torch.nan, torch.inf])
def test_normals_never_read_points_outside_the_mask(rubbish):
    z = 1 + torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    valid = torch.rand(z.shape, generator=torch.Generator().manual_seed(1)) > 0.1
    points = unproject(z, CAMERA)
    expected, _ = normals(points, valid)
    leaf = torch.where(valid, points, rubbish).requires_grad_()
    got, good = normals(leaf, valid)
    assert torch.equal(got, expected)
    assert torch.equal(good, has_neighbours(valid))
    got.sum().backward()
    assert leaf.grad.isfinite().all()
    assert not leaf.grad[(~valid).expand_as(leaf)].any()


def test_points_on_one_line_have_no_normal_and_no_gradient():
    ray = torch.rand(1, 1, 5, 5).expand(1, 3, 5, 5).clone().requires_grad_()
    got, valid = normals(ray, torch.ones(1, 1, 5, 5, dtype=torch.bool))
    got.sum().backward()
    assert not valid.any()
    assert torch.equal(got, torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).expand_as(got))
    assert not ray.grad.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2)])
def test_images_smaller_than_the_stencil_have_no_normals(size):
    got, valid = normals(torch.ones(1, 3, *size), torch.ones(1, 1, *size, dtype=torch.bool))
    assert got.shape == (1, 3, *size)
    assert not valid.any()


def test_the_gradient_of_normals_is_right():
    z = (
        1 + torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: normals(unproject(t, CAMERA), all_valid(t))[0], z)


def test_the_zero_vector_stays_zero_with_a_finite_gradient():
    zero = torch.zeros(1, 3, 2, requires_grad=True)
    unit(zero).sum().backward()
    assert zero.grad.isfinite().all()
    assert not unit(zero).any()
