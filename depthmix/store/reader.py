"""Read a prepared set by its records, without libhdf5 in the way, and check every byte that is used."""

import hashlib
import operator
import os
import re
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from depthmix.errors import BadSample, CorruptShard, StorageError
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.store.codec import FIELDS, CodecOptions, decode_fields
from depthmix.store.record import read_plain, read_record, storage_errors
from depthmix.store.shard import SCHEMA, ShardIndex
from depthmix.store.writer import QUARANTINE, ROOT, Skipped, quarantine_bytes, shard_files

__all__ = ["ShardSet"]

HINT: Final = "remove this file and run prepare again, which rebuilds only what is damaged"
NAME: Final = re.compile(r"\d{5,}\.h5")  # only a plain file name: a record never leads out of its folder
CARD: Final = {"family", "quality", "kind", "unit", "density", "noise", "licence", "citation"}
MAX_OPEN: Final = 64


class _File:
    """Keep one descriptor open for as long as anyone holds this object."""

    def __init__(self, path: Path) -> None:
        # Without O_NONBLOCK, opening a pipe that bears the name of a shard would wait for ever.
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def read(self, length: int, start: int) -> memoryview:
        return memoryview(os.pread(self.number, length, start))

    def __del__(self) -> None:
        # Missing when the open failed; closed here so that no reader can meet a reused number.
        if hasattr(self, "number"):
            os.close(self.number)


@dataclass(frozen=True, slots=True)
class _Shard:
    """One shard as its own record describes it."""

    path: Path
    size: int
    sha256: str
    index: ShardIndex


