"""Trimming by rank."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.trim import _last_by_selection, _last_by_sorting, keep_smallest, keep_smallest_blocks
from depthmix.masked import count_valid


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.5]), st.integers(1, 6), st.integers(1, 11))
def test_kept_blocks_are_those_of_the_smallest_means(seed: int, trim: float, side: int, width: int):
    g = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 1, 7, width, generator=g, dtype=torch.float64)
    valid = torch.rand(2, 1, 7, width, generator=g) < torch.tensor([0.9, 0.2]).view(2, 1, 1, 1)
    weight = keep_smallest_blocks(torch.where(valid, values, torch.nan), valid, trim, side)
    for x, mask, w in zip(values[:, 0].numpy(), valid[:, 0].numpy(), weight[:, 0].numpy(), strict=True):
        means = {}
        for v, u in zip(*np.nonzero(mask), strict=True):
            means.setdefault((v // side, u // side), []).append(x[v, u])
        worst_first = sorted(means, key=lambda block: -np.mean(means[block]))
        dropped = set(worst_first[: int(np.floor(trim * len(means)))])
        expected = [
            [mask[v, u] and (v // side, u // side) not in dropped for u in range(width)] for v in range(7)
        ]
        np.testing.assert_array_equal(w, expected)


def test_blocks_leave_out_a_wrong_region_where_pixels_leave_out_the_noise_of_all():
    residual, valid = torch.zeros(1, 1, 24, 24), torch.ones(1, 1, 24, 24, dtype=torch.bool)
    residual[..., ::3, ::3] = 0.6  # a ninth of the pixels
    wrong = torch.zeros_like(valid)
    wrong[..., 8:16, 8:16] = True  # one block in nine
    residual[wrong] = 0.5
    regions, pixels = (keep_smallest_blocks(residual, valid, 0.12, side) for side in (8, 1))
    assert torch.equal(regions, (~wrong).float())
    assert (pixels[wrong] == pixels[wrong][0]).all()
    assert pixels[wrong][0] > 0.7
