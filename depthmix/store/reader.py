"""Read a prepared set by its records, without libhdf5 in the way, and check every byte that is used."""

import operator
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from depthmix.coded import WHOLE, CodedImage, CodedMap, CodedSample, Window
from depthmix.errors import BadSample, CorruptShard
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.store.codec import FIELDS, decode_fields
from depthmix.store.codec_options import CodecOptions
from depthmix.store.gate import REBUILD, Shard, read_root, read_shard
from depthmix.store.record import open_plain, pack_record, proof_of, storage_errors
from depthmix.store.remote import RangeCache, RemoteFolder, cache_folder, is_url
from depthmix.store.shard import ShardIndex

__all__ = ["CACHE_GB", "ShardSet"]

MAX_OPEN: Final = 64
CACHE_GB: Final = 20.0


class _File:
    """Keep one descriptor open for as long as anyone holds this object."""

    def __init__(self, path: Path) -> None:
        self.number = open_plain(path)

    def read(self, length: int, start: int) -> memoryview:
        return memoryview(os.pread(self.number, length, start))

    def __del__(self) -> None:
        # Missing when the open failed; closed here so that no reader can meet a reused number.
        if hasattr(self, "number"):
            os.close(self.number)


class ShardSet:
    """Give random access to the samples of one prepared source.

    Opening reads only `index.json`; shards and their records are opened when first used, per process.
    Instances can be pickled and survive a fork: descriptors are only ever read at stated positions and
    are never passed on.

    Args:
        root: folder that `prepare` wrote, or the URL of a copy, such as `s3://bucket/prepared/kitti`: samples
            are then fetched one by one, and kept.
        cache_gb: how much of what was fetched is kept on this machine, over all sets.

    Raises:
        StorageError: no prepared set lies there, it cannot be reached, or a newer version wrote it.
        CorruptShard: the record of the set differs from its own proof.

    Example:
        >>> shards = ShardSet("prepared/kitti")  # doctest: +SKIP
        >>> shards[0].name  # doctest: +SKIP
        'kitti/000000'
    """

    def __init__(self, root: str | Path, *, cache_gb: float = CACHE_GB) -> None:
        self.root = root if is_url(root) else Path(root)
        self._remote: RemoteFolder | None = None
        if isinstance(self.root, str):
            cache = RangeCache(cache_folder(), int(1e9 * cache_gb)) if cache_gb else None
            self._remote = RemoteFolder(self.root, cache)
            self.info: dict[str, Any] = self._remote.root_record()
        else:
            self.info = read_root(self.root)
        self.name: str = self.info["name"]
        self.options = CodecOptions(**self.info["options"]["codec"])
        self._kind = LabelKind[self.info["card"]["kind"]]
        self._quality = Quality[self.info["card"]["quality"]]
        self._ends: list[int] = np.cumsum([shard["count"] for shard in self.info["shards"]]).tolist()
        self._shards: dict[int, Shard] = {}
        self._files: dict[int, _File] = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "keys"}
        return {**kept, "_shards": {}, "_files": {}}

    def __len__(self) -> int:
        return int(self.info["count"])

    def __getitem__(self, index: int) -> Sample:
        """Read, check and decode one sample; raises what `stored` raises."""
        stored = self.stored(index)
        return stored if isinstance(stored, Sample) else stored.whole()

    def stored(self, index: int) -> Sample | CodedSample:
        """Read and check one sample; depth that is stored in codes is left in codes, and its image as a file.

        Raises:
            CorruptShard: the stored bytes differ from their record, with file, sample and field. So does an
                image that was left as a file, when it is decoded.
            StorageError: the shard is missing or cannot be read.
        """
        number, row = self._locate(index)
        shard = self._shard(number)
        blobs = self._blobs(number, shard, row)
        with self._named(shard, row):
            arrays = decode_fields(blobs, self._size(shard, row), self._kind, self.options)
            return self._sample(shard, row, arrays)

    @cached_property
    def root_hash(self) -> str:
        """The proof that `index.json` begins with: it covers shards, card and options."""
        return proof_of(pack_record(self.info, indent=1))

    @property
    def card(self) -> dict[str, Any]:
        """Arguments of `SourceCard`, so that `SourceCard(**shards.card)` rebuilds it."""
        return {**self.info["card"], "kind": self._kind, "quality": self._quality}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of all samples in order; reads every shard record once."""
        return tuple(key for number in range(len(self._ends)) for key in self._shard(number).index.keys)

    @property
    def largest(self) -> int:
        """Pixels of the largest sample; reads every shard record once."""
        indices = [self._shard(number).index for number in range(len(self._ends))]
        return max((int(index.sizes.prod(axis=1).max()) for index in indices if len(index)), default=0)

    def name_of(self, index: int) -> str:
        """Return `source/key` of a sample without reading it."""
        number, row = self._locate(index)
        return f"{self.name}/{self._shard(number).index.keys[row]}"

    def _locate(self, index: int) -> tuple[int, int]:
        wanted = operator.index(index) + (len(self) if index < 0 else 0)
        if not 0 <= wanted < len(self):
            raise IndexError(f"sample {index} of {len(self)} in {self.root}")
        number = bisect_right(self._ends, wanted)
        return number, wanted - (self._ends[number - 1] if number else 0)

    def _shard(self, number: int) -> Shard:
        if number not in self._shards:
            entry = self.info["shards"][number]
            remote = self._remote
            self._shards[number] = (
                remote.shard_record(entry) if remote else read_shard(Path(self.root), entry)
            )
        return self._shards[number]

    def _size(self, shard: Shard, row: int) -> tuple[int, int]:
        height, width = shard.index.sizes[row].tolist()
        return height, width

    def _open(self, number: int, shard: Shard) -> _File:
        if number in self._files:
            return self._files[number]
        path = Path(shard.path)
        file = _File(path)
        with storage_errors(path):
            found = os.fstat(file.number).st_size
        if found != shard.size:
            raise CorruptShard(
                f"expected {shard.size} bytes, got {found}", file=shard.path, field="size", hint=REBUILD
            )
        for oldest in list(self._files)[: len(self._files) + 1 - MAX_OPEN]:
            # Dropping the object is enough: a thread that still reads from it keeps it alive.
            self._files.pop(oldest, None)
        self._files[number] = file
        return file

    def _read(self, number: int, shard: Shard, start: int, length: int) -> memoryview:
        if self._remote:
            name = self.info["shards"][number]["file"]
            return memoryview(self._remote.read_range(name, start, length, shard.sha256))
        with storage_errors(Path(shard.path)):
            return self._open(number, shard).read(length, start)

    def _blobs(self, number: int, shard: Shard, row: int) -> dict[str, memoryview]:
        """Fetch all fields of a sample with one read and check each of them."""
        start, length = shard.index.span(row)
        try:
            return self._checked(self._read(number, shard, start, length), start, shard, row)
        except CorruptShard:
            if not self._remote:
                raise
            # Perhaps damaged on its way; what arrives again is what lies there.
            self._remote.forget(self.info["shards"][number]["file"], start, length, shard.sha256)
            return self._checked(self._read(number, shard, start, length), start, shard, row)

    def _checked(self, data: memoryview, start: int, shard: Shard, row: int) -> dict[str, memoryview]:
        blobs = {}
        columns = (column[row].tolist() for column in _columns(shard.index))
        for field, offset, length, expected in zip(FIELDS, *columns, strict=True):
            blobs[field] = data[offset - start : offset - start + length]
            found = zlib.crc32(blobs[field])
            if found != expected or len(blobs[field]) != length:
                reason = f"checksum is {found:08x}, the record says {expected:08x}"
                name = f"{self.name}/{shard.index.keys[row]}"
                raise CorruptShard(reason, file=shard.path, sample=name, field=field, hint=REBUILD)
        return blobs

    def _sample(self, shard: Shard, row: int, arrays: Mapping[str, Any]) -> Sample | CodedSample:
        image: CodedImage = arrays["image"]
        changed: dict[str, Any]
        if isinstance(arrays["target"], CodedMap):
            build: type[Sample | CodedSample] = CodedSample
            changed = {"image": CodedImage(image.size, partial(self._window, shard, row, image))}
        else:
            build = Sample
            changed = {"image": image[WHOLE], "planes": arrays["planes"].astype(np.int32, copy=False)}
        return build(
            **{**arrays, **changed},
            intrinsics=shard.index.intrinsics(row),
            quality=self._quality,
            kind=self._kind,
            source=self.name,
            key=shard.index.keys[row],
        )

    def _window(self, shard: Shard, row: int, image: CodedImage, window: Window) -> np.ndarray:
        with self._named(shard, row):
            return image[window]

    @contextmanager
    def _named(self, shard: Shard, row: int) -> Iterator[None]:
        """Let errors of a sample say where it lies."""
        try:
            yield
        except (CorruptShard, BadSample) as error:
            name = f"{self.name}/{shard.index.keys[row]}"
            raise CorruptShard(
                error.reason, file=shard.path, sample=name, field=error.field, hint=REBUILD
            ) from error


def _columns(index: ShardIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return index.offsets, index.lengths, index.crc32
