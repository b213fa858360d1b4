"""Image-level normalised regression."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses import NormalisedRegressionLoss, normalised_regression
from tests.losses.contract import LossContract, Row


def trimmed_places(g: np.ndarray, trim: float = 0.1) -> np.ndarray:
    cut = int(np.floor(trim * len(g)))
    return np.argsort(g, kind="stable")[cut : len(g) - cut]


def in_units(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    mean = np.mean(x[places])
    return (x - mean) / max(np.std(x[places]), 0.5 * np.mean(abs(x - mean)))


class TestNormalisedRegressionLoss(LossContract):
    def make(self):
        return NormalisedRegressionLoss()

    def reference(self, row: Row):
        g, p = row.inverse_target[row.valid], row.inverse_prediction[row.valid]
        places = trimmed_places(g)
        g, p = in_units(g, places), in_units(p, places)
        return np.mean(abs(p - g) + abs(np.tanh(p / 100) - np.tanh(g / 100)))

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 2, 1, 5, 6, generator=g, dtype=torch.float64)
        valid = torch.rand(2, 1, 5, 6, generator=g) > 0.2
        return lambda x: normalised_regression(x, t, valid), p


def maps(seed: int = 0, size: int = 30):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, 1, 1, size, size, generator=g, dtype=torch.float64)
    return p, t, torch.rand(1, 1, size, size, generator=g) > 0.3


def test_agrees_with_the_formula_of_the_paper_to_six_digits():
    p, t, valid = maps()
    g = t[valid].numpy()
    places = trimmed_places(g)
    g = (g - np.mean(g[places])) / np.std(g[places])
    error = abs(p[valid].numpy() - g) + abs(np.tanh(0.01 * p[valid].numpy()) - np.tanh(0.01 * g))
    found = normalised_regression(p, t, valid, as_predicted=True)
    np.testing.assert_allclose(found.item(), np.mean(error), rtol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_ignores_scale_and_shift_of_both_maps(seed: int, scale: float, shift: float):
    p, t, valid = maps(seed)
    expected = normalised_regression(p, t, valid)
    torch.testing.assert_close(normalised_regression(scale * (p + shift), t, valid), expected)
    torch.testing.assert_close(normalised_regression(p, scale * (t + shift), valid), expected)


def test_an_affine_image_scores_zero_and_an_inverted_one_does_not():
    _, t, valid = maps()
    assert normalised_regression(3 * t - 8, t, valid).item() < 1e-9
    assert normalised_regression(1 - t, t, valid).item() > 1


@pytest.mark.parametrize("distance", [0.04, 4.0, 4000.0])
def test_a_flat_wall_with_a_thin_strip_does_not_explode(distance):
    # Without a floor that follows the map the deviation of the trimmed wall is 0: a loss of 40 000.
    p, _, valid = maps(size=50)
    wall = torch.ones_like(p).float()
    wall[..., :2] += distance
    p = p.float().requires_grad_()
    value = normalised_regression(p, wall, valid)
    value.sum().backward()
    assert 0 < value.item() < 4
    assert p.grad.abs().max() < 1


def test_the_prediction_is_judged_by_the_same_pixels_as_the_label():
    # A prediction that is right but for a few outliers inside the trimmed range keeps the rest near zero.
    _, t, valid = maps()
    p = 2 * t + 1
    few = (torch.arange(t.numel()).view_as(t) % 97 == 0) & (t.abs() > 2)
    value = normalised_regression(torch.where(few, p + 5, p), t, valid)
    assert value.item() < 0.1


def test_trim_out_of_range_and_foreign_maps_are_refused():
    with pytest.raises(ValueError, match=r"`trim` must be in \[0, 0.5\), got 0.5"):
        NormalisedRegressionLoss(trim=0.5)
    p, t, valid = maps()
    with pytest.raises(ValueError, match="`valid` must"):
        normalised_regression(p, t, valid.float())
