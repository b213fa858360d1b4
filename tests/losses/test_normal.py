"""Surface normals pixel by pixel, and what holds for all losses on normals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses import (
    EdgeNormalLoss,
    PlaneNormalLoss,
    SurfaceNormalLoss,
    VirtualNormalLoss,
    surface_normal,
)
from depthmix.sample import LabelKind
from tests.losses.cases import FOCAL, LABEL_FAULTS, H, W, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row

CAMERA = torch.tensor([[28.0, 30.0, 15.0, 11.5]])
ALL = [SurfaceNormalLoss(), VirtualNormalLoss(300), EdgeNormalLoss(300), PlaneNormalLoss(300)]
each = pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)


def direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def around(p: tuple[int, int]) -> list[tuple[int, int]]:
    return [(p[0] + dv, p[1] + du) for dv, du in ((0, 1), (0, -1), (1, 0), (-1, 0))]


def surrounded(valid: np.ndarray, p: tuple[int, int]) -> bool:
    near = [q for q in around(p) if 0 <= q[0] < valid.shape[0] and 0 <= q[1] < valid.shape[1]]
    return bool(len(near) == 4 and valid[p] and all(valid[q] for q in near))


def normal_of(points: np.ndarray, p: tuple[int, int]) -> np.ndarray:
    right, left, below, above = (points[q] for q in around(p))
    return direction(np.cross(below - above, right - left))


def true_log_canonical(batch: Batch) -> Tensor:
    focal = (batch.intrinsics[:, 0] * batch.intrinsics[:, 1]).sqrt()[:, None, None, None]
    return (batch.target * FOCAL / focal).log()


def plain_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    z, t = 1 + torch.rand(2, 2, 1, 6, 8, generator=g, dtype=torch.float64)
    return z, t, torch.cat([CAMERA, CAMERA + 2]), torch.rand(2, 1, 6, 8, generator=g) > 0.05


class SurfaceNormalContract(LossContract):
    measure = "angle"

    def make(self):
        return SurfaceNormalLoss(self.measure)

    def reference(self, row: Row):
        predicted, labelled = row.points(row.depth_prediction), row.points(row.target)
        errors = [
            self.error(normal_of(predicted, p), normal_of(labelled, p))
            for p in np.ndindex(row.valid.shape)
            if surrounded(row.valid, p)
        ]
        return sum(errors) / len(errors)

    def error(self, a: np.ndarray, b: np.ndarray) -> float:
        raise NotImplementedError

    def plain(self):
        z, g, cameras, valid = plain_case()
        return lambda x: surface_normal(x, g, cameras, valid, self.measure), z


class TestSurfaceNormalLoss(SurfaceNormalContract):
    def error(self, a, b):
        return math.acos(min(1.0, a @ b))


class TestSurfaceNormalLossByCosine(SurfaceNormalContract):
    measure = "cosine"

    def error(self, a, b):
        return 1 - a @ b


class TestSurfaceNormalLossByDifference(SurfaceNormalContract):
    measure = "l1"

    def error(self, a, b):
        return np.abs(a - b).sum()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("angle", 0.6), ("cosine", 1 - math.cos(0.6)), ("l1", 1 - math.cos(0.6) + math.sin(0.6))],
)
def test_a_tilted_wall_is_off_by_its_tilt(measure, expected):
    u = (torch.arange(W, dtype=torch.float64) - 15) / 28
    wall = torch.full((1, 1, H, W), 2.0, dtype=torch.float64)
    tilted = (2 / (math.cos(0.6) - math.sin(0.6) * u)).expand_as(wall)
    found = surface_normal(tilted, wall, CAMERA.double(), wall > 0, measure)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_of_the_angle_stays_bounded_where_the_normals_agree():
    # The derivative of the arccosine is infinite there; public codes leave such pixels out.
    z, _, cameras, valid = plain_case()
    sizes = []
    for error in (1e-1, 1e-4, 1e-8, 0.0):
        leaf = (z + error * torch.sin(torch.arange(8.0))).requires_grad_()
        surface_normal(leaf, z, cameras, valid).sum().backward()
        assert leaf.grad.isfinite().all()
        sizes.append(leaf.grad.norm().item())
    assert max(sizes) < 2 * sizes[0]


def test_no_neighbour_without_a_label_enters_a_normal():
    # Public code averages depth over a window first and masks only the pixel itself afterwards.
    z, g, cameras, _ = plain_case()
    valid = torch.ones_like(g, dtype=torch.bool)
    valid[..., 2, 3] = False
    expected = surface_normal(z, g, cameras, valid)
    g[..., 2, 3] = -1
    assert torch.equal(surface_normal(z, g, cameras, valid), expected)
    one = torch.zeros_like(valid)
    one[..., 2:5, 4], one[..., 3, 3:6] = True, True
    cross = surface_normal(z, g, cameras, one)
    assert (cross > 0).all()
    one[..., 3, 5] = False
    assert not surface_normal(z, g, cameras, one).any()


def test_a_sparse_row_bears_nothing():
    batch = LABEL_FAULTS["LiDAR on one pixel of two hundred"](make_batch())
    for loss in (SurfaceNormalLoss(), EdgeNormalLoss(300)):
        assert not loss.supervised(batch).any()
        assert not loss(predict(make_log_canonical(batch), batch), batch).any()


def test_the_first_axis_of_a_pixel_is_u_along_which_fx_and_cx_are_measured():
    # Public code hands (v, u, 1) to the inverse of K: then a floor is taken for a wall at the side.
    v = torch.arange(H, dtype=torch.float64)[:, None]
    floor = (1 / (0.1 + 0.01 * v)).expand(1, 1, H, W)
    normal_y = 0.01 * 30 / math.hypot(0.01 * 30, 0.1 + 0.01 * 11.5)
    wall = torch.full((1, 1, H, W), 2.0, dtype=torch.float64)
    found = surface_normal(floor, wall, CAMERA.double(), wall > 0)
    assert found.item() == pytest.approx(math.asin(normal_y), rel=1e-2)  # differences of 1/z, not of z


@each
@settings(max_examples=10)
@given(scale=st.floats(-3, 3), unit=st.sampled_from([1e-20, 0.01, 40, 1e20]), seed=st.integers(0, 99))
def test_normals_do_not_depend_on_the_scale_of_prediction_or_label(loss, scale, unit, seed):
    batch = make_batch((LabelKind.SCALED_DEPTH,), seed=seed)
    y = make_log_canonical(batch, seed=seed + 1)
    expected = loss(predict(y, batch), batch)
    torch.testing.assert_close(loss(predict(y + scale, batch), batch), expected, rtol=1e-3, atol=1e-5)
    scaled = replace(batch, target=unit * batch.target)
    torch.testing.assert_close(loss(predict(y, scaled), scaled), expected, rtol=1e-3, atol=1e-5)


@each
@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_normals_do_depend_on_a_shift_of_depth_and_on_the_camera(loss, seed):
    batch = make_batch((LabelKind.METRIC_DEPTH,), seed=seed, holes=0)
    y = make_log_canonical(batch, seed=seed + 1)
    expected = loss(predict(y, batch), batch)
    shifted = (y.exp() + 2).log()
    assert abs(loss(predict(shifted, batch), batch) - expected) > 1e-3 * expected
    wide = replace(batch, intrinsics=batch.intrinsics * torch.tensor([0.3, 0.3, 1, 1]))
    assert abs(loss(predict(y, wide), wide) - expected) > 1e-3 * expected


@each
def test_each_row_is_seen_through_its_own_camera_and_nothing_is_kept(loss):
    batch = make_batch((LabelKind.METRIC_DEPTH, LabelKind.METRIC_DEPTH))
    y = make_log_canonical(batch)
    first = loss(predict(y, batch), batch)
    moved = replace(batch, intrinsics=batch.intrinsics * torch.tensor([[1.0], [2.0]]))
    second = loss(predict(y, moved), moved)
    assert first[0] == second[0]
    assert abs(first[1] - second[1]) > 1e-3
    assert torch.equal(loss(predict(y, batch), batch), first)


@pytest.mark.parametrize("loss", ALL[1:], ids=lambda loss: type(loss).__name__)
def test_a_step_repeats_itself_and_other_steps_and_seeds_draw_anew(loss):
    batch = make_batch()
    prediction = predict(make_log_canonical(batch), batch)
    expected = loss(prediction, batch, step=3)
    other = type(loss)(300, seed=7)
    assert torch.equal(loss(prediction, batch, step=3), expected)
    assert not torch.equal(loss(prediction, batch, step=4), expected)
    assert not torch.equal(other(prediction, batch, step=3), expected)


@pytest.mark.parametrize("loss", [SurfaceNormalLoss(), EdgeNormalLoss(300)], ids=["surface", "edge"])
def test_a_true_prediction_scores_zero_and_an_inverted_one_does_not(loss):
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0)
    y = true_log_canonical(batch)
    assert loss(predict(y, batch), batch).item() < 1e-3
    assert loss(predict(-y, batch), batch).item() > 0.05


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="`measure` must be one of angle, cosine, l1, got l2"):
        SurfaceNormalLoss("l2")


def test_maps_of_other_shapes_are_refused_by_name():
    z, g, cameras, valid = plain_case()
    with pytest.raises(ValueError, match="`target` must have shape"):
        surface_normal(z, g[:, 0], cameras, valid)
