"""Columns of feather files, or a reason why not."""

import numpy as np
import pyarrow
import pytest
from pyarrow import feather

from depthmix.errors import BadSource
from depthmix.sources.feather import read_feather


@pytest.mark.parametrize("compression", ["lz4", "zstd", "uncompressed"])
def test_columns_are_read_by_name(tmp_path, compression):
    table = pyarrow.table({"x": np.arange(5, dtype=np.float16), "name": ["a", "b", "c", "d", "e"]})
    feather.write_feather(table, str(tmp_path / "t.feather"), compression=compression)
    columns = read_feather(tmp_path / "t.feather", ("name", "x"))
    assert columns["name"].tolist() == ["a", "b", "c", "d", "e"]
    assert columns["x"].tolist() == [0, 1, 2, 3, 4]


def test_a_missing_column_is_named_with_those_there(tmp_path):
    feather.write_feather(pyarrow.table({"x": [1.0], "y": [2.0]}), str(tmp_path / "t.feather"))
    with pytest.raises(BadSource, match="has no column z, but x, y"):
        read_feather(tmp_path / "t.feather", ("x", "z"))


def test_a_column_with_gaps_is_refused(tmp_path):
    feather.write_feather(pyarrow.table({"x": [1.0, None]}), str(tmp_path / "t.feather"))
    with pytest.raises(BadSource, match="x: has gaps"):
        read_feather(tmp_path / "t.feather", ("x",))


@pytest.mark.parametrize("value", [{"a": 1}, [1.0], b"x"])
def test_a_column_of_neither_numbers_nor_text_is_refused(tmp_path, value):
    feather.write_feather(pyarrow.table({"x": [value]}), str(tmp_path / "t.feather"))
    with pytest.raises(BadSource, match="x: must be numbers or text, got"):
        read_feather(tmp_path / "t.feather", ("x",))


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "t.feather").open("wb") as file:
        file.truncate(500_000_001)
    with pytest.raises(BadSource, match="more than the allowed 500000000 bytes"):
        read_feather(tmp_path / "t.feather", ("x",))
