"""Each crop keeps just the rows and columns that its publishers' code keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.metrics.crops import CROPS, crop_mask, crop_window

# Computed by hand from the published rules, for the sizes in which the sets are published.
KNOWN = {
    ("garg", 375, 1242): (153, 371, 44, 1197),
    # The size that the fractions were made for. A comment in public code says rows 152 to 366 and columns 44
    # to 1179; its own products are 151.0000007, 366.9999993 and 43.99999704, so it computes another window.
    ("garg", 370, 1224): (151, 366, 43, 1180),
    ("garg", 374, 1238): (152, 370, 44, 1193),
    ("garg", 376, 1241): (153, 372, 44, 1196),
    ("garg", 352, 1216): (143, 349, 43, 1172),
    ("eigen", 375, 1242): (124, 342, 44, 1197),
    ("eigen", 370, 1224): (122, 337, 43, 1180),
    ("kitti_benchmark", 375, 1242): (23, 375, 13, 1229),
    ("kitti_benchmark", 370, 1226): (18, 370, 5, 1221),
    ("kitti_benchmark", 376, 1241): (24, 376, 12, 1228),
    ("nyu_eigen", 480, 640): (45, 471, 41, 601),
    ("nyu_narrow", 480, 640): (20, 459, 24, 615),
    ("none", 480, 640): (0, 480, 0, 640),
    # At other sizes: fractions are taken anew, pixels are scaled with the image.
    ("garg", 192, 640): (78, 190, 23, 616),
    ("nyu_eigen", 240, 320): (23, 235, 21, 300),
    ("nyu_eigen", 48, 64): (5, 47, 5, 60),
    ("nyu_eigen", 960, 1280): (90, 942, 82, 1202),
}


@pytest.mark.parametrize(("name", "height", "width"), KNOWN)
def test_a_crop_keeps_the_known_rows_and_columns(name, height, width):
    window = KNOWN[name, height, width]
    assert crop_window(name, (height, width)) == window
    rows, columns = np.nonzero(crop_mask(name, (height, width)))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == window
    assert len(rows) == (window[1] - window[0]) * (window[3] - window[2])


def test_every_crop_has_a_known_window():
    assert {name for name, _, _ in KNOWN} == set(CROPS)


@given(st.sampled_from(sorted(CROPS)), st.integers(352, 1500), st.integers(1216, 2500))
def test_a_window_lies_inside_the_image_and_keeps_something(name, height, width):
    top, bottom, left, right = crop_window(name, (height, width))
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width


def test_an_image_smaller_than_the_benchmark_is_refused():
    with pytest.raises(ConfigError, match=r"^crop kitti_benchmark: an image of 351 x 1242 has no 352 x 1216"):
        crop_mask("kitti_benchmark", (351, 1242))


def test_an_unknown_crop_is_answered_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"^crop: no crop is called 'gargg'; did you mean 'garg'\?"):
        crop_window("gargg", (375, 1242))
    with pytest.raises(ConfigError, match=r"known are none, eigen, garg"):
        crop_window("?", (375, 1242))
