"""Hash every byte of a prepared set on several cores, and name whatever differs from its records."""

import hashlib
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, DepthmixError, StorageError
from depthmix.store.codec import FIELDS
from depthmix.store.folder import WRITER
from depthmix.store.gate import REBUILD, Shard
from depthmix.store.local import LocalFolder
from depthmix.store.record import TEMPORARY
from depthmix.store.remote import RemoteFolder, is_url
from depthmix.store.vouched import Vouched
from depthmix.store.writer import QUARANTINE, ROOT, Skipped, quarantine_bytes

__all__ = ["Verified", "verify_set"]

_MOST_NAMED: Final = 20  # damaged samples of one shard that are named one by one
_STRAY: Final = (".h5", ".json", ".jsonl")

log = logging.getLogger(__name__)

Folder = LocalFolder | RemoteFolder


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
        root: folder of the set, or the URL of a copy, which is fetched piece by piece and not kept.
        workers: files that are hashed at once, each on a core of its own.
        vouched: what an interrupted verification has finished; what this one finishes is added. Shards behind
            a URL are always read: what a server states about a file does not prove that it is unchanged.
        progress: called with the bytes that are done and the bytes of the set.
    """
    place = RemoteFolder(root) if isinstance(root, str) and is_url(root) else LocalFolder(Path(root))
    try:
        info = place.root_record()
    except (CorruptShard, StorageError) as error:
        return Verified(0, 0, 0, 0, [error])
    problems: list[DepthmixError] = []
    skipped, done, total = 0, 0, sum(entry["size"] for entry in info["shards"])
    for entry, found, known in _checked(place, info, max(1, workers), vouched):
        problems += found
        skipped += known
        done += entry["size"]
        if progress is not None:
            progress(done, total)
    problems += _around(place, info)
    return Verified(info["count"], len(info["shards"]), total, skipped, problems)


def _checked(
    place: Folder, info: Mapping[str, Any], workers: int, vouched: Vouched | None
) -> Iterator[tuple[Mapping[str, Any], list[DepthmixError], bool]]:
    """Yield each shard's entry, its problems, and whether it was vouched for; hashing lets threads run."""
    owners = {entry["sha256"]: entry["file"] for entry in info["shards"]}
    if workers == 1:
        for entry in info["shards"]:
            yield entry, *_check_shard(place, entry, owners, vouched)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        jobs = [(entry, pool.submit(_check_shard, place, entry, owners, vouched)) for entry in info["shards"]]
        for entry, job in jobs:
            yield entry, *job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check_shard(
    place: Folder, entry: Mapping[str, Any], owners: Mapping[str, str], vouched: Vouched | None
) -> tuple[list[DepthmixError], bool]:
    problems: list[DepthmixError] = []
    shard: Shard | None = None
    try:
        shard = place.shard_record(entry)
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    path = place.path(entry["file"])
    if shard is not None and vouched is not None and isinstance(path, Path) and vouched.knows(path, entry):
        return [], True
    try:
        hashed = place.hashed(entry)
        if hashed.size != entry["size"]:
            reason = f"expected {entry['size']} bytes, got {hashed.size}"
            problems.append(CorruptShard(reason, file=path, field="size", hint=REBUILD))
        elif hashed.sha256 != entry["sha256"]:
            problems += _differing(place, entry["file"], hashed.sha256, shard, owners)
    except StorageError as error:
        problems.append(error)
    else:
        sound = not problems
        if sound and vouched is not None and isinstance(path, Path) and hashed.state is not None:
            vouched.add(path, entry, hashed.state)
    return problems, False


def _differing(
    place: Folder, name: str, found: str, shard: Shard | None, owners: Mapping[str, str]
) -> list[DepthmixError]:
    """Name what differs: another shard in its place, or each damaged sample with its fields."""
    path = place.path(name)
    if found in owners:
        reason = f"holds the bytes of {owners[found]}"
        return [CorruptShard(reason, file=path, field="sha256", hint=REBUILD)]
    samples = [] if shard is None else list(_damaged_samples(place, name, shard))
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


def _damaged_samples(place: Folder, name: str, shard: Shard) -> Iterator[tuple[str, str]]:
    """Yield the key of each damaged sample and the fields whose own checksum differs."""
    index = shard.index
    for row, key in enumerate(index.keys):
        start, length = index.span(row)
        data = place.read_range(name, start, length, shard.sha256) if length else b""
        if hashlib.sha256(data).hexdigest() != index.digests[row]:
            yield key, _damaged_fields(data, shard, row)


def _damaged_fields(data: bytes, shard: Shard, row: int) -> str:
    index = shard.index
    starts = (index.offsets[row] - index.span(row)[0]).tolist()
    lengths, sums = index.lengths[row].tolist(), index.crc32[row].tolist()
    damaged = [
        name
        for name, start, length, expected in zip(FIELDS, starts, lengths, sums, strict=True)
        if zlib.crc32(data[start : start + length]) != expected
    ]
    return ", ".join(damaged) or "digest"


def _around(place: Folder, info: Mapping[str, Any]) -> list[DepthmixError]:
    """Check the files around the shards: the record itself, the list of skipped samples, strays."""
    problems: list[DepthmixError] = []
    try:
        if place.root_record() != info:
            hint = "wait until nobody writes here, and verify again"
            problems.append(StorageError("was replaced meanwhile", file=place.path(ROOT), hint=hint))
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    listed = place.path(QUARANTINE)
    expected = quarantine_bytes([Skipped(**skip) for skip in info["skipped"]])
    try:
        if place.read(QUARANTINE, max(len(expected), 1 << 20)) != expected:
            reason = f"differs from the list in {ROOT}"
            problems.append(CorruptShard(reason, file=listed, field="skipped", hint=REBUILD))
    except (CorruptShard, StorageError) as error:
        problems.append(error)
    return problems + _strays(place, info)


def _strays(place: Folder, info: Mapping[str, Any]) -> list[DepthmixError]:
    """Name what looks like a part of the set and belongs to no record."""
    known = {ROOT, QUARANTINE}
    for entry in info["shards"]:
        known |= {entry["file"], str(Path(entry["file"]).with_suffix(".json"))}
    try:
        names = place.names()
    except StorageError as error:
        if isinstance(place, LocalFolder):
            raise
        # Many servers list nothing, and what no record names is never read from them.
        log.warning("%s; not looked for files that belong to no record", error)
        return []
    strays = [
        name
        for name in names
        if name not in known
        and (name.endswith(_STRAY) or TEMPORARY.fullmatch(name))
        and not WRITER.fullmatch(name)  # says who writes here, this very process perhaps
    ]
    return [StorageError("belongs to no record", file=place.path(name), hint="remove it") for name in strays]
