import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from depthmix.errors import BadSample
from depthmix.sources.matching import (
    affine_label,
    left_right_agree,
    match_pair,
    move_rows,
    vertical_shift,
    without_speckles,
)
from tests.data.stereo_pairs.make import BACKGROUND, FOREGROUND, two_layers


@pytest.mark.parametrize("offset", [0, -9, -24])
def test_two_layers_are_measured_whatever_the_sign(offset):
    left, right, truth = two_layers(np.random.default_rng(7), offset=offset)
    disparity, valid = match_pair(left, right, min_disparity=-32, num_disparities=64)
    error = np.abs(disparity - truth)[valid]
    assert valid.mean() > 0.7
    assert np.median(error) < 0.1
    assert (error > 1).mean() < 0.01


def test_no_band_is_lost_at_the_border_of_the_search():
    left, right, _ = two_layers(np.random.default_rng(7))
    valid = match_pair(left, right, min_disparity=0, num_disparities=64)[1]
    assert valid[:, BACKGROUND + 2 : 32].mean() > 0.9


def test_background_beside_the_near_layer_is_not_valid():
    left, right, _ = two_layers(np.random.default_rng(7))
    valid = match_pair(left, right, num_disparities=32)[1]
    hidden = valid[:, 60 - (FOREGROUND - BACKGROUND) + 2 : 58]
    assert hidden.mean() < 0.1


def test_unrelated_images_hardly_agree():
    left, right = (two_layers(np.random.default_rng(seed))[0] for seed in (1, 2))
    assert match_pair(left, right, num_disparities=64)[1].mean() < 0.1


def test_threads_do_not_change_a_byte():
    left, right, _ = two_layers(np.random.default_rng(7))
    before = cv2.getNumThreads()
    results = []
    for threads in (1, 2, 4):
        cv2.setNumThreads(threads)
        results.append([array.tobytes() for array in match_pair(left, right, num_disparities=32)])
    cv2.setNumThreads(before)
    assert results[0] == results[1] == results[2]


def test_grey_images_and_views_into_larger_arrays_match_too():
    left, right, truth = two_layers(np.random.default_rng(7))
    disparity, valid = match_pair(left[..., 1], right[..., 1], num_disparities=32)
    assert np.median(np.abs(disparity - truth)[valid]) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_disparities": 40}, "multiple of 16, got 40"),
        ({"num_disparities": 0}, "multiple of 16, got 0"),
        ({"block_size": 4}, "`block_size` must be odd"),
    ],
)
def test_impossible_options_are_refused(options, message):
    left, right, _ = two_layers(np.random.default_rng(7))
    with pytest.raises(ValueError, match=message):
        match_pair(left, right, **options)


def test_views_of_two_sizes_are_refused():
    left, right, _ = two_layers(np.random.default_rng(7))
    with pytest.raises(ValueError, match="one shape"):
        match_pair(left, right[:-1])


def naive_agreement(forth, back, missing, tolerance):
    height, width = forth.shape
    agreed = np.zeros((height, width), bool)
    for v in range(height):
        for u in range(width):
            home = u - round(forth[v, u] / 16)
            if forth[v, u] > missing and 0 <= home < width and back[v, home] > missing:
                agreed[v, u] = abs(int(forth[v, u]) - int(back[v, home])) / 16 <= tolerance
    return agreed


# Many values close to -80, which means "no match" below: there the rule about missing values decides.
disparities = arrays.arrays(np.int16, (3, 8), elements=st.integers(-80, 80) | st.integers(-80, -60))


@given(disparities, disparities, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_agreement_equals_a_pixel_by_pixel_check(forth, back, tolerance):
    agreed = left_right_agree(forth, back, missing=-80, tolerance=tolerance)
    np.testing.assert_array_equal(agreed, naive_agreement(forth, back, -80, tolerance))


def test_an_island_of_agreement_is_dropped_though_the_disparity_around_it_is_alike():
    agreed = np.zeros((20, 20), bool)
    agreed[2:5, 2:5] = True
    agreed[10:, :] = True
    kept = without_speckles(np.full((20, 20), 32, np.int16), agreed, missing=-16, size=50)
    assert not kept[:10].any()
    assert kept[10:].all()


values = arrays.arrays(np.float32, (5, 7), elements=st.floats(-200, 200, width=32))


@given(values, arrays.arrays(np.bool_, (5, 7)), st.floats(0.5, 4), st.floats(-300, 300))
def test_label_does_not_depend_on_scale_and_shift_of_the_disparity(disparity, valid, scale, shift):
    if not valid.any() or np.ptp(np.quantile(disparity[valid], [0.02, 0.98])) < 2:
        return
    one, _ = affine_label(disparity, valid)
    other, _ = affine_label((scale * disparity + shift).astype(np.float32), valid)
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_label_is_affine_in_the_disparity_and_never_clipped():
    disparity = np.linspace(-50, 70, 1000, dtype=np.float32).reshape(20, 50)
    disparity[0, 0] = -500
    target, valid = affine_label(disparity, np.ones((20, 50), bool))
    fit = np.polyfit(disparity.ravel(), target.ravel(), 1)
    assert fit[0] > 0
    np.testing.assert_allclose(np.polyval(fit, disparity), target, atol=1e-5)
    np.testing.assert_allclose(np.quantile(target[valid], [0.02, 0.98]), [0, 1], atol=1e-5)
    assert target[0, 0] < -3


def test_label_ignores_garbage_outside_valid():
    disparity = np.arange(100, dtype=np.float32).reshape(10, 10)
    valid = disparity < 80
    garbage = np.where(valid, disparity, np.nan).astype(np.float32)
    np.testing.assert_array_equal(affine_label(garbage, valid)[0], affine_label(disparity, valid)[0])


def test_flat_or_empty_disparity_is_refused():
    flat = np.full((4, 4), 7, np.float32)
    with pytest.raises(BadSample, match=r"spread over 0\.00 px"):
        affine_label(flat, np.ones((4, 4), bool))
    with pytest.raises(BadSample, match="0 of 16 pixels are valid"):
        affine_label(flat, np.zeros((4, 4), bool))


@pytest.mark.parametrize("rows", [-5, 0, 3])
def test_vertical_shift_is_found_and_undone(rows):
    left, right, _ = two_layers(np.random.default_rng(3), rows=rows)
    shift = vertical_shift(left, right, min_disparity=-16, num_disparities=48)
    assert shift == rows
    moved, inside = move_rows(right, shift)
    straight = two_layers(np.random.default_rng(3))[1]
    np.testing.assert_array_equal(moved[inside], straight[inside])
    assert inside.sum() == 96 - abs(rows)


def test_images_without_texture_have_no_vertical_shift():
    blank = np.full((96, 160, 3), 90, np.uint8)
    assert vertical_shift(blank, blank, min_disparity=0, num_disparities=32) == 0
