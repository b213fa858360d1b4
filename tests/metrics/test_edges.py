"""Depth edges and their distances against another implementation and loops over pixels."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.feature import canny
from torch import Tensor

from depthmix.metrics import functional as f
from depthmix.metrics.edges import depth_edges, edge_errors


def random_map(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A rough surface with a step, and a mask: all valid, with single holes, or with stripes."""
    random = np.random.default_rng(seed)
    h, w = random.integers(14, 40, 2)
    depth = 3 * ndimage.gaussian_filter(random.random((h, w)), random.uniform(0.5, 3)) + 1
    depth[h // 3 :, w // 2 :] += random.uniform(0, 1)
    stripes = np.add.outer(np.arange(h), np.arange(w)) % 29 > 2
    return depth, (np.ones((h, w), bool), random.random((h, w)) < 0.97, stripes)[seed % 3]


def as_maps(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(x)[None, None] for x in arrays]


@pytest.mark.parametrize("seed", range(18))
def test_edges_are_those_of_another_implementation_of_canny(seed: int):
    depth, valid = random_map(seed)
    low, high = depth[valid].min(), depth[valid].max()
    options = {"sigma": math.sqrt(2), "low_threshold": 0.1, "high_threshold": 0.2, "mask": valid}
    expected = canny((depth - low) / (high - low), **options)
    found = depth_edges(*as_maps(np.where(valid, depth, np.nan), valid))
    assert expected.sum() > 5
    assert np.array_equal(found[0, 0].numpy(), expected)


def naive_errors(predicted: np.ndarray, labelled: np.ndarray) -> tuple[float, float]:
    ours, theirs = np.argwhere(predicted), np.argwhere(labelled)
    if not len(theirs):
        return math.nan, math.nan

    def nearest(pixel: np.ndarray, others: np.ndarray) -> float:
        return min((math.dist(pixel, other) for other in others), default=math.inf)

    to_label = [nearest(pixel, theirs) for pixel in ours]
    near = [away for away in to_label if away < 10]
    if not near:
        return 10.0, 10.0
    to_prediction = [nearest(pixel, ours) for pixel in theirs]
    both = [min(away, 10) for away in (*to_label, *to_prediction)]
    return sum(near) / len(near), sum(both) / len(both)


@pytest.mark.parametrize("share", [0.0, 0.003, 0.02])
def test_distances_agree_with_loops_over_edge_pixels(share: float):
    draw = torch.Generator().manual_seed(0)
    predicted, labelled = (torch.rand(4, 1, 30, 40, generator=draw) < x for x in (share, 0.004))
    labelled[1] = False
    found = torch.stack(edge_errors(predicted, labelled), 1)
    loops = [naive_errors(*(x[row, 0].numpy() for x in (predicted, labelled))) for row in range(4)]
    np.testing.assert_allclose(found.numpy(), loops, rtol=1e-12)


def step_at(column: int, width: int = 40) -> Tensor:
    depth = torch.full((1, 1, 30, width), 2.0)
    depth[..., column:] = 4
    return depth


def test_a_step_that_lies_three_pixels_off_is_three_pixels_off():
    everywhere = torch.ones(1, 1, 30, 40, dtype=torch.bool)
    # Both pixels at a step are equally steep up to rounding, so an edge is one or two pixels wide.
    for measure in (f.edge_accuracy, f.edge_completeness):
        assert measure(step_at(20), step_at(20), everywhere).item() == 0
        assert 2 <= measure(step_at(23), step_at(20), everywhere).item() <= 3


def test_a_missing_or_far_edge_costs_ten_pixels_and_a_flat_label_says_nothing():
    everywhere = torch.ones(1, 1, 30, 40, dtype=torch.bool)
    flat = torch.full((1, 1, 30, 40), 2.0)
    for measure in (f.edge_accuracy, f.edge_completeness):
        assert measure(flat, step_at(20), everywhere).item() == 10
        assert measure(step_at(35), step_at(10), everywhere).item() == 10
        assert measure(step_at(20), flat, everywhere).isnan().all()
        assert measure(step_at(20), flat, torch.zeros_like(everywhere)).isnan().all()


def test_edges_have_no_scale_and_no_offset_of_depth():
    maps = [random_map(seed) for seed in (0, 3)]
    for depth, valid in maps:
        one, moved = (depth_edges(*as_maps(x, valid)) for x in (depth, 7 * depth + 3))
        assert torch.equal(one, moved)