class ShardSet:
    """Give random access to the samples of one prepared source.

    Opening reads only `index.json`; shards and their records are opened when first used, per process.
    Instances can be pickled and survive a fork: descriptors are only ever read at stated positions and
    are never passed on.

    Args:
        root: folder that `prepare` wrote.

    Raises:
        StorageError: no prepared set lies there, or a newer version wrote it.
        CorruptShard: the record of the set differs from its own proof.

    Example:
        >>> shards = ShardSet("prepared/kitti")  # doctest: +SKIP
        >>> shards[0].name  # doctest: +SKIP
        'kitti/000000'
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.info: dict[str, Any] = _read_root(self.root)
        self.name: str = self.info["name"]
        self.options = CodecOptions(**self.info["options"]["codec"])
        self._kind = LabelKind[self.info["card"]["kind"]]
        self._quality = Quality[self.info["card"]["quality"]]
        self._ends: list[int] = np.cumsum([shard["count"] for shard in self.info["shards"]]).tolist()
        self._shards: dict[int, _Shard] = {}
        self._files: dict[int, _File] = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "keys"}
        return {**kept, "_shards": {}, "_files": {}}

    def __len__(self) -> int:
        return int(self.info["count"])

    def __getitem__(self, index: int) -> Sample:
        """Read, check and decode one sample.

        Raises:
            CorruptShard: the stored bytes differ from their record, with file, sample and field.
            StorageError: the shard is missing or cannot be read.
        """
        number, row = self._locate(index)
        shard = self._shard(number)
        blobs = self._blobs(number, shard, row)
        try:
            arrays = decode_fields(blobs, self._size(shard, row), self._kind, self.options)
            return self._sample(shard, row, arrays)
        except (CorruptShard, BadSample) as error:
            name = f"{self.name}/{shard.index.keys[row]}"
            raise CorruptShard(
                error.reason, file=shard.path, sample=name, field=error.field, hint=HINT
            ) from error

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

    def verify(self) -> list[str]:
        """Hash every file of the set and return one line per problem; an empty list means all is well."""
        problems: list[str] = []
        for number in range(len(self._ends)):
            problems += self._verify_shard(number)
        return problems + self._verify_folder()

    def _locate(self, index: int) -> tuple[int, int]:
        wanted = operator.index(index) + (len(self) if index < 0 else 0)
        if not 0 <= wanted < len(self):
            raise IndexError(f"sample {index} of {len(self)} in {self.root}")
        number = bisect_right(self._ends, wanted)
        return number, wanted - (self._ends[number - 1] if number else 0)

    def _shard(self, number: int) -> _Shard:
        if number not in self._shards:
            self._shards[number] = _read_shard(self.root, self.info["shards"][number])
        return self._shards[number]

    def _size(self, shard: _Shard, row: int) -> tuple[int, int]:
        height, width = shard.index.sizes[row].tolist()
        return height, width

    def _open(self, number: int, shard: _Shard) -> _File:
        if number in self._files:
            return self._files[number]
        with storage_errors(shard.path):
            file = _File(shard.path)
            found = os.fstat(file.number).st_size
        if found != shard.size:
            raise CorruptShard(
                f"expected {shard.size} bytes, got {found}", file=shard.path, field="size", hint=HINT
            )
        for oldest in list(self._files)[: len(self._files) + 1 - MAX_OPEN]:
            # Dropping the object is enough: a thread that still reads from it keeps it alive.
            self._files.pop(oldest, None)
        self._files[number] = file
        return file

    def _blobs(self, number: int, shard: _Shard, row: int) -> dict[str, memoryview]:
        """Fetch all fields of a sample with one read and check each of them."""
        offsets, lengths, sums = (column[row].tolist() for column in _columns(shard.index))
        start, end = min(offsets), max(map(sum, zip(offsets, lengths, strict=True)))
        with storage_errors(shard.path):
            data = self._open(number, shard).read(end - start, start)
        blobs = {}
        for field, offset, length, expected in zip(FIELDS, offsets, lengths, sums, strict=True):
            blobs[field] = data[offset - start : offset - start + length]
            found = zlib.crc32(blobs[field])
            if found != expected or len(blobs[field]) != length:
                reason = f"checksum is {found:08x}, the record says {expected:08x}"
                name = f"{self.name}/{shard.index.keys[row]}"
                raise CorruptShard(reason, file=shard.path, sample=name, field=field, hint=HINT)
        return blobs

    def _sample(self, shard: _Shard, row: int, arrays: Mapping[str, Any]) -> Sample:
        return Sample(
            **arrays,
            intrinsics=shard.index.intrinsics(row),
            quality=self._quality,
            kind=self._kind,
            source=self.name,
            key=shard.index.keys[row],
        )

    def _verify_shard(self, number: int) -> list[str]:
        try:
            shard = _read_shard(self.root, self.info["shards"][number])
            data = read_plain(shard.path)
        except (CorruptShard, StorageError) as error:
            return [str(error)]
        if hashlib.sha256(data).hexdigest() == shard.sha256:
            return []
        return [f"{shard.path}: sha256 differs from the record{self._damaged_samples(shard, data)}; {HINT}"]

    def _damaged_samples(self, shard: _Shard, data: bytes) -> str:
        """Name the samples whose own digest differs; none when the damage lies between them."""
        index = shard.index
        starts, ends = index.offsets.min(axis=1), (index.offsets + index.lengths).max(axis=1)
        spans = zip(index.keys, starts.tolist(), ends.tolist(), index.digests, strict=True)
        names = [
            f"{self.name}/{key}"
            for key, start, end, digest in spans
            if hashlib.sha256(data[start:end]).hexdigest() != digest
        ]
        return f", samples {', '.join(names)}" if names else ""

    def _verify_folder(self) -> list[str]:
        """Check the files around the shards: the root record itself, the quarantine list, strays."""
        problems: list[str] = []
        try:
            if _read_root(self.root) != self.info:
                problems.append(f"{self.root / ROOT}: was replaced after it was opened; open the set again")
        except (CorruptShard, StorageError) as error:
            problems.append(str(error))
        listed = self.root / QUARANTINE
        expected = quarantine_bytes([Skipped(**skip) for skip in self.info["skipped"]])
        if not listed.is_file() or listed.read_bytes() != expected:
            problems.append(f"{listed}: differs from the list in {ROOT}; {HINT}")
        known = {shard["file"] for shard in self.info["shards"]}
        strays = [path for path in shard_files(self.root) if path.with_suffix(".h5").name not in known]
        return problems + [f"{path}: belongs to no record; remove it" for path in strays]


def _columns(index: ShardIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return index.offsets, index.lengths, index.crc32


def _read_root(root: Path) -> dict[str, Any]:
    path = root / ROOT
    if not path.is_file():
        unfinished = root.is_dir() and bool(shard_files(root))
        reason = "prepare has not finished here" if unfinished else "no prepared set here"
        raise StorageError(reason, file=path, hint="run `depthmix prepare` for this source (again)")
    info = read_record(path)
    if info.get("schema") != SCHEMA:
        reason = f"has schema {info.get('schema')}, this version reads {SCHEMA}"
        raise StorageError(
            reason, file=path, field="schema", hint="update depthmix or prepare the source again"
        )
    _check_root(path, info)
    return info


def _check_root(path: Path, info: Mapping[str, Any]) -> None:
    """A proof guards against accidents; this guards against a record that someone made up."""
    try:
        (LabelKind[info["card"]["kind"]], Quality[info["card"]["quality"]])
        CodecOptions(**info["options"]["codec"])
        [Skipped(**skip) for skip in info["skipped"]]
        if type(info["samples_per_shard"]) is not int or info["samples_per_shard"] < 1:
            raise ValueError("samples_per_shard is no count")
        texts = [info["name"], info["fingerprint"], *info["card"].values()]
        texts += [text for skip in info["skipped"] for text in skip.values()]
        texts += [shard[name] for shard in info["shards"] for name in ("sha256", "proof")]
        numbers = [shard[name] for shard in info["shards"] for name in ("size", "count")]
        fits = sum(shard["count"] for shard in info["shards"]) == info["count"]
        plain = all(isinstance(text, str) for text in texts) and all(type(count) is int for count in numbers)
        if not (plain and fits and info["card"].keys() == CARD):
            raise ValueError("card, texts, numbers or counts do not fit together")
        if not all(NAME.fullmatch(shard["file"]) for shard in info["shards"]):
            raise ValueError("shard names are not plain")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptShard(f"not a record of a prepared set ({error!r})", file=path, hint=HINT) from error


def _read_shard(root: Path, entry: Mapping[str, Any]) -> _Shard:
    path = root / entry["file"]
    record = read_record(path.with_suffix(".json"), proof=entry["proof"])
    try:
        index = ShardIndex.from_plain(record["samples"], record["size"])
        if len(index) != entry["count"] or (record["size"], record["sha256"]) != (
            entry["size"],
            entry["sha256"],
        ):
            raise ValueError("differs from the record of the set")
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise CorruptShard(
            f"not a shard record ({error})", file=path.with_suffix(".json"), hint=HINT
        ) from error
    return _Shard(path, record["size"], record["sha256"], index)
