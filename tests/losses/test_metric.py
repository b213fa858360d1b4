"""The losses on metric depth."""

import math

import numpy as np
import pytest
import torch

from depthmix.losses import LogL1Loss, SilogLoss, log_l1, noise_weight, silog
from tests.losses.contract import LossContract, Row


def log_errors(row: Row) -> list[float]:
    pixels = zip(row.depth_prediction[row.valid], row.target[row.valid], strict=True)
    return [math.log(p) - math.log(g) for p, g in pixels]


def plain_case():
    g = torch.Generator().manual_seed(0)
    y, z = torch.rand(2, 2, 1, 4, 5, generator=g, dtype=torch.float64)
    return y, z + 0.5, torch.rand(2, 1, 4, 5, generator=g) > 0.3


class TestSilogLoss(LossContract):
    def make(self):
        return SilogLoss()

    def reference(self, row: Row):
        d = log_errors(row)
        inside = sum(x * x for x in d) / len(d) - 0.85 * (sum(d) / len(d)) ** 2
        return math.sqrt(inside + 1e-6) - math.sqrt(1e-6)

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: silog(x, z, valid), y


class TestLogL1Loss(LossContract):
    def make(self):
        return LogL1Loss()

    def reference(self, row: Row):
        noise = row.sigma[row.valid] / row.target[row.valid]
        weights = [0.05 / (0.05 + s) for s in noise]
        return sum(w * abs(d) for w, d in zip(weights, log_errors(row), strict=True)) / sum(weights)

    def plain(self):
        y, z, valid = plain_case()
        weight = noise_weight(0.1 * z, z, valid, 0.05)
        return lambda x: log_l1(x, z, valid, weight), y


def test_a_perfect_prediction_is_exactly_zero_with_zero_gradient():
    z = torch.rand(1, 1, 8, 8) + 1
    y = z.log().requires_grad_()
    value = silog(y, z, torch.ones_like(z, dtype=torch.bool))
    value.sum().backward()
    assert value.item() == 0
    assert torch.equal(y.grad, torch.zeros_like(y))


@pytest.mark.parametrize("count", [0, 1])
def test_silog_survives_rows_of_zero_and_one_pixel(count):
    valid = (torch.arange(16) < count).view(1, 1, 4, 4)
    y = torch.zeros(1, 1, 4, 4, requires_grad=True)
    value = silog(y, torch.full_like(y, math.e), valid)
    value.sum().backward()
    assert value.item() == pytest.approx(count * (math.sqrt(0.15 + 1e-6) - 1e-3))
    assert y.grad.isfinite().all()


def test_variance_focus_one_forgives_a_wrong_scale_and_zero_does_not():
    z = torch.rand(1, 1, 8, 8) + 1
    valid = torch.ones_like(z, dtype=torch.bool)
    assert silog((2 * z).log(), z, valid, variance_focus=1).item() < 1e-6
    assert silog((2 * z).log(), z, valid, variance_focus=0).item() == pytest.approx(math.log(2), rel=2e-3)


def test_a_dense_image_does_not_outvote_a_sparse_one():
    z = torch.ones(2, 1, 8, 8)
    valid = torch.ones_like(z, dtype=torch.bool)
    valid[1, 0, 1:] = False
    values = log_l1(torch.full_like(z, 0.3), z, valid, torch.ones_like(z))
    torch.testing.assert_close(values, torch.tensor([0.3, 0.3]))


def test_noise_weight_is_one_without_a_model_half_at_the_tolerance_and_zero_outside_the_mask():
    z = torch.tensor([2.0, 2.0, 2.0]).view(1, 1, 1, 3)
    sigma = torch.tensor([0.0, 0.1, 5.0]).view(1, 1, 1, 3)
    valid = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    np.testing.assert_allclose(noise_weight(sigma, z, valid, tolerance=0.05).flatten(), [1, 0.5, 0])


def test_noisy_pixels_of_a_row_count_less():
    z, y = torch.ones(1, 1, 1, 2), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    valid = torch.ones_like(z, dtype=torch.bool)
    weight = noise_weight(torch.tensor([0.01, 0.5]).view(1, 1, 1, 2), z, valid, 0.05)
    assert log_l1(y, z, valid, weight).item() == pytest.approx(1 / 11 / (1 / 11 + 1 / 1.2))


def test_a_weight_under_the_mask_is_never_read():
    z, valid = torch.ones(1, 1, 1, 2), torch.tensor([True, False]).view(1, 1, 1, 2)
    y = torch.zeros(1, 1, 1, 2, requires_grad=True)
    log_l1(y, 2 * z, valid, torch.tensor([1.0, torch.nan]).view(1, 1, 1, 2)).sum().backward()
    assert y.grad.tolist() == [[[[-1, 0]]]]


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`variance_focus` must be in \[0, 1\], got 2"):
        SilogLoss(variance_focus=2)
    with pytest.raises(ValueError, match="`tolerance` must be positive, got 0"):
        LogL1Loss(tolerance=0)
