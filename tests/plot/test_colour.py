import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.plot.colour import (
    CHECKER,
    SKY,
    Scale,
    colour_depth,
    colour_normals,
    colour_planes,
    colour_signed,
    colour_table,
    colour_valid,
    fair_range,
    thicken,
)


def colours_of(rgb: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(c) for c in pixel) for pixel in rgb.reshape(-1, 3)}


def patterns() -> set[tuple[int, ...]]:
    return {tuple(int(c) for c in colour) for colour in (*CHECKER, *SKY)}


@pytest.mark.parametrize("name", ["magma", "magma_r", "PuOr_r"])
def test_no_number_looks_like_a_pixel_without_one(name):
    distance = [np.abs(colour_table(name).astype(int) - mark).max(axis=1).min() for mark in (*CHECKER, *SKY)]
    assert min(distance) >= 8


def test_invalid_pixels_show_a_two_coloured_checker_and_sky_its_stripes():
    values, valid, sky = np.full((20, 20), 2.0), np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    sky[:10] = True
    rgb = colour_depth(values, valid, 1, 4, True, sky=sky)
    assert colours_of(rgb[:10]) == {tuple(c) for c in SKY}
    assert colours_of(rgb[10:]) == {tuple(c) for c in CHECKER}


def test_garbage_under_the_mask_changes_nothing():
    valid = np.zeros((4, 4), bool)
    valid[1] = True
    clean = colour_depth(np.full((4, 4), 2.0), valid, 1, 4, True)
    dirty = np.full((4, 4), 2.0)
    dirty[~valid] = np.nan
    dirty[0, 0] = np.inf
    assert np.array_equal(colour_depth(dirty, valid, 1, 4, True), clean)


def test_near_is_brighter_than_far():
    rgb = colour_depth(np.array([[1.0, 2.0, 4.0]]), np.ones((1, 3), bool), 1, 4, True).astype(int).sum(-1)[0]
    assert rgb[0] > rgb[1] > rgb[2]


def test_a_log_scale_gives_equal_ratios_equal_steps():
    assert Scale(1, 4, log=True).position(np.array([1.0, 2.0, 4.0])).tolist() == pytest.approx([0, 0.5, 1])
    assert Scale(1, 4, log=True).ticks() == pytest.approx([1, 2, 4])
    assert Scale(0, 4).ticks(2) == [0, 4]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=8), st.booleans()
)
def test_any_number_gets_a_colour(numbers, log):
    position = Scale(0.5, 2, log=log).position(np.array(numbers))
    assert ((position >= 0) & (position <= 1)).all()


def test_the_fair_range_ignores_a_few_wild_numbers_and_never_is_empty():
    values = np.linspace(1, 2, 1000)
    values[:3] = 1e6
    low, high = fair_range(values, np.ones(1000, bool))
    assert 1 <= low < high <= 2
    assert fair_range(np.full(3, 5.0), np.ones(3, bool)) == (4.75, 5.25)
    assert fair_range(np.full(3, np.nan), np.ones(3, bool)) == (0.0, 1.0)
    assert fair_range(np.zeros(3), np.ones(3, bool)) == (-0.5, 0.5)


def test_a_plane_keeps_its_colour_whatever_lies_beside_it():
    alone, beside = colour_planes(np.array([[7, 7]])), colour_planes(np.array([[7, 3]]))
    assert np.array_equal(alone[0, 0], beside[0, 0])


def test_the_first_forty_planes_and_large_ids_have_their_own_colours():
    ids = np.array([[*range(1, 41), 2**31 - 1]])
    assert len(colours_of(colour_planes(ids))) == 41
    assert not colours_of(colour_planes(ids)) & patterns()


def test_normals_point_to_their_colours():
    up, right, camera = (0, -1, 0), (1, 0, 0), (0, 0, -1)
    normals = np.array([up, right, camera], float).T[:, None]
    rgb = colour_normals(normals, np.ones((1, 3), bool))[0]
    assert [int(pixel.argmax()) for pixel in rgb] == [1, 0, 2]


def test_a_signed_error_is_white_at_zero_and_has_two_sides():
    near, none, far = colour_signed(np.array([[-1.0, 0, 1]]), np.ones((1, 3), bool), 1)[0].astype(int)
    assert none.min() > 240
    assert far[0] > far[2]
    assert near[2] > near[1]


def test_validity_is_shown_without_reading_the_label():
    valid = np.array([[True, False]])
    rgb = colour_valid(valid, np.zeros_like(valid))
    assert colours_of(rgb[:, :1]) == {(20, 110, 80)}


@pytest.mark.parametrize("near_is_small", [True, False])
def test_thickening_keeps_measured_pixels_and_lets_the_nearest_win(near_is_small):
    values, valid = np.zeros((5, 5)), np.zeros((5, 5), bool)
    values[2, 1], values[2, 2], values[2, 4] = 1.0, 3.0, 2.0
    valid[2, [1, 2, 4]] = True
    thick, known = thicken(values, valid, radius=1, near_is_small=near_is_small)
    assert thick[2, [1, 2, 4]].tolist() == [1, 3, 2]
    assert thick[2, 3] == (2 if near_is_small else 3)
    assert thick[1, 1] == (1 if near_is_small else 3)
    assert known.sum() == 15
    assert not known[0].any()
