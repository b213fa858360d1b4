"""The fit of all plane instances at once."""

import numpy as np
import pytest
import torch

from depthmix.losses.plane_fit import fit_planes, on_one_plane, plane_moments, plane_vectors, steady
from tests.losses.planes import picture, residual, vector

CAMERA = torch.tensor([[40.0, 44.0, 20.0, 19.0]])


def test_agrees_with_a_general_solver_for_300_planes_so_id_257_is_not_id_1():
    # Public code keeps ids in 8 bits, where plane 257 is joined to plane 1.
    ids = (torch.arange(60)[:, None] // 3 * 15 + torch.arange(60) // 4 + 1)[None, None]
    q = torch.rand(1, 1, 60, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fit = fit_planes(plane_moments(q, ids, 300))
    for i in (1, 44, 257, 300):
        mask = (ids == i)[0, 0].numpy()
        assert fit.area[0, i - 1] == mask.sum() == 12
        assert fit.variance[0, i - 1].item() * 12 == pytest.approx(residual(q[0, 0].numpy(), mask), rel=1e-9)
    narrow = fit_planes(plane_moments(q, ids.to(torch.uint8), 300))
    assert narrow.area[0, 256] == 0


@pytest.mark.parametrize(("offset", "slope"), [(0.0, 0.0), (1e3, 0.0), (0.0, 1.0)])
def test_a_small_far_off_centre_slanted_plane_keeps_its_digits(offset, slope):
    u, v = torch.arange(640).double(), torch.arange(480).double()[:, None]
    noise = torch.rand(1, 1, 480, 640, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q = offset + slope * (u + v) + 1e-2 * noise
    mask = (u > 630) & (v < 7)
    fit = fit_planes(plane_moments(q, mask[None, None].int(), 3))
    expected = residual(q[0, 0].numpy() - offset, mask.numpy())
    assert (fit.variance * fit.area)[0, 0].item() == pytest.approx(expected, rel=2e-3)


def test_vectors_are_normals_over_distances_with_columns_along_fx():
    # Public code builds rays from (row, column, 1): the x and y of its normals are exchanged.
    walls = [(0.1, -0.02, 0.4), (-0.05, 0.1, 0.3)]
    q, ids = picture(walls, CAMERA)
    found = plane_vectors(fit_planes(plane_moments(q, ids, 4)), CAMERA, (36, 48))
    np.testing.assert_allclose(found[0, :2], walls, rtol=1e-9)
    by_rays = vector(q[0, 0].numpy(), (ids == 1)[0, 0].numpy(), CAMERA[0].double().numpy())
    np.testing.assert_allclose(found[0, 0], by_rays, rtol=1e-9)


def test_moments_of_two_pieces_add_up_to_those_of_the_union():
    q = torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ids = (torch.arange(12) // 6 + 1).expand(1, 1, 9, 12)
    pieces, union = plane_moments(q, ids, 2), plane_moments(q, ids.clamp_max(1), 2)
    torch.testing.assert_close(pieces.sum(1), union[:, 0])


def test_lines_and_specks_are_not_steady_and_strips_are():
    ids = torch.zeros(1, 1, 36, 48, dtype=torch.int32)
    ids[..., 3], ids[..., 10:14], ids[0, 0, 0, 40] = 1, 2, 3
    ids[0, 0, torch.arange(30), torch.arange(14, 44)] = 4
    fit = fit_planes(plane_moments(torch.zeros(1, 1, 36, 48), ids, 5))
    assert steady(fit, (36, 48), 1).tolist() == [[False, True, False, False, False]]


def test_what_lies_on_no_plane_is_not_read():
    q = torch.rand(1, 1, 9, 12, requires_grad=True)
    ids = torch.zeros(1, 1, 9, 12, dtype=torch.int32)
    ids[..., 6:], ids[..., :2] = 1, 9
    broken = torch.where(ids == 1, q, torch.nan).detach().requires_grad_()
    for leaf in (q, broken):
        fit = fit_planes(plane_moments(leaf, ids, 3))
        (fit.variance + fit.slope_u).sum().backward()
    torch.testing.assert_close(q.grad, broken.grad, rtol=0, atol=0)


def test_one_plane_is_the_same_normal_at_the_same_distance():
    found = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.03, 1.0], [0.0, 0.0, 1.1], [0.0, 0.2, 1.0], [0, 0, 0]]])
    assert on_one_plane(found, 0.05)[0, 0].tolist() == [True, True, False, False, False]
