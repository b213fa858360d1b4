import os

import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource, ConfigError
from depthmix.predict import Focal, camera_of, exif_focal, find_focal, focal_of_fov


def photo(folder, focal_35mm=None, size=(30, 40)):
    path = folder / "photo.jpg"
    exif = Image.Exif()
    if focal_35mm is not None:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path, exif=exif)
    return path


def test_the_35_mm_equivalent_compares_diagonals(tmp_path):
    # A 3:2 photo of 36 x 24 pixels under a 50 mm equivalent has one pixel per millimetre of film.
    assert exif_focal(photo(tmp_path, 50, (24, 36)), (24, 36)) == pytest.approx(50)
    assert exif_focal(photo(tmp_path, 50, (36, 24)), (36, 24)) == pytest.approx(50)


@pytest.mark.parametrize("stated", [None, 0])
def test_a_photo_that_states_no_focal_length_has_none(tmp_path, stated):
    assert exif_focal(photo(tmp_path, stated), (30, 40)) is None
    assert find_focal(photo(tmp_path, stated), (30, 40)) is None


def test_a_given_number_wins_over_the_photo_and_says_so(tmp_path):
    path = photo(tmp_path, 50)
    assert find_focal(path, (30, 40), focal_px=70.0) == Focal(70.0, "as given")
    assert find_focal(path, (30, 40), fov_degrees=90).pixels == pytest.approx(20)
    assert find_focal(path, (30, 40)).origin == "from the EXIF data of the photo"


def test_field_of_view_and_camera_agree():
    camera = camera_of(Focal(focal_of_fov(60, 40), "test"), (30, 40))
    left, right = (-0.5 - camera.cx) / camera.fx, (39.5 - camera.cx) / camera.fx
    assert np.degrees(np.arctan(right) - np.arctan(left)) == pytest.approx(60)
    assert (camera.cx, camera.cy) == (19.5, 14.5)


@pytest.mark.parametrize("pixels", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_focal_length_is_refused(pixels):
    with pytest.raises(ConfigError, match="focal length: must be a positive number of pixels"):
        Focal(pixels, "test")


@pytest.mark.parametrize("degrees", [0.0, 180.0, -5.0, float("nan")])
def test_an_impossible_field_of_view_is_refused(degrees):
    with pytest.raises(ConfigError, match="fov-degrees: must lie between 0 and 180 degrees"):
        focal_of_fov(degrees, 40)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"nothing")
    with pytest.raises(BadSource, match=r"photo\.jpg: is no image, it starts with b'nothing'"):
        exif_focal(tmp_path / "photo.jpg", (1, 1))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(BadSource, match=r"photo\.jpg: is not a plain file"):
        exif_focal(tmp_path / "photo.jpg", (30, 40))
