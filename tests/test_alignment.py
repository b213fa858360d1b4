"""Fitting the scale and shift that a label leaves open."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.alignment import (
    align_median,
    align_scale,
    align_scale_shift,
    align_shift,
    has_contrast,
    median_mad,
    normalise,
    normalised,
)

VALID = torch.ones(1, 400, dtype=torch.bool)
LEAST_SQUARES = {
    "both": align_scale_shift,
    "scale": lambda *args, **options: (align_scale(*args, **options),),
    "shift": lambda *args, **options: (align_shift(*args, **options),),
}


def draw(seed: int, *size: int) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def leaves_garbage_unread(fit) -> None:
    """Check that values and gradients of fit(p, g, valid, w) keep every bit whatever lies under the mask."""
    p, g, w = draw(0, 3, 1, 5, 6).float() + 1, draw(1, 3, 1, 5, 6).float(), draw(2, 3, 1, 5, 6).float()
    valid = draw(3, 3, 1, 5, 6) > 0.4
    valid[2] = False
    results = []
    for rubbish in (0.0, torch.nan, torch.inf, -1e30):
        maps = [torch.where(valid, x, rubbish).requires_grad_() for x in (p, g, w)]
        found = fit(maps[0], maps[1], valid, maps[2])
        sum(x.sum() for x in found).backward()
        gradients = [x.grad for x in maps if x.grad is not None]
        results.append([x.detach() for x in found] + gradients)
        assert all(x.isfinite().all() for x in results[-1])
        assert not any(x[2].any() for x in gradients)
    for dirty in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], dirty, strict=True))


def runs_on_meta(fit) -> None:
    p, g, w = (torch.empty(2, 1, 4, 5, device="meta", requires_grad=True) for _ in range(3))
    found = fit(p, g, torch.ones(2, 1, 4, 5, dtype=torch.bool, device="meta"), w)
    sum(x.sum() for x in found).backward()
    assert all(x.is_meta for x in found)
    assert p.grad.is_meta


def compiles(fit) -> None:
    p, g, w = (draw(seed, 2, 1, 4, 5) + 1 for seed in range(3))
    valid, results = draw(3, 2, 1, 4, 5) > 0.3, []
    torch._dynamo.reset()
    for run in (fit, torch.compile(fit, fullgraph=True, backend="aot_eager")):
        leaf = p.clone().requires_grad_()
        found = run(leaf, g, valid, w)
        sum(x.sum() for x in found).backward()
        results.append([*(x.detach() for x in found), leaf.grad])
    torch.testing.assert_close(*results)


def noise(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(1, 400, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@settings(max_examples=50)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_recovers_any_positive_scale_and_shift(scale, shift):
    got_scale, got_shift = align_scale_shift(noise(), scale * noise() + shift, VALID)
    assert got_scale.item() == pytest.approx(scale, rel=1e-9)
    assert got_shift.item() == pytest.approx(shift, rel=1e-9, abs=1e-9 * scale + 1e-9)


def test_is_the_least_squares_fit_over_the_valid_pixels():
    p, g, valid = noise(0), noise(0) + noise(1), noise(2) > 0
    scale, shift = align_scale_shift(
        torch.where(valid, p, torch.nan), torch.where(valid, g, torch.inf), valid
    )
    x, y = p[valid].numpy(), g[valid].numpy()
    (expected_scale, expected_shift), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)
    assert scale.item() == pytest.approx(expected_scale, rel=1e-9)
    assert shift.item() == pytest.approx(expected_shift, rel=1e-9)


@pytest.mark.parametrize("contrast", [0.1, 0.01, 0.001])
def test_low_contrast_on_a_large_offset_costs_no_digits_in_float32(contrast):
    g = noise(dtype=torch.float32)
    p = (5 + contrast * g.double()).float()
    scale, shift = align_scale_shift(p, g, VALID)
    residual = (scale * p + shift - g).abs().mean()
    assert residual < 3e-7 / contrast  # what rounding of the inputs alone leaves


@pytest.mark.parametrize("size", [1e-25, 1e-12, 1e12, 1e25])
def test_any_unit_fits_into_float32(size):
    x = noise(dtype=torch.float32)
    for p, g, expected in ((x, size * x, size), (size * x, x, 1 / size)):
        scale, shift = align_scale_shift(p, g, VALID)
        assert scale.item() == pytest.approx(expected, rel=1e-4)
        assert abs(shift.item()) < 1e-5 * g.abs().max().item()


def test_an_inverted_prediction_gets_scale_zero_and_the_mean():
    g = noise()
    scale, shift = align_scale_shift(1 - g, g, VALID)
    assert scale.item() == 0
    assert shift.item() == pytest.approx(g.mean().item())


@pytest.mark.parametrize("contrast", [0, 1e-6])
def test_a_flat_prediction_gets_scale_zero_and_the_mean(contrast):
    scale, shift = align_scale_shift(3 + contrast * noise(), noise(), VALID)
    assert scale.item() == 0
    assert shift.item() == pytest.approx(noise().mean().item(), abs=1e-12)


def test_one_pixel_fixes_the_shift_only_and_none_gives_the_identity():
    p, g = torch.tensor([[2.0, 9.0], [2.0, 9.0]]), torch.tensor([[5.0, 9.0], [5.0, 9.0]])
    scale, shift = align_scale_shift(p, g, torch.tensor([[True, False], [False, False]]))
    assert scale.tolist() == [0, 1]
    assert shift.tolist() == [5, 0]


def test_gradients_are_finite_for_flat_and_empty_rows():
    p = torch.full((2, 5), 3.0, requires_grad=True)
    valid = torch.tensor([[True] * 5, [False] * 5])
    sum(part.sum() for part in align_scale_shift(p, torch.rand(2, 5), valid)).backward()
    assert p.grad.isfinite().all()


def test_align_median_divides_the_medians():
    p, g = torch.tensor([[1.0, 2.0, 3.0, 99.0]]), torch.tensor([[10.0, 30.0, 20.0, torch.nan]])
    assert align_median(p, g, torch.tensor([[True, True, True, False]])).item() == 10


@pytest.mark.parametrize(("p", "g"), [([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [-1.0, -1.0])])
def test_align_median_keeps_the_scale_where_a_median_is_not_positive(p, g):
    assert align_median(torch.tensor([p]), torch.tensor([g]), torch.ones(1, 2, dtype=torch.bool)).item() == 1


def test_align_median_of_an_empty_row_is_one():
    assert align_median(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)).item() == 1


def test_normalised_rows_have_median_zero_and_deviation_one_whatever_the_affine_map():
    valid = noise(3).view(1, 1, 20, 20) > -0.5
    x = noise().view(1, 1, 20, 20)
    once = normalise(x, valid)
    median, mad = median_mad(once, valid)
    assert median.item() == pytest.approx(0, abs=1e-12)
    assert mad.item() == pytest.approx(1)
    torch.testing.assert_close(normalise(7 * x - 30, valid), once)
    assert not once[~valid].any()


def test_contrast_is_judged_relative_to_the_size_of_the_values():
    x = torch.cat([5 + 1e-3 * noise(), 5 + 1e-5 * noise(), 1e-9 * (5 + 1e-3 * noise()), 0 * noise()])
    assert has_contrast(x, VALID.expand(4, -1)).tolist() == [True, False, True, False]


def test_normalising_flat_empty_or_zero_rows_is_finite_with_finite_gradient():
    x = torch.tensor([[5.0, 5.0, 5.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], requires_grad=True)
    valid = torch.tensor([[True] * 3, [True] * 3, [False] * 3])
    out = normalise(x, valid)
    out.square().sum().backward()
    assert not out.any()
    assert x.grad.isfinite().all()


def test_below_the_floor_a_row_shrinks_with_its_contrast_instead_of_blowing_up_noise():
    faint = normalise(5 + 1e-6 * noise(), VALID)
    assert faint.abs().mean().item() == pytest.approx(1e-6 * noise().abs().mean().item() / 5e-4, rel=1e-2)


def test_normalised_returns_what_the_single_functions_return():
    x = torch.cat([noise(), 3 + 1e-6 * noise(), 5 + 0 * noise(), noise(4)]).requires_grad_()
    valid = torch.cat([noise(2) > 0, VALID, VALID, ~VALID])
    out = normalised(x, valid)
    assert torch.equal(out.map, normalise(x, valid))
    assert torch.equal(out.contrast, has_contrast(x, valid))
    median, mad = median_mad(x, valid)
    assert torch.equal(out.median, median)
    torch.testing.assert_close(out.deviation[0], mad[0])
    assert out.contrast.tolist() == [True, False, False, False]
    assert out.map.requires_grad
    assert not out.median.requires_grad


def naively_normalised(x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Sort and index, one row at a time, all by autograd."""
    out = torch.zeros_like(x)
    for i, row in enumerate(x):
        own = row[valid[i]]
        ordered = own.sort().values
        middle = (ordered[(len(own) - 1) // 2] + ordered[len(own) // 2]) / 2
        out[i, valid[i]] = (own - middle) / (own - middle).abs().mean()
    return out


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 21))
def test_normalise_and_its_gradient_are_those_of_a_naive_implementation(seed, pixels):
    x, slope = draw(seed, 2, pixels), draw(seed + 1, 2, pixels)
    valid = draw(seed + 2, 2, pixels) > 0.3
    valid[:, :2] = True
    results = []
    for function in (normalise, naively_normalised):
        leaf = x.clone().requires_grad_()
        out = function(leaf, valid)
        (slope * out).sum().backward()
        results.append((out.detach(), leaf.grad))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_normalise_shares_the_gradient_of_the_median_by_ties():
    x = torch.tensor([[1.0, 2.0, 2.0, 2.0, 9.0]], requires_grad=True)
    normalise(x, torch.ones(1, 5, dtype=torch.bool))[0, 0].backward()
    assert x.grad[0, 1] == x.grad[0, 2] == x.grad[0, 3] != 0
    assert abs(x.grad.sum().item()) < 1e-6  # a common shift changes nothing


