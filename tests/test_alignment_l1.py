"""Fitting scale and shift by medians and by least absolute errors."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.alignment import align_median_mad, align_scale_l1, align_scale_shift_l1, align_shift_l1
from tests.test_alignment import compiles, draw, leaves_garbage_unread, runs_on_meta

FITS = {"scale": align_scale_l1, "shift": align_shift_l1, "both": align_scale_shift_l1}
LIMITS = [None, 0.4]


def fitted(name: str, p, g, valid, weight=None, **options) -> tuple[torch.Tensor, torch.Tensor]:
    found = FITS[name](p, g, valid, weight, **options)
    return {
        "scale": lambda: (found, torch.zeros_like(found)),
        "shift": lambda: (torch.ones_like(found), found),
        "both": lambda: found,
    }[name]()


def cost(scale, shift, p, g, w, limit=None):
    error = np.abs(np.multiply.outer(scale, p) + np.expand_dims(shift, -1) - g)
    return (w * (error if limit is None else np.minimum(error, limit))).sum(-1)


def smallest_cost(name: str, p, g, w, limit=None) -> float:
    """Try every line that meets as many pixels as the fit has unknowns: one of them is the best."""
    with np.errstate(all="ignore"):
        if name == "scale":
            scale = np.append(g / p, 0)
            shift = np.zeros_like(scale)
        elif name == "shift":
            shift = g - p
            scale = np.ones_like(shift)
        else:
            pairs = np.array(list(itertools.permutations(range(len(p)), 2)))
            i, j = pairs.T
            scale = np.append((g[i] - g[j]) / (p[i] - p[j]), np.zeros(len(g)))
            shift = np.append(g[i] - scale[: len(i)] * p[i], g)
    allowed = np.isfinite(scale) & (scale >= 0)
    return float(cost(scale[allowed], shift[allowed], p, g, w, limit).min())


def case(seed: int, outliers: float = 0.2):
    g = torch.Generator().manual_seed(seed)
    p, noise, w, where = torch.rand(4, 1, 60, generator=g, dtype=torch.float64)
    label = 2 * p + 3 + 0.1 * (noise - 0.5) + 4 * (where < outliers) * noise
    return p + 0.5, label, torch.rand(1, 60, generator=g) > 0.2, w + 0.1


@pytest.mark.parametrize("name", ["scale", "shift"])
@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_one_unknown_is_fitted_exactly(name, seed):
    p, g, valid, w = case(seed)
    scale, shift = fitted(name, p, g, valid, w)
    p, g, w = (x[valid].numpy() for x in (p, g, w))
    assert cost(scale.numpy(), shift.numpy(), p, g, w)[0] == pytest.approx(smallest_cost(name, p, g, w))


@pytest.mark.parametrize("limit", LIMITS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_forty_steps_come_close_to_the_best_scale_and_shift(limit, seed):
    p, g, valid, w = case(seed, 0.1)
    scale, shift = align_scale_shift_l1(p, g, valid, w, limit=limit, steps=40)
    p, g, w = (x[valid].numpy() for x in (p, g, w))
    best = smallest_cost("both", p, g, w, limit)
    assert best * 0.999999 <= cost(scale.numpy(), shift.numpy(), p, g, w, limit)[0] <= best * 1.02


@pytest.mark.parametrize("name", FITS)
def test_the_limit_keeps_far_outliers_out(name):
    p, _, valid, w = case(0)
    truth = {"scale": (2, 0), "shift": (1, 3), "both": (2, 3)}[name]
    g = truth[0] * p + truth[1]
    far = draw(5, 60) > 0.6
    scale, shift = fitted(name, p, torch.where(far, g + 2 + draw(6, 60), g), valid, w, limit=0.3)
    assert scale.item() == pytest.approx(truth[0], abs=1e-3)
    assert shift.item() == pytest.approx(truth[1], abs=1e-3)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", FITS)
@settings(max_examples=10)
@given(factor=st.floats(0.01, 100), offset=st.floats(-5, 5), seed=st.integers(0, 99))
def test_a_change_of_the_target_changes_the_fit_alike(name, limit, factor, offset, seed):
    p, g, valid, w = case(seed)
    offset = offset if name == "both" else 0.0
    scale, shift = fitted(name, p, g, valid, w, limit=limit)
    limit = None if limit is None else limit * factor
    if name == "shift":
        p, scale = factor * p, scale / factor  # it cannot change the scale by itself
    again = fitted(name, p, factor * (g + offset), valid, w, limit=limit)
    torch.testing.assert_close(again[0], factor * scale, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(again[1], factor * (shift + offset), rtol=1e-5, atol=1e-5 * factor)


def test_the_order_of_pixels_does_not_matter():
    p, g, valid, w = case(0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for name, limit in itertools.product(FITS, LIMITS):
        for ours, theirs in zip(
            fitted(name, p, g, valid, w, limit=limit),
            fitted(name, *(x[:, order] for x in (p, g, valid, w)), limit=limit),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", FITS)
def test_garbage_under_the_mask_changes_no_bit(name, limit):
    leaves_garbage_unread(lambda p, g, valid, w: fitted(name, p, g, valid, w, limit=limit))


def test_an_inverted_prediction_gets_scale_zero_unless_the_sign_is_free():
    p, g, valid, _ = case(0, 0)
    scale, shift = align_scale_shift_l1(-p, g, valid, steps=40)
    assert scale.item() == 0
    assert g[valid].quantile(0.45) < shift.item() < g[valid].quantile(0.55)
    assert align_scale_shift_l1(-p, g, valid, sign="free")[0].item() == pytest.approx(-2, abs=0.1)
    assert align_scale_l1(-p, g, valid).item() == 0
    assert align_scale_l1(-p, g, valid, sign="free").item() < -2


@pytest.mark.parametrize("limit", LIMITS)
def test_degenerate_rows_have_a_stated_fit_and_finite_gradients(limit):
    p = torch.tensor([[3.0, 3.0, 3.0], [2.0, 9.0, 9.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], requires_grad=True)
    g = torch.tensor([[1.0, 5.0, 6.0], [5.0, 9.0, 9.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
    valid = torch.tensor([[True] * 3, [True, False, False], [False] * 3, [True] * 3])
    scale, shift = fitted("both", p, g, valid, limit=limit, steps=40)
    assert scale.tolist() == [0, 0, 1, 0]
    assert shift.tolist() == pytest.approx([5, 5, 0, 4], abs=1e-2)
    alone = align_scale_l1(p, g, valid, limit=limit)
    assert alone[1:].tolist() == [2.5, 1, 1]
    moved = align_shift_l1(p, g, valid, limit=limit)
    assert moved.tolist() == pytest.approx([2, 3, 0, 4])
    (scale + shift + alone + moved).sum().backward()
    assert p.grad.isfinite().all()


@pytest.mark.parametrize("name", FITS)
def test_a_row_of_zero_weights_gets_the_identity(name):
    p, g, valid, w = case(0)
    assert [x.item() for x in fitted(name, p, g, valid, 0 * w, limit=0.3)] == [1, 0]


@pytest.mark.parametrize("name", FITS)
def test_the_gradient_flows_through_the_fit_unless_detached(name):
    p, g, valid, w = case(0)
    p.requires_grad_()
    for limit in LIMITS:
        through = fitted(name, p, g, valid, w, limit=limit)
        (gradient,) = torch.autograd.grad(through[0].sum() + through[1].sum(), p)
        assert gradient[valid].any()
        assert not gradient[~valid].any()
        cut = fitted(name, p, g, valid, w, limit=limit, detach=True)
        assert [x.requires_grad for x in cut] == [False, False]
        torch.testing.assert_close(cut, tuple(x.detach() for x in through))


@pytest.mark.parametrize("fit", [align_scale_l1, align_shift_l1])
def test_the_exact_fits_have_the_right_gradient(fit):
    p, g, valid, w = case(0)
    assert torch.autograd.gradcheck(lambda a, b: fit(a, b, valid, w), (p.requires_grad_(), g))


def test_medians_and_deviations_agree_after_a_median_fit():
    p, g, valid, _ = case(0)
    scale, shift = align_median_mad(p, g, valid)
    ours, theirs = (scale * p + shift)[valid].numpy(), g[valid].numpy()
    assert np.median(ours) == pytest.approx(np.median(theirs))
    spreads = [np.abs(x - np.median(x)).mean() for x in (ours, theirs)]
    assert spreads[0] == pytest.approx(spreads[1])
    assert [x.item() for x in align_median_mad(p, g, ~valid & valid)] == [1, 0]
    assert align_median_mad(0 * p, g, valid)[0].item() == 0
    assert align_median_mad(-p, g, valid)[0].item() > 0
    leaves_garbage_unread(lambda p, g, valid, _: align_median_mad(p, g, valid))


def test_a_shift_of_log_depth_is_a_factor_of_depth():
    p, _, valid, _ = case(0)
    assert align_shift_l1(p.log(), (7 * p).log(), valid).exp().item() == pytest.approx(7)


@pytest.mark.parametrize("name", FITS)
def test_it_runs_on_the_meta_device(name):
    for limit in LIMITS:
        runs_on_meta(lambda p, g, valid, w, limit=limit: fitted(name, p, g, valid, w, limit=limit))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # of Dynamo
@pytest.mark.parametrize("name", FITS)
def test_it_compiles_without_a_graph_break(name):
    compiles(lambda p, g, valid, w: fitted(name, p, g, valid, w, limit=0.5, steps=2))


def test_bad_options_are_refused():
    p, g, valid, _ = case(0)
    for name in FITS:
        with pytest.raises(ValueError, match="`limit` must be positive, got 0"):
            fitted(name, p, g, valid, limit=0)
        with pytest.raises(ValueError, match="`steps` must be at least 1, got 0"):
            fitted(name, p, g, valid, steps=0)


@pytest.mark.parametrize("name", FITS)
def test_steps_with_a_limit_improve_on_the_fit_without_and_never_worsen_it(name):
    gains = []
    for seed in range(20):
        p, g, valid, w = case(seed, 0.4)
        found = [
            fitted(name, p, g, valid, w, limit=limit, steps=steps) for limit, steps in ((None, 3), (0.4, 3))
        ]
        costs = [
            cost(*(x.numpy() for x in fit), *(x[valid].numpy() for x in (p, g, w)), 0.4)[0] for fit in found
        ]
        gains.append(costs[0] - costs[1])
    assert min(gains) > -1e-12
    assert np.mean(gains) > 0.03
