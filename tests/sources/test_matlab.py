"""MATLAB files: what scipy reads, without its crashes on bytes that someone changed."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from depthmix.errors import BadSource
from depthmix.sources.matlab import read_matlab

CONTENT = {
    "grid": np.arange(24.0).reshape(2, 3, 4),
    "half": np.float32([[1.5, -2.5]]),
    "small": np.array([[1, 2], [3, 250]], np.uint8),
    "whole": np.array([[-5], [70_000]]),
    "flag": np.array([[True, False, True]]),
    "text": "floor",
    "empty": np.zeros((0, 7)),
    "data": {"depth": np.ones((2, 2)), "name": "a", "inner": {"x": 3.0}},
}


@pytest.mark.parametrize("compressed", [False, True])
def test_every_kind_is_what_was_written(tmp_path: Path, compressed: bool):
    file = tmp_path / "a.mat"
    names = np.empty((1, 2), object)
    names[0] = ["wall", np.array([[1.0, 2.0]])]
    savemat(file, {**CONTENT, "cell": names}, do_compression=compressed)
    found = read_matlab(file, [*CONTENT, "cell"])
    for name in ("grid", "half", "small", "whole", "flag"):
        np.testing.assert_array_equal(found[name], np.squeeze(CONTENT[name]))
    assert found["small"].dtype == np.uint8
    assert found["half"].dtype == np.float32
    assert (found["text"], found["empty"].shape) == ("floor", (0, 7))
    assert (found["data"]["name"], float(found["data"]["inner"]["x"])) == ("a", 3.0)
    assert found["data"]["depth"].tolist() == [[1, 1], [1, 1]]
    assert found["cell"][0] == "wall"
    assert found["cell"][1].tolist() == [1, 2]


def test_only_the_wanted_variables_are_kept(tmp_path: Path):
    file = tmp_path / "a.mat"
    savemat(file, CONTENT)
    assert list(read_matlab(file, ("half",))) == ["half"]
    with pytest.raises(BadSource, match="holds no variable splits, more"):
        read_matlab(file, ("half", "splits", "more"))


def test_an_array_of_structures_is_a_list(tmp_path: Path):
    file = tmp_path / "a.mat"
    records = np.array([(1.0, "a"), (2.0, "b")], [("x", "O"), ("name", "O")])
    savemat(file, {"all": records})
    found = read_matlab(file, ("all",))["all"]
    assert [(float(record["x"]), record["name"]) for record in found] == [(1.0, "a"), (2.0, "b")]


@pytest.mark.parametrize("content", [b"", b"HDF5 is another format", bytes(200), b"\x89HDF" + bytes(600)])
def test_what_is_no_such_file_is_named(tmp_path: Path, content: bytes):
    file = tmp_path / "a.mat"
    file.write_bytes(content)
    with pytest.raises(BadSource) as caught:
        read_matlab(file, ("x",))
    assert caught.value.file == file


def test_a_bomb_is_refused_before_it_swells(tmp_path: Path):
    file = tmp_path / "a.mat"
    savemat(file, {"x": np.zeros(3_000_000)}, do_compression=True)
    assert file.stat().st_size < 100_000
    with pytest.raises(BadSource, match="unpacks to more than 1000000 bytes"):
        read_matlab(file, ("x",), max_bytes=1_000_000)


@pytest.mark.parametrize("value", [np.array([[1 + 2j]]), "sparse"])
def test_complex_and_sparse_numbers_are_refused(tmp_path: Path, value: object):
    from scipy.sparse import eye

    file = tmp_path / "a.mat"
    savemat(file, {"x": eye(3).tocsc() if isinstance(value, str) else value})
    with pytest.raises(BadSource, match=r"complex|class 5"):
        read_matlab(file, ("x",))


@pytest.mark.parametrize("compressed", [False, True])
def test_changed_bytes_end_in_arrays_or_in_a_named_error(tmp_path: Path, compressed: bool):
    file, random = tmp_path / "a.mat", np.random.default_rng(0)
    savemat(file, CONTENT, do_compression=compressed)
    whole = file.read_bytes()
    outcomes = {"read": 0, "named": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(600):
            changed = bytearray(whole[: random.integers(len(whole)) if random.random() < 0.2 else None])
            for at in random.integers(max(len(changed), 1), size=random.integers(1, 6)):
                changed[at : at + 1] = bytes([random.integers(256)])
            file.write_bytes(bytes(changed))
            try:
                read_matlab(file, tuple(CONTENT))
                outcomes["read"] += 1
            except BadSource as error:
                outcomes["named"] += error.file == file
    assert sum(outcomes.values()) == 600
    assert min(outcomes.values()) > 10


def test_scipy_agrees_on_files_of_matlab_itself():
    scipy_io = Path(loadmat.__code__.co_filename).parent / "tests/data"
    files = sorted(scipy_io.glob("test[a-gi-z]*_[67]*.mat")) if scipy_io.is_dir() else []
    if not files:
        pytest.skip("scipy was installed without its test files")
    for file in files:
        expected = {name: value for name, value in loadmat(file, squeeze_me=True).items() if name[0] != "_"}
        for name, value in expected.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                np.testing.assert_array_equal(read_matlab(file, (name,))[name], value)