def test_garbage_under_the_mask_changes_no_bit_of_a_normalised_map():
    leaves_garbage_unread(lambda p, g, valid, w: normalised(p, valid)[:1])


def test_a_nan_that_is_marked_valid_stays_visible():
    x = noise().index_fill(1, torch.tensor([7]), torch.nan)
    assert normalise(x, VALID).isnan().any()


def test_low_contrast_predictions_keep_their_alignment():
    # Uncentred normal equations lose it: residuals of 0.08 at a spread of 0.01 and of 5 at 0.001.
    g = noise(dtype=torch.float32)
    for contrast in (0.1, 0.01, 0.001):
        p = (5 + contrast * g.double()).float()
        scale, shift = align_scale_shift(p, g, VALID)
        assert (scale * p + shift - g).abs().mean() < 1e-3


def test_an_inverted_prediction_fits_only_if_the_sign_is_free():
    g = noise()
    scale, shift = align_scale_shift(1 - g, g, VALID)
    assert (scale * (1 - g) + shift - g).abs().mean() > 0.5
    scale, shift = align_scale_shift(1 - g, g, VALID, sign="free")
    torch.testing.assert_close(scale * (1 - g) + shift, g)
    assert align_scale(-g, g, VALID).item() == 0
    assert align_scale(-g, g, VALID, sign="free").item() == pytest.approx(-1)


