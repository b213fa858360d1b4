"""Read arrays out of containers whose bytes are not trusted: NPZ, HDF5, headless dumps."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

import numpy as np
from jaxtyping import Float32, Shaped

from depthmix.errors import BadSource
from depthmix.sources.files import DAMAGED, MAX_PIXELS, file_size, read_bytes, refusing

if TYPE_CHECKING:
    import h5py

__all__ = [
    "MAX_ITEMS",
    "check_dataset",
    "read_floats",
    "read_hdf5",
    "read_hdf5_slice",
    "read_npz",
    "read_points",
]

MAX_ITEMS: Final = 4 * MAX_PIXELS
# What HDF5 and h5py bring along: deflate, shuffle, fletcher32, szip, nbit, scale and offset, lzf.
_FILTERS: Final = (1, 2, 3, 4, 5, 6, 32000)
_MAX_CHUNK: Final = 256 << 20
_MOST_PACKED: Final = 1032  # bytes out of one: zlib's limit, and no filter of HDF5 beats it


def read_npz(file: str | Path, name: str, *, max_items: int = MAX_ITEMS) -> Shaped[np.ndarray, "..."]:
    """Read one array of numbers out of an NPZ archive; pickles are refused.

    Args:
        file: the archive.
        name: the array, without `.npy`.
        max_items: refuse larger arrays before they are unpacked.

    Raises:
        BadSource: no such file or array, damaged, too large, or no plain numbers.
    """
    file_size(file)
    with refusing(file), ZipFile(file) as archive:
        names = archive.namelist()
        if f"{name}.npy" not in names:
            raise BadSource(f"holds no array {name!r}, but {', '.join(sorted(names)[:8])}", file=file)
        # The size that the archive states bounds what is unpacked, whatever its bytes would swell to.
        size = archive.getinfo(f"{name}.npy").file_size
        if size > 8 * max_items:
            raise BadSource(f"{name} unpacks to {size} bytes, more than {8 * max_items}", file=file)
        with archive.open(f"{name}.npy") as stream:
            values = np.lib.format.read_array(stream, allow_pickle=False)
        return _numbers(values, name, file)


def read_hdf5(file: str | Path, name: str, *, max_items: int = MAX_ITEMS) -> Shaped[np.ndarray, "..."]:
    """Read one dataset of an HDF5 file; MATLAB writes its files from version 7.3 on in this form, transposed.

    Args:
        file: the HDF5 file.
        name: path of the dataset inside the file.
        max_items: refuse larger datasets before they are read.

    Raises:
        BadSource: no such file or dataset, damaged, too large, no plain numbers, or data kept in other files.
    """
    with _dataset(file, name) as dataset:
        if dataset.size > max_items:
            raise BadSource(f"{name} has {dataset.size} numbers, more than {max_items}", file=file)
        _check_stored(dataset.nbytes, name, file)
        return _numbers(dataset[()], name, file)


def read_hdf5_slice(
    file: str | Path, name: str, index: int, *, max_items: int = MAX_ITEMS
) -> Shaped[np.ndarray, "..."]:
    """Read one row of a dataset that is too large to be read as a whole.

    Args:
        file: the HDF5 file.
        name: path of the dataset inside the file.
        index: which entry along the first axis.
        max_items: refuse rows with more numbers.

    Raises:
        BadSource: as `read_hdf5`, or there is no such row.
    """
    with _dataset(file, name) as dataset:
        if not dataset.shape or not 0 <= index < dataset.shape[0]:
            raise BadSource(f"{name} has shape {dataset.shape}, no row {index}", file=file)
        if dataset.size // dataset.shape[0] > max_items:
            raise BadSource(f"a row of {name} has more than {max_items} numbers", file=file)
        _check_stored(dataset.nbytes // dataset.shape[0], name, file)
        return _numbers(dataset[index], name, file)


def read_floats(file: str | Path, shape: tuple[int, ...], *, dtype: str = "<f4") -> Shaped[np.ndarray, "..."]:
    """Read a dump of numbers without any header.

    Args:
        file: the dump.
        shape: what it must hold, such as the rows and columns of the image.
        dtype: type and byte order of one number.

    Raises:
        BadSource: no such file, or its length is not that of the shape.
    """
    kind = np.dtype(dtype)
    expected = int(np.prod(shape)) * kind.itemsize
    size = file_size(file)
    if size != expected:
        wanted = " x ".join(map(str, shape))
        reason = f"{size} bytes, but {wanted} numbers of {kind.itemsize} bytes are {expected}"
        raise BadSource(reason, file=file, hint="does the file belong to an image of another size?")
    values = np.frombuffer(read_bytes(file, max_bytes=expected), kind).reshape(shape)
    return values.astype(kind.newbyteorder("="))


def read_points(file: str | Path, *, columns: int) -> Float32[np.ndarray, "n c"]:
    """Read a headless scan: float32, one row of `columns` numbers a point, coordinates in metres first.

    Raises:
        BadSource: no such file, no whole number of points, none at all, or coordinates that are none.
    """
    size = file_size(file)
    if not size or size % (4 * columns):
        raise BadSource(
            f"{size} bytes are no whole number of {4 * columns}-byte points", file=file, hint=DAMAGED
        )
    points = read_floats(file, (size // (4 * columns), columns)).astype(np.float32)
    strange = ~np.isfinite(points[:, :3]).all(1) | (np.abs(points[:, :3]) > 1000).any(1)
    if strange.any():
        reason = f"{int(strange.sum())} of {len(points)} points are not finite or beyond 1 km"
        raise BadSource(reason, file=file, hint=DAMAGED)
    return points


@contextmanager
def _dataset(file: str | Path, name: str) -> "Iterator[h5py.Dataset]":
    import h5py

    file_size(file)
    with refusing(file), h5py.File(file, "r", locking=False) as opened:
        link: Any = opened
        for part in name.strip("/").split("/"):
            if not isinstance(link, h5py.Group) or part not in link:
                raise BadSource(f"holds no dataset {name!r}, but {', '.join(list(opened)[:8])}", file=file)
            # An external or soft link would let a stranger's file name any other file of this machine.
            if isinstance(link.get(part, getlink=True), (h5py.ExternalLink, h5py.SoftLink)):
                raise BadSource(f"{name} is a link to somewhere else", file=file)
            link = link[part]
        check_dataset(link, name, file)
        if link.dtype.kind not in "biuf":
            raise BadSource(f"{name} must hold numbers, got {link.dtype}", file=file)
        yield link


def check_dataset(found: object, name: str, file: str | Path) -> None:
    """Refuse, before it is read, a dataset that is not in its own file or that HDF5 alone cannot unpack.

    A dataset may name any file of this machine for its bytes, a filter whose library HDF5 then loads from a
    folder of plug-ins, and pieces that are far larger than itself.

    Raises:
        BadSource: it is one of these.
    """
    import h5py

    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise BadSource(f"{name} is no dataset of this file", file=file)
    plist = found.id.get_create_plist()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    if foreign := sorted(set(filters) - set(_FILTERS)):
        hint = "write the data again without it, such as by h5repack -f NONE"
        raise BadSource(f"{name} needs the HDF5 filter {foreign[0]}, a plug-in", file=file, hint=hint)
    chunk = math.prod(found.chunks or ()) * found.dtype.itemsize
    if chunk > _MAX_CHUNK:
        reason = f"{name} lies in pieces of {chunk} bytes, more than {_MAX_CHUNK}"
        raise BadSource(
            reason, file=file, hint="write the data again in smaller pieces, such as by h5repack -l"
        )


def _check_stored(stated: int, name: str, file: str | Path) -> None:
    # Of a dataset that was never written nothing is stored, and reading makes up all of it.
    if stated > _MOST_PACKED * (size := file_size(file)):
        reason = f"{name} states {stated} bytes, more than a file of {size} bytes can hold"
        raise BadSource(reason, file=file, hint=DAMAGED)


def _numbers(values: Any, name: str, file: str | Path) -> Shaped[np.ndarray, "..."]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise BadSource(f"{name} must hold numbers, got {array.dtype}", file=file)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
