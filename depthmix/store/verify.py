"""Hash every byte of a prepared set on several cores, and name whatever differs from its records."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, DepthmixError, StorageError
from depthmix.store.codec import FIELDS
from depthmix.store.folder import WRITER
from depthmix.store.gate import REBUILD, Shard, read_root, read_shard
from depthmix.store.record import TEMPORARY, open_plain, read_plain, storage_errors
from depthmix.store.vouched import Vouched
from depthmix.store.writer import QUARANTINE, ROOT, Skipped, quarantine_bytes

__all__ = ["Verified", "verify_set"]

_MOST_NAMED: Final = 20  # damaged samples of one shard that are named one by one
_STRAY: Final = (".h5", ".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Verified:
    """Tell what a verification has seen.

    Args:
        samples: in the set, by its record.
        shards: in the set, by its record.
        bytes: of all shards, by the record.
        vouched: shards that an earlier, interrupted verification had hashed.
        problems: everything that is wrong; none means all is well.
    """

    samples: int
    shards: int
    bytes: int
    vouched: int
    problems: list[DepthmixError]


def verify_set(
    root: str | Path,
    *,
    workers: int = 1,
    vouched: Vouched | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Compare every file of a prepared set with its records.

    Args:
        root: folder of the set.
        workers: files that are hashed at once, each on a core of its own.
        vouched: what an interrupted verification has finished; what this one finishes is added.
        progress: called with the bytes that are done and the bytes of the set.
    """
    root = Path(root)
    try:
        info = read_root(root)
    except (CorruptShard, StorageError) as error:
        return Verified(0, 0, 0, 0, [error])
    problems: list[DepthmixError] = []
    skipped, done, total = 0, 0, sum(entry["size"] for entry in info["shards"])
    for entry, found, known in _checked(root, info, max(1, workers), vouched):
        problems += found
        skipped += known
        done += entry["size"]
        if progress is not None:
            progress(done, total)
    problems += _around(root, info)
    return Verified(info["count"], len(info["shards"]), total, skipped, problems)


def _checked(
    root: Path, info: Mapping[str, Any], workers: int, vouched: Vouched | None
) -> Iterator[tuple[Mapping[str, Any], list[DepthmixError], bool]]:
    """Yield each shard's entry, its problems, and whether it was vouched for; hashing lets threads run."""
    owners = {entry["sha256"]: entry["file"] for entry in info["shards"]}
    pool = ThreadPoolExecutor(workers)
    try:
        jobs = [(entry, pool.submit(_check_shard, root, entry, owners, vouched)) for entry in info["shards"]]
        for entry, job in jobs:
            yield entry, *job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check_shard(
    root: Path, entry: Mapping[str, Any], owners: Mapping[str, str], vouched: Vouched | None
) -> tuple[list[DepthmixError], bool]:
    problems: list[DepthmixError] = []
    shard: Shard | None = None
    try:
        shard = read_shard(root, entry)
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    path = root / entry["file"]
    if shard is not None and vouched is not None and vouched.knows(path, entry):
        return [], True
    try:
        before, found = _hash(path)
        if before.st_size != entry["size"]:
            reason = f"expected {entry['size']} bytes, got {before.st_size}"
            problems.append(CorruptShard(reason, file=path, field="size", hint=REBUILD))
        elif found != entry["sha256"]:
            problems += _differing(path, found, shard, owners)
    except StorageError as error:
        problems.append(error)
    else:
        if not problems and vouched is not None:
            vouched.add(path, entry, before)
    return problems, False


def _hash(path: Path) -> tuple[os.stat_result, str]:
    """Return the state and the sha256 of a file that nobody changes meanwhile."""
    with open(open_plain(path), "rb") as file, storage_errors(path):  # noqa: PTH123  (a descriptor)
        before = os.fstat(file.fileno())
        found = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        hint = "wait until nobody writes here, and verify again"
        raise StorageError("was changed while it was read", file=path, hint=hint)
    return before, found


def _differing(path: Path, found: str, shard: Shard | None, owners: Mapping[str, str]) -> list[DepthmixError]:
    """Name what differs: another shard in its place, or each damaged sample with its fields."""
    if found in owners:
        reason = f"holds the bytes of {owners[found]}"
        return [CorruptShard(reason, file=path, field="sha256", hint=REBUILD)]
    samples = [] if shard is None else list(_damaged_samples(path, shard))
    if not samples:
        reason = "differs from its record, outside of all samples" if shard else "differs from its record"
        return [CorruptShard(reason, file=path, field="sha256", hint=REBUILD)]
    problems: list[DepthmixError] = [
        CorruptShard("differs from its record", file=path, sample=key, field=field, hint=REBUILD)
        for key, field in samples[:_MOST_NAMED]
    ]
    if len(samples) > _MOST_NAMED:
        reason = f"{len(samples) - _MOST_NAMED} more samples differ from their record"
        problems.append(CorruptShard(reason, file=path, hint=REBUILD))
    return problems


def _damaged_samples(path: Path, shard: Shard) -> Iterator[tuple[str, str]]:
    """Yield the key of each damaged sample and the fields whose own checksum differs."""
    index = shard.index
    handle = open_plain(path)
    try:
        for row, key in enumerate(index.keys):
            start, end = int(index.offsets[row].min()), int((index.offsets + index.lengths)[row].max())
            data = os.pread(handle, end - start, start)
            if hashlib.sha256(data).hexdigest() != index.digests[row]:
                yield key, _damaged_fields(data, shard, row)
    finally:
        os.close(handle)


def _damaged_fields(data: bytes, shard: Shard, row: int) -> str:
    index = shard.index
    starts = (index.offsets[row] - index.offsets[row].min()).tolist()
    lengths, sums = index.lengths[row].tolist(), index.crc32[row].tolist()
    damaged = [
        name
        for name, start, length, expected in zip(FIELDS, starts, lengths, sums, strict=True)
        if zlib.crc32(data[start : start + length]) != expected
    ]
    return ", ".join(damaged) or "digest"


def _around(root: Path, info: Mapping[str, Any]) -> list[DepthmixError]:
    """Check the files around the shards: the record itself, the list of skipped samples, strays."""
    problems: list[DepthmixError] = []
    try:
        if read_root(root) != info:
            hint = "wait until nobody writes here, and verify again"
            problems.append(StorageError("was replaced meanwhile", file=root / ROOT, hint=hint))
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    listed = root / QUARANTINE
    expected = quarantine_bytes([Skipped(**skip) for skip in info["skipped"]])
    try:
        if read_plain(listed, most=max(len(expected), 1 << 20)) != expected:
            reason = f"differs from the list in {ROOT}"
            problems.append(CorruptShard(reason, file=listed, field="skipped", hint=REBUILD))
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    return problems + _strays(root, info)


def _strays(root: Path, info: Mapping[str, Any]) -> list[DepthmixError]:
    """Name what looks like a part of the set and belongs to no record."""
    known = {ROOT, QUARANTINE}
    for entry in info["shards"]:
        known |= {entry["file"], str(Path(entry["file"]).with_suffix(".json"))}
    with storage_errors(root):
        names = sorted(path.name for path in root.iterdir())
    strays = [
        name
        for name in names
        if name not in known
        and (name.endswith(_STRAY) or TEMPORARY.fullmatch(name))
        and not WRITER.fullmatch(name)  # says who writes here, this very process perhaps
    ]
    return [StorageError("belongs to no record", file=root / name, hint="remove it") for name in strays]
