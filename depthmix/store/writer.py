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
from depthmix.store.codec import CodecOptions, encode_fields
from depthmix.store.fingerprint import combine
from depthmix.store.record import commit, is_record, pack_record, proof_of, read_record, storage_errors
from depthmix.store.shard import SCHEMA, EncodedSample, build_shard, shard_name

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
    """Encode all fields of one sample."""
    k = sample.intrinsics
    blobs = encode_fields(sample, options)
    camera = None if k is None else (float(k.fx), float(k.fy), float(k.cx), float(k.cy))
    return EncodedSample(sample.key, sample.size, camera, tuple(blobs.values()))


@dataclass(slots=True)
class ShardWriter:
    """Write one prepared set, shard by shard, in the order in which samples are given.

    Args:
        out: folder of the set; it exists and belongs to this writer alone.
        metadata: what every shard and the record of the set state (name, card, options, version);
            values as `json.loads` returns them.
        shard_bytes: a shard is closed as soon as it holds this many bytes.
    """

    out: Path
    metadata: Mapping[str, Any]
    shard_bytes: int
    shards: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    count: int = 0
    bytes: int = 0
    _open: list[EncodedSample] = field(default_factory=list)
    _open_skipped: list[Skipped] = field(default_factory=list)
    _inputs: list[str] = field(default_factory=list)
    _open_bytes: int = 0

    def add(self, item: EncodedSample | Skipped, fingerprint: str) -> None:
        """Take the next sample, or the note that it was left out; `fingerprint` is that of its raw files."""
        self._inputs.append(fingerprint)
        if isinstance(item, Skipped):
            self._open_skipped.append(item)
            return
        self._open.append(item)
        self._open_bytes += item.bytes
        if self._open_bytes >= self.shard_bytes:
            self._close_shard()

    def resume(self, fingerprints: Sequence[str]) -> int:
        """Take over the leading shards that an interrupted run has finished.

        Args:
            fingerprints: of all raw samples, in order.

        Returns:
            How many raw samples they cover; the caller goes on with the next one.
        """
        cursor = 0
        while (taken := self._take_over(fingerprints[cursor:])) > 0:
            cursor += taken
        return cursor

    def close(self, fingerprint: str) -> None:
        """Commit the last shard, the list of skipped samples, and last the record of the set."""
        if self._open:
            self._close_shard()
        self.skipped += self._open_skipped
        self._remove_strays()
        commit(self.out / QUARANTINE, quarantine_bytes(self.skipped))
        root = {
            "schema": SCHEMA,
            **self.metadata,
            "count": self.count,
            "fingerprint": fingerprint,
            "shards": self.shards,
            "skipped": [asdict(skip) for skip in self.skipped],
        }
        commit(self.out / ROOT, pack_record(root, indent=1))

    def _close_shard(self) -> None:
        name = shard_name(len(self.shards))
        image, index = build_shard(self._open, {"schema": SCHEMA, **self.metadata})
        commit(self.out / name, image)
        record = {
            "schema": SCHEMA,
            "file": name,
            "size": len(image),
            "sha256": hashlib.sha256(image).hexdigest(),
            "metadata": self.metadata,
            "inputs": len(self._inputs),
            "fingerprint": combine(self._inputs),
            "skipped": [asdict(skip) for skip in self._open_skipped],
            "samples": index.to_plain(),
        }
        packed = pack_record(record)
        commit((self.out / name).with_suffix(".json"), packed)
        self._account(record, proof_of(packed))
        self._open, self._open_skipped, self._inputs, self._open_bytes = [], [], [], 0

    def _account(self, record: Mapping[str, Any], proof: str) -> None:
        count = len(record["samples"]["keys"])
        self.shards.append(
            {
                "file": record["file"],
                "size": record["size"],
                "sha256": record["sha256"],
                "count": count,
                "proof": proof,
            }
        )
        self.skipped += [Skipped(**skip) for skip in record["skipped"]]
        self.count += count
        self.bytes += record["size"]

    def _take_over(self, fingerprints: Sequence[str]) -> int:
        path = self.out / shard_name(len(self.shards))
        record_path = path.with_suffix(".json")
        if not (path.is_file() and record_path.is_file()):
            return 0
        try:
            record = read_record(record_path)
        except CorruptShard as error:
            log.warning("%s; the shard is written again", error)
            return 0
        if (record.get("schema"), record.get("metadata")) != (SCHEMA, self.metadata):
            log.info("%s: not taken over, it was made by another version or with other options", path)
            return 0
        inputs = fingerprints[: record["inputs"]]
        same_inputs = len(inputs) == record["inputs"] and combine(inputs) == record["fingerprint"]
        with storage_errors(path):
            intact = hashlib.sha256(path.read_bytes()).hexdigest() == record["sha256"]
        full = sum(map(sum, record["samples"]["lengths"])) >= self.shard_bytes
        last = len(inputs) == len(fingerprints)  # one that is neither would have grown with what follows
        if not (same_inputs and intact and (full or last)):
            log.info("%s: not taken over, it is damaged or was made from other files", path)
            return 0
        with storage_errors(record_path):
            self._account(record, proof_of(record_path.read_bytes()))
        return len(inputs)

    def _remove_strays(self) -> None:
        """Remove shards of an abandoned run beyond the last one of this set."""
        kept = {shard["file"] for shard in self.shards}
        for path in shard_files(self.out):
            if path.with_suffix(".h5").name not in kept:
                with storage_errors(path):
                    path.unlink()


def check_not_foreign(out: Path) -> None:
    """Refuse a folder whose files bear the names of a prepared set, but were not written by one.

    Others number their files as well; a set made here would replace or remove them.

    Raises:
        StorageError: there are such files, and no record of ours beside them.
    """
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
    numbered = (path for path in out.iterdir() if path.stem.isdigit() and len(path.stem) >= 5)
    return sorted(path for path in numbered if path.suffix in (".h5", ".json"))


def quarantine_bytes(skipped: Sequence[Skipped]) -> bytes:
    """Return the quarantine file: one JSON object a line."""
    return "".join(json.dumps(asdict(skip)) + "\n" for skip in skipped).encode()
