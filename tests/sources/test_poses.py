"""Rigid motions: known rotations, exact ways back, and quaternions of any length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.sources.poses import inverse, is_rigid, moved, rigid, rotation_of_quaternion

NUMBERS = st.floats(-3, 3, allow_nan=False)
TURNS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).filter(lambda q: np.linalg.norm(q) > 0.1)


def test_a_quarter_turn_about_z_takes_x_to_y():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_of_quaternion([half, 0, 0, half]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(rotation_of_quaternion([half, half, 0, 0]) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(rotation_of_quaternion([half, 0, half, 0]) @ [0, 0, 1], [1, 0, 0], atol=1e-15)


@given(TURNS, st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_the_way_back_is_the_inverse(turn, place):
    motion = rigid(rotation_of_quaternion(turn), place)
    assert is_rigid(motion, 1e-12)
    np.testing.assert_allclose(inverse(motion) @ motion, np.eye(4), atol=1e-12)
    points = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(moved(moved(points, motion), inverse(motion)), points, atol=1e-10)


@given(TURNS, st.floats(0.1, 10))
def test_the_length_of_a_quaternion_does_not_matter(turn, factor):
    longer = rotation_of_quaternion([factor * number for number in turn])
    np.testing.assert_allclose(longer, rotation_of_quaternion(turn), atol=1e-12)


@pytest.mark.parametrize(
    "turn", [[0, 0, 0, 0], [1, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 0], [1e308, 0, 0, 1e308]]
)
def test_numbers_that_are_no_rotation_are_refused(turn):
    with pytest.raises(ValueError, match="four finite numbers"):
        rotation_of_quaternion(turn)


@pytest.mark.parametrize("place", [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -1e308]])
def test_a_place_beyond_all_bounds_is_refused(place):
    with pytest.raises(ValueError, match=r"finite and within 1e\+09 m"):
        rigid(np.eye(3), place)


@pytest.mark.parametrize(
    "motion",
    [
        np.eye(3),
        np.diag([1.0, 1, -1, 1]),
        np.diag([2.0, 1, 1, 1]),
        np.diag([1.0, 1, 1, 2]),
        np.full((4, 4), np.nan),
        np.full((4, 4), 1e308),
    ],
)
def test_mirrors_scales_and_garbage_are_not_rigid(motion):
    assert not is_rigid(motion)
