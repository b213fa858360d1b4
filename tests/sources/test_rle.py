"""Run-length masks and polygons of COCO."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.sources.rle import mask_of_segmentation, runs_of_text
from tests.data.plane_sets.make import runs_of, runs_to_text


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=40))
def test_text_of_runs_comes_back(runs):
    assert runs_of_text(runs_to_text(runs)) == runs


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_mask_comes_back_from_both_forms(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    runs = runs_of(mask)
    for counts in (runs, runs_to_text(runs)):
        found = mask_of_segmentation({"size": [height, width], "counts": counts}, (height, width))
        np.testing.assert_array_equal(found, mask)


def test_runs_go_down_the_columns():
    found = mask_of_segmentation({"size": [2, 3], "counts": [2, 2, 2]}, (2, 3))
    assert found.tolist() == [[False, True, False], [False, True, False]]


def test_polygons_are_filled():
    found = mask_of_segmentation([[1, 1, 4, 1, 4, 3, 1, 3]], (5, 6))
    assert found.sum() == 12
    assert found[1:4, 1:5].all()


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ({"size": [2, 2], "counts": [1, 1]}, "do not fill"),
        ({"size": [2, 2], "counts": [float("inf"), 1]}, "not finite"),
        ({"size": [2, 3], "counts": [4]}, "the mask is"),
        ({"size": [2, 2], "counts": [-1, 5]}, "do not fill"),
        ({"size": [2, 2], "counts": "\x01"}, "no part"),
        ({"size": [2, 2], "counts": "T"}, "no end"),
        ([[0, 0, 1, 1]], "three finite corners"),
        ([[0, 0, 1, 1, float("nan"), 2]], "three finite corners"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation, said):
    with pytest.raises(ValueError, match=said):
        mask_of_segmentation(segmentation, (2, 2))
