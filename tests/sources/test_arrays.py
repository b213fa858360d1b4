"""Containers of arrays end in numbers or in a named error, whatever their bytes."""

import zipfile

import h5py
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.arrays import read_floats, read_hdf5, read_hdf5_slice, read_npz, read_points

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def npz(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", depth=VALUES, text=np.array(["no"]))
    return tmp_path / "a.npz"


@pytest.fixture
def hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/depth"] = VALUES.astype(">f4")
        file["text"] = "words"
        file["soft"] = h5py.SoftLink("/group/depth")
        file["outside"] = h5py.ExternalLink("other.h5", "/depth")
        file.create_dataset("kept outside", (3,), "f4", external=[("raw.bin", 0, 12)])
    return tmp_path / "a.h5"


def test_npz_gives_the_named_array(npz):
    np.testing.assert_array_equal(read_npz(npz, "depth"), VALUES)


@pytest.mark.parametrize(("name", "said"), [("gone", "holds no array 'gone'"), ("text", "must hold numbers")])
def test_npz_without_such_numbers_says_so(npz, name, said):
    with pytest.raises(BadSource, match=said):
        read_npz(npz, name)


def test_npz_that_swells_or_holds_pickles_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", depth=np.zeros(1_000_000))
    with pytest.raises(BadSource, match="unpacks to"):
        read_npz(tmp_path / "bomb.npz", "depth", max_items=1000)
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive, archive.open("depth.npy", "w") as stream:
        np.lib.format.write_array(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(BadSource, match="cannot be read"):
        read_npz(tmp_path / "p.npz", "depth")


def test_hdf5_gives_whole_datasets_and_rows_in_the_machines_byte_order(hdf5):
    whole = read_hdf5(hdf5, "group/depth")
    np.testing.assert_array_equal(whole, VALUES)
    assert whole.dtype == np.dtype("float32")
    np.testing.assert_array_equal(read_hdf5_slice(hdf5, "group/depth", 2), VALUES[2])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "holds no dataset 'gone'"),
        ("group/depth/deeper", "holds no dataset"),
        ("group", "is no dataset"),
        ("text", "must hold numbers"),
        ("soft", "is a link"),
        ("outside", "is a link"),
        ("kept outside", "is no dataset of this file"),
    ],
)
def test_hdf5_refuses_what_is_no_array_of_its_own(hdf5, name, said):
    with pytest.raises(BadSource, match=said):
        read_hdf5(hdf5, name)


def test_hdf5_sizes_and_rows_are_bounded(hdf5):
    with pytest.raises(BadSource, match="more than 5"):
        read_hdf5(hdf5, "group/depth", max_items=5)
    with pytest.raises(BadSource, match="no row 3"):
        read_hdf5_slice(hdf5, "group/depth", 3)
    with pytest.raises(BadSource, match="more than 2"):
        read_hdf5_slice(hdf5, "group/depth", 0, max_items=2)


def test_hdf5_that_states_more_than_it_can_store_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.create_dataset("never written", (15_000, 16_000), "f8", chunks=(1000, 1000))
        opened.create_dataset("zeros", data=np.zeros((2000, 2000)), compression="gzip", compression_opts=9)
    for read in (read_hdf5, lambda file, name: read_hdf5_slice(file, name, 0, max_items=16_000)):
        assert not read(tmp_path / "a.h5", "zeros").any()
    with pytest.raises(BadSource, match=r"states 1920000000 bytes, more than a file of \d+ bytes can hold"):
        read_hdf5(tmp_path / "a.h5", "never written")


def test_a_dump_must_have_just_the_bytes_of_its_shape(tmp_path):
    VALUES.astype(">f4").tofile(tmp_path / "a.bin")
    np.testing.assert_array_equal(read_floats(tmp_path / "a.bin", (3, 4), dtype=">f4"), VALUES)
    with pytest.raises(BadSource, match="48 bytes, but 4 x 4 numbers of 4 bytes are 64"):
        read_floats(tmp_path / "a.bin", (4, 4))


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "missing", "folder"])
def test_damaged_containers_are_named(tmp_path, npz, hdf5, suffix, damage):
    file = tmp_path / f"a.{suffix}"
    content = {
        "cut": file.read_bytes()[: file.stat().st_size // 3],
        "noise": np.random.default_rng(0).bytes(900),
        "empty": b"",
    }
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(content[damage])
    read = {"npz": read_npz, "h5": read_hdf5}[suffix]
    with pytest.raises(BadSource, match=rf"a\.{suffix}"):
        read(file, "group/depth" if suffix == "h5" else "depth")


def test_a_scan_without_head_is_rows_of_points(tmp_path):
    np.arange(15, dtype="<f4").tofile(tmp_path / "s.bin")
    np.testing.assert_array_equal(read_points(tmp_path / "s.bin", columns=5), np.arange(15).reshape(3, 5))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "0 bytes are no whole number of 20-byte points"),
        ([1.0] * 6, "24 bytes are no whole number"),
        ([1.0, np.nan, 1, 1, 1], "1 of 1 points are not finite or beyond 1 km"),
        ([1.0, 1, 1001, 1, 1], "1 of 1 points are not finite or beyond 1 km"),
    ],
)
def test_a_scan_that_is_none_is_refused(tmp_path, values, reason):
    np.array(values, "<f4").tofile(tmp_path / "s.bin")
    with pytest.raises(BadSource, match=reason):
        read_points(tmp_path / "s.bin", columns=5)
