"""The losses on metric depth."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import LogL1Loss, ScaleFreeSilogLoss, SilogLoss, log_l1, noise_weight, silog
from tests.losses.cases import KINDS, LABEL_FAULTS, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import everywhere, log_errors, plain_case


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


class TestScaleFreeSilogLoss(LossContract):
    def make(self):
        return ScaleFreeSilogLoss()

    def reference(self, row: Row):
        d = log_errors(row)
        mean = sum(d) / len(d)
        return math.sqrt(sum((x - mean) ** 2 for x in d) / len(d) + 1e-6) - math.sqrt(1e-6)

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: silog(x, z, valid, variance_focus=1), y


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


@pytest.mark.parametrize("focus", [0, 0.5, 0.85, 1])
def test_silog_agrees_with_the_formula_of_the_paper(focus):
    y, z, valid = plain_case()
    for log_depth, depth, known, value in zip(y, z, valid, silog(y, z, valid, focus), strict=True):
        d = (log_depth - depth.log())[known].numpy()
        paper = (d**2).sum() / len(d) - focus * d.sum() ** 2 / len(d) ** 2
        assert value.item() == pytest.approx(math.sqrt(paper + 1e-6) - 1e-3, rel=1e-6)


def test_silog_of_a_sparse_row_does_not_depend_on_a_dense_neighbour():
    y, z, valid = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 2.0), torch.ones(2, 1, 8, 8).bool()
    valid[1, 0, 1:] = False
    z[1] = 3.0
    values = silog(y, z, valid, variance_focus=0)
    torch.testing.assert_close(values, torch.tensor([2.0, 3.0]).log(), rtol=2e-3, atol=0)
    assert torch.equal(values[1:], silog(y[1:], z[1:], valid[1:], variance_focus=0))


@given(st.floats(0.01, 100), st.integers(0, 9))
def test_only_variance_focus_one_forgives_a_factor(factor, seed):
    z, p = torch.rand(2, 1, 1, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    free = silog(p.log(), z, everywhere(z), 1)
    torch.testing.assert_close(silog(p.log(), factor * z, everywhere(z), 1), free)
    assert silog(-z.log(), z, everywhere(z), 1).item() > 0.1  # an inverted map
    if abs(math.log(factor)) > 0.1:
        assert silog((factor * z).log(), z, everywhere(z), 0.85).item() > 0.03


def test_scale_free_silog_feels_neither_the_scale_of_a_label_nor_the_lack_of_a_camera():
    batch = make_batch()
    y = make_log_canonical(batch)
    values = ScaleFreeSilogLoss()(predict(y, batch), batch)
    for other in (replace(batch, target=7 * batch.target), LABEL_FAULTS["no camera"](batch)):
        torch.testing.assert_close(ScaleFreeSilogLoss()(predict(y, other), other), values, rtol=1e-4, atol=0)
    assert (values > 0).tolist() == [kind.name in ("METRIC_DEPTH", "SCALED_DEPTH") for kind in KINDS]


@pytest.mark.parametrize("log_depth", [-11.0, 11.0])
def test_a_prediction_far_off_keeps_its_gradient(log_depth):
    y = torch.full((1, 1, 4, 4), log_depth, requires_grad=True)
    z = torch.full_like(y, 3.0)
    (silog(y, z, everywhere(z)) + log_l1(y, z, everywhere(z), torch.ones_like(z))).sum().backward()
    assert (y.grad.sign() == math.copysign(1, log_depth)).all()
    assert y.grad.abs().sum() > 1


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
