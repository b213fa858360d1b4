"""Normals of large random triangles."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthmix.losses import VirtualNormalLoss, virtual_normal
from depthmix.losses.draws import draw
from depthmix.sample import LabelKind
from tests.losses.cases import make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.test_draws import hashed
from tests.losses.test_normal import CAMERA, direction, plain_case, true_log_canonical


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
        z, g, cameras, valid = plain_case()
        draws = draw(3 * 20, 0, 0, z.device).view(3, -1)
        return lambda x: virtual_normal(x, g, cameras, valid, draws), z


def triangles(count: int) -> torch.Tensor:
    return draw(3 * count, 0, 0, torch.device("cpu")).view(3, -1)


def test_a_row_without_a_single_label_is_zero_whatever_it_holds():
    # The mean over an empty list of triangles is NaN in public code.
    z = torch.ones(1, 1, 8, 8, requires_grad=True)
    label, nothing = torch.full((1, 1, 8, 8), torch.nan), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    value = virtual_normal(z, label, CAMERA, nothing, triangles(10))
    value.sum().backward()
    assert value.item() == 0
    assert not z.grad.any()


def test_points_on_one_line_reject_the_triangle_and_do_not_mask_an_axis():
    # A mask over points that indexes the axis of coordinates leaves triangles of zero size in the loss.
    z = torch.full((1, 1, 8, 8), 2.0)
    line = torch.zeros_like(z, dtype=torch.bool)
    line[..., 3, :] = True
    assert virtual_normal(z + torch.rand(z.shape), z, CAMERA, line, triangles(100)).item() == 0


def test_the_camera_is_that_of_the_row_and_never_of_an_earlier_batch():
    # Public code keeps the pixel grid of the first batch while the shape stays the same.
    loss = VirtualNormalLoss(500)
    batch = make_batch((LabelKind.METRIC_DEPTH, LabelKind.METRIC_DEPTH))
    y = make_log_canonical(batch)
    first = loss(predict(y, batch), batch)
    moved = replace(
        batch, intrinsics=batch.intrinsics + torch.tensor([[0.0], [1.0]]) * torch.tensor([0, 0, 9, 9])
    )
    second = loss(predict(y, moved), moved)
    assert first[0] == second[0]
    assert abs(first[1] - second[1]) > 1e-3
    assert torch.equal(VirtualNormalLoss(500)(predict(y, moved), moved), second)
    assert torch.equal(loss(predict(y, batch), batch), first)


def test_a_true_prediction_scores_zero_and_an_inverted_one_does_not():
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0)
    y = true_log_canonical(batch)
    assert VirtualNormalLoss(500)(predict(y, batch), batch).item() < 1e-4
    assert VirtualNormalLoss(500)(predict(-y, batch), batch).item() > 0.1


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="`triplets` must be at least 1, got 0"):
        VirtualNormalLoss(triplets=0)
