"""The coplanarity loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import PlaneLoss, coplanarity
from tests.losses.cases import make_batch, make_log_canonical, planes_of_room, predict
from tests.losses.contract import LossContract, Row


class TestPlaneLoss(LossContract):
    knows_order = False
    reads_prediction_outside_mask = True

    def make(self):
        return PlaneLoss()

    def reference(self, row: Row):
        q = row.inverse_prediction
        spread = np.mean(np.abs(q - np.median(q)))
        total, areas = 0.0, 0
        for i in (1, 2, 3):
            v, u = np.nonzero(row.planes == i)
            design = np.stack([u, v, np.ones_like(u)], 1).astype(float)
            rest = q[v, u] - design @ np.linalg.lstsq(design, q[v, u], rcond=None)[0]
            share = np.mean((rest / spread) ** 2)
            total += len(u) * (math.sqrt(share + 1e-6) - 1e-3)
            areas += len(u)
        return total / areas

    def plain(self):
        q = torch.rand(2, 1, 8, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        planes = (torch.arange(9) // 4).expand(2, 1, 8, 9).contiguous()
        return lambda x: coplanarity(x, planes, min_pixels=4), q


def room(noise: float, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    q = torch.rand(1, 1, 24, 32, generator=g) * noise
    return q + 0.2 + 0.02 * torch.arange(32) + 0.01 * torch.arange(24)[:, None], planes_of_room()[None, None]


def test_a_piecewise_planar_scene_scores_zero():
    planes = planes_of_room()[None, None]
    u, v = torch.arange(32.0), torch.arange(24.0)[:, None]
    q = torch.where(
        planes == 1, 0.05 * v, torch.where(planes == 2, 0.3 + 0.01 * u, 0.9 - 0.02 * u + 0.001 * v)
    )
    assert coplanarity(q, planes).item() < 1e-6
    assert coplanarity(q + 0.05 * torch.rand(q.shape), planes).item() > 0.01


@settings(max_examples=30)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5))
def test_flattening_scaling_or_shifting_the_map_earns_nothing(scale, shift):
    q, planes = room(0.2)
    changed = coplanarity(scale * (q - q.mean()) + (scale * shift), planes)
    torch.testing.assert_close(changed, coplanarity(q, planes), rtol=2e-3, atol=0)


def test_the_gradient_has_no_component_that_flattens_the_image():
    q, planes = room(0.2)
    q.requires_grad_()
    coplanarity(q, planes).sum().backward()
    along = (q.grad * (q - q.mean())).sum() / (q.grad.norm() * (q - q.mean()).norm())
    assert abs(along.item()) < 1e-4


def test_names_of_planes_do_not_matter():
    q, planes = room(0.2)
    renamed = torch.tensor([0, 17, 4, 63])[planes.long()]
    torch.testing.assert_close(coplanarity(q, renamed), coplanarity(q, planes))


def test_ids_beyond_capacity_and_small_planes_are_ignored():
    q, planes = room(0.2)
    more = planes.clone()
    more[0, 0, 12:14] = 65
    more[0, 0, 14, :40] = 7
    torch.testing.assert_close(coplanarity(q, more), coplanarity(q, planes))
    many = torch.full_like(planes, 2**31 - 1)
    assert coplanarity(q, many).item() == 0


def test_a_plane_of_one_pixel_changes_nothing():
    q, planes = room(0.2)
    more = planes.clone()
    more[0, 0, 13, 5] = 9
    assert torch.equal(coplanarity(q, more), coplanarity(q, planes))


@pytest.mark.parametrize("line", ["slanted", "upright"])
def test_a_plane_that_is_a_line_of_pixels_is_fitted_along_it(line):
    q = torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    u, v = torch.arange(32), torch.arange(24)[:, None]
    planes = ((u == v) if line == "slanted" else (u == 9) & (v >= 0)).int()[None, None]
    straight = torch.where(planes == 1, 0.3 + 0.02 * v, q)
    assert coplanarity(straight, planes, min_pixels=4).item() < 1e-6
    along = q[0, 0][planes[0, 0] == 1].double().numpy()
    rest = along - np.polyval(np.polyfit(np.arange(24), along, 1), np.arange(24))
    expected = math.sqrt(np.mean(rest**2)) / (q - q.median()).abs().mean().item()
    assert coplanarity(q, planes, min_pixels=4).item() == pytest.approx(expected - 1e-3, rel=1e-4)


def test_large_planes_weigh_more():
    q, planes = room(0.0)
    rough = torch.rand(q.shape, generator=torch.Generator().manual_seed(1)) * 0.3
    large = coplanarity(q + torch.where(planes == 1, rough, 0), planes)
    small = coplanarity(q + torch.where(planes == 3, rough, 0), planes)
    assert large > 1.5 * small


def test_needs_neither_camera_nor_depth():
    batch = make_batch()
    assert PlaneLoss().supervised(batch).all()
    assert (PlaneLoss()(predict(make_log_canonical(batch), batch), batch) > 0).all()


def test_a_row_of_small_planes_only_is_not_supervised():
    batch = make_batch()
    assert not PlaneLoss(min_pixels=1000).supervised(batch).any()


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`max_planes` must be at least 1, got 0"):
        PlaneLoss(max_planes=0)
    with pytest.raises(ValueError, match="`min_pixels` must be at least 4, got 3"):
        PlaneLoss(min_pixels=3)