def test_holes_do_not_take_part_in_the_median():
    x, valid = noise() + 7.46, noise(1) > 0.25
    median, mad = median_mad(torch.where(valid, x, 0), valid)
    own = x[valid].numpy()
    assert median.item() == pytest.approx(np.median(own))
    assert mad.item() == pytest.approx(np.abs(own - np.median(own)).mean())


def test_weights_count_for_the_shift_too():
    x = draw(0, 1, 50) * 5 + 1
    weight = 1 / x.square()
    scale, shift = align_scale_shift(x, 2 * x + 3, x > 0, weight)
    assert (scale.item(), shift.item()) == pytest.approx((2, 3))
    assert align_scale(x, 2 * x, x > 0, weight).item() == pytest.approx(2)
    assert align_shift(x, x + 3, x > 0, weight).item() == pytest.approx(3)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), weighted=st.booleans())
def test_each_least_squares_fit_is_that_of_numpy(seed, weighted):
    p, g, w = draw(seed, 1, 30), draw(seed, 1, 30) + draw(seed + 1, 1, 30), draw(seed + 2, 1, 30)
    valid, w = draw(seed + 3, 1, 30) > 0.3, w + 0.1 if weighted else None
    x, y = p[valid].numpy(), g[valid].numpy()
    root = np.sqrt(w[valid].numpy()) if weighted else np.ones_like(x)
    columns = {"both": [x, 1 + 0 * x], "scale": [x], "shift": [1 + 0 * x]}
    for name, fit in LEAST_SQUARES.items():
        aim = y - x if name == "shift" else y
        expected, *_ = np.linalg.lstsq(np.stack(columns[name], 1) * root[:, None], aim * root, rcond=None)
        np.testing.assert_allclose(torch.cat(fit(p, g, valid, w, **FREE[name])), expected, rtol=1e-8)


