"""Cameras are read strictly and scaled with their pictures."""

import json

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.camera import camera_of_matrix, camera_of_size, read_intrinsics

STATED = {"fx": 50, "fy": 51.5, "cx": 31, "cy": 23.5}


def test_intrinsics_are_read_from_json(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps(STATED | {"model": "pinhole"}))
    assert read_intrinsics(tmp_path / "k.json") == Intrinsics(50, 51.5, 31, 23.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "must be a JSON object, got list"),
        (json.dumps(STATED | {"fx": "50"}), "fx: must be a number, got '50'"),
        (json.dumps({"fx": 50}), "fy: must be a number, got None"),
        (json.dumps(STATED | {"fy": -1}), "fy"),
        ("{", "k.json"),
    ],
)
def test_a_file_without_a_camera_is_refused(tmp_path, text, reason):
    (tmp_path / "k.json").write_text(text)
    with pytest.raises(BadSource, match=reason):
        read_intrinsics(tmp_path / "k.json")


def test_a_matrix_is_read_in_any_arrangement(tmp_path):
    for text in ("50 0 31\n0 51.5 23.5\n0 0 1\n", "50, 0, 31, 0, 51.5, 23.5, 0, 0, 1"):
        (tmp_path / "k.txt").write_text(text)
        assert camera_of_matrix(tmp_path / "k.txt") == Intrinsics(50, 51.5, 31, 23.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("50 0.1 31 0 51.5 23.5 0 0 1", "is no camera matrix"),
        ("50 0 31 0 51.5 23.5 0 0 2", "is no camera matrix"),
        ("-50 0 31 0 51.5 23.5 0 0 1", "fx"),
        ("50 0 31", "must hold 3 x 3 numbers, got 3"),
    ],
)
def test_a_matrix_of_no_camera_is_refused(tmp_path, text, reason):
    (tmp_path / "k.txt").write_text(text)
    with pytest.raises(BadSource, match=reason):
        camera_of_matrix(tmp_path / "k.txt")


def test_the_camera_of_a_smaller_copy_sees_the_same_rays(tmp_path):
    camera, half = Intrinsics(500, 510, 319.5, 239.5), (240, 320)
    scaled = camera_of_size(camera, (480, 640), half, tmp_path)
    corners = [
        ((x - k.cx) / k.fx, (y - k.cy) / k.fy) for k, x, y in ((camera, 639.5, 479.5), (scaled, 319.5, 239.5))
    ]
    np.testing.assert_allclose(corners[0], corners[1])
    with pytest.raises(BadSource, match="320 x 200 pixels, the camera belongs to 640 x 480"):
        camera_of_size(camera, (480, 640), (200, 320), tmp_path)
