"""Planes that are there are found, whole and apart; where none is, none is found."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.sources.plane_finding import PlaneSearch, find_planes
from depthmix.testing.known import known_view

SIZE = (96, 128)


def agreement(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of true plane pixels that lie on a found plane made of mostly that true plane."""
    right = 0
    for number in np.unique(found[found > 0]):
        counts = np.bincount(truth[found == number])
        right += int(counts[1:].max(initial=0))
    return right / np.count_nonzero(truth)


@settings(max_examples=12)
@given(st.integers(0, 1000))
def test_ground_wall_and_box_are_found(seed):
    view = known_view(seed, size=SIZE)
    depth = np.where(view.sky, 0, view.depth).astype(np.float32)
    noisy = depth * (1 + 0.001 * np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32))
    found = find_planes(noisy, ~view.sky)
    assert agreement(found, view.planes) > 0.9
    assert len(np.unique(found)) <= 7  # what the box parts need not come together again
    for number in np.unique(found[found > 0]):
        assert np.bincount(view.planes[found == number]).max() > 0.9 * np.count_nonzero(found == number)
    assert not found[view.sky].any()


def test_large_pictures_are_searched_on_a_coarser_grid_and_labelled_pixel_by_pixel():
    small, large = (known_view(5, size=size) for size in ((120, 160), (480, 640)))
    found = [find_planes(np.where(v.sky, 0, v.depth).astype(np.float32), ~v.sky) for v in (small, large)]
    assert agreement(found[1], large.planes) > 0.98
    assert len(np.unique(found[1])) == len(np.unique(found[0]))
    # Of each plane only the rim is lost, which is one pixel wide at either size.
    assert np.count_nonzero(found[1]) / found[1].size >= np.count_nonzero(found[0]) / found[0].size


def test_a_picture_full_of_noise_costs_seconds_not_minutes():
    # Steps of a depth camera: every patch is nearly flat, and nothing comes of most.
    v, u = np.mgrid[:480, :640]
    bumps = 2 + 0.2 * np.sin(v / 9) * np.sin(u / 11)
    depth = (351.3 / (1092.5 - np.round(1092.5 - 351.3 / bumps))).astype(np.float32)
    started = time.process_time()
    assert not find_planes(depth, np.ones(depth.shape, np.bool_), PlaneSearch(min_share=0.1)).any()
    assert time.process_time() - started < 6  # 1 s; with all pixels as seeds 12 s, on a real frame a minute


def test_a_ball_and_noise_have_no_planes():
    v, u = np.mgrid[-1:1:96j, -1.3:1.3:128j]
    ball = (3 - np.sqrt(np.maximum(1 - v**2 / 1.2 - u**2 / 2, 0.01))).astype(np.float32)
    valid = v**2 / 1.2 + u**2 / 2 < 0.8
    search = PlaneSearch(tolerance=0.002, min_share=0.1)
    assert not find_planes(ball, valid, search).any()
    noise = np.random.default_rng(0).uniform(1, 5, SIZE).astype(np.float32)
    assert not find_planes(noise, np.ones(SIZE, np.bool_)).any()


def test_no_valid_pixel_gives_no_plane():
    assert not find_planes(np.zeros(SIZE, np.float32), np.zeros(SIZE, np.bool_)).any()


def test_what_lies_under_the_mask_changes_nothing():
    view = known_view(3, size=SIZE)
    clean = np.where(view.sky, 0, view.depth).astype(np.float32)
    found = find_planes(clean, ~view.sky)
    dirty = np.where(view.sky, np.nan, clean).astype(np.float32)
    np.testing.assert_array_equal(find_planes(dirty, ~view.sky), found)


def test_numbers_go_from_the_largest_on():
    view = known_view(1, size=SIZE)
    found = find_planes(np.where(view.sky, 0, view.depth).astype(np.float32), ~view.sky)
    sizes = np.bincount(found.ravel())[1:]
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)


@pytest.mark.parametrize(
    "option", [{"tolerance": 0}, {"min_share": 1}, {"window": 4}, {"window": 1}, {"most": 0}]
)
def test_options_out_of_range_are_named(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"`{name}` must"):
        PlaneSearch(**option)
