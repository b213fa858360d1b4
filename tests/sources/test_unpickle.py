"""Pickles give plain data, and run nothing."""

import collections
import os
import pickle
import subprocess

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.unpickle import read_pickle

PLAIN = {"min_y": 3, "depth": np.arange(6.0).reshape(2, 3), "names": ["a", ("b", None)], "one": np.float32(2)}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_numbers_and_arrays_come_back(tmp_path, protocol):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps({**PLAIN, "set": {1}, "bytes": b"\x00\xff"}, protocol))
    found = read_pickle(file)
    np.testing.assert_array_equal(found["depth"], PLAIN["depth"])
    assert (found["min_y"], found["names"], found["one"]) == (3, ["a", ("b", None)], 2)
    assert (found["set"], found["bytes"]) == ({1}, b"\x00\xff")


def test_arrays_of_older_numpy_and_text_of_python_2_are_read(tmp_path):
    new = pickle.dumps(PLAIN["depth"], 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    (tmp_path / "a.pkl").write_bytes(old)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl"), PLAIN["depth"])
    (tmp_path / "b.pkl").write_bytes(b"\x80\x02U\x05Z\xfcrip.")
    assert read_pickle(tmp_path / "b.pkl") == "Z\xfcrip"


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "thing",
    [
        _Runs(os.system, "touch owned"),
        _Runs(subprocess.check_call, ["touch", "owned"]),
        _Runs(eval, "open('owned', 'w')"),
        _Runs(getattr, [], "append"),
        _Runs(np.load, "owned"),
        collections.Counter("no plain data"),
    ],
)
def test_a_pickle_that_names_anything_else_runs_nothing(tmp_path, monkeypatch, thing, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, thing], protocol))
    with pytest.raises(BadSource, match=r"a\.pkl: names .* no plain data; convert"):
        read_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"\x80\x04.", np.random.default_rng(0).bytes(300)])
def test_damaged_pickles_are_named(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(BadSource, match=r"a\.pkl"):
        read_pickle(tmp_path / "a.pkl")


def test_the_size_is_bounded(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(list(range(1000))))
    with pytest.raises(BadSource, match="more than the allowed 100"):
        read_pickle(tmp_path / "a.pkl", max_bytes=100)


def test_a_small_file_cannot_ask_for_gigabytes(tmp_path):
    program = b"\x80\x02]r" + (175_000_000).to_bytes(4, "little") + b"."  # a list, kept under a large number
    (tmp_path / "a.pkl").write_bytes(program)
    with pytest.raises(BadSource, match="stores under the number 175000000 at byte 3 of 9"):
        read_pickle(tmp_path / "a.pkl")
