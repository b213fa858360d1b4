"""Collect encoded samples into shards and commit each shard, its record, and last the record of the set."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError
from depthmix.sample import Sample
from depthmix.store.codec import encode_fields
from depthmix.store.codec_options import CodecOptions
from depthmix.store.fingerprint import combine
from depthmix.store.record import (
    commit,
    is_record,
    pack_record,
    proof_of,
    read_plain,
    read_record,
    sha256_of,
    storage_errors,
)
from depthmix.store.shard import MAX_PIXELS, SCHEMA, EncodedSample, build_shard, max_bytes, shard_name

__all__ = [
    "QUARANTINE",
    "ROOT",
    "ShardWriter",
    "Skipped",
    "check_not_foreign",
    "encode_sample",
    "quarantine_bytes",
    "remove_set",
]

ROOT: Final = "index.json"
QUARANTINE: Final = "quarantine.jsonl"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Name one raw sample that was left out, its file, and why."""

    key: str
    file: str
    reason: str


def encode_sample(sample: Sample, options: CodecOptions) -> EncodedSample:
    """Encode all fields of one sample.

    Raises:
        BadSample: it is larger than readers accept.
    """
    k = sample.intrinsics
    height, width = sample.size
    if height * width > MAX_PIXELS:
        raise sample.fail("image", f"{height} x {width} pixels are more than {MAX_PIXELS}")
    blobs = encode_fields(sample, options)
    camera = None if k is None else (float(k.fx), float(k.fy), float(k.cx), float(k.cy))
    encoded = EncodedSample(sample.key, sample.size, camera, tuple(blobs.values()))
    if encoded.bytes > max_bytes(height * width):
        raise sample.fail("pairs", f"{encoded.bytes} bytes are more than {max_bytes(height * width)}")
    return encoded


@dataclass(frozen=True, slots=True)
class Finished:
    """Account for one finished shard.

    Args:
        entry: what the record of the set states about it.
        skipped: samples that were left out of it.
        fingerprint: of the raw files of all its samples, those left out included.
    """

    entry: Mapping[str, Any]
    skipped: Sequence[Skipped]
    fingerprint: str


