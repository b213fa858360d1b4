"""The losses on depth in metres and on its inverse."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import (
    BerhuLoss,
    DepthL1Loss,
    HuberLoss,
    InverseDepthL1Loss,
    berhu,
    depth_l1,
    huber,
    inverse_depth_l1,
)
from depthmix.prediction import Prediction
from tests.losses.cases import FOCAL, KINDS, make_batch, make_log_canonical
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import everywhere, plain_case, strip

FORMULAS = {"l1": depth_l1, "huber": huber, "berhu": berhu}


def errors(row: Row, canonical: bool = False) -> list[float]:
    unit = FOCAL / math.sqrt(row.camera[0] * row.camera[1]) if canonical else 1
    pixels = zip(row.depth_prediction[row.valid], row.target[row.valid], strict=True)
    return [abs(p - g) * unit for p, g in pixels]


class TestDepthL1Loss(LossContract):
    def make(self):
        return DepthL1Loss()

    def reference(self, row: Row):
        return sum(errors(row)) / len(errors(row))

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: depth_l1(x, z, valid), y


class TestCanonicalDepthL1Loss(TestDepthL1Loss):
    def make(self):
        return DepthL1Loss(canonical=True)

    def reference(self, row: Row):
        return sum(errors(row, canonical=True)) / len(errors(row))


class TestInverseDepthL1Loss(LossContract):
    def make(self):
        return InverseDepthL1Loss()

    def reference(self, row: Row):
        pixels = zip(row.depth_prediction[row.valid], row.target[row.valid], strict=True)
        gaps = [abs(1 / p - 1 / g) for p, g in pixels]
        return sum(gaps) / len(gaps)

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: inverse_depth_l1(x, z, valid), y


class TestHuberLoss(LossContract):
    def make(self):
        return HuberLoss(delta=0.3)

    def reference(self, row: Row):
        values = [e * e / 0.6 if e <= 0.3 else e - 0.15 for e in errors(row)]
        return sum(values) / len(values)

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: huber(x, z, valid, 0.3), y


class TestBerhuLoss(LossContract):
    def make(self):
        return BerhuLoss()

    def reference(self, row: Row):
        c = 0.2 * max(errors(row))
        values = [e if e <= c else (e * e + c * c) / (2 * c) for e in errors(row)]
        return sum(values) / len(values)

    def plain(self):
        y, z, valid = plain_case()
        # The error that sets c stays the largest and c is detached: no gradient is due through it, so it
        # must not move under finite differences.
        y[:, :, 0, 0], z[:, :, 0, 0], valid[:, :, 0, 0] = 0, 5, True
        fixed = y.clone()
        return lambda x: berhu(torch.cat([fixed[..., :1], x[..., 1:]], 3), z, valid), y


@pytest.mark.parametrize("loss", [DepthL1Loss, InverseDepthL1Loss, HuberLoss, BerhuLoss])
def test_canonical_units_forget_the_focal_length_with_which_an_image_was_taken(loss):
    batch = make_batch(KINDS[:1])
    y = make_log_canonical(batch)
    values = []
    for zoom in (1, 3):  # the same canonical prediction and label through a longer lens
        camera = batch.intrinsics * zoom
        zoomed = replace(batch, target=zoom * batch.target, intrinsics=camera)
        values.append(loss(canonical=True)(Prediction(y, camera, FOCAL), zoomed))
    torch.testing.assert_close(values[0], values[1])


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_negative_depth_keeps_its_gradient(formula):
    # A clamp to a smallest depth would leave a network that starts below it without any.
    depth = strip(-3.0, -4.0, 2.5).requires_grad_()
    FORMULAS[formula](depth, strip(2.0, 2.0, 2.0), everywhere(depth)).sum().backward()
    assert (depth.grad.flatten()[:2] <= -1 / 3 + 1e-6).all()


def test_the_berhu_threshold_of_a_row_does_not_follow_an_outlier_of_another():
    target = torch.ones(2, 1, 4, 4)
    depth = target + torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    alone = berhu(depth[:1], target[:1], everywhere(target)[:1])
    depth[1, 0, 0, 0] = 500
    assert torch.equal(berhu(depth, target, everywhere(target))[:1], alone)
    assert alone.item() > depth_l1(depth, target, everywhere(target))[0].item()  # the square is at work


def test_an_outlier_under_the_mask_does_not_set_the_berhu_threshold():
    depth, target = strip(1.1, 1.4, 900.0), strip(1.0, 1.0, 1.0)
    valid = torch.tensor([True, True, False]).view_as(depth)
    assert berhu(depth, target, valid).item() == pytest.approx((0.1025 + 1.04) / 2, rel=1e-5)


@given(st.floats(0.01, 100), st.integers(0, 9))
def test_l1_and_berhu_carry_the_unit_of_the_maps_and_huber_that_of_its_delta(unit, seed):
    a, b = torch.rand(2, 1, 1, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    valid = everywhere(a)
    for formula in (depth_l1, berhu):
        torch.testing.assert_close(formula(unit * a, unit * b, valid), unit * formula(a, b, valid))
    torch.testing.assert_close(huber(unit * a, unit * b, valid, unit), unit * huber(a, b, valid))


def test_no_error_is_exactly_zero_with_zero_gradient():
    z = torch.rand(1, 1, 4, 4) + 1
    for formula in FORMULAS.values():
        depth = z.clone().requires_grad_()
        value = formula(depth, z, everywhere(z))
        value.sum().backward()
        assert value.item() == 0
        assert torch.equal(depth.grad, torch.zeros_like(z))


@pytest.mark.parametrize("formula", FORMULAS)
def test_errors_whose_square_overflows_stay_finite(formula):
    depth = strip(1.0, 2.0).requires_grad_()
    value = FORMULAS[formula](depth, strip(3e30, 1.0), everywhere(depth))
    value.sum().backward()
    assert value.isfinite().all()
    assert depth.grad.isfinite().all()


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`delta` must be positive and finite, got 0"):
        HuberLoss(delta=0)
    with pytest.raises(ValueError, match=r"`fraction` must be in \(0, 1\], got 2"):
        BerhuLoss(fraction=2)
