"""Pairs of points: DIW and the form that it shares with OASIS."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.diw import Diw
from depthmix.sources.ordinal import pairs_of_rows
from depthmix.testing import SourceContract
from tests.data.ordinal.make import make_diw

FILE = Path("pairs.csv")


def pairs(*rows, size=(48, 64), first_pixel=1):
    return pairs_of_rows([row.split(",") for row in rows], size, first_pixel=first_pixel, file=FILE)


def assert_pairs_are_true(sample, view):
    u1, v1, u2, v2, relation = sample.pairs.T
    np.testing.assert_array_equal(relation, np.sign(view.depth[v1, u1] - view.depth[v2, u2]))


class TestDiw(SourceContract):
    count = 3

    def make(self, tmp_path):
        make_diw(tmp_path / "diw", count=3)
        return Diw(tmp_path / "diw")


def test_y_comes_before_x_and_the_larger_depth_is_farther(tmp_path):
    known = make_diw(tmp_path, count=12)
    for sample in Diw(tmp_path):
        assert_pairs_are_true(sample, known[sample.key])
        assert sample.pairs.shape == (1, 5)
        assert sample.intrinsics is None


def test_pixels_count_from_1():
    np.testing.assert_array_equal(pairs("1,2,48,64,>,64,48"), [[1, 0, 63, 47, 1]])
    np.testing.assert_array_equal(pairs("0,1,47,63,<", first_pixel=0), [[1, 0, 63, 47, -1]])


def test_a_point_one_pixel_outside_is_brought_to_the_border():
    np.testing.assert_array_equal(pairs("0,0,49,65,=", size=(48, 64)), [[0, 0, 63, 47, 0]])


@pytest.mark.parametrize("row", ["50,1,2,3,>", "1,66,2,3,>", "-1,1,2,3,>", "nan,1,2,3,<", "1e99,1,1,1,<"])
def test_a_point_farther_outside_is_refused(row):
    with pytest.raises(BadSource, match=r"pairs\.csv: 1 of 2 pairs leave the 48 x 64 image"):
        pairs("1,1,2,2,>", row)


@pytest.mark.parametrize("row", ["1,2,3,4", "1,2,3,4,?", "a,2,3,4,>", ">,1,2,3,4"])
def test_a_row_of_another_form_is_refused(row):
    with pytest.raises(BadSource, match=r"pairs\.csv: a row must hold"):
        pairs(row)


def test_points_of_the_published_size_leave_a_shrunken_photo(tmp_path):
    make_diw(tmp_path)
    source = Diw(tmp_path)
    photo, table = source.files(source.keys()[0])
    small = cv2.resize(cv2.imdecode(np.frombuffer(photo.read_bytes(), np.uint8), 1), (32, 24))
    photo.write_bytes(cv2.imencode(".jpg", small)[1].tobytes())
    with pytest.raises(BadSource, match=rf"{table.name}: .*leave the 24 x 32 image"):
        source.read(source.keys()[0])


def test_pairs_of_one_photo_are_put_together(tmp_path):
    make_diw(tmp_path, count=1)
    table = Diw(tmp_path).table
    table.write_text(table.read_text() + table.read_text().replace(">", "=").replace("<", "="))
    (sample,) = Diw(tmp_path)
    assert sample.pairs.shape == (2, 5)
    assert sample.pairs[1, 4] == 0


def test_absolute_paths_lead_to_the_same_photos(tmp_path):
    make_diw(tmp_path)
    keys = Diw(tmp_path).keys()
    table = Diw(tmp_path).table
    table.write_text(table.read_text().replace("./DIW", "/home/someone/data/DIW"))
    moved = Diw(tmp_path)
    assert moved.keys() == keys
    assert moved.read(keys[0]).pairs is not None


def test_paths_that_lead_outside_are_refused(tmp_path):
    make_diw(tmp_path)
    table = Diw(tmp_path).table
    table.write_text(table.read_text().replace("./DIW_train_val", "./x/.."))
    with pytest.raises(BadSource, match=r"DIW_train\.csv: names \./x/\.\./"):
        Diw(tmp_path).keys()


def test_splits_and_the_folder_of_the_tables_are_options(tmp_path):
    make_diw(tmp_path, split="train", count=3)
    make_diw(tmp_path, split="test", count=1)
    make_diw(tmp_path, split="val", count=2, annotations="")
    assert [len(Diw(tmp_path, split=split)) for split in ("train", "test")] == [3, 1]
    assert len(Diw(tmp_path, split="val", annotations="")) == 2


@pytest.mark.parametrize(("option", "value"), [("split", "all"), ("first_pixel", 2)])
def test_options_out_of_range_are_named(tmp_path, option, value):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        Diw(tmp_path, **{option: value})
