"""Disparities become metres with a spread, and a pair's calibration is checked."""

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.calibration import Fields
from depthmix.sources.stereo import (
    StereoCalibration,
    check_sigma,
    depth_of_disparity,
    pair_calibration,
)

PAIR = StereoCalibration(Intrinsics(100, 100, 31.5, 23.5), baseline_m=0.2, doffs_px=3, width=64, height=48)


def test_depth_and_spread_follow_the_formulas():
    disparity = np.array([[2.0, 7.0, 17.0]], np.float32)
    depth, sigma, valid = depth_of_disparity(disparity, PAIR, 0.25)
    assert valid.all()
    np.testing.assert_allclose(depth, [[20 / 5, 20 / 10, 20 / 20]])
    # The spread is what a change of the disparity by its own spread makes, to first order.
    nearer, _, _ = depth_of_disparity(disparity + np.float32(1e-2), PAIR, 0.25)
    np.testing.assert_allclose(sigma, (depth - nearer) / 1e-2 * 0.25, rtol=3e-3)


def test_disparities_at_or_beyond_infinity_are_not_valid():
    disparity = np.array([[-3.0, -4.0, np.nan, np.inf, 1e38, -2.9999998]], np.float32)
    depth, sigma, valid = depth_of_disparity(disparity, PAIR, 0.25)
    assert valid.tolist() == [[False, False, False, False, False, True]]
    assert not depth[~valid].any()
    assert not sigma[~valid].any()
    assert np.isfinite(depth).all()
    assert np.isfinite(sigma).all()


@pytest.mark.parametrize("sigma", [0, -1, np.inf, np.nan])
def test_a_spread_that_is_none_is_refused(sigma):
    with pytest.raises(ValueError, match="`sigma_disparity_px` must be positive and finite"):
        check_sigma(sigma)


def fields(tmp_path, **changes):
    stated = {"P2": "100 0 31 20 0 100 23 0 0 0 1 0", "P3": "100 0 33 -30 0 100 23 0 0 0 1 0"} | changes
    return Fields(tmp_path / "calib.txt", stated)


def test_two_projections_give_baseline_and_offset(tmp_path):
    pair = pair_calibration(fields(tmp_path), "P2", "P3", width=64, height=48)
    assert (pair.baseline_m, pair.doffs_px, pair.intrinsics) == (0.5, 2, Intrinsics(100, 100, 31, 23))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"P3": "101 0 33 -30 0 101 23 0 0 0 1 0"}, "another focal length than P2"),
        ({"P3": "100 0 33 30 0 100 23 0 0 0 1 0"}, "baseline of -0.1 m"),
        ({"P2": "100 0 31 20"}, r"12 number\(s\)"),
    ],
)
def test_matrices_of_no_rectified_pair_are_refused(tmp_path, changes, reason):
    with pytest.raises(BadSource, match=reason):
        pair_calibration(fields(tmp_path, **changes), "P2", "P3", width=64, height=48)
