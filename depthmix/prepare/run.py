"""Read a raw source, check and fit its samples, and write them as a prepared set."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from depthmix.errors import BadSample, BadSource, ConfigError, CorruptShard, StorageError
from depthmix.prepare.describe import changes, describe
from depthmix.prepare.job import Job, Size, raw_files
from depthmix.prepare.pool import check_picklable, ordered_results
from depthmix.sources.base import Source
from depthmix.store.codec import CodecOptions
from depthmix.store.fingerprint import combine, fingerprint_files
from depthmix.store.reader import ShardSet
from depthmix.store.record import own_folder, storage_errors
from depthmix.store.writer import ROOT, ShardWriter, Skipped, check_not_foreign, remove_set

__all__ = ["PrepareReport", "Progress", "prepare"]

log = logging.getLogger(__name__)

MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell how far a run is.

    Args:
        done: raw samples finished, skipped ones included.
        total: raw samples altogether.
        skipped: raw samples left out.
        bytes: bytes of finished shards.
        name: name of the source.
    """

    done: int
    total: int
    skipped: int
    bytes: int
    name: str


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """Tell what a prepared set holds and what was left out of it.

    Args:
        count: samples in the set.
        skipped: raw samples that were left out, with file and reason.
        bytes: bytes of all shards.
        seconds: wall time of this run.
        reused: nothing was written, because the set was there already and intact.
    """

    count: int
    skipped: list[Skipped]
    bytes: int
    seconds: float
    reused: bool = False


