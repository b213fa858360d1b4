"""The losses of the uncertainty head."""

import math

import pytest
import torch

from depthmix.losses import ErrorForecastLoss, UncertainDepthLoss, error_forecast, uncertain_l1
from depthmix.prediction import Prediction
from tests.losses.cases import make_batch, make_log_canonical
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import everywhere, log_errors, plain_case, strip


def channel(row: Row) -> list[float]:
    """The head of the fake network, see `tests.losses.cases.predict`."""
    return [0.3 * y - 2 for y in row.y[row.valid]]


class TestUncertainDepthLoss(LossContract):
    def make(self):
        return UncertainDepthLoss()

    def reference(self, row: Row):
        noise = row.sigma[row.valid] / row.target[row.valid]
        total = 0.0
        for d, s, n in zip(log_errors(row), channel(row), noise, strict=True):
            inside = min(max(s, math.log(0.01)), 0.0)
            b = math.sqrt(math.exp(2 * inside) + n * n / 2)
            total += abs(d) / b + math.log(b / 0.01) + abs(s - inside)
        return total / row.valid.sum()

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: uncertain_l1(x, z, valid, 0.3 * x - 2, 0.1 * z), y


class TestErrorForecastLoss(LossContract):
    knows_order = False

    def make(self):
        return ErrorForecastLoss()

    def reference(self, row: Row):
        pixels = zip(log_errors(row), channel(row), strict=True)
        gaps = [abs(s - math.log(0.001 + abs(d))) for d, s in pixels]
        return sum(gaps) / len(gaps)

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: error_forecast(x, z.log() + 0.2 * y, z, valid), y.clone()


def best(loss, errors: torch.Tensor, candidates: torch.Tensor) -> float:
    """Return the constant s at which a loss of (log depth, s) over the given errors is smallest."""
    values = [loss(errors, torch.full_like(errors, float(s))).item() for s in candidates]
    return float(candidates[values.index(min(values))])


def laplace_errors(scale: float) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.distributions.Laplace(torch.tensor(0.0), scale).sample((1, 1, 100, 200)).double()


def test_the_best_uncertainty_is_the_mean_error_and_the_best_forecast_the_median():
    errors, steps = laplace_errors(0.1), torch.linspace(-4, -1, 301)
    one, known = torch.ones_like(errors), everywhere(errors)
    s = best(lambda d, s: uncertain_l1(d, one, known, s, 0 * one), errors, steps)
    assert s == pytest.approx(errors.abs().mean().log().item(), abs=0.02)
    s = best(lambda d, s: error_forecast(s, d, one, known, 1e-9), errors, steps)
    assert s == pytest.approx(errors.abs().median().log().item(), abs=0.02)
    assert s == pytest.approx(math.log(0.1 * math.log(2)), abs=0.03)


def test_the_head_is_not_charged_for_the_noise_of_the_label():
    torch.manual_seed(0)
    errors, steps = laplace_errors(0.1), torch.linspace(-4, -1, 301)
    one, known = torch.ones_like(errors), everywhere(errors)
    noisy = errors + laplace_errors(0.1).flip(-1)  # the label's own: standard deviation 0.1 sqrt 2
    charged = best(lambda d, s: uncertain_l1(d, one, known, s, 0 * one), noisy, steps)
    s = best(lambda d, s: uncertain_l1(d, one, known, s, 0.1 * math.sqrt(2) * one), noisy, steps)
    assert charged > math.log(0.14)
    assert s == pytest.approx(math.log(0.1), abs=0.15)


def test_it_is_the_confidence_loss_up_to_a_constant():
    # DUSt3R: c |d| - alpha log c. With c = alpha / b it is alpha times ours, plus a constant.
    y, z, valid = plain_case()
    alpha, gaps = 0.2, []
    for s in (-3.0, -2.0, -1.0):
        c = alpha / math.exp(s)
        d = (y - z.log()).abs()[:1][valid[:1]]
        peer = (c * d - alpha * math.log(c)).mean()
        gaps.append(peer - alpha * uncertain_l1(y, z, valid, torch.full_like(y, s), 0 * z)[0])
    torch.testing.assert_close(torch.stack(gaps), gaps[0].expand(3), rtol=1e-9, atol=0)


@pytest.mark.parametrize("raw", [-20.0, 20.0])
def test_an_uncertainty_beyond_its_limits_is_drawn_back(raw: float):
    # A bare clamp would leave it there without gradient for ever.
    s = torch.full((1, 1, 2, 2), raw, requires_grad=True)
    none, one = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    uncertain_l1(none, one, everywhere(s), s, none).sum().backward()
    assert (s.grad * raw > 0).all()
    s.grad = None
    error_forecast(s, none + 0.3, one, everywhere(s)).sum().backward()
    assert (s.grad * raw > 0).all()


def test_no_pixel_pulls_without_bound_and_none_is_given_up_on():
    d = strip(0.5, 0.5, 0.5).requires_grad_()
    uncertain_l1(
        d, torch.ones_like(d), everywhere(d), strip(-50.0, 50.0, -1.0), strip(0.0, 0.0, 0.0)
    ).sum().backward()
    torch.testing.assert_close(3 * d.grad, strip(100.0, 1.0, math.e))


def test_a_forecast_leaves_depth_alone():
    d = strip(0.5, 0.1).requires_grad_()
    value = error_forecast(strip(-1.0, -1.0).requires_grad_(), d, strip(1.0, 1.0), everywhere(d))
    value.sum().backward()
    assert d.grad is None
    assert value.item() == pytest.approx((1 + math.log(0.501) - 1 - math.log(0.101)) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [UncertainDepthLoss, ErrorForecastLoss])
def test_a_network_without_the_head_is_refused(loss):
    batch = make_batch()
    prediction = Prediction(make_log_canonical(batch), batch.intrinsics, 30.0)
    with pytest.raises(ValueError, match=f"`prediction.log_uncertainty` must be a map for {loss.__name__}"):
        loss()(prediction, batch)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`floor` must be positive and finite, got 0"):
        UncertainDepthLoss(floor=0)
    with pytest.raises(ValueError, match=r"`ceiling` must be finite and above `floor` = 0.01, got 0.005"):
        UncertainDepthLoss(ceiling=0.005)
    with pytest.raises(ValueError, match="`floor` must be positive and finite, got -1"):
        ErrorForecastLoss(floor=-1)
