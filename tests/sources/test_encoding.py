"""Stored numbers become metres by the published scale, and what was not measured is not valid."""

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.encoding import depth_of_code, depth_of_ray_length, measured, read_depth_png16
from depthmix.testing import known_view


def test_codes_become_metres_and_missing_ones_are_not_valid():
    code = np.array([[0, 1, 256], [65535, 5, 512]], np.uint16)
    depth, valid = depth_of_code(code, per_metre=256, missing=(0, 65535))
    assert valid.tolist() == [[False, True, True], [False, True, True]]
    np.testing.assert_allclose(depth, [[0, 1 / 256, 1], [0, 5 / 256, 2]])
    assert depth.dtype == np.float32


def test_a_png_with_8_bits_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.full((4, 5), 200, np.uint8))
    with pytest.raises(BadSource, match=r"d\.png.*16"):
        read_depth_png16(tmp_path / "d.png", per_metre=256)


def test_8_bits_that_were_saved_with_16_again_are_refused(tmp_path):
    code = np.full((4, 5), 255, np.uint16)
    code[0, 0] = 65535
    cv2.imwrite(str(tmp_path / "d.png"), code)
    with pytest.raises(BadSource, match=r"d\.png: holds 16 bits, but no number above 255; use the original"):
        read_depth_png16(tmp_path / "d.png", per_metre=256, missing=(0, 65535))
    assert read_depth_png16(tmp_path / "d.png", per_metre=256)[1].all()
    cv2.imwrite(str(tmp_path / "d.png"), np.zeros((4, 5), np.uint16))
    assert not read_depth_png16(tmp_path / "d.png", per_metre=256)[1].any()  # nothing measured is no mistake


def test_numbers_outside_the_range_are_not_valid():
    values = np.array([[np.nan, np.inf, -np.inf, -1, 0, 0.5, 3, 80, 1e300]])
    depth, valid = measured(values, lowest=0.5, highest=80)
    assert valid.tolist() == [[False] * 6 + [True, False, False]]
    assert depth[valid].tolist() == [3]
    assert not depth[~valid].any()


def test_numbers_beyond_float32_are_not_valid():
    assert not measured(np.array([[1e300]]))[1].any()


def test_a_distance_to_the_camera_becomes_z():
    view = known_view(2, has_sky=False)
    depth = depth_of_ray_length(view.ray_length.astype(np.float32), view.intrinsics)
    np.testing.assert_allclose(depth, view.depth, rtol=1e-6)