def prepare(
    source: Source,
    out: str | Path,
    *,
    size: Size | None = None,
    workers: int = 0,
    on_bad: Literal["error", "skip"] = "skip",
    max_bad_fraction: float = 0.1,
    codec: CodecOptions | None = None,
    shard_mb: int = 64,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> PrepareReport:
    """Write all samples of a source as checked HDF5 shards with records.

    The bytes written depend on the raw files and the options alone: not on `workers`, not on time, not
    on how often the run was killed before. A run that was stopped goes on behind its last finished shard.

    Args:
        source: the raw data.
        out: folder of this one prepared set.
        size: height and width that every sample is scaled to cover and cropped to around its centre.
        workers: processes that read and encode; 0 does it in this one.
        on_bad: stop at the first bad sample, or list it in `quarantine.jsonl` and go on.
        max_bad_fraction: stop when more than this part of the samples (rounded up) is bad.
        codec: precision that is kept.
        shard_mb: size in MiB from which a shard is closed.
        overwrite: replace a set that was made from other files or options.
        progress: called after every sample.

    Raises:
        BadSample: a sample is bad and `on_bad` is "error".
        BadSource: there is no sample, too many are bad, or all are.
        ConfigError: options that cannot work.
        StorageError: the file system refused, or `out` holds a set made from other files or options, or
            files of someone else with the names of a set.
    """
    started = time.monotonic()
    out = Path(out)
    job = Job(source, size, codec or CodecOptions())
    keys = _checked_keys(source)
    _check_arguments(job, out, workers, max_bad_fraction, shard_mb)
    metadata = describe(job, shard_mb)
    fingerprints = fingerprint_files(source.root, [raw_files(source, key) for key in keys], threads=workers)
    inputs = [combine([key, fingerprint]) for key, fingerprint in zip(keys, fingerprints, strict=True)]
    with own_folder(out):
        check_not_foreign(out)
        existing = _existing(out, metadata, combine(inputs), overwrite)
        if existing is not None:
            return _report(existing, started)
        writer = ShardWriter(out, metadata, shard_mb * MEBIBYTE)
        budget = Budget(job, len(keys), on_bad, max_bad_fraction)
        _fill(writer, job, keys, inputs, workers, budget, progress)
        writer.close(combine(inputs))
    seconds = time.monotonic() - started
    return PrepareReport(writer.count, writer.skipped, writer.bytes, seconds)


@dataclass(slots=True)
class Budget:
    """Decide when bad samples stop the run."""

    job: Job
    total: int
    on_bad: Literal["error", "skip"]
    max_bad_fraction: float
    bad: int = 0

    def count(self, skipped: Skipped) -> None:
        """Count one more bad sample and raise if it is one too many."""
        self.bad += 1
        source = self.job.source
        file = source.root / skipped.file if skipped.file else source.root
        if self.on_bad == "error":
            hint = 'repair or remove the file, or leave it out with on_bad="skip"'
            raise BadSample(skipped.reason, file=file, sample=f"{source.name}/{skipped.key}", hint=hint)
        # 0.1 * 30 is 3.0000000000000004, and one more sample must not slip through for that.
        allowed = math.ceil(round(self.max_bad_fraction * self.total, 9))
        if self.bad == self.total:
            reason = f"all {self.total} samples are bad, the last: {skipped.reason}"
            raise BadSource(reason, file=file, sample=source.name, hint="check the folder and the source")
        if self.bad > allowed:
            reason = f"more than {allowed} of {self.total} samples are bad, the last: {skipped.reason}"
            hint = "repair the files or raise max_bad_fraction"
            raise BadSource(reason, file=file, sample=f"{source.name}/{skipped.key}", hint=hint)


def _fill(
    writer: ShardWriter,
    job: Job,
    keys: Sequence[str],
    inputs: Sequence[str],
    workers: int,
    budget: Budget,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Give every sample to the writer, in order, from where an interrupted run ended."""
    done = writer.resume(inputs)
    for skipped in writer.skipped:
        budget.count(skipped)
    with closing(ordered_results(job, keys[done:], workers)) as results:
        for item in results:
            if isinstance(item, Skipped):
                budget.count(item)
            writer.add(item, inputs[done])
            done += 1
            if progress is not None:
                progress(Progress(done, len(keys), budget.bad, writer.bytes, job.source.name))


def _existing(out: Path, metadata: dict[str, Any], fingerprint: str, overwrite: bool) -> ShardSet | None:
    """Return the set that lies in `out` when it is just what this run would write."""
    if not (out / ROOT).exists():
        return None
    try:
        existing = ShardSet(out)
        problems = existing.verify()
    except CorruptShard as error:
        problems = [str(error)]
    except StorageError as error:
        if error.field != "schema":
            raise
        if not overwrite:
            hint = "choose another folder, or replace the set with --overwrite (overwrite=True)"
            raise StorageError(error.reason, file=error.file, field=error.field, hint=hint) from error
        remove_set(out)
        return None
    else:
        parts = {
            "raw files": existing.info["fingerprint"],
            **{key: existing.info.get(key) for key in metadata},
        }
        differences = changes(parts, {"raw files": fingerprint, **metadata})
        if differences and not overwrite:
            hint = "choose another folder, or replace the set with --overwrite (overwrite=True)"
            reason = f"holds a set made otherwise: {'; '.join(differences)}"
            raise StorageError(reason, file=out / ROOT, hint=hint)
        if differences:
            remove_set(out)
            return None
        if not problems:
            return existing
    log.warning("%s is damaged and is completed again: %s", out, problems[0])
    with storage_errors(out / ROOT):
        (out / ROOT).unlink()
    return None


def _report(existing: ShardSet, started: float) -> PrepareReport:
    skipped = [Skipped(**skip) for skip in existing.info["skipped"]]
    total = sum(shard["size"] for shard in existing.info["shards"])
    return PrepareReport(len(existing), skipped, total, time.monotonic() - started, reused=True)


def _checked_keys(source: Source) -> list[str]:
    keys = list(source.keys())
    if not keys:
        raise BadSource(
            "no samples found", file=source.root, sample=source.name, hint=f"expected {source.layout}"
        )
    if len(set(keys)) < len(keys):
        double = Counter(keys).most_common(1)[0][0]
        raise BadSource("two samples have this key", file=source.root, sample=f"{source.name}/{double}")
    return keys


def _check_arguments(job: Job, out: Path, workers: int, max_bad_fraction: float, shard_mb: int) -> None:
    if job.size is not None and min(job.size) < 1:
        raise ConfigError(f"must be positive, got {job.size}", field="size")
    if workers < 0:
        raise ConfigError(f"must not be negative, got {workers}", field="workers")
    if not 0 <= max_bad_fraction <= 1:
        raise ConfigError(f"must lie in 0 .. 1, got {max_bad_fraction}", field="max_bad_fraction")
    if shard_mb < 1:
        raise ConfigError(f"must be at least 1, got {shard_mb}", field="shard_mb")
    if out.resolve().is_relative_to(job.source.root.resolve()):
        raise ConfigError("lies inside the raw data", file=out, field="out", hint="choose another folder")
    if workers:
        check_picklable(job)
