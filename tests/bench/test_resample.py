"""Paired intervals: known answers, and a second implementation that draws one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.bench.resample import paired_difference


def naive(ours, theirs, draws: int, seed: int) -> tuple[float, float]:
    """Draw seeds, then images of every set, one at a time."""
    random = np.random.default_rng(seed)
    seeds = ours[0].shape[0]
    found = []
    for _ in range(draws):
        chosen = random.integers(seeds, size=seeds)
        means = []
        for a, b in zip(ours, theirs, strict=True):
            images = random.integers(a.shape[1], size=a.shape[1])
            means.append(np.mean([a[s, i] - b[s, i] for s in chosen for i in images]))
        found.append(np.mean(means))
    return tuple(np.quantile(found, [0.025, 0.975]))


def test_the_interval_is_that_of_drawing_seeds_and_images_one_by_one():
    random = np.random.default_rng(0)
    ours = [random.normal(0.1, 0.2, (3, n)) + random.normal(0, 0.1, (3, 1)) for n in (12, 30)]
    theirs = [random.normal(0.0, 0.2, one.shape) for one in ours]
    difference, low, high = paired_difference(ours, theirs, draws=20_000)
    assert difference == pytest.approx(np.mean([(a - b).mean() for a, b in zip(ours, theirs, strict=True)]))
    expected = naive(ours, theirs, 4000, 1)
    np.testing.assert_allclose((low, high), expected, atol=0.1 * (high - low))


@given(st.floats(-10, 10), st.integers(1, 4), st.integers(1, 5))
def test_what_both_share_cancels(offset: float, seeds: int, images: int):
    theirs = [np.random.default_rng(1).normal(0, 100, (seeds, images))]
    found = paired_difference([theirs[0] + offset], theirs, draws=50)
    np.testing.assert_allclose(found, offset, atol=1e-9)


def test_swapping_the_two_turns_the_interval_round():
    random = np.random.default_rng(2)
    ours, theirs = [random.normal(size=(3, 20))], [random.normal(size=(3, 20))]
    difference, low, high = paired_difference(ours, theirs)
    np.testing.assert_allclose(paired_difference(theirs, ours), (-difference, -high, -low), atol=1e-12)


def test_seeds_that_disagree_widen_the_interval_however_many_images_agree():
    seeds = np.array([[-1.0], [0.0], [1.0]])
    _, low, high = paired_difference([np.tile(seeds, (1, 10_000))], [np.zeros((3, 10_000))])
    assert low < -0.6
    assert high > 0.6


def test_an_image_that_one_of_them_cannot_be_measured_on_is_left_out_of_both():
    ours, theirs = np.ones((2, 4)), np.zeros((2, 4))
    ours[0, 1], theirs[1, 2] = np.nan, np.nan
    ours[1, 1], ours[:, 2] = 99, 99
    assert paired_difference([ours], [theirs]) == (1, 1, 1)


def test_nothing_to_measure_is_nan():
    assert np.isnan(paired_difference([np.full((2, 3), np.nan)], [np.zeros((2, 3))])).all()


def test_the_same_seed_gives_the_same_interval():
    random = np.random.default_rng(3)
    pair = [random.normal(size=(3, 20))], [random.normal(size=(3, 20))]
    assert paired_difference(*pair) == paired_difference(*pair)
    assert paired_difference(*pair, seed=1) != paired_difference(*pair)


def test_results_of_other_images_are_refused():
    with pytest.raises(ValueError, match="`ours` and `theirs` must have the same sets, seeds and images"):
        paired_difference([np.zeros((2, 3))], [np.zeros((2, 4))])
