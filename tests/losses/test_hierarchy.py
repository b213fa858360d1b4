import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.hierarchy import HierarchicalLoss, depth_contexts, grid_contexts, hierarchical
from tests.losses.contract import LossContract, Row
from tests.losses.naive_windows import difference, draws_of, every_so_many, valid_in

PIXELS = 64


def contexts_of(row: Row, by: str) -> list[list[tuple[int, int]]]:
    """All pixels of every context: ranges of the label's values, then cells of the image."""
    g, (h, w) = row.inverse_target, row.valid.shape
    ordered = sorted(valid_in(row.valid, 0, 0, h, w), key=lambda at: g[at])
    low, high = g[ordered[0]], g[ordered[-1]]
    found = []
    for level in (1, 2, 4):
        for i in range(level):
            if by == "quantile":
                found.append(ordered[i * len(ordered) // level : (i + 1) * len(ordered) // level])
            else:
                top = np.inf if i == level - 1 else low + (high - low) * (i + 1) / level
                found.append([at for at in ordered if low + (high - low) * i / level <= g[at] < top])
    for level in (1, 2, 4):
        for i, j in np.ndindex(level, level):
            top, left = i * h // level, j * w // level
            found.append(
                valid_in(row.valid, top, left, (i + 1) * h // level - top, (j + 1) * w // level - left)
            )
    return found


class TestHierarchicalLoss(LossContract):
    by = "quantile"

    def make(self):
        return HierarchicalLoss(pixels=PIXELS, by=self.by)

    def reference(self, row: Row):
        phase = draws_of(row.image, 1)[0]
        total = weights = 0.0
        for context in contexts_of(row, self.by):
            if len(context) < 8:
                continue
            pixels = every_so_many(context, PIXELS, phase)
            total += len(context) * difference(row.inverse_prediction, row.inverse_target, pixels)
            weights += len(context)
        return total / weights

    def plain(self):
        p, g, valid, draws = maps(0, (2, 1, 5, 6), torch.float64)
        return lambda x: hierarchical(x, g, valid, draws, (1, 2), (1,), self.by, 12), p


class TestHierarchicalLossInRangesOfEqualWidth(TestHierarchicalLoss):
    by = "value"
    tolerance = 5e-3  # a pixel on a bound falls on either side in float32


def maps(seed, size=(2, 1, 32, 40), dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.rand(2, *size, generator=g, dtype=dtype)
    valid = torch.rand(size, generator=g) < 0.9
    return p, t, valid, torch.randint(0, 2**32, (size[0],), generator=g)


@settings(max_examples=6)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from(["quantile", "value"]))
def test_ignores_scale_and_shift_of_both_maps(seed, scale, shift, by):
    p, g, valid, draws = maps(seed, dtype=torch.float64)
    expected = hierarchical(p, g, valid, draws, by=by)
    torch.testing.assert_close(hierarchical(scale * p + shift, g, valid, draws, by=by), expected)
    # A pixel exactly on a bound may change its range when the label is rounded anew.
    torch.testing.assert_close(
        hierarchical(p, scale * g + shift, valid, draws, by=by), expected, rtol=0.01, atol=0
    )


def test_agrees_with_the_papers_mean_over_the_contexts_of_each_pixel():
    # The paper sums per pixel over its own contexts; here it is a weighted mean over contexts.
    p, g, valid, draws = maps(3, (1, 1, 16, 16), torch.float64)
    valid[:] = True
    row_p, row_g = p[0, 0].numpy(), g[0, 0].numpy()
    row = Row(row_p, row_g, valid[0, 0].numpy(), row_g, row_g, row_g, None, row_g)
    row = type("Plain", (), {"inverse_target": row_g, "valid": row.valid})
    per_pixel = np.zeros((16, 16, 6))
    belongs = {1: 0, 2: 1, 4: 2}
    sizes = [1] + [2] * 2 + [4] * 4
    contexts = contexts_of(row, "quantile")
    levels = [belongs[s] for s in sizes] + [3] + [4] * 4 + [5] * 16
    for level, pixels in zip(levels, contexts, strict=True):
        own = []
        for x in (row_p, row_g):
            values = np.array([x[at] for at in pixels])
            centred = values - np.median(values)
            own.append(centred / np.abs(centred).mean())
        for at, error in zip(pixels, np.abs(own[0] - own[1]), strict=True):
            per_pixel[(*at, level)] = error
    actual = hierarchical(p, g, valid, draws).item()
    assert actual == pytest.approx(per_pixel.mean(2).mean(), rel=1e-9)


def test_quantile_ranges_hold_equal_shares_in_the_order_of_the_label():
    _, g, valid, draws = maps(0)
    index, keep, share = depth_contexts(g, valid, draws, [4], "quantile", 1024)
    torch.testing.assert_close(share, torch.full((2, 4), 0.25), rtol=0.01, atol=0)
    values = g.flatten(1).gather(1, index.flatten(1)).view(index.shape)
    top = torch.where(keep, values, -1).amax(2)
    bottom = torch.where(keep, values, 2).amin(2)
    assert (top[:, :-1] <= bottom[:, 1:]).all()


@pytest.mark.parametrize("unit", [1.0, 1000.0, 1e-3])
def test_ranges_are_bounded_in_the_unit_of_the_label(unit):
    # Bounds of normalised values added to metres leave most ranges open to infinity.
    g = unit * (torch.linspace(0, 1, 4096).view(1, 1, 64, 64) + 3)
    everywhere = torch.ones(g.shape, dtype=torch.bool)
    _, _, share = depth_contexts(g, everywhere, torch.zeros(1, dtype=torch.long), [1, 2, 4], "value", 64)
    expected = torch.tensor([[1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(share, expected, rtol=0.01, atol=0)


def test_cells_cover_every_valid_pixel_once_a_level():
    valid = torch.rand(2, 1, 13, 17, generator=torch.Generator().manual_seed(0)) < 0.5
    index, keep, share = grid_contexts(valid, torch.zeros(2, dtype=torch.long), [1, 3], 1024)
    seen = torch.zeros(2, 13 * 17, dtype=torch.long)
    seen.scatter_add_(1, index.flatten(1), keep.flatten(1).long())
    assert torch.equal(seen, 2 * valid.flatten(1))
    torch.testing.assert_close(share.sum(1), torch.full((2,), 2.0))


def test_a_depth_inverted_prediction_does_not_score_zero():
    p, _, valid, draws = maps(0)
    assert (hierarchical(-p, p, valid, draws) > 1).all()
    torch.testing.assert_close(hierarchical(p, p, valid, draws), torch.zeros(2))


def test_an_error_inside_one_depth_range_weighs_more_than_in_the_image_as_a_whole():
    near, far = torch.rand(2, 1, 1, 32, 16, generator=torch.Generator().manual_seed(0))
    g = torch.cat([near, 100 + far], 3)
    p = torch.cat([1 - near, 100 + far], 3)
    everywhere, draws = torch.ones(g.shape, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    whole, ranged = (hierarchical(p, g, everywhere, draws, levels, ()) for levels in ([1], [2]))
    assert whole.item() < 0.01
    assert ranged.item() > 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"ranges": (), "grids": ()},
            r"`ranges` and `grids` must hold levels of at least 1, got \(\) and \(\)",
        ),
        ({"grids": (0,)}, r"`ranges` and `grids` must hold levels of at least 1"),
        ({"by": "range"}, r"`by` must be quantile or value, got range"),
        ({"pixels": 3}, r"`pixels` must be at least 8, got 3"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        HierarchicalLoss(**options)
