"""The losses on surface normals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthmix.geometry import unproject
from depthmix.losses import PairwiseNormalLoss, VirtualNormalLoss, pairwise_normal, virtual_normal
from depthmix.losses.draws import draw
from depthmix.sample import LabelKind
from tests.losses.cases import H, W, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.test_draws import hashed

CAMERA = torch.tensor([[28.0, 30.0, 15.0, 11.5]])


def direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class TestVirtualNormalLoss(LossContract):
    def make(self):
        return VirtualNormalLoss(triplets=300, seed=4)

    def reference(self, row: Row):
        pixels = np.argwhere(row.valid)
        predicted, labelled = row.points(row.depth_prediction), row.points(row.target)
        errors = []
        for t in range(300):
            corners = [pixels[hashed(k * 300 + t, 4, 0) * len(pixels) >> 32] for k in range(3)]
            a, b, c = (labelled[tuple(p)] for p in corners)
            sides = [np.linalg.norm(x - y) for x, y in ((a, b), (b, c), (c, a))]
            if min(sides) < 0.01 * (a[2] + b[2] + c[2]) / 3 or self.smallest_angle(*sides) < 30:
                continue
            label = direction(np.cross(b - a, c - a))
            a, b, c = (predicted[tuple(p)] for p in corners)
            errors.append(np.abs(direction(np.cross(b - a, c - a)) - label).sum())
        errors.sort()
        kept = errors[len(errors) // 4 :]
        return sum(kept) / len(kept)

    @staticmethod
    def smallest_angle(*sides: float) -> float:
        short, middle, long = sorted(sides)
        return math.degrees(math.acos((middle**2 + long**2 - short**2) / (2 * middle * long)))

    def plain(self):
        z, g, valid = plain_case()
        draws = draw(3 * 20, 0, 0, z.device).view(3, -1)
        label = unproject(g, CAMERA)
        return lambda x: virtual_normal(unproject(x, CAMERA), label, valid, draws), z


class TestPairwiseNormalLoss(LossContract):
    reads_prediction_outside_mask = True

    def make(self):
        return PairwiseNormalLoss(pairs=200, seed=4)

    def reference(self, row: Row):
        predicted, labelled = row.points(row.depth_prediction), row.points(row.target)
        errors = []
        surface = [p for p in np.ndindex(row.valid.shape) if self.surrounded(row.valid, p)]
        for t in range(200 if surface else 0):
            a, b = (surface[hashed(k * 200 + t, 4, 0) * len(surface) >> 32] for k in range(2))
            pair = self.normal(predicted, a) @ self.normal(predicted, b)
            errors.append(abs(pair - self.normal(labelled, a) @ self.normal(labelled, b)))
        inside = [p for p in np.ndindex(row.planes.shape) if self.on_plane(row.planes, p)]
        inside.sort(key=lambda p: (row.planes[p], p))
        for t in range(200):
            a = inside[-1 - (hashed(2 * 200 + t, 4, 0) * len(inside) >> 32)]
            mates = [p for p in inside if row.planes[p] == row.planes[a]]
            b = mates[hashed(3 * 200 + t, 4, 0) * len(mates) >> 32]
            errors.append(1 - self.normal(predicted, a) @ self.normal(predicted, b))
        return sum(errors) / len(errors)

    @staticmethod
    def around(p):
        return [(p[0] + dy, p[1] + dx) for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))]

    def surrounded(self, valid, p):
        near = [q for q in self.around(p) if 0 <= q[0] < H and 0 <= q[1] < W]
        return len(near) == 4 and valid[p] and all(valid[q] for q in near)

    def on_plane(self, planes, p):
        near = [q for q in self.around(p) if 0 <= q[0] < H and 0 <= q[1] < W]
        return planes[p] > 0 and len(near) == 4 and all(planes[q] == planes[p] for q in near)

    def normal(self, points, p):
        right, left, below, above = (points[q] for q in self.around(p))
        return direction(np.cross(below - above, right - left))

    def plain(self):
        z, g, valid = plain_case()
        draws = draw(4 * 20, 0, 0, z.device).view(4, -1)
        label, planes = unproject(g, CAMERA), (1 + torch.arange(8) // 4).expand(2, 1, 6, 8).contiguous()
        return lambda x: pairwise_normal(unproject(x, CAMERA), label, valid, planes, draws), z

    def test_supervision_needs_an_accepted_kind(self):
        # Planes seen through a camera carry supervision without depth; web stereo has no place here.
        assert self.make().supervised(make_batch()).tolist() == [True, True, False, True, False]


def plain_case():
    g = torch.Generator().manual_seed(0)
    z, t = 1 + torch.rand(2, 2, 1, 6, 8, generator=g, dtype=torch.float64)
    return z, t, torch.rand(2, 1, 6, 8, generator=g) > 0.05


@pytest.mark.parametrize("loss", [VirtualNormalLoss(500), PairwiseNormalLoss(500)])
def test_normals_do_not_depend_on_the_scale_of_prediction_or_label(loss):
    batch = make_batch((LabelKind.SCALED_DEPTH,))
    y = make_log_canonical(batch)
    expected = loss(predict(y, batch), batch)
    torch.testing.assert_close(loss(predict(y + 1.7, batch), batch), expected, rtol=1e-4, atol=0)
    for unit in (40, 1e20):
        larger = replace(batch, target=unit * batch.target)
        torch.testing.assert_close(loss(predict(y, batch), larger), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("loss", [VirtualNormalLoss(500), PairwiseNormalLoss(500)])
def test_each_row_is_seen_through_its_own_camera(loss):
    # Public codes keep the pixel grid of the first batch while the shape stays the same.
    batch = make_batch((LabelKind.METRIC_DEPTH, LabelKind.METRIC_DEPTH))
    y = make_log_canonical(batch)
    first = loss(predict(y, batch), batch)
    moved = replace(batch, intrinsics=batch.intrinsics * torch.tensor([[1.0], [2.0]]))
    second = loss(predict(y, moved), moved)
    assert first[0] == second[0]
    assert abs(first[1] - second[1]) > 1e-3
    assert torch.equal(loss(predict(y, batch), batch), first)


@pytest.mark.parametrize("loss", [VirtualNormalLoss(500, seed=1), PairwiseNormalLoss(500, seed=1)])
def test_a_step_repeats_itself_and_the_next_one_draws_anew(loss):
    batch = make_batch()
    prediction = predict(make_log_canonical(batch), batch)
    assert torch.equal(loss(prediction, batch, step=3), loss(prediction, batch, step=3))
    assert not torch.equal(loss(prediction, batch, step=3), loss(prediction, batch, step=4))


@pytest.mark.parametrize("loss", [VirtualNormalLoss(500), PairwiseNormalLoss(500)])
def test_a_true_prediction_scores_zero(loss):
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0)
    batch = replace(batch, planes=torch.zeros_like(batch.planes))
    focal = (28.0 * 30.0) ** 0.5
    y = (batch.target * 30 / focal).log()
    assert loss(predict(y, batch), batch).item() < 1e-3


def test_a_row_without_a_single_label_is_zero_whatever_its_points_hold():
    points = unproject(torch.ones(1, 1, 8, 8), CAMERA).requires_grad_()
    valid = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    label = torch.full_like(points, torch.nan)
    value = virtual_normal(points, label, valid, draw(30, 0, 0, valid.device).view(3, -1))
    value.sum().backward()
    assert value.item() == 0
    assert not points.grad.any()


def test_one_bad_axis_of_a_point_rejects_the_triangle_not_the_axis():
    # A mask over points that indexes the axis of coordinates leaves triangles of zero size in the loss.
    z = torch.full((1, 1, 8, 8), 2.0)
    valid = torch.zeros_like(z, dtype=torch.bool)
    valid[..., 3, :] = True  # all labelled points on one line: no triangle has a normal
    points = unproject(z + torch.rand(z.shape), CAMERA)
    value = virtual_normal(points, unproject(z, CAMERA), valid, draw(300, 0, 0, z.device).view(3, -1))
    assert value.item() == 0


def test_a_bent_plane_costs_even_without_a_depth_label():
    batch = make_batch((LabelKind.NONE,))
    flat = -(0.2 + 0.01 * torch.arange(W).expand(1, 1, H, W)).log()
    bent = flat + 0.1 * torch.sin(torch.arange(H) / 2)[:, None]
    loss = PairwiseNormalLoss(500)
    assert loss(predict(flat, batch), batch).item() < 1e-4
    assert loss(predict(bent, batch), batch).item() > 0.01


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="`triplets` must be at least 1, got 0"):
        VirtualNormalLoss(triplets=0)
    with pytest.raises(ValueError, match="`pairs` must be at least 1, got 0"):
        PairwiseNormalLoss(pairs=0)
