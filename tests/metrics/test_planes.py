"""Flatness and orientation of planes against a singular value decomposition."""

import math

import numpy as np
import pytest
import torch

from depthmix.geometry import unproject
from depthmix.metrics import functional as f
from tests.metrics.toy_maps import CAMERA, SIZE, plane_depth, scene, two_planes


def test_planarity_of_true_planes_is_zero_and_of_noise_is_its_size():
    depth, planes = two_planes()
    assert f.planarity_rms(unproject(depth, CAMERA[:1]), planes).item() < 1e-7
    wall = plane_depth((0, 0, 1), 2.0)
    ripple = torch.where((torch.arange(16) % 2 == 0), 0.01, -0.01).double() * torch.ones(SIZE)
    ripple[::2] *= -1
    rms = f.planarity_rms(unproject(wall + ripple, CAMERA[:1]), torch.ones_like(planes))
    assert rms.item() == pytest.approx(0.01, rel=0.02)


def test_planarity_agrees_with_a_loop_over_planes():
    prediction, target, valid = scene()
    draw = torch.Generator().manual_seed(1)
    planes = torch.randint(0, 3, target.shape, generator=draw, dtype=torch.int32)
    planes[~valid] = 0
    points, labels = (unproject(torch.where(valid, x, 1), CAMERA) for x in (prediction, target))

    def fit(cloud: np.ndarray) -> tuple[float, np.ndarray]:
        _, values, axes = np.linalg.svd(cloud - cloud.mean(0), full_matrices=False)
        return values[-1] / math.sqrt(len(cloud)), axes[-1]

    rms, angle = [], []
    for row in range(3):
        ids = [k for k in (1, 2) if (planes[row] == k).sum() >= 20]
        clouds = [[x[row].double().numpy()[:, planes[row, 0] == k].T for x in (points, labels)] for k in ids]
        rms.append(np.mean([fit(ours)[0] for ours, _ in clouds]))
        cosines = [abs(fit(ours)[1] @ fit(theirs)[1]) for ours, theirs in clouds]
        angle.append(np.mean(np.degrees(np.arccos(np.minimum(cosines, 1)))))
    np.testing.assert_allclose(f.planarity_rms(points, planes), rms, rtol=1e-7)
    np.testing.assert_allclose(f.planarity_angle(points, labels, planes), angle, rtol=1e-6)


def test_planarity_angle_is_the_angle_between_the_planes():
    planes = torch.ones(1, 1, *SIZE, dtype=torch.int32)
    ours, theirs = plane_depth((0, 0, 1), 2.0), plane_depth((0.6, 0, 0.8), 2.0)
    angle = f.planarity_angle(unproject(ours, CAMERA[:1]), unproject(theirs, CAMERA[:1]), planes)
    assert angle.item() == pytest.approx(math.degrees(math.acos(0.8)), rel=1e-6)


def test_small_and_missing_planes_are_not_measured():
    depth, planes = two_planes()
    points = unproject(depth, CAMERA[:1])
    assert f.planarity_rms(points, torch.zeros_like(planes)).isnan().all()
    assert f.planarity_rms(points, planes, pixels=10_000).isnan().all()
