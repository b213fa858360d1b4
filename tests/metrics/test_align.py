"""What a label leaves open is fitted, and nothing else."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.metrics import functional as f
from tests.metrics.toy_maps import SIZE, naive, scene


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-0.5, 5))
def test_ssi_and_alignment_ignore_scale_and_shift_of_inverse_depth(scale: float, shift: float):
    _, target, valid = scene()
    inverse = torch.where(valid, 1 / torch.where(valid, target, 1), 0).double()
    moved = scale * inverse + shift
    assert f.ssi(moved, inverse, valid).max() < 1e-6
    depth = f.align_inverse_depth(moved, target, valid)
    torch.testing.assert_close(depth[valid], target[valid].double(), rtol=1e-6, atol=1e-6)


def test_ssi_agrees_with_a_least_squares_solver_and_is_one_for_a_constant():
    prediction, target, valid = scene()

    def solve(p: np.ndarray, g: np.ndarray) -> float:
        matrix = np.stack([p, np.ones_like(p)], 1)
        fitted = matrix @ np.linalg.lstsq(matrix, g, rcond=None)[0]
        return float(np.mean(np.abs(fitted - g)) / np.mean(np.abs(g - np.median(g))))

    np.testing.assert_allclose(
        f.ssi(prediction, target, valid), naive(solve, prediction, target, valid), 1e-6
    )
    constant = f.ssi(torch.ones_like(target), target, valid)
    assert ((constant >= 1) & (constant < 1.1)).all()  # the mean is fitted, the median is the yardstick


def test_an_inverted_prediction_gains_nothing_by_alignment():
    _, target, valid = scene()
    depth = f.align_inverse_depth(torch.where(valid, target, 0), target, valid)
    assert (depth.flatten(1).amax(1) - depth.flatten(1).amin(1)).max() < 1e-9


def test_aligned_depth_is_positive_and_no_farther_than_the_farthest_label():
    draw = torch.Generator().manual_seed(3)
    _, target, valid = scene()
    depth = f.align_inverse_depth(torch.randn(3, 1, *SIZE, generator=draw), target, valid)
    cap = torch.where(valid, target, 0).amax((1, 2, 3), keepdim=True).double()
    assert (depth > 0).all()
    assert (depth <= cap * (1 + 1e-9)).all()
