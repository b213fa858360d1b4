"""Distances of planes, and pieces of one plane."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import PlaneOffsetLoss, SamePlaneLoss, plane_offset, same_plane
from depthmix.sample import LabelKind
from tests.losses.cases import FOCAL
from tests.losses.contract import LossContract, Row
from tests.losses.planes import areas, picture, residual, vectors, weighted
from tests.losses.test_plane_angle import CAMERA, PAIRS, ROOM, everywhere, small_input


class TestPlaneOffsetLoss(LossContract):
    def make(self):
        return PlaneOffsetLoss()

    def reference(self, row: Row):
        focal = math.sqrt(row.camera[0] * row.camera[1]) / FOCAL
        a, b = (vectors(q, row, row.valid) for q in (row.inverse_prediction / focal, row.inverse_target))
        area = areas(row, row.valid)
        ratios = [math.log(np.linalg.norm(g) / np.linalg.norm(p)) for p, g in zip(a, b, strict=True)]
        if row.kind is LabelKind.SCALED_DEPTH:
            middle = min(m for m in ratios if 2 * sum(a for a, r in zip(area, ratios) if r <= m) >= sum(area))  # noqa: B905
            ratios = [r - middle for r in ratios]
        return weighted([abs(r) for r in ratios], area)

    def plain(self):
        q, planes, camera = small_input()
        target, valid, metric = q.flip(2), q > 0.6, torch.tensor([True, False])
        return lambda x: plane_offset(x, target, valid, planes, camera, metric, min_pixels=4), q


class TestSamePlaneLoss(LossContract):
    knows_order = False
    reads_prediction_outside_mask = True

    def make(self):
        return SamePlaneLoss(tolerance=100)  # everything counts as one plane

    def reference(self, row: Row):
        q, area = row.inverse_prediction, areas(row, row.valid)
        spread = np.mean(np.abs(q - np.median(q)))
        values = []
        for i, j in PAIRS:
            one, two = row.planes == i + 1, row.planes == j + 1
            missed = residual(q, one | two) - residual(q, one) - residual(q, two)
            values.append(math.sqrt(missed / (one | two).sum() / spread**2 + 1e-6) - 1e-3)
        return weighted(values, [area[i] * area[j] for i, j in PAIRS])

    def plain(self):
        q, planes, camera = small_input()
        target, valid = q.flip(2), q > 0.6
        return lambda x: same_plane(x, target, valid, planes, camera, 100.0, min_pixels=4), q


METRIC, SCALED = torch.tensor([True]), torch.tensor([False])


def moved(*distances: float) -> torch.Tensor:
    walls = [tuple(x / d for x in wall) for wall, d in zip(ROOM, distances, strict=True)]
    return picture(walls, CAMERA)[0]


@settings(max_examples=20)
@given(scale=st.floats(1e-3, 1e3))
def test_only_a_label_in_metres_notices_the_scale(scale):
    q, ids = picture(ROOM, CAMERA)
    p = moved(1.0, 1.3, 0.8)
    expected = plane_offset(p, q, everywhere(q), ids, CAMERA, SCALED)
    torch.testing.assert_close(plane_offset(scale * p, q, everywhere(q), ids, CAMERA, SCALED), expected)
    value = plane_offset(scale * q, q, everywhere(q), ids, CAMERA, METRIC).item()
    assert value == pytest.approx(abs(math.log(scale)), abs=1e-6)


def test_the_gradient_of_a_scaled_row_has_no_component_along_the_scale():
    q, ids = picture(ROOM, CAMERA)
    leaf = moved(1.0, 1.3, 0.8).requires_grad_()
    plane_offset(leaf, q, everywhere(q), ids, CAMERA, SCALED).sum().backward()
    assert leaf.grad.abs().max() > 0
    assert abs((leaf.grad * leaf.detach()).sum().item()) < 1e-9


def test_one_wrong_plane_of_three_does_not_move_the_scale():
    q, ids = picture(ROOM, CAMERA)
    value = plane_offset(7 * moved(1.0, 1.0, 2.0), q, everywhere(q), ids, CAMERA, SCALED).item()
    assert value == pytest.approx(math.log(2) / 3, rel=1e-6)


@pytest.mark.parametrize("metric", [METRIC, SCALED])
@pytest.mark.parametrize("wrong", ["flat", "inverted"])
def test_neither_a_flat_nor_an_inverted_prediction_has_the_right_distances(metric, wrong):
    q, ids = picture(ROOM, CAMERA)
    bad = torch.full_like(q, q.mean().item()) if wrong == "flat" else 1.1 * q.max() - q
    assert plane_offset(bad, q, everywhere(q), ids, CAMERA, metric).item() > 0.1


def wall_behind_a_pillar() -> tuple[torch.Tensor, torch.Tensor]:
    return picture([(0.05, 0.02, 0.3), (0.0, 0.0, 0.8), (0.05, 0.02, 0.3)], CAMERA)


def test_pieces_of_one_wall_are_joined_and_the_pillar_is_not():
    g, ids = wall_behind_a_pillar()
    assert same_plane(g, g, everywhere(g), ids, CAMERA).item() < 1e-6
    stepped = g + 0.1 * (ids == 3)
    assert same_plane(stepped, g, everywhere(g), ids, CAMERA).item() > 0.05
    pillar = g + 0.1 * (ids == 2) * torch.arange(48)
    assert same_plane(pillar, g, everywhere(g), ids, CAMERA).item() < 1e-6
    assert same_plane(stepped, stepped, everywhere(g), ids, CAMERA).item() == 0


@settings(max_examples=20)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5))
def test_flattening_scaling_or_shifting_the_map_does_not_join_planes(scale, shift):
    g, ids = wall_behind_a_pillar()
    p = g + 0.1 * (ids == 3)
    changed = same_plane(scale * (p - p.mean()) + scale * shift, g, everywhere(g), ids, CAMERA)
    torch.testing.assert_close(changed, same_plane(p, g, everywhere(g), ids, CAMERA), rtol=1e-4, atol=0)


def test_roughness_inside_a_piece_is_left_to_coplanarity():
    g, ids = wall_behind_a_pillar()
    rough = g + 0.02 * (torch.arange(48) % 2) * (ids == 1)
    assert same_plane(rough, g, everywhere(g), ids, CAMERA).item() < 0.02


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`tolerance` must be positive, got 0"):
        SamePlaneLoss(tolerance=0)
    with pytest.raises(ValueError, match="`max_planes` must be at least 2, got 1"):
        SamePlaneLoss(max_planes=1)
    with pytest.raises(ValueError, match="`max_planes` must be at least 1, got 0"):
        PlaneOffsetLoss(max_planes=0)
    with pytest.raises(ValueError, match="`min_pixels` must be at least 4, got 3"):
        PlaneOffsetLoss(min_pixels=3)


def test_maps_that_do_not_belong_together_are_refused():
    g, ids = wall_behind_a_pillar()
    with pytest.raises(ValueError, match="`valid`"):
        plane_offset(g, g, g, ids, CAMERA, METRIC)
    with pytest.raises(ValueError, match="`target`"):
        same_plane(g, g[..., 1:], everywhere(g), ids, CAMERA)
