import numpy as np
import pytest

from depthmix.plot.compare import compare, plane_residual
from depthmix.sample import LabelKind
from tests.plot.scenes import corner, corner_depth


def test_a_metric_prediction_is_compared_as_it_is():
    found = compare(corner(), 1.1 * corner_depth(), metric=True)
    assert not found.fitted
    assert found.error[found.known] == pytest.approx(10, abs=1e-4)


@pytest.mark.parametrize("kind", [LabelKind.METRIC_DEPTH, LabelKind.SCALED_DEPTH, LabelKind.AFFINE_DISPARITY])
def test_a_relative_prediction_is_right_up_to_scale_and_shift_of_inverse_depth(kind):
    bent = (1 / (0.5 / corner_depth() + 0.2)).astype(np.float32)
    found = compare(corner(kind), bent, metric=False)
    assert found.fitted
    assert np.abs(found.error).max() < 1e-3
    assert found.values[found.known] == pytest.approx(corner(kind).target[found.known], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", [LabelKind.METRIC_DEPTH, LabelKind.AFFINE_DISPARITY])
def test_the_error_is_positive_where_the_prediction_is_too_far(kind):
    depth = corner_depth()
    depth[20, 5] *= 2
    assert compare(corner(kind), depth, metric=True).error[20, 5] > 5


def test_pixels_without_a_label_have_no_error():
    sample = corner()
    found = compare(sample, 2 * corner_depth(), metric=True)
    assert (found.error[~sample.valid] == 0).all()
    assert np.array_equal(found.known, sample.valid)


def test_a_fit_that_crosses_zero_stays_a_depth():
    # Little contrast on the label, much outside: the fitted line leaves the positive numbers there.
    sample = corner()
    inverse = np.where(sample.valid, 0.9 + 0.1 / corner_depth(), 0.1)
    values = compare(sample, (1 / inverse).astype(np.float32), metric=False).values
    assert (values > 0).all()
    assert values.max() == pytest.approx(10 * sample.target[sample.valid].max())


def test_inverse_depth_of_planes_leaves_no_residual_and_a_bump_does():
    sample = corner(LabelKind.NONE)
    inverse = 1 / corner_depth().astype(np.float64)
    assert np.abs(plane_residual(inverse, sample.planes)).max() < 1e-7  # float32 depth
    inverse[20, 10] += 0.1
    residual = plane_residual(inverse, sample.planes)
    assert residual[20, 10] > 0.05
    assert (residual[sample.planes == 0] == 0).all()


def test_a_label_of_planes_reports_how_far_off_the_plane_a_prediction_is():
    depth = corner_depth()
    depth[20, 10] *= 1.3
    found = compare(corner(LabelKind.NONE), depth, metric=True)
    assert found.error[20, 10] > 1
    assert np.array_equal(found.known, corner().planes > 0)
