"""The scale loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import ScaleLoss, scale_error
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import everywhere, log_errors, plain_case


class TestScaleLoss(LossContract):
    def make(self):
        return ScaleLoss()

    def reference(self, row: Row):
        return float(np.median(log_errors(row))) ** 2

    def plain(self):
        # The gradient of the median form is that of a shift by design, and has a test of its own below.
        y, z, valid = plain_case()
        return lambda x: scale_error(x, z, valid, "mean"), y


class TestMeanScaleLoss(TestScaleLoss):
    def make(self):
        return ScaleLoss("mean")

    def reference(self, row: Row):
        return float(np.mean(log_errors(row))) ** 2


@pytest.mark.parametrize("centre", ["median", "mean"])
def test_the_gradient_is_the_same_for_all_valid_pixels_and_exact_along_a_shift(centre):
    y, z, valid = plain_case()
    y.requires_grad_()
    scale_error(y, z, valid, centre).sum().backward()
    step = 1e-6
    for row in range(len(y)):
        pull = y.grad[row][valid[row]]
        torch.testing.assert_close(pull, pull[:1].expand_as(pull))
        with torch.no_grad():
            up, down = (scale_error(y + h, z, valid, centre)[row] for h in (step, -step))
        assert pull.sum().item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-6)
    assert (y.grad[~valid] == 0).all()


@given(st.floats(0.01, 100), st.integers(0, 9))
def test_it_sees_the_factor_and_nothing_of_the_shape(factor, seed):
    g = torch.Generator().manual_seed(seed)
    z = torch.rand(1, 1, 5, 5, generator=g, dtype=torch.float64) + 0.1
    shape = torch.randn(1, 1, 5, 5, generator=g, dtype=torch.float64)
    shape = shape - shape.median()
    value = scale_error((factor * z).log() + shape, z, everywhere(z))
    assert value.item() == pytest.approx(math.log(factor) ** 2, rel=1e-9, abs=1e-12)


def test_the_median_does_not_follow_outliers():
    y, z = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    y[0, 0, 0] = 9
    assert scale_error(y, z, everywhere(z)).item() == 0
    assert scale_error(y, z, everywhere(z), "mean").item() > 5


def test_an_unknown_centre_is_refused():
    with pytest.raises(ValueError, match='`centre` must be "median" or "mean", got \'mode\''):
        ScaleLoss("mode")
