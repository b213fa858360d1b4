"""Scale-and-shift-invariant losses after a least squares fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import LeastSquaresLoss, ssi_least_squares
from tests.losses.contract import LossContract, Row


def by_lstsq(p: np.ndarray, g: np.ndarray, residual: str) -> float:
    """The formula of the paper by a general solver, in deviations of the label; the scale by magnitude."""
    solution = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), g, rcond=None)[0]
    scale = abs(solution[0])
    error = scale * p + np.mean(g - scale * p) - g
    return (np.sum(error**2) / np.var(g) if residual == "mse" else np.sum(abs(error)) / np.std(g)) / (
        2 * len(g)
    )


class TestLeastSquaresLoss(LossContract):
    residual = "l1"

    def make(self):
        return LeastSquaresLoss(self.residual)

    def reference(self, row: Row):
        return by_lstsq(row.inverse_prediction[row.valid], row.inverse_target[row.valid], self.residual)

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 3, 1, 5, 6, generator=g, dtype=torch.float64)
        t[2] = 1 - p[2] + 0.1 * t[2]  # an inverted row
        valid = torch.rand(3, 1, 5, 6, generator=g) > 0.3
        return lambda x: ssi_least_squares(x, t, valid, self.residual), p


class TestSquaredLeastSquaresLoss(TestLeastSquaresLoss):
    residual = "mse"


def maps(seed: int = 0, rows: int = 1):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, rows, 1, 24, 20, generator=g)
    return p, t, torch.rand(rows, 1, 24, 20, generator=g) > 0.3


@pytest.mark.parametrize("residual", ["l1", "mse"])
@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_ignores_scale_and_shift_of_both_maps(residual, seed: int, scale: float, shift: float):
    p, t, valid = (x.double() if x.is_floating_point() else x for x in maps(seed))
    expected = ssi_least_squares(p, t, valid, residual)
    torch.testing.assert_close(ssi_least_squares(scale * (p + shift), t, valid, residual), expected)
    torch.testing.assert_close(ssi_least_squares(p, scale * (t + shift), valid, residual), expected)


@pytest.mark.parametrize("residual", ["l1", "mse"])
def test_agrees_with_the_formula_of_the_paper_to_six_digits(residual):
    p, t, valid = maps(3, rows=4)
    p = 0.4 * t + p  # the paper leaves negative scales open
    found = ssi_least_squares(p.double(), t.double(), valid, residual)
    for value, x, y, mask in zip(found, p.double(), t.double(), valid, strict=True):
        expected = by_lstsq(x[mask].numpy(), y[mask].numpy(), residual)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("residual", ["l1", "mse"])
@pytest.mark.parametrize("contrast", [0.1, 0.01, 0.001])
def test_an_affine_image_of_the_label_scores_zero_at_low_contrast(residual, contrast):
    # Uncentred normal equations lose this alignment: residuals of 0.08 at 0.01 and of 5 at 0.001.
    label = torch.randn(1, 1, 448, 448, generator=torch.Generator().manual_seed(0))
    p = (5 + contrast * label.double()).float()
    assert ssi_least_squares(p, label, torch.ones_like(label, dtype=torch.bool), residual).item() < 1e-3


@pytest.mark.parametrize("residual", ["l1", "mse"])
def test_an_inverted_prediction_is_not_forgiven_and_is_turned_round(residual):
    _, t, valid = maps()
    p = (1 - t).requires_grad_()
    value = ssi_least_squares(p, t, valid, residual)
    value.sum().backward()
    assert value.item() > ssi_least_squares(torch.full_like(t, 3.0), t, valid, residual).item() + 0.3
    assert (p.grad * t)[valid].sum() < 0  # descent raises the prediction where the label is high


def test_squares_are_one_less_the_squared_correlation():
    p, t, valid = maps(1)
    r = np.corrcoef((p + t)[valid].numpy(), t[valid].numpy())[0, 1]
    np.testing.assert_allclose(ssi_least_squares(p + t, t, valid, "mse").item(), (1 - r * r) / 2, rtol=1e-5)


def test_squares_of_half_precision_do_not_overflow():
    # In float16 the sum of squares over 518 x 518 pixels is inf.
    label = torch.rand(1, 1, 518, 518, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(label, dtype=torch.bool)
    half = (10 * label).half().requires_grad_()
    value = ssi_least_squares(half, label.half(), valid)
    value.sum().backward()
    assert value.item() < 1e-3
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("size", [1e-30, 1e30, 3e38])
def test_any_finite_unit_of_the_label_gives_the_same_value(size):
    p, t, valid = maps()
    t = t / t.abs().amax()
    expected = ssi_least_squares(p, t, valid)
    torch.testing.assert_close(ssi_least_squares(p, size * t, valid), expected, rtol=1e-4, atol=0)


def test_a_constant_label_is_no_supervision():
    p, t, valid = maps()
    assert ssi_least_squares(p, torch.full_like(t, 2.7), valid).item() == 0


def test_bad_options_and_maps_are_refused():
    with pytest.raises(ValueError, match='`residual` must be "l1" or "mse", got \'l2\''):
        LeastSquaresLoss("l2")
    p, t, valid = maps()
    with pytest.raises(ValueError, match="`target` must"):
        ssi_least_squares(p, t[:, 0], valid)
