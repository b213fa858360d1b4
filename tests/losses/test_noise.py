"""Likelihoods with the noise of the label."""

import math

import pytest
import torch

from depthmix.losses import LabelNoiseLoss, gaussian_noise, laplace_noise
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import everywhere, log_errors, plain_case, strip

FORMULAS = {"gaussian": gaussian_noise, "laplace": laplace_noise}


def variances(row: Row) -> list[float]:
    pixels = zip(row.sigma[row.valid], row.target[row.valid], strict=True)
    return [0.05**2 + (s / z) ** 2 for s, z in pixels]


class TestLaplaceLabelNoiseLoss(LossContract):
    def make(self):
        return LabelNoiseLoss()

    def reference(self, row: Row):
        pixels = zip(log_errors(row), variances(row), strict=True)
        return sum(math.sqrt(2 / v) * abs(d) for d, v in pixels) / row.valid.sum()

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: laplace_noise(x, z, valid, 0.1 * z, 0.05), y


class TestGaussianLabelNoiseLoss(LossContract):
    def make(self):
        return LabelNoiseLoss("gaussian")

    def reference(self, row: Row):
        pixels = zip(log_errors(row), variances(row), strict=True)
        return sum(d * d / (2 * v) for d, v in pixels) / row.valid.sum()

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: gaussian_noise(x, z, valid, 0.1 * z, 0.05), y


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_differences_are_those_of_the_log_densities_of_torch(likelihood: str):
    y, z, valid = plain_case()
    sigma = 0.1 * z.square()
    spread = (0.05**2 + (sigma / z).square()).sqrt()
    if likelihood == "gaussian":
        density = torch.distributions.Normal(0.0, spread)
    else:
        density = torch.distributions.Laplace(0.0, spread / math.sqrt(2))
    for row in range(len(y)):
        gap = [-density.log_prob(x - z.log())[row][valid[row]].mean() for x in (y, 2 * y)]
        ours = [FORMULAS[likelihood](x, z, valid, sigma, 0.05)[row] for x in (y, 2 * y)]
        torch.testing.assert_close(ours[1] - ours[0], gap[1] - gap[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("formula", FORMULAS)
def test_pixels_without_a_noise_model_have_a_bounded_influence(formula: str):
    # 1 / sigma^2 would give the pixel of sigma 0 all the influence there is, and NaN for an exact one.
    y = strip(0.2, 0.2, 0.2).requires_grad_()
    FORMULAS[formula](
        y, torch.ones(1, 1, 1, 3), everywhere(y), strip(0.0, 0.05, 1e-20), 0.05
    ).sum().backward()
    share = y.grad.flatten() / y.grad.sum()
    assert share[0] == share[2]
    expected = {"gaussian": 2.0, "laplace": math.sqrt(2)}[formula]
    assert share[0] / share[1] == pytest.approx(expected, rel=1e-5)


def test_a_stereo_image_is_not_left_to_its_nearest_pixels():
    # sigma = z^2 sigma_d / (f B) with 0.3 pixels, 700 pixels, 0.2 m: 1 / sigma_log^2 spans a factor of 1600.
    z = torch.linspace(2, 80, 100).view(1, 1, 1, -1)
    y = (z.log() + 0.1).requires_grad_()
    laplace_noise(y, z, everywhere(z), z.square() * 0.3 / (700 * 0.2), 0.05).sum().backward()
    pull = y.grad.flatten()
    assert (pull.diff() < 0).all()
    assert pull[0] / pull[-1] < 40
    assert pull[:5].sum() / pull.sum() < 0.2


def test_a_noisy_image_counts_less_as_a_whole():
    y, z = torch.full((1, 1, 4, 4), 0.3), torch.ones(1, 1, 4, 4)
    clean, noisy = (laplace_noise(y, z, everywhere(z), s * z, 0.05).item() for s in (0.0, 0.5))
    assert clean > 9 * noisy


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match='`likelihood` must be "gaussian" or "laplace", got \'cauchy\''):
        LabelNoiseLoss("cauchy")
    with pytest.raises(ValueError, match="`tolerance` must be positive and finite, got 0"):
        LabelNoiseLoss(tolerance=0)
