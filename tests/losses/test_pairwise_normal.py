"""Angles between normals at image edges and inside planes."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from depthmix.losses import EdgeNormalLoss, PlaneNormalLoss, edge_normal, plane_normal
from depthmix.losses.draws import draw_stream
from depthmix.losses.pairs import edge_quadruples
from depthmix.sample import LabelKind
from tests.losses.cases import H, W, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.test_normal import CAMERA, direction, normal_of, plain_case, surrounded

CPU = torch.device("cpu")


class TestEdgeNormalLoss(LossContract):
    knows_order = False

    def make(self):
        return EdgeNormalLoss(edges=300, seed=4)

    def reference(self, row: Row):
        draws = draw_stream(5 * 300, 4, 0, CPU).view(5, -1)
        fours = edge_quadruples(torch.from_numpy(row.image)[None], draws)
        predicted, labelled = row.points(row.depth_prediction), row.points(row.target)
        errors = []
        for four in fours[0].T.tolist():
            for a, b in pairwise([divmod(index, W) for index in four]):
                if a != b and surrounded(row.valid, a) and surrounded(row.valid, b):
                    cosine = normal_of(predicted, a) @ normal_of(predicted, b)
                    errors.append(abs(cosine - normal_of(labelled, a) @ normal_of(labelled, b)))
        return sum(errors) / len(errors)

    def plain(self):
        z, g, cameras, valid = plain_case()
        points = draw_stream(2 * 4 * 30, 0, 0, CPU).view(2, 4, 30) % 48
        return lambda x: edge_normal(x, g, cameras, valid, points), z


class TestPlaneNormalLoss(LossContract):
    knows_order = False
    reads_prediction_outside_mask = True

    def make(self):
        return PlaneNormalLoss(pixels=200, seed=4)

    def reference(self, row: Row):
        points, plane = row.points(row.depth_prediction), row.planes
        inside = [p for p in np.ndindex(plane.shape) if plane[p] > 0 and surrounded(plane == plane[p], p)]
        spacing = 2**32 // 200
        start = 4 * 0x6A09E667 % spacing
        drawn = [inside[(start + i * spacing) * len(inside) >> 32] for i in range(200)]
        return pair_mean([normal_of(points, p) for p in drawn], [plane[p] for p in drawn])

    def plain(self):
        z, _, cameras, _ = plain_case()
        planes = (1 + torch.arange(8) // 4).expand(2, 1, 6, 8).contiguous()
        return lambda x: plane_normal(x, cameras, planes, draw_stream(20, 0, 0, CPU)), z


def pair_mean(normals: list[np.ndarray], ids: list[int]) -> float:
    """Average 1 - n_a . n_b over the other draws of the same plane, then over all draws that have one."""
    errors = []
    for i, normal in enumerate(normals):
        mates = [1 - normal @ n for j, n in enumerate(normals) if ids[j] == ids[i] and j != i]
        errors += [sum(mates) / len(mates)] if mates else []
    return sum(errors) / len(errors)


def test_the_sum_over_planes_is_the_mean_over_all_pairs():
    g = torch.Generator().manual_seed(1)
    z = 1 + torch.rand(1, 1, 12, 15, generator=g, dtype=torch.float64)
    planes = torch.zeros(1, 1, 12, 15, dtype=torch.int32)
    planes[..., :6, :], planes[..., 6:, :8], planes[..., 6:9, 9:12] = (
        3,
        1,
        2,
    )  # the last is drawn once at most
    draws = draw_stream(40, 2, 0, CPU)
    inside = [
        p
        for p in np.ndindex(12, 15)
        if planes[0, 0][p] > 0 and surrounded((planes == planes[0, 0][p])[0, 0], p)
    ]
    drawn = [inside[int(d) * len(inside) >> 32] for d in draws]
    fx, fy, cx, cy = CAMERA[0].double().tolist()
    v, u = np.mgrid[:12, :15]
    depth = z[0, 0].numpy()
    points = np.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, depth], 2)
    expected = pair_mean([normal_of(points, p) for p in drawn], [int(planes[0, 0][p]) for p in drawn])
    found = plane_normal(z, CAMERA, planes, draws)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_equation_3_at_one_corner_of_a_room():
    # Floor and wall at 90 degrees in the label, at 60 in the prediction: | cos 60 - cos 90 | across the edge.
    v, u = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    ray = torch.stack([(u - 15) / 28, (v - 11.5) / 30, torch.ones(24, 32)]).double()

    def room(angle: float) -> torch.Tensor:
        floor = torch.tensor([0.0, math.sin(angle), math.cos(angle)]).double()  # against the wall (0, 0, 1)
        edge = 3 * ray[:, 14, 0]
        depth = (floor @ edge) / (floor[:, None, None] * ray).sum(0)
        return torch.where(v > 14, depth, 3.0)[None, None]

    points = torch.tensor([[[4 * W + 9], [9 * W + 9], [18 * W + 9], [21 * W + 9]]])
    label, prediction = room(math.pi / 2), room(math.pi / 3)
    found = edge_normal(prediction, label, CAMERA.double(), label > 0, points)
    assert found.item() == pytest.approx(0.5 / 3, rel=1e-6)


def test_a_pixel_with_itself_is_no_pair():
    z, g, cameras, valid = plain_case()
    points = torch.tensor([9, 10, 20, 21]).view(1, 4, 1).repeat(2, 1, 1)
    twice = torch.cat([points, points[:, :1].expand_as(points)], 2)  # at the border points fall together
    expected = edge_normal(z, g, cameras, valid, points)
    assert expected.any()
    torch.testing.assert_close(edge_normal(z, g, cameras, valid, twice), expected)


def test_edges_look_on_both_sides_and_in_all_columns():
    # Columns found by a division that is no longer an integer put every edge point at the left margin.
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0)
    stripes = (torch.arange(W) // 8 % 2 * 200).to(torch.uint8)
    batch = replace(batch, image=stripes.expand(1, 3, H, W))
    y = make_log_canonical(batch).requires_grad_()
    EdgeNormalLoss(300)(predict(y, batch), batch).sum().backward()
    touched = y.grad[0, 0].abs().sum(0) > 0
    assert touched.float().mean() > 0.9


def test_a_bent_plane_costs_even_without_a_depth_label():
    batch = make_batch((LabelKind.NONE,))
    flat = -(0.2 + 0.01 * torch.arange(W).expand(1, 1, H, W)).log()
    bent = flat + 0.1 * torch.sin(torch.arange(H) / 2)[:, None]
    assert PlaneNormalLoss(500)(predict(flat, batch), batch).item() < 1e-3
    assert PlaneNormalLoss(500)(predict(bent, batch), batch).item() > 0.01


def test_planes_of_different_normals_do_not_pull_at_each_other():
    z = 1 / (0.2 + 0.01 * torch.arange(32.0).sub(16).abs()).expand(1, 1, 24, 32)
    planes = (1 + (torch.arange(32) > 16).int()).expand(1, 1, 24, 32).contiguous()
    draws = draw_stream(200, 0, 0, CPU)
    assert plane_normal(z, CAMERA, planes, draws).item() < 1e-3
    assert plane_normal(z, CAMERA, torch.ones_like(planes), draws).item() > 0.05


def test_more_planes_than_the_table_holds_leave_the_rest_alone():
    batch = make_batch((LabelKind.NONE,))
    y = make_log_canonical(batch)
    first_two = replace(batch, planes=torch.where(batch.planes <= 2, batch.planes, 0))
    expected = PlaneNormalLoss(300)(predict(y, first_two), first_two)
    assert torch.equal(PlaneNormalLoss(300, max_planes=2)(predict(y, batch), batch), expected)


def test_every_pixel_of_a_plane_is_drawn_in_the_course_of_the_steps():
    loss, batch = PlaneNormalLoss(20), make_batch((LabelKind.NONE,))
    planes = torch.zeros_like(batch.planes)
    planes[..., 4:20, 4:28] = 1
    batch = replace(batch, planes=planes)
    seen = torch.zeros(H, W, dtype=torch.bool)
    for step in range(60):
        y = make_log_canonical(batch).requires_grad_()
        loss(predict(y, batch), batch, step=step).sum().backward()
        seen |= y.grad[0, 0] != 0
    assert seen[5:19, 5:27].float().mean() > 0.95
    assert not seen[:4].any()


def test_a_loss_on_planes_accepts_rows_of_every_kind():
    batch = make_batch()
    assert PlaneNormalLoss(300).supervised(batch).all()


def test_unit_normals_make_the_value_at_most_two():
    batch = make_batch((LabelKind.METRIC_DEPTH,))
    wild = 12 * torch.sin(1e4 * make_log_canonical(batch)).sign()
    assert PlaneNormalLoss(300)(predict(wild, batch), batch).item() <= 2
    assert np.linalg.norm(direction(np.array([3.0, 0, 4]))) == 1


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="`edges` must be at least 1, got 0"):
        EdgeNormalLoss(edges=0)
    with pytest.raises(ValueError, match="`pixels` must be at least 2, got 1"):
        PlaneNormalLoss(pixels=1)
    with pytest.raises(ValueError, match="`max_planes` must be at least 1, got 0"):
        PlaneNormalLoss(max_planes=0)
