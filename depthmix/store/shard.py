"""Lay encoded samples out as one HDF5 file in memory, and describe where each byte went."""

import hashlib
import json
import math
import operator
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.store.codec import FIELDS

__all__ = [
    "MAX_PIXELS",
    "MAX_SAMPLES",
    "SCHEMA",
    "EncodedSample",
    "ShardIndex",
    "build_shard",
    "max_bytes",
    "shard_name",
]

SCHEMA: Final = 4  # 2: pairs of points; 3: shards of equally many raw samples; 4: narrow planes, stated steps
MAX_PIXELS: Final = 64 << 20
MAX_SAMPLES: Final = 1 << 16  # in a shard: its record is read whole
MAX_KEY: Final = 4096  # characters, as many as a path may have


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """Hold one sample as bytes per field, ready to be stored."""

    key: str
    size: tuple[int, int]
    camera: tuple[float, float, float, float] | None
    blobs: tuple[bytes, ...]

    @property
    def bytes(self) -> int:
        """Number of bytes of all fields together."""
        return sum(map(len, self.blobs))


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Say where in a shard file each field of each sample lies and what it must sum to.

    Args:
        keys: key per sample.
        sizes: height and width, [n 2].
        cameras: fx, fy, cx, cy, NaN where unknown, [n 4].
        lengths: bytes per field in the order of `FIELDS`, [n 7]; 0 = the field is absent.
        offsets: first byte per field, counted from the start of the file, [n 7].
        crc32: checksum per field, [n 7].
        digests: sha256 over the bytes of each sample, as hexadecimal text.
    """

    keys: tuple[str, ...]
    sizes: np.ndarray
    cameras: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    crc32: np.ndarray
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def intrinsics(self, row: int) -> Intrinsics | None:
        """Return the camera of a sample, or None where it is not known."""
        camera = self.cameras[row].tolist()
        return None if math.isnan(camera[0]) else Intrinsics(*camera)

    def span(self, row: int) -> tuple[int, int]:
        """Return where the bytes of a sample begin, and how many there are over all fields."""
        offsets, lengths = self.offsets[row].tolist(), self.lengths[row].tolist()
        start = min(offsets)
        return start, max(map(operator.add, offsets, lengths)) - start

    def to_plain(self) -> dict[str, Any]:
        """Return columns of plain values, for JSON."""
        return {
            "keys": list(self.keys),
            "sizes": self.sizes.tolist(),
            "cameras": [None if np.isnan(row[0]) else row.tolist() for row in self.cameras],
            "offsets": self.offsets.tolist(),
            "lengths": self.lengths.tolist(),
            "crc32": self.crc32.tolist(),
            "digests": list(self.digests),
        }

    @classmethod
    def from_plain(cls, columns: Mapping[str, Any], file_size: int) -> Self:
        """Rebuild the index and refuse one that points outside a file of `file_size` bytes.

        Raises:
            ValueError: columns that do not fit together; the message names the first one.
            OverflowError: a number beyond 64 bits.
        """
        cameras = [[np.nan] * 4 if row is None else row for row in columns["cameras"]]
        index = cls(
            keys=tuple(columns["keys"]),
            sizes=_rows(columns["sizes"], 2, np.int64),
            cameras=_rows(cameras, 4, np.float64),
            offsets=_rows(columns["offsets"], len(FIELDS), np.int64),
            lengths=_rows(columns["lengths"], len(FIELDS), np.int64),
            crc32=_rows(columns["crc32"], len(FIELDS), np.int64),
            digests=tuple(columns["digests"]),
        )
        index._check(file_size)
        return index

    def _check(self, file_size: int) -> None:
        fields = len(FIELDS)
        widths = {"sizes": 2, "cameras": 4, "offsets": fields, "lengths": fields, "crc32": fields}
        for name, width in widths.items():
            shape = getattr(self, name).shape
            if shape != (len(self.keys), width):
                raise ValueError(f"`{name}` must have shape {(len(self.keys), width)}, got {shape}")
        if len(self.keys) > MAX_SAMPLES:
            raise ValueError(f"`keys` must be at most {MAX_SAMPLES}, got {len(self.keys)}")
        if not all(isinstance(key, str) and len(key) <= MAX_KEY for key in self.keys):
            raise ValueError(f"`keys` must be texts of at most {MAX_KEY} characters")
        if not all(isinstance(digest, str) for digest in self.digests):
            raise ValueError("`digests` must be texts")
        if len(self.digests) != len(self.keys):
            raise ValueError(f"`digests` must have {len(self.keys)} entries, got {len(self.digests)}")
        # Each number is bounded before any two are combined: products and sums of 64-bit numbers wrap.
        bounded = ((self.sizes > 0) & (self.sizes <= MAX_PIXELS)).all()
        if not bounded or (self.sizes.prod(axis=1) > MAX_PIXELS).any():
            raise ValueError(f"`sizes` must hold 1 to {MAX_PIXELS} pixels")
        ends = self.offsets + self.lengths
        if any(
            (column < 0).any() or (column > file_size).any() for column in (self.offsets, self.lengths, ends)
        ):
            raise ValueError(f"`offsets` must stay inside the {file_size} bytes of the file")
        # A sparse file has any size: what a sample may ask for follows from its pixels alone.
        spans = ends.max(axis=1) - self.offsets.min(axis=1)
        if (spans > max_bytes(self.sizes.prod(axis=1))).any():
            raise ValueError("`offsets` of one sample lie farther apart than its pixels can fill")


def max_bytes(pixels: Any) -> Any:
    """Return how many bytes the fields of a sample of so many pixels may have together.

    Stored without loss they have 16 bytes a pixel, which hardly grow where they cannot be compressed; a
    million of pairs fits besides.
    """
    return 20 * pixels + (32 << 20)


def shard_name(number: int) -> str:
    """Name the shard file with this number."""
    return f"{number:05d}.h5"


def build_shard(samples: Sequence[EncodedSample], metadata: Mapping[str, Any]) -> tuple[bytes, ShardIndex]:
    """Build a whole HDF5 file in memory.

    Args:
        samples: may be none, where all samples of a block are bad.
        metadata: plain values that describe the set; stored as JSON bytes together with the keys.

    Returns:
        The bytes of the file, and the index with offsets into it.

    Convention: HDF5 1.10 format without variable-length types, which have no checksum. `bytes` is one
    contiguous dataset that can be read without libhdf5; the small datasets are chunked with fletcher32;
    `offsets` inside the file count from the start of `bytes`.
    """
    index = _index(samples)
    described = {**metadata, "fields": list(FIELDS), "keys": list(index.keys), "digests": list(index.digests)}
    image, start = _hdf5_image(
        [blob for sample in samples for blob in sample.blobs],
        {
            "sizes": index.sizes.astype("<u4"),
            "cameras": index.cameras.astype("<f8"),
            "offsets": index.offsets.astype("<u8"),
            "lengths": index.lengths.astype("<u8"),
            "crc32": index.crc32.astype("<u4"),
            "metadata": np.frombuffer(json.dumps(described).encode(), np.uint8),
        },
    )
    index.offsets[...] += start
    return image, index


def _index(samples: Sequence[EncodedSample]) -> ShardIndex:
    fields = len(FIELDS)
    lengths = _rows([[len(blob) for blob in sample.blobs] for sample in samples], fields, np.int64)
    ends = np.cumsum(lengths).reshape(lengths.shape)
    return ShardIndex(
        keys=tuple(sample.key for sample in samples),
        sizes=_rows([sample.size for sample in samples], 2, np.int64),
        cameras=_rows([sample.camera or (np.nan,) * 4 for sample in samples], 4, np.float64),
        offsets=ends - lengths,
        lengths=lengths,
        crc32=_rows([[zlib.crc32(blob) for blob in sample.blobs] for sample in samples], fields, np.int64),
        digests=tuple(_digest(sample.blobs) for sample in samples),
    )


def _digest(blobs: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest()


def _rows(rows: Sequence[Any], width: int, dtype: type) -> np.ndarray:
    """Return a table; no rows have a width, too."""
    return np.array(rows, dtype) if rows else np.zeros((0, width), dtype)


def _hdf5_image(blobs: Sequence[bytes], tables: Mapping[str, np.ndarray]) -> tuple[bytes, int]:
    """Return the file image and the position of the first blob in it."""
    import h5py

    with h5py.File.in_memory(libver=("v110", "v110")) as file:
        data = file.create_dataset("bytes", (sum(map(len, blobs)),), np.uint8)
        _write_all(data, blobs)
        for name, table in tables.items():
            checked = {"chunks": table.shape, "fletcher32": True} if len(table) else {}
            file.create_dataset(name, data=table, **checked)
        file.flush()
        return file.id.get_file_image(), data.id.get_offset() or 0  # none where nothing is stored


def _write_all(data: Any, blobs: Iterable[bytes]) -> None:
    """Write blobs one behind the other: joined first, a shard would be in memory once more."""
    from h5py import h5s

    # By h5py's identifiers: its slices cost more than the writing.
    place, start = data.id.get_space(), 0
    for blob in filter(None, blobs):
        place.select_hyperslab((start,), (len(blob),))
        data.id.write(h5s.create_simple((len(blob),)), place, np.frombuffer(blob, np.uint8))
        start += len(blob)
