"""The machine that reads windows: every valid pixel once, fairly, for any mask."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.draws import draw, pick
from depthmix.losses.windows import (
    compare,
    draw_rows,
    read_windows,
    span,
    spread,
    windows_at,
)
from tests.losses.naive_windows import every_so_many, valid_in

CPU = torch.device("cpu")


@given(st.integers(0, 5000), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_spread_names_no_rank_twice_and_all_ranks_of_a_short_list(count, take, phase):
    rank, inside = spread(torch.tensor([count]), take, torch.tensor([phase]))
    kept = rank[inside].tolist()
    assert kept == every_so_many(list(range(count)), take, phase)
    assert len(set(kept)) == len(kept) == min(count, take)


def test_spread_takes_each_rank_equally_often():
    count, take = 30, 7
    rank, _ = spread(torch.full((30_000,), count), take, draw(30_000, 0, 0, CPU))
    share = torch.bincount(rank.flatten(), minlength=count) / 30_000
    assert (share - take / count).abs().max() < 0.02


@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.005, 0.3, 1.0]), st.integers(1, 80))
def test_a_window_lists_its_valid_pixels_as_loops_do(seed, density, take):
    g = torch.Generator().manual_seed(seed)
    valid = torch.rand(2, 1, 17, 23, generator=g) < density
    height, width = (torch.randint(1, side + 1, (2, 5), generator=g) for side in (17, 23))
    row, column = (torch.randint(-9, 30, (2, 5), generator=g) for _ in range(2))
    windows = windows_at(row, column, height, width, (17, 23))
    phase = torch.randint(0, 2**32, (2, 5), generator=g)
    index, keep, count = read_windows(valid, windows, take, phase, tallest=17)
    for b in range(2):
        for k in range(5):
            pixels = valid_in(valid[b, 0], *(int(x[b, k]) for x in windows))
            expected = [v * 23 + u for v, u in every_so_many(pixels, take, int(phase[b, k]))]
            assert index[b, k][keep[b, k]].tolist() == expected
            assert count[b, k] == len(pixels)


def test_windows_that_stick_out_are_pushed_inside():
    at = torch.tensor([[-5, 3, 100]])
    windows = windows_at(at, at, torch.full((1, 3), 4), torch.full((1, 3), 6), (10, 12))
    assert windows.top.tolist() == [[0, 3, 6]]
    assert windows.left.tolist() == [[0, 3, 6]]


def test_rows_draw_by_their_own_picture_and_not_by_their_place():
    image = torch.randint(0, 256, (3, 3, 24, 32), dtype=torch.uint8)
    draws = draw_rows(image, 64, seed=0, step=4)
    assert not (draws[0] == draws[1]).any()
    assert torch.equal(draw_rows(image[[2, 0]], 64, seed=0, step=4), draws[[2, 0]])
    assert not torch.equal(draw_rows(image, 64, seed=0, step=5), draws)
    assert draws.min() >= 0
    assert draws.max() < 2**32


def test_span_reaches_both_ends_and_nothing_else():
    values = span(draw(2000, 0, 0, CPU), 3, 7)
    assert values.unique().tolist() == [3, 4, 5, 6, 7]


def test_a_pick_is_a_pixel_of_the_rows_own_mask():
    valid = torch.rand(3, 1, 9, 8, generator=torch.Generator().manual_seed(0)) < 0.2
    valid[1] = False
    picked = pick(valid.flatten(1), draw_rows(torch.zeros(3, 3, 9, 8), 500, 0, 0))
    chosen = torch.zeros_like(valid).flatten(1).scatter(1, picked, True)
    assert torch.equal(chosen[[0, 2]], valid.flatten(1)[[0, 2]])
    assert picked[1].unique().tolist() == [71]


@pytest.mark.parametrize("size", [12, 300])
def test_the_same_relative_error_scores_the_same_whatever_lies_outside_the_mask(size):
    # A scale summed over all pixels of the image and divided by the window's grows with what it leaves out.
    g = torch.randn(1, 1, size, generator=torch.Generator().manual_seed(0)).repeat(1, 2, 2)
    p = g + 0.1 * torch.randn(1, 1, size, generator=torch.Generator().manual_seed(1)).repeat(1, 2, 2)
    keep = torch.ones(g.shape, dtype=torch.bool)
    keep[:, 1, size:] = False
    p, g = (torch.where(keep, x, torch.nan) for x in (p, g))
    error, good = compare(p, g, keep, least=8)
    assert good.all()
    torch.testing.assert_close(error[:, 0], error[:, 1])
