"""Statistics over valid pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depthmix import masked
from depthmix.masked import (
    at_least_float32,
    count_valid,
    masked_average,
    masked_mad,
    masked_mean,
    masked_median,
    masked_quantile,
    masked_sum,
    masked_weighted_median,
)

REFERENCES = {
    masked_sum: np.sum,
    masked_mean: np.mean,
    masked_median: np.median,
    masked_mad: lambda x: np.mean(np.abs(x - np.median(x))),
}
ALL = [
    *REFERENCES,
    lambda x, valid: masked_average(x, valid, 1 + torch.arange(x.numel(), device=x.device).view_as(x) % 3.0),
    lambda x, valid: masked_quantile(x, valid, 0.3),
    lambda x, valid: masked_weighted_median(
        x, 1 + torch.arange(x.numel(), device=x.device).view_as(x) % 3, valid
    ),
]

# Few distinct values, so that ties occur.
values = st.one_of(st.integers(-3, 3).map(float), st.floats(-100, 100, width=32))
rows = hnp.array_shapes(min_dims=1, max_dims=1, max_side=12).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float64, (2, *shape), elements=values), hnp.arrays(np.bool_, (2, *shape))
    )
)


@settings(max_examples=60)
@given(rows)
def test_each_statistic_is_that_of_numpy_over_the_valid_pixels(case):
    x, valid = case
    for function, reference in REFERENCES.items():
        got = function(torch.from_numpy(x), torch.from_numpy(valid))
        expected = [reference(r[m]) if m.any() else 0 for r, m in zip(x, valid, strict=True)]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(rows, st.floats(0, 1))
def test_quantile_is_that_of_numpy(case, q):
    x, valid = case
    got = masked_quantile(torch.from_numpy(x), torch.from_numpy(valid), q)
    expected = [np.quantile(r[m], q) if m.any() else 0 for r, m in zip(x, valid, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(rows, st.integers(0, 100))
def test_average_is_the_mean_of_pixels_repeated_as_often_as_they_weigh(case, seed):
    x, valid = case
    weight = np.random.default_rng(seed).integers(0, 4, x.shape)
    got = masked_average(*map(torch.from_numpy, (x, valid, weight.astype(float))))
    repeated = [np.repeat(r[m], w[m]) for r, w, m in zip(x, weight, valid, strict=True)]
    expected = [r.mean() if len(r) else 0 for r in repeated]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(rows, st.integers(0, 100))
def test_weighted_median_is_the_median_of_pixels_repeated_as_often_as_they_weigh(case, seed):
    x, valid = case
    weight = np.random.default_rng(seed).integers(0, 4, x.shape)
    got = masked_weighted_median(*map(torch.from_numpy, (x, weight.astype(float), valid)))
    repeated = [np.repeat(r[m], w[m]) for r, w, m in zip(x, weight, valid, strict=True)]
    np.testing.assert_allclose(got, [np.median(r) if len(r) else 0 for r in repeated])


@settings(max_examples=60)
@given(rows)
def test_sorting_and_selection_find_the_same_middle(case):
    x, valid = map(torch.from_numpy, case)
    holed = torch.where(valid, x, torch.nan)
    some = valid.any(1)
    for by_sort, by_selection in zip(
        masked._middle_by_sorting(holed, count_valid(valid)),
        masked._middle_by_selection(holed, count_valid(valid)),
        strict=True,
    ):
        assert torch.equal(by_sort[some], by_selection[some])


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf, 1e38])
def test_garbage_under_the_mask_changes_neither_value_nor_gradient(function, rubbish):
    x = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    valid[2] = False
    results = []
    for filler in (0.0, rubbish):
        leaf = torch.where(valid, x, filler).requires_grad_()
        value = function(leaf, valid)
        value.sum().backward()
        results.append((value.detach(), leaf.grad))
    (value, gradient), (dirty_value, dirty_gradient) = results
    assert torch.equal(value, dirty_value)
    assert torch.equal(gradient, dirty_gradient)
    assert value[2] == 0
    assert not gradient[2].any()


@pytest.mark.parametrize("function", ALL)
def test_half_precision_is_raised_and_float64_kept(function):
    valid = torch.ones(1, 300, dtype=torch.bool)
    assert function(torch.full((1, 300), 300.0, dtype=torch.float16), valid).dtype == torch.float32
    assert function(torch.ones(1, 300, dtype=torch.float64), valid).dtype == torch.float64


def test_a_sum_of_half_precision_values_does_not_overflow():
    assert (
        masked_sum(torch.full((1, 300), 300.0, dtype=torch.float16), torch.ones(1, 300, dtype=torch.bool))
        == 90000
    )


@pytest.mark.parametrize("function", ALL)
def test_the_gradient_is_right(function):
    x = torch.rand(2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    valid = torch.tensor([[True] * 6 + [False], [True, False, True, True, False, True, True]])
    assert torch.autograd.gradcheck(lambda t: function(t, valid), x)


def test_tied_middle_pixels_share_the_gradient_of_the_median():
    x = torch.tensor([[1.0, 2.0, 2.0, 2.0, 9.0]], requires_grad=True)
    masked_median(x, torch.ones(1, 5, dtype=torch.bool)).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0, 1 / 3, 1 / 3, 1 / 3, 0]]))


@pytest.mark.parametrize("function", ALL)
def test_it_runs_on_the_meta_device(function):
    x = torch.empty(2, 1, 4, 5, device="meta", requires_grad=True)
    function(x, torch.ones(2, 1, 4, 5, dtype=torch.bool, device="meta")).sum().backward()
    assert x.grad.is_meta


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # of Dynamo
def test_the_medians_compile_without_a_graph_break():
    torch._dynamo.reset()
    x, valid = torch.rand(2, 9), torch.rand(2, 9) > 0.3
    for function in (masked_median, ALL[-1]):
        results = []
        for run in (function, torch.compile(function, fullgraph=True, backend="aot_eager")):
            leaf = x.clone().requires_grad_()
            value = run(leaf, valid)
            value.sum().backward()
            results.append((value.detach(), leaf.grad))
        torch.testing.assert_close(*results)


def test_mad_may_be_taken_about_another_centre():
    x, valid = torch.tensor([[1.0, 3.0, 50.0]]), torch.tensor([[True, True, False]])
    assert masked_mad(x, valid, torch.tensor([0.0])).item() == 2


def test_quantile_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"`q` must be in \[0, 1\], got 1.5"):
        masked_quantile(torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool), 1.5)


def test_at_least_float32_touches_only_half_precision():
    for given_, expected in ((torch.float16, torch.float32), (torch.bfloat16, torch.float32)):
        assert at_least_float32(torch.ones(1, dtype=given_)).dtype == expected
    kept = torch.ones(1, dtype=torch.float64)
    assert at_least_float32(kept) is kept
