"""Weights from the noise model of a label, in the losses on shape and on metres."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import (
    BerhuLoss,
    DepthL1Loss,
    HuberLoss,
    InverseDepthL1Loss,
    ScaleFreeSilogLoss,
    ScaleShiftInvariantLoss,
    SilogLoss,
    depth_l1,
    inverse_depth_noise,
    noise_weight,
    shape_weight,
    silog,
    ssi_trimmed,
)
from depthmix.sample import LabelKind
from tests.losses.cases import make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import log_errors, plain_case
from tests.losses.test_ssi import normalised

WEIGHED = [
    ScaleShiftInvariantLoss,
    SilogLoss,
    ScaleFreeSilogLoss,
    DepthL1Loss,
    InverseDepthL1Loss,
    HuberLoss,
    BerhuLoss,
]


def relative_weights(row: Row) -> np.ndarray:
    return np.array(
        [0.05 / (0.05 + s / z) for s, z in zip(row.sigma[row.valid], row.target[row.valid], strict=True)]
    )


def average(values, weights) -> float:
    return sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)


class TestWeighedShape(LossContract):
    def make(self):
        return ScaleShiftInvariantLoss(tolerance=0.1)

    def reference(self, row: Row):
        g, noise = row.inverse_target[row.valid], row.sigma[row.valid]
        if row.kind is not LabelKind.AFFINE_DISPARITY:
            noise = noise / row.target[row.valid] ** 2
        spread = np.mean(np.abs(g - np.mean(g)))
        weights = [0.1 / (0.1 + n / spread) for n in noise]
        p = normalised(row.inverse_prediction[row.valid])
        pairs = zip(weights, p, normalised(g), strict=True)
        residuals = sorted(w * abs(a - b) for w, a, b in pairs)
        kept = len(residuals) - int(0.2 * len(residuals))
        return sum(residuals[:kept]) / (2 * sum(weights))

    def plain(self):
        y, z, valid = plain_case()
        weight = shape_weight(0.1 * z, z, valid, 0.1)
        return lambda x: ssi_trimmed(x, z, valid, weight=weight), y


class TestWeighedSilog(LossContract):
    def make(self):
        return SilogLoss(tolerance=0.05)

    def reference(self, row: Row):
        d, weights = log_errors(row), relative_weights(row)
        mean = average(d, weights)
        variance = average([(x - mean) ** 2 for x in d], weights)
        return math.sqrt(variance + 0.15 * mean**2 + 1e-6) - 1e-3

    def plain(self):
        y, z, valid = plain_case()
        weight = noise_weight(0.1 * z.square(), z, valid, 0.05)
        return lambda x: silog(x, z, valid, weight=weight), y


class TestWeighedDepth(LossContract):
    def make(self):
        return DepthL1Loss(tolerance=0.05)

    def reference(self, row: Row):
        errors = np.abs(row.depth_prediction[row.valid] - row.target[row.valid])
        return average(errors, relative_weights(row))

    def plain(self):
        y, z, valid = plain_case()
        weight = noise_weight(0.1 * z.square(), z, valid, 0.05)
        return lambda x: depth_l1(x, z, valid, weight), y


class TestWeighedInverseDepth(LossContract):
    def make(self):
        return InverseDepthL1Loss(tolerance=0.05)

    def reference(self, row: Row):
        errors = np.abs(1 / row.depth_prediction[row.valid] - 1 / row.target[row.valid])
        return average(errors, relative_weights(row))

    plain = TestWeighedDepth.plain


def values(loss, batch):
    return loss(predict(make_log_canonical(batch), batch), batch)


@pytest.mark.parametrize("loss", WEIGHED)
def test_without_a_noise_model_no_bit_of_a_row_changes(loss):
    batch = make_batch()
    none = replace(batch, sigma=torch.zeros_like(batch.sigma))
    assert torch.equal(values(loss(tolerance=0.02), none), values(loss(), none))


@pytest.mark.parametrize("loss", WEIGHED)
def test_a_noisy_pixel_counts_less(loss):
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0.0)
    y = -make_batch((LabelKind.METRIC_DEPTH,), holes=0.0).inverse_depth.log()
    y[..., :8] += 0.5 * torch.sin(torch.arange(8.0))  # what is wrong lies at the left
    noisy = torch.zeros_like(batch.sigma)
    noisy[..., :8] = batch.target[..., :8]
    batch = replace(batch, sigma=noisy)
    weighed = loss(tolerance=0.01)(predict(y, batch), batch)
    assert (weighed < 0.9 * loss()(predict(y, batch), batch)).all()


@pytest.mark.parametrize("loss", WEIGHED)
def test_a_tolerance_that_is_not_positive_is_refused(loss):
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="`tolerance` must be positive and finite"):
            loss(tolerance=wrong)


@given(st.floats(0.01, 100), st.floats(-5, 5), st.integers(0, 9))
def test_shape_weights_know_neither_scale_nor_shift_of_a_label(factor, shift, seed):
    g = torch.Generator().manual_seed(seed)
    noise, label = torch.rand(2, 2, 1, 4, 5, generator=g, dtype=torch.float64)
    valid = torch.rand(2, 1, 4, 5, generator=g) > 0.2
    expected = shape_weight(noise, label, valid, 0.1)
    torch.testing.assert_close(shape_weight(factor * noise, factor * label + shift, valid, 0.1), expected)


@given(st.floats(0.01, 100), st.integers(0, 9))
def test_the_pull_on_a_row_does_not_depend_on_the_unit_of_its_label(factor, seed):
    g = torch.Generator().manual_seed(seed)
    noise, label, p = torch.rand(3, 1, 1, 4, 5, generator=g, dtype=torch.float64)
    valid = torch.ones(1, 1, 4, 5, dtype=torch.bool)
    pulls = []
    for unit in (1.0, factor):
        x = p.clone().requires_grad_()
        weight = shape_weight(unit * noise, unit * label, valid, 0.1)
        ssi_trimmed(x, unit * label, valid, weight=weight).sum().backward()
        pulls.append(x.grad)
    torch.testing.assert_close(*pulls)


@given(st.floats(0.1, 10), st.integers(0, 9))
def test_a_common_factor_of_the_weights_changes_nothing(factor, seed):
    g = torch.Generator().manual_seed(seed)
    y, z, weight = torch.rand(3, 1, 1, 4, 5, generator=g, dtype=torch.float64) + 0.1
    valid = torch.ones(1, 1, 4, 5, dtype=torch.bool)
    for formula in (silog, depth_l1, ssi_trimmed):
        expected = formula(y, z, valid, weight=weight)
        torch.testing.assert_close(formula(y, z, valid, weight=factor * weight), expected)


def test_noise_of_a_stereo_pair_is_the_same_at_every_inverse_depth():
    # So inside a stereo image these weights are even: inverse depth is the space in which its noise is.
    batch = make_batch((LabelKind.METRIC_DEPTH,), holes=0.0)
    focal, baseline, noise = 700.0, 0.2, 0.3
    batch = replace(batch, sigma=batch.target.square() * noise / (focal * baseline))
    found = inverse_depth_noise(batch)
    torch.testing.assert_close(found, torch.full_like(found, noise / (focal * baseline)))


def test_noise_of_a_label_that_is_inverse_depth_is_its_own():
    batch = make_batch((LabelKind.AFFINE_DISPARITY, LabelKind.METRIC_DEPTH))
    batch = replace(batch, sigma=torch.full_like(batch.sigma, 0.5))
    found = inverse_depth_noise(batch)
    assert torch.equal(found[0], torch.where(batch.valid[0], 0.5, 0.0))
    torch.testing.assert_close(found[1], torch.where(batch.valid[1], 0.5 / batch.target[1].square(), 0))


def test_what_noise_explains_does_not_use_up_the_trimming():
    # One pixel of ten may be left out. Of two that are far off, the label says of the first that it is noisy.
    label = torch.arange(10.0).view(1, 1, 1, 10)
    p = label.clone()
    p[..., 0], p[..., 3], p[..., 9] = 3.0, 3.5, 12.0
    valid = torch.ones_like(label, dtype=torch.bool)
    weight = torch.ones_like(label)
    weight[..., 0] = 1e-6
    kept = ssi_trimmed(p, label, valid, trim=0.1, weight=weight)
    difference = (normalised(p.numpy()) - normalised(label.numpy()))[0, 0, 0]
    expected = np.abs(difference[1:9]).sum() / (2 * 9)
    assert kept.item() == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01
