"""How much of two point clouds lies near the other, against loops over points."""

from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from depthmix.geometry import unproject
from depthmix.metrics import cloud
from depthmix.metrics import functional as f
from tests.metrics.toy_maps import CAMERA, scene


def clouds() -> tuple[Tensor, Tensor, Tensor]:
    prediction, target, valid = scene()
    ours, theirs = (unproject(x.double(), CAMERA) for x in (prediction, target))
    return ours, theirs, valid


def naive_f1(ours: np.ndarray, theirs: np.ndarray, limit: float) -> float:
    def share(some: np.ndarray, others: np.ndarray) -> float:
        return float(np.mean([min(np.linalg.norm(others - one, axis=1)) <= limit for one in some]))

    precision, recall = share(ours, theirs), share(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("at_once", [1, 500, 10**6])
def test_agrees_with_the_loop_however_it_is_cut_into_pieces(at_once: int):
    ours, theirs, valid = clouds()
    ours, theirs = (
        ours - torch.tensor([0, 0, 3.0])[:, None, None],
        theirs - torch.tensor([0, 0, 3.0])[:, None, None],
    )
    limits = torch.tensor([0.1, 0.3, 1.0], dtype=torch.float64)
    with mock.patch.object(cloud, "DISTANCES", at_once):
        found = f.cloud_f1(ours, theirs, valid, limits)
    picked = [[x[row][:, valid[row, 0]].numpy().T for x in (ours, theirs)] for row in range(3)]
    loops = [naive_f1(*pair, limit) for pair, limit in zip(picked, limits.tolist(), strict=True)]
    np.testing.assert_allclose(found, loops, rtol=1e-12)
    assert 0 < min(loops) < max(loops) < 1


def test_a_thinned_cloud_holds_in_each_cell_the_valid_pixel_nearest_to_its_middle():
    _, _, valid = scene()
    valid[1] = False
    valid[1, 0, 11, 15] = True  # one pixel of a sparse label is not lost
    with mock.patch.object(cloud, "POINTS", 24):  # cells of 3 x 3
        index, there = cloud._thinned(valid)
    for row in range(3):
        expected = []
        for top in range(0, 12, 3):
            for left in range(0, 16, 3):
                cell = [
                    ((v % 3 - 1) ** 2 + (u % 3 - 1) ** 2, v * 16 + u)
                    for v in range(top, min(top + 3, 12))
                    for u in range(left, min(left + 3, 16))
                    if valid[row, 0, v, u]
                ]
                expected += [min(cell)[1]] if cell else []
        assert index[row][there[row]].tolist() == expected


def test_a_perfect_cloud_scores_one_and_one_far_away_zero():
    _, theirs, valid = clouds()
    limit = torch.full((3,), 0.01)
    assert f.cloud_f1(theirs, theirs, valid, limit).tolist() == [1, 1, 1]
    assert f.cloud_f1(theirs + 100, theirs, valid, limit).tolist() == [0, 0, 0]


def test_moving_both_clouds_and_the_unit_change_nothing():
    ours, theirs, valid = clouds()
    limit = torch.full((3,), 0.3, dtype=torch.float64)
    expected = f.cloud_f1(ours, theirs, valid, limit)
    torch.testing.assert_close(f.cloud_f1(5 * ours + 1, 5 * theirs + 1, valid, 5 * limit), expected)
    torch.testing.assert_close(f.cloud_f1(theirs, ours, valid, limit), expected)  # precision is its recall
