"""Errors of image derivatives over a pyramid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import GradientErrorLoss, LaplacianErrorLoss, gradient_error, laplacian_error
from depthmix.sample import LabelKind
from tests.losses.cases import FOCAL, make_batch, predict
from tests.losses.contract import LossContract, Row
from tests.losses.test_ssi import normalised

SCHARR = np.array([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
FILTERS = {"scharr": [SCHARR, SCHARR.T], "laplace": [LAPLACE]}
UNDER = {"scharr": np.ones((3, 3), bool), "laplace": LAPLACE != 0}


def halved(x: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = x.shape[0] // 2, x.shape[1] // 2
    out, mask = np.zeros(shape), np.zeros(shape, bool)
    for v, u in np.ndindex(shape):
        block, ok = (a[2 * v : 2 * v + 2, 2 * u : 2 * u + 2] for a in (x, valid))
        mask[v, u] = ok.sum() >= 2
        out[v, u] = block[ok].mean() if mask[v, u] else 0
    return out, mask


def by_loops(p: np.ndarray, g: np.ndarray, valid: np.ndarray, kind: str, scales: int = 6) -> float:
    """Filter both maps at every level and every pixel, then compare."""
    means = []
    for _ in range(scales):
        errors = [
            sum(
                abs(np.sum(f * p[v : v + 3, u : u + 3]) - np.sum(f * g[v : v + 3, u : u + 3]))
                for f in FILTERS[kind]
            )
            for v, u in np.ndindex(max(p.shape[0] - 2, 0), max(p.shape[1] - 2, 0))
            if valid[v : v + 3, u : u + 3][UNDER[kind]].all()
        ]
        means += [np.mean(errors)] if errors else []
        (p, smaller), (g, _) = halved(p, valid), halved(g, valid)
        valid = smaller
    return float(np.mean(means)) if means else 0.0


class TestGradientErrorLoss(LossContract):
    kind, loss, function = "scharr", GradientErrorLoss, staticmethod(gradient_error)

    def make(self):
        return self.loss()

    def reference(self, row: Row):
        p, g = np.zeros(row.valid.shape), np.zeros(row.valid.shape)
        p[row.valid], g[row.valid] = row.inverse_prediction[row.valid], row.inverse_target[row.valid]
        if row.kind is LabelKind.METRIC_DEPTH:
            g *= np.sqrt(row.camera[0] * row.camera[1]) / FOCAL
        else:
            p[row.valid], g[row.valid] = normalised(p[row.valid]), normalised(g[row.valid])
        return by_loops(p, g, row.valid, self.kind)

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 2, 1, 7, 9, generator=g, dtype=torch.float64)
        valid = torch.rand(2, 1, 7, 9, generator=g) > 0.1
        return lambda x: self.function(x, t, valid), p


class TestLaplacianErrorLoss(TestGradientErrorLoss):
    kind, loss, function = "laplace", LaplacianErrorLoss, staticmethod(laplacian_error)


BOTH = pytest.mark.parametrize(
    ("kind", "function"), [("scharr", gradient_error), ("laplace", laplacian_error)]
)


@BOTH
@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(3, 21), st.integers(3, 21))
def test_agrees_with_loops_on_images_of_any_size(kind, function, seed: int, h: int, w: int):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, 1, 1, h, w, generator=g, dtype=torch.float64)
    valid = torch.rand(1, 1, h, w, generator=g) > 0.15
    p, t = torch.where(valid, p, 0), torch.where(valid, t, 0)
    expected = by_loops(p[0, 0].numpy(), t[0, 0].numpy(), valid[0, 0].numpy(), kind)
    np.testing.assert_allclose(function(p, t, valid).item(), expected, rtol=1e-6, atol=1e-12)


@BOTH
def test_one_invalid_pixel_under_a_stencil_takes_it_out(kind, function):
    p, t = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    p[0, 0, 0, 1] = 1
    for place in np.ndindex(3, 3):
        valid = torch.ones(1, 1, 3, 3, dtype=torch.bool)
        valid[0, 0][place] = False
        assert (function(p, t, valid).item() > 0) == (not UNDER[kind][place])


def test_a_ramp_has_gradient_one_and_no_laplacian():
    ramp = torch.arange(12.0).expand(1, 1, 9, 12)
    valid = torch.ones_like(ramp, dtype=torch.bool)
    assert gradient_error(ramp, torch.zeros_like(ramp), valid, scales=1).item() == pytest.approx(1)
    assert laplacian_error(ramp, torch.zeros_like(ramp), valid, scales=1).item() == 0


@BOTH
def test_holes_neither_cost_nor_thin_the_loss_out(kind, function):
    g = torch.Generator().manual_seed(0)
    error, t = torch.randn(2, 1, 1, 96, 96, generator=g)
    holes = torch.rand(1, 1, 96, 96, generator=g) > 0.05
    assert function(t, t, holes).item() == 0
    full = function(t + error, t, torch.ones_like(holes), scales=2)
    torch.testing.assert_close(function(t + error, t, holes, scales=2), full, rtol=0.1, atol=0)


@pytest.mark.parametrize("loss", [GradientErrorLoss(), LaplacianErrorLoss()])
def test_relative_labels_leave_scale_and_shift_open_and_metric_ones_do_not(loss):
    batch = make_batch(
        (LabelKind.METRIC_DEPTH, LabelKind.SCALED_DEPTH, LabelKind.AFFINE_DISPARITY), holes=0.0
    )
    y = -torch.where(
        batch.is_depth[:, None, None, None], batch.inverse_depth, (batch.inverse_depth + 1) / 3
    ).log()
    metric, *relative = loss(predict(y, batch), batch)
    assert metric > 1e-4
    assert max(relative) < 1e-5
    canonical = y - ((28 * 30) ** 0.5 / FOCAL * torch.ones(3, 1, 1, 1)).log()
    assert loss(predict(canonical, batch), batch)[0] < 1e-6


@pytest.mark.parametrize("loss", [GradientErrorLoss(), LaplacianErrorLoss()])
def test_an_inverted_prediction_does_not_score_zero(loss):
    batch = make_batch((LabelKind.SCALED_DEPTH, LabelKind.AFFINE_DISPARITY))
    inverse = batch.inverse_depth
    worst = loss(predict(-(inverse.amax() + 0.1 - inverse).log(), batch), batch)
    assert (worst > 0.1).all()


def test_an_image_smaller_than_the_stencil_is_no_supervision():
    p = torch.rand(2, 1, 2, 9, requires_grad=True)
    value = gradient_error(p, torch.rand(2, 1, 2, 9), torch.ones(2, 1, 2, 9, dtype=torch.bool))
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2))
    assert not p.grad.any()


def test_scales_below_one_and_foreign_maps_are_refused():
    with pytest.raises(ValueError, match="`scales` must be at least 1, got 0"):
        LaplacianErrorLoss(scales=0)
    with pytest.raises(ValueError, match="`target` must"):
        laplacian_error(torch.rand(1, 1, 5, 5), torch.rand(5, 5), torch.ones(1, 1, 5, 5, dtype=torch.bool))
