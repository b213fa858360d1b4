"""Small text files arrive as lines, rows, numbers or objects, or end in a named error."""

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.tables import read_csv, read_json, read_lines, read_numbers, read_pairs


@pytest.fixture
def write(tmp_path):
    def written(text):
        file = tmp_path / "file.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return written


def test_lines_come_without_comments_blanks_and_byte_order_mark(write):
    assert read_lines(write("\ufeffa b\r\n\n# no\n  c \n")) == ["a b", "c"]


def test_rows_come_by_the_names_of_the_first_line(write):
    assert read_csv(write('a,b\n1,"x, y"\n')) == [{"a": "1", "b": "x, y"}]


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_a_row_of_another_length_is_named(write, row):
    with pytest.raises(BadSource, match="line 3: has another number of cells"):
        read_csv(write(f"a,b\n1,2\n{row}\n"))


def test_numbers_may_be_apart_by_blanks_commas_or_semicolons(write):
    found = read_numbers(write("1 2\n3,4; 5e-1 6"), (2, 3))
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 0.5, 6]])


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 2 3", "must hold 2 x 2 numbers, got 3"), ("1 2 3 x", "numbers only"), ("1 2 3 inf", "finite")],
)
def test_other_numbers_are_refused(write, text, said):
    with pytest.raises(BadSource, match=said):
        read_numbers(write(text), (2, 2))


def test_infinite_numbers_are_taken_where_they_have_a_meaning(write):
    assert np.isneginf(read_numbers(write("-inf"), (1,), finite=False))


def test_json_is_read_and_damage_named(write):
    assert read_json(write('{"a": [1, 2.5]}')) == {"a": [1, 2.5]}
    with pytest.raises(BadSource, match=r"file\.txt: cannot be read: JSONDecodeError"):
        read_json(write('{"a": [1,'))


@pytest.mark.parametrize("read", [read_lines, read_csv, read_json, lambda file: read_numbers(file, (1,))])
def test_bytes_that_are_no_text_are_named(write, read):
    with pytest.raises(BadSource, match=r"file\.txt"):
        read(write(b"\xff\xfe\x00\x81"))


def test_pairs_are_points_and_their_order(write):
    pairs = read_pairs(write("# u1 v1 u2 v2 relation\n0 0 5 3 1\n5,3,0,0,-1\n"), (4, 6))
    assert pairs.tolist() == [[0, 0, 5, 3, 1], [5, 3, 0, 0, -1]]
    assert pairs.dtype == np.int32


@pytest.mark.parametrize(
    "text",
    ["", "0 0 6 3 1", "0 0 5 4 1", "-1 0 5 3 1", "0 0 5 3 2", "0 0 5 3", "0 0 5 3 x", "0 0 5 3 99999999999"],
)
def test_pairs_outside_or_without_relation_are_refused(write, text):
    with pytest.raises(BadSource, match=r"file\.txt: "):
        read_pairs(write(text), (4, 6))