FREE = {"both": {"sign": "free"}, "scale": {"sign": "free"}, "shift": {}}


@settings(max_examples=30)
@given(a=st.floats(0.01, 100), b=st.floats(-10, 10), c=st.floats(0.01, 100), d=st.floats(-10, 10))
def test_the_fitted_map_follows_the_target_and_does_not_see_the_prediction_s_own_scale_and_shift(a, b, c, d):
    p, g, w, valid = draw(0, 1, 40), draw(0, 1, 40) + draw(1, 1, 40), draw(2, 1, 40), draw(3, 1, 40) > 0.3
    scale, shift = align_scale_shift(p, g, valid, w)
    again, moved = align_scale_shift(a * p + b, c * g + d, valid, w)
    expected = c * (scale * p + shift) + d
    torch.testing.assert_close(again * (a * p + b) + moved, expected, rtol=1e-6, atol=1e-6 * c)


def test_the_order_of_pixels_does_not_matter():
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    maps = noise(0), noise(0) + noise(1), noise(2) > 0, noise(3).abs()
    for fit in LEAST_SQUARES.values():
        torch.testing.assert_close(fit(*maps), fit(*(x[:, order] for x in maps)))


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_garbage_under_the_mask_changes_no_bit_of_a_fit(name):
    leaves_garbage_unread(LEAST_SQUARES[name])
    leaves_garbage_unread(lambda p, g, valid, _: LEAST_SQUARES[name](p, g, valid))


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_the_gradient_of_a_fit_is_right(name):
    maps = [(draw(seed, 2, 1, 3, 4) + 1).requires_grad_() for seed in range(3)]
    valid = draw(3, 2, 1, 3, 4) > 0.3

    def run(p, g, w):
        return LEAST_SQUARES[name](p, g, valid, w, **FREE[name])

    assert torch.autograd.gradcheck(run, maps)
    assert torch.autograd.gradcheck(lambda p, g: LEAST_SQUARES[name](p, g, valid, **FREE[name]), maps[:2])
    assert not any(x.requires_grad for x in LEAST_SQUARES[name](*maps[:2], valid, maps[2], detach=True))


def test_normalise_has_the_right_gradient():
    valid = draw(3, 2, 1, 3, 4) > 0.3
    assert torch.autograd.gradcheck(lambda x: normalise(x, valid), draw(0, 2, 1, 3, 4).requires_grad_())


def test_a_second_derivative_is_refused_instead_of_being_wrong():
    x = noise().requires_grad_()
    (gradient,) = torch.autograd.grad(normalise(x, VALID)[0, 0], x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()


@pytest.mark.parametrize("weights", [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
def test_pixels_of_weight_zero_take_no_part(weights):
    p, g, w = (torch.tensor([x]) for x in ([1.0, 2.0, 4.0], [5.0, 6.0, 9.0], weights))
    found = [x.item() for fit in LEAST_SQUARES.values() for x in fit(p, g, w >= 0, w)]
    assert found == ([1, 0, 1, 0] if sum(weights) == 0 else [0, 6, 3, 4])


def test_scale_alone_and_shift_alone_of_degenerate_rows():
    p, g = (
        torch.tensor([[0.0, 0.0], [2.0, 9.0], [3.0, 3.0]]),
        torch.tensor([[1.0, 3.0], [5.0, 9.0], [6.0, 6.0]]),
    )
    valid = torch.tensor([[True, True], [False, False], [True, True]])
    assert align_scale(p, g, valid).tolist() == [1, 1, 2]
    assert align_shift(p, g, valid).tolist() == [2, 0, 3]


def test_an_unknown_sign_is_refused():
    for fit in (align_scale, align_scale_shift):
        with pytest.raises(ValueError, match='`sign` must be "positive" or "free", got \'negative\''):
            fit(noise(), noise(), VALID, sign="negative")


MAPS = LEAST_SQUARES | {"normalised": lambda p, g, valid, w: normalised(p, valid)[:1]}


@pytest.mark.parametrize("name", MAPS)
def test_it_runs_on_the_meta_device(name):
    runs_on_meta(MAPS[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # of Dynamo
@pytest.mark.parametrize("name", MAPS)
def test_it_compiles_without_a_graph_break(name):
    compiles(MAPS[name])
