"""Angles between planes: as labelled, and the prior."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import ManhattanLoss, PlaneAngleLoss, manhattan, plane_angle
from tests.losses.contract import LossContract, Row
from tests.losses.planes import angle, areas, picture, vectors, weighted

CAMERA = torch.tensor([[40.0, 44.0, 20.0, 19.0]])
PAIRS = ((0, 1), (0, 2), (1, 2))
ROOM = [(0.2, 0.0, 0.3), (0.0, 0.3, 0.1), (-0.2, 0.03, 0.4)]


def small_input(rows: int = 2):
    q = torch.rand(rows, 1, 6, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    planes = (torch.arange(15) // 5 + 1).expand(rows, 1, 6, 15).contiguous()
    # Strips five pixels wide: on narrower ones the losses are 0 and a check of gradients checks nothing.
    return q, planes, torch.tensor([[9.0, 8.0, 6.0, 3.0]]).repeat(rows, 1)


class TestPlaneAngleLoss(LossContract):
    reads_prediction_outside_mask = False

    def make(self):
        return PlaneAngleLoss()

    def reference(self, row: Row):
        a, b = (vectors(q, row, row.valid) for q in (row.inverse_prediction, row.inverse_target))
        area = areas(row, row.valid)
        values = [abs(angle(a[i], a[j]) - angle(b[i], b[j])) for i, j in PAIRS]
        return weighted(values, [area[i] * area[j] for i, j in PAIRS])

    def plain(self):
        q, planes, camera = small_input()
        target, valid = q.flip(2), q > 0.6
        return lambda x: plane_angle(x, target, valid, planes, camera, min_pixels=4), q


class TestManhattanLoss(LossContract):
    reads_prediction_outside_mask = True

    def make(self):
        return ManhattanLoss(tolerance=45)

    def reference(self, row: Row):
        everywhere = row.planes > 0
        n, area = vectors(row.inverse_prediction, row, everywhere), areas(row, everywhere)
        values = []
        for i, j in PAIRS:
            off = angle(n[i], n[j])
            off = min(off, math.pi - off)
            size = math.sqrt(np.linalg.norm(n[i]) * np.linalg.norm(n[j]))
            one = np.linalg.norm(n[i] - n[j]) <= 0.05 * size
            values.append(math.radians(45) if one else min(off, math.pi / 2 - off))
        return weighted(values, [area[i] * area[j] for i, j in PAIRS])

    def plain(self):
        q, planes, camera = small_input()
        return lambda x: manhattan(x, planes, camera, tolerance=45, min_pixels=4), q


def everywhere(q: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(q, dtype=torch.bool)


@settings(max_examples=20)
@given(scale=st.floats(1e-3, 1e3), other=st.floats(1e-3, 1e3))
def test_angles_ignore_the_scale_of_both_maps(scale, other):
    (q, ids), (g, _) = picture(ROOM, CAMERA), picture([ROOM[0], (0.0, 0.1, 0.4), ROOM[2]], CAMERA)
    value = plane_angle(q, g, everywhere(q), ids, CAMERA)
    assert value.item() > 0.05
    torch.testing.assert_close(plane_angle(scale * q, other * g, everywhere(q), ids, CAMERA), value)
    torch.testing.assert_close(manhattan(scale * q, ids, CAMERA), manhattan(q, ids, CAMERA))


def test_the_true_planes_score_zero_and_a_shift_turns_them():
    q, ids = picture(ROOM, CAMERA)
    assert plane_angle(q, q, everywhere(q), ids, CAMERA).item() < 1e-6
    assert plane_angle(q + 0.2, q, everywhere(q), ids, CAMERA).item() > 0.05


@pytest.mark.parametrize("wrong", ["flat", "inverted"])
def test_neither_a_flat_nor_an_inverted_prediction_scores_zero(wrong):
    q, ids = picture(ROOM, CAMERA)
    bad = torch.full_like(q, 0.5) if wrong == "flat" else 1.1 * q.max() - q
    assert plane_angle(bad, q, everywhere(q), ids, CAMERA).item() > 0.2


def test_angles_are_those_of_the_planes_in_space():
    # 30 degrees apart against 90 degrees apart, whatever the focal lengths.
    turn = lambda degrees: (math.sin(math.radians(degrees)) / 2, 0.0, math.cos(math.radians(degrees)) / 2)  # noqa: E731
    for camera in (CAMERA, torch.tensor([[90.0, 30.0, 3.0, 40.0]])):
        (q, ids), (g, _) = (picture([turn(-a / 2), turn(a / 2)], camera) for a in (30, 90))
        value = plane_angle(q, g, everywhere(q), ids, camera).item()
        assert value == pytest.approx(math.radians(60), rel=1e-6)


def test_nearly_parallel_planes_still_feel_the_full_pull():
    # With cosines the pull fades with the angle: 1 degree off would pull 57 times weaker than 1 radian off.
    q, ids = picture([(0.0, 0.0, 0.5), (0.01, 0.0, 0.4)], CAMERA)
    g, _ = picture([(0.0, 0.0, 0.5), (0.0, 0.0, 0.4)], CAMERA)
    leaf = q.requires_grad_()
    value = plane_angle(leaf, g, everywhere(q), ids, CAMERA)
    value.sum().backward()
    assert value.item() == pytest.approx(0.01 / 0.4, rel=1e-2)
    step = 1e-6 * leaf.grad / leaf.grad.norm()
    after = plane_angle(leaf.detach() - step, g, everywhere(q), ids, CAMERA)
    assert (value - after).item() == pytest.approx(1e-6 * leaf.grad.norm().item(), rel=1e-3)


def side_wall(off: float) -> tuple[float, float, float]:
    """A wall that misses the right angle to one straight ahead by so many degrees."""
    return -math.cos(math.radians(off)) / 3, 0.0, math.sin(math.radians(off)) / 3


def test_the_prior_squares_up_what_is_nearly_square_and_leaves_the_rest():
    for degrees, felt in ((5, True), (40, False)):
        leaf, ids = picture([(0.0, 0.0, 0.3), side_wall(degrees)], CAMERA)
        leaf.requires_grad_()
        value = manhattan(leaf, ids, CAMERA)
        value.sum().backward()
        assert value.item() == pytest.approx(math.radians(min(degrees, 15)), abs=1e-6)
        assert bool(leaf.grad.any()) == felt


def test_a_flat_picture_is_no_best_guess_of_the_prior():
    q, ids = picture([(0.0, 0.0, 0.3), side_wall(5)], CAMERA)
    assert manhattan(torch.full_like(q, 0.4), ids, CAMERA).item() == pytest.approx(math.radians(15))
    assert manhattan(q, ids, CAMERA).item() < math.radians(6)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`tolerance` must be in \(0, 45\] degrees, got 50"):
        ManhattanLoss(tolerance=50)
    for loss in (PlaneAngleLoss, ManhattanLoss):
        with pytest.raises(ValueError, match="`max_planes` must be at least 2, got 1"):
            loss(max_planes=1)
        with pytest.raises(ValueError, match="`min_pixels` must be at least 4, got 3"):
            loss(min_pixels=3)


def test_maps_that_do_not_belong_together_are_refused():
    q, ids = picture(ROOM, CAMERA)
    with pytest.raises(ValueError, match="`planes`"):
        plane_angle(q, q, everywhere(q), ids[..., 1:], CAMERA)
    with pytest.raises(ValueError, match="`intrinsics`"):
        manhattan(q, ids, CAMERA[:, :3])
