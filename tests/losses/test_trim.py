"""Trimming by rank."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.trim import _last_by_selection, _last_by_sorting, keep_smallest
from depthmix.masked import count_valid


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.9]), st.integers(1, 40))
def test_kept_values_are_those_of_a_sort_for_any_row_length_and_any_ties(seed: int, trim: float, n: int):
    g = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 6, (3, n), generator=g).double()
    valid = torch.rand(3, n, generator=g) < torch.tensor([[1.0], [0.5], [0.1]])
    weight = keep_smallest(values, valid, trim)
    for x, mask, w in zip(values.numpy(), valid.numpy(), weight.numpy(), strict=True):
        ordered = np.sort(x[mask])
        kept = len(ordered) - int(np.floor(trim * len(ordered)))
        np.testing.assert_allclose(w.sum(), kept, atol=1e-12)
        np.testing.assert_allclose((w * x).sum(), ordered[:kept].sum(), atol=1e-12)
        assert (w[~mask] == 0).all()


def test_sorting_and_selection_find_the_same_value():
    g = torch.Generator().manual_seed(0)
    values, valid = torch.randn(4, 99, generator=g), torch.rand(4, 99, generator=g) > 0.4
    kept = count_valid(valid) - (0.2 * count_valid(valid).double()).floor().long()
    chosen = _last_by_selection(values, valid, kept, 0.2)
    assert torch.equal(_last_by_sorting(values, valid, kept, 0.2), chosen)