@dataclass(slots=True)
class ShardWriter:
    """Write the shards of one prepared set, in any order, and at the end the record that closes it.

    Args:
        out: folder of the set; it exists.
        metadata: what every shard and the record of the set state (name, card, options, version);
            values as `json.loads` returns them.
        finished: the shards that are there, by number.
    """

    out: Path
    metadata: Mapping[str, Any]
    finished: dict[int, Finished] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Samples in the finished shards."""
        return sum(shard.entry["count"] for shard in self.finished.values())

    @property
    def bytes(self) -> int:
        """Bytes of the finished shards."""
        return sum(shard.entry["size"] for shard in self.finished.values())

    @property
    def skipped(self) -> list[Skipped]:
        """Samples that were left out of the finished shards, in the order of the source."""
        return [skip for _, shard in sorted(self.finished.items()) for skip in shard.skipped]

    def write(self, number: int, items: Sequence[EncodedSample | Skipped], inputs: Sequence[str]) -> None:
        """Commit one shard and its record.

        Args:
            number: of the shard.
            items: its samples in the order of the source, and notes of those that were left out.
            inputs: fingerprints of the raw files of each item.
        """
        name = shard_name(number)
        image, index = build_shard(
            [item for item in items if isinstance(item, EncodedSample)], {"schema": SCHEMA, **self.metadata}
        )
        commit(self.out / name, image)
        record = {
            "schema": SCHEMA,
            "file": name,
            "size": len(image),
            "sha256": hashlib.sha256(image).hexdigest(),
            "metadata": self.metadata,
            "inputs": len(inputs),
            "fingerprint": combine(inputs),
            "skipped": [asdict(item) for item in items if isinstance(item, Skipped)],
            "samples": index.to_plain(),
        }
        packed = pack_record(record)
        commit((self.out / name).with_suffix(".json"), packed)
        self.finished[number] = _finished(record, proof_of(packed))

    def take_over(self, number: int, inputs: Sequence[str] | None) -> bool:
        """Take over a shard that another run has finished, if it is just what this one would write.

        Args:
            number: of the shard.
            inputs: fingerprints of the raw files of its samples; None trusts its record, and does not read
                the shard.
        """
        path = self.out / shard_name(number)
        record_path = path.with_suffix(".json")
        with storage_errors(path):
            if not (path.is_file() and record_path.is_file()):
                return False
        try:
            record = read_record(record_path)
        except CorruptShard as error:
            log.warning("%s; the shard is written again", error)
            return False
        if (record.get("schema"), record.get("metadata")) != (SCHEMA, self.metadata):
            log.info("%s: not taken over, it was made by another version or with other options", path)
            return False
        try:
            found = _finished(record, proof_of(read_plain(record_path)))
        except (KeyError, TypeError) as error:
            log.warning("%s: is no shard record (%r); the shard is written again", record_path, error)
            return False
        if inputs is None:
            with storage_errors(path):
                intact = path.stat().st_size == record["size"]
        else:
            intact = len(inputs) == record.get("inputs") and combine(inputs) == found.fingerprint
            intact = intact and sha256_of(path) == record["sha256"]
        if not intact:
            log.info("%s: not taken over, it is damaged or was made from other files", path)
            return False
        self.finished[number] = found
        return True

    def close(self) -> None:
        """Commit the list of skipped samples, and last the record of the set; all shards are finished."""
        self._remove_strays()
        commit(self.out / QUARANTINE, quarantine_bytes(self.skipped))
        shards = [shard for _, shard in sorted(self.finished.items())]
        root = {
            "schema": SCHEMA,
            **self.metadata,
            "count": self.count,
            "fingerprint": combine([shard.fingerprint for shard in shards]),
            "shards": [shard.entry for shard in shards],
            "skipped": [asdict(skip) for skip in self.skipped],
        }
        commit(self.out / ROOT, pack_record(root, indent=1))

    def _remove_strays(self) -> None:
        """Remove shards of an abandoned run beyond the last one of this set."""
        kept = {shard_name(number) for number in self.finished}
        for path in shard_files(self.out):
            if path.with_suffix(".h5").name not in kept:
                with storage_errors(path):
                    path.unlink()


def _finished(record: Mapping[str, Any], proof: str) -> Finished:
    entry = {name: record[name] for name in ("file", "size", "sha256")}
    entry |= {"count": len(record["samples"]["keys"]), "proof": proof}
    return Finished(entry, [Skipped(**skip) for skip in record["skipped"]], record["fingerprint"])


def check_not_foreign(out: Path) -> None:
    """Refuse a folder whose files bear the names of a prepared set, but were not written by one.

    Others number their files as well; a set made here would replace or remove them.

    Raises:
        StorageError: there are such files, and no record of ours beside them.
    """
    with storage_errors(out):
        taken = [path for path in (out / ROOT, out / QUARANTINE, *shard_files(out)) if path.exists()]
    # A run that was killed early leaves its first shard without a record.
    unfinished = [path.name for path in taken] == [shard_name(0)]
    if taken and not unfinished and not any(map(is_record, taken)):
        reason = f"holds {taken[0].name}, which no run of prepare has written"
        hint = "choose another folder; this one is left as it is"
        raise StorageError(reason, file=out, hint=hint)


def remove_set(out: Path) -> None:
    """Remove a prepared set; its record goes first, so that what is left never claims to be whole."""
    for path in (out / ROOT, out / QUARANTINE, *shard_files(out)):
        with storage_errors(path):
            path.unlink(missing_ok=True)


def shard_files(out: Path) -> list[Path]:
    """List the shards and shard records in a folder, finished or not, by their names alone."""
    with storage_errors(out):
        numbered = [path for path in out.iterdir() if path.stem.isdigit() and len(path.stem) >= 5]
    return sorted(path for path in numbered if path.suffix in (".h5", ".json"))


def quarantine_bytes(skipped: Sequence[Skipped]) -> bytes:
    """Return the quarantine file: one JSON object a line."""
    return "".join(json.dumps(asdict(skip)) + "\n" for skip in skipped).encode()
