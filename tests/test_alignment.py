"""Fitting the scale and shift that a label leaves open."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.alignment import align_median, align_scale_shift, has_contrast, median_mad, normalise

VALID = torch.ones(1, 400, dtype=torch.bool)


def noise(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(1, 400, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@settings(max_examples=50, deadline=None)
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
