"""Small text files arrive as lines, rows, numbers or objects, or end in a named error."""

import json
import tracemalloc

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources import nuscenes
from depthmix.sources.tables import LIST_MEMORY, read_csv, read_json, read_lines, read_numbers, read_pairs


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


BOMBS = [
    "[],",
    "{},",
    "[[]],",
    '{"":[]},',
    '{"a":{}},',
    "1,",
    "1e5,",
    '"",',
    '"\\ud83d\\ude00aaaaaaaaaaaaaaaaaaaa",',
]


@pytest.mark.parametrize("part", BOMBS)
def test_json_is_refused_by_the_memory_that_its_values_take(write, part):
    def read(count, **options):
        return read_json(write("[" + part * count + "0]"), **options)

    tracemalloc.start()
    read(2_000, max_memory=1 << 40)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with pytest.raises(BadSource, match=r"file\.txt: .*more than the allowed [0-9]"):
        read(2_000, max_memory=taken - 1)


def test_json_of_a_sample_takes_half_a_gibibyte_at_most(write):
    with pytest.raises(
        BadSource, match=r"may need 514 MiB of memory, more than the allowed 512; the file is"
    ):
        read_json(write("[" + "[]," * 3_330_000 + "0]"))


def test_text_of_rare_characters_counts_for_what_it_takes(write):
    file = write(json.dumps(["\U0001f600" + "a" * 1_000_000], ensure_ascii=False).encode())
    assert len(read_json(file, max_memory=10_000_000)) == 1
    with pytest.raises(BadSource, match="may need 8 MiB of memory, more than the allowed 7"):
        read_json(file, max_memory=8_000_000)


def test_a_file_that_cannot_fit_is_not_even_read(write, monkeypatch):
    file = write(b" " * 7_000_000)
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    with pytest.raises(BadSource, match="7000000 bytes, more than the allowed 1048576"):
        read_json(file, max_memory=6 << 20)


# A row of the largest list of each supported layout, how many it has, and what is allowed for it.
LISTS = [
    (
        {
            **dict.fromkeys(("token", "sample_token", "ego_pose_token", "calibrated_sensor_token"), "0" * 32),
            **{"timestamp": 1532402927612460, "fileformat": "jpg", "is_key_frame": False, "height": 900},
            **{
                "width": 1600,
                "filename": "sweeps/CAM_FRONT_RIGHT/" + "n" * 76,
                "prev": "0" * 32,
                "next": "0" * 32,
            },
        },
        2_631_083,
        nuscenes._MAX_MEMORY,
    ),
    (
        {
            **{
                "file_name": "000000000009.png",
                "image_id": 9,
                "license": 3,
                "coco_url": "h" * 56,
                "height": 480,
            },
            **{"flickr_url": "h" * 60, "date_captured": "2013-11-14 11:18:45"},
            "segments_info": [
                {"id": 8345037, "category_id": 51, "iscrowd": 0, "bbox": [0, 14, 434, 374], "area": 24315}
            ]
            * 12,
        },
        118_287,
        LIST_MEMORY,
    ),
]


@pytest.mark.parametrize(("row", "count", "allowed"), LISTS)
def test_the_lists_of_honest_sets_are_read(write, row, count, allowed):
    file = write(json.dumps([row] * (count // 1000)))
    assert len(read_json(file, max_memory=allowed // 1000)) == count // 1000


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
