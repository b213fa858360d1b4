"""Attacks by raw files: HDF5 that reads other files, arrays that are programs, archives that swell."""

import contextlib
import io
import os
import pickle
import zipfile
import zlib

import h5py
import numpy as np

from depthmix.errors import BadSource
from depthmix.sources.arrays import read_hdf5, read_hdf5_slice, read_npz
from depthmix.sources.decode import read_image, read_npy
from depthmix.sources.nyu_labelled import NyuLabelled
from depthmix.sources.unpickle import read_pickle
from tests.security.box import CANARY, MIB, Box, Runs, attack, cli, refused_for
from tests.security.on_sets import jpeg, png

CANARY_BYTES = 11


def h5(box: Box, name: str = "x.h5") -> h5py.File:
    return h5py.File(box.root / name, "w")


def both(box: Box, name: str = "a") -> object:
    """Read whole and by the row; both refusals count."""
    path, found = box.root / "x.h5", b""
    with contextlib.suppress(BadSource):
        found = read_hdf5(path, name).tobytes()
    return [found, read_hdf5_slice(path, name, 0).tobytes()]


def outside(box):
    """Write a good HDF5 file that holds the canary, and lies outside of what may be read."""
    path = box.canary.parent / "inner.h5"
    with h5py.File(path, "w") as file:
        file["b"] = np.frombuffer(CANARY, np.uint8)
    return path


@attack
def a_dataset_keeps_its_bytes_in_a_file_outside(box):
    with h5(box) as file:
        file.create_dataset("a", (CANARY_BYTES,), "u1", external=[(str(box.canary), 0, CANARY_BYTES)])
    return both(box)


@attack
def a_dataset_is_a_view_of_a_file_outside(box):
    inner = outside(box)
    layout = h5py.VirtualLayout((CANARY_BYTES,), "u1")
    layout[:] = h5py.VirtualSource(inner, "b", (CANARY_BYTES,))
    with h5(box) as file:
        file.create_virtual_dataset("a", layout)
    return both(box)


@attack
def a_dataset_is_a_link_to_a_file_outside(box):
    inner = outside(box)
    with h5(box) as file:
        file["a"] = h5py.ExternalLink(inner, "b")
    return both(box)


@attack
def a_group_on_the_way_is_a_link_to_a_file_outside(box):
    inner = outside(box)
    with h5(box) as file:
        file["g"] = h5py.ExternalLink(inner, "/")
    return both(box, "g/b")


@attack
def a_group_holds_itself(box):
    with h5(box) as file:
        group = file.create_group("g")
        group["g"] = group
    return both(box, "g/" * 5000 + "a")


@attack
def a_dataset_needs_a_filter_that_a_plugin_brings(box):
    os.environ["HDF5_PLUGIN_PATH"] = str(box.root)
    box.write("libevil.so", b"\x7fELF")
    with h5(box) as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        # Optional, so that HDF5 writes it without having it.
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
        h5py.h5d.create(file.id, b"a", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((4,)), plist)
        file["a"].id.write_direct_chunk((0,), b"abcd", filter_mask=0)
    return refused_for(lambda: both(box), "plug-in")


@attack
def one_number_lies_in_a_piece_of_a_gigabyte(box):
    with h5(box) as file:
        grows = {"chunks": (1 << 13, 1 << 14), "maxshape": (None, None), "compression": 9}
        made = file.create_dataset("a", (1, 1), "f8", **grows)
        made.id.write_direct_chunk((0, 0), swollen(1024))
    return both(box)


def swollen(mebibytes: int) -> bytes:
    """Return a few kilobytes that zlib unpacks to so many MiB of zeros, with a wrong sum at the end."""
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (mebibytes - 1) + packer.flush()


@attack
def a_dataset_states_a_petabyte(box):
    with h5(box) as file:
        file.create_dataset("a", (1 << 25, 1 << 25), "u1", chunks=(64, 64))
    return both(box)


@attack
def a_dataset_holds_texts_of_any_length(box):
    with h5(box) as file:
        file["a"] = ["some text"] * 3
    return both(box)


@attack
def names_of_scenes_lie_in_a_file_outside(box):
    with h5(box, "nyu_depth_v2_labeled.mat") as file:
        length = (CANARY_BYTES,)
        file.create_dataset("name", length, "u1", external=[(str(box.canary), 0, CANARY_BYTES)])
        file.create_dataset("scenes", (1, 1), h5py.ref_dtype)[0, 0] = file["name"].ref
    refused_for(NyuLabelled(box.root, split="all").keys, "no dataset of this file")


@attack
def names_of_scenes_are_a_view_of_a_file_outside(box):
    inner = outside(box)
    layout = h5py.VirtualLayout((CANARY_BYTES,), "u1")
    layout[:] = h5py.VirtualSource(inner, "b", (CANARY_BYTES,))
    with h5(box, "nyu_depth_v2_labeled.mat") as file:
        file.create_virtual_dataset("name", layout)
        file.create_dataset("scenes", (1, 1), h5py.ref_dtype)[0, 0] = file["name"].ref
    refused_for(NyuLabelled(box.root, split="all").keys, "no dataset of this file")


@attack
def an_array_file_is_a_program(box):
    np.save(box.root / "a.npy", np.array([Runs("true")], object), allow_pickle=True)
    return read_npy(box.root / "a.npy")


@attack
def an_archive_of_arrays_holds_a_program(box):
    np.savez(box.root / "a.npz", a=np.array([Runs("true")], object))
    return read_npz(box.root / "a.npz", "a")


@attack
def an_archive_of_arrays_swells_to_half_a_gigabyte(box):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 26,)})
    with (
        zipfile.ZipFile(box.root / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        for _ in range(32):
            member.write(bytes(16 * MIB))
    return read_npz(box.root / "a.npz", "a", max_items=MIB)


@attack
def a_pickle_of_a_data_set_is_a_program(box):
    return read_pickle(box.write("clips.pkl", pickle.dumps([Runs("true")])))


@attack
def a_photo_is_a_device_without_end(box):
    (box.root / "a.jpg").symlink_to("/dev/zero")
    return read_image(box.root / "a.jpg")


@attack
def a_photo_of_a_few_bytes_has_three_billion_pixels(box):
    refused_for(lambda: read_image(box.write("a.png", png(60_000, 60_000))), "pixels")
    refused_for(lambda: read_image(box.write("a.jpg", jpeg(60_000, 60_000))), "pixels")


@attack
def names_of_photos_speak_to_the_terminal(box):
    hostile = "a\x1b[2J\u202e\r<b>.jpg"
    box.write(f"raw/{hostile}", b"no picture")
    text = "{name: s, quality: HIGH, images: '*.jpg', labels: '*.jpg', encoding: png16, per_unit: 1000}"
    options = box.write("options.yaml", text)
    return cli(
        "prepare", "FolderSource", box.root / "raw", box.root / "out", "--options", options, "--workers", "0"
    )
