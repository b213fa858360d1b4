"""Angles between normals against cross products of neighbouring points."""

import math

import numpy as np
import pytest
import torch

from depthmix.geometry import unproject
from depthmix.metrics import functional as f
from depthmix.metrics.normals import normal_errors
from tests.metrics.toy_maps import CAMERA, SIZE, plane_depth, scene


def test_normal_angle_is_the_tilt_and_skips_the_depth_edge():
    wall = plane_depth((0, 0, 1), 2.0)
    tilted = plane_depth((0.6, 0, 0.8), 2.0)
    everywhere = torch.ones_like(wall, dtype=torch.bool)
    angle = f.normal_angle(wall, tilted, everywhere, CAMERA[:1])
    assert angle.item() == pytest.approx(math.degrees(math.acos(0.8)), rel=1e-4)
    step = wall.clone()
    step[..., 8:] = 4
    assert f.normal_angle(step, step, everywhere, CAMERA[:1]).item() == pytest.approx(0, abs=1e-4)
    assert f.normal_angle(wall, step, everywhere, CAMERA[:1]).item() == pytest.approx(0, abs=1e-4)
    free = f.edge_free(step, everywhere)[0, 0, 5]
    assert free.tolist() == [False, *[True] * 6, False, False, *[True] * 6, False]


def test_normal_angle_agrees_with_a_loop():
    prediction, target, _ = scene()
    v, u = torch.meshgrid(*(torch.arange(n).float() for n in SIZE), indexing="ij")
    target = (3 + 0.02 * u + 0.01 * v).expand(3, 1, *SIZE)
    valid = torch.ones_like(target, dtype=torch.bool)
    found = f.normal_angle(prediction, target, valid, CAMERA)
    clouds = [unproject(x.double(), CAMERA).numpy() for x in (prediction, target)]
    for row in range(3):
        angles = []
        for y in range(1, SIZE[0] - 1):
            for x in range(1, SIZE[1] - 1):
                n = [
                    np.cross(
                        c[row, :, y, x + 1] - c[row, :, y, x - 1], c[row, :, y + 1, x] - c[row, :, y - 1, x]
                    )
                    for c in clouds
                ]
                cosine = n[0] @ n[1] / np.linalg.norm(n[0]) / np.linalg.norm(n[1])
                angles.append(math.degrees(math.acos(min(cosine, 1))))
        assert found[row].item() == pytest.approx(np.mean(angles), rel=1e-5)


def test_the_median_and_the_share_below_11_25_degrees_are_those_of_the_angles():
    _, _, valid = scene()
    v, u = torch.meshgrid(*(torch.arange(n).double() for n in SIZE), indexing="ij")
    target = (3 + 0.02 * u + 0.01 * v).expand(3, 1, *SIZE)
    prediction = target + 0.05 * torch.sin(u * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None] + v)
    angle, good = normal_errors(prediction, target, valid, CAMERA)
    maps = prediction, target, valid, CAMERA
    for row in range(3):
        angles = angle[row][good[row]].numpy()
        assert f.normal_median(*maps)[row].item() == pytest.approx(np.median(angles))
        share = sum(a < 11.25 for a in angles) / len(angles)
        assert f.normal_11_25(*maps)[row].item() == pytest.approx(share)
        assert 0 < share < 1


def test_a_prediction_is_not_read_where_the_label_is_not_valid():
    prediction, target, valid = scene()
    valid[..., :8] = True
    smooth = torch.full_like(target, 3.0)
    found = f.normal_angle(torch.where(valid, prediction, torch.nan), smooth, valid, CAMERA)
    torch.testing.assert_close(found, f.normal_angle(prediction, smooth, valid, CAMERA))
    assert not found.isnan().any()
