"""Read a raw source, check and fit its samples, and write them as a prepared set."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from depthmix.errors import BadSource, ConfigError, CorruptShard, StorageError
from depthmix.prepare.blocks import Block, Share, cut, samples_per_shard
from depthmix.prepare.budget import Budget, allowed_bad
from depthmix.prepare.describe import changes, describe
from depthmix.prepare.job import Job, Size
from depthmix.prepare.pool import LIMIT_S, check_picklable, workers_for
from depthmix.prepare.raw import raw_files, raw_keys
from depthmix.prepare.space import check_space
from depthmix.sources.base import Source
from depthmix.store.codec_options import CodecOptions
from depthmix.store.fingerprint import combine, fingerprint_files
from depthmix.store.folder import own_folder
from depthmix.store.reader import ShardSet
from depthmix.store.record import storage_errors
from depthmix.store.shard import EncodedSample
from depthmix.store.verify import verify_set
from depthmix.store.writer import ROOT, ShardWriter, Skipped, check_not_foreign, remove_set

__all__ = ["PrepareReport", "Progress", "prepare"]

log = logging.getLogger(__name__)

MEBIBYTE: Final = 1 << 20
Item = EncodedSample | Skipped
Run = Callable[[Sequence[str]], Iterable[Item]]


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
        count: samples in the set, or in this job's part of it where it is not closed yet.
        skipped: raw samples that were left out, with file and reason.
        bytes: bytes of all these shards.
        seconds: wall time of this run.
        reused: nothing was written, because the set was there already and intact.
        missing: shards that other jobs of an array still have to make; the last job closes the set.
    """

    count: int
    skipped: list[Skipped]
    bytes: int
    seconds: float
    reused: bool = False
    missing: int = 0


def prepare(
    source: Source,
    out: str | Path,
    *,
    size: Size | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    job_id: int = 0,
    num_jobs: int = 1,
    on_bad: Literal["error", "skip"] = "skip",
    max_bad_fraction: float | None = None,
    codec: CodecOptions | None = None,
    shard_mb: int = 64,
    overwrite: bool = False,
    time_limit_s: float = LIMIT_S,
    progress: Callable[[Progress], None] | None = None,
) -> PrepareReport:
    """Write all samples of a source as checked HDF5 shards with records.

    The bytes written depend on the raw files and the options alone: not on `workers`, `scheduler` or
    `num_jobs`, not on time, not on how often the run was killed before. A run that was stopped goes on behind
    its finished shards.

    Args:
        source: the raw data.
        out: folder of this one prepared set.
        size: height and width that every sample is scaled to cover and cropped to around its centre.
        workers: processes that read and encode; 0 does it in this one.
        scheduler: address of a Dask scheduler, such as "tcp://node1:8786", whose workers read and encode in
            place of `workers`; they see the same folders.
        job_id: number of this job in an array of jobs, from 0. Jobs may run at any time and on any machine
            that sees both folders; the one that ends last closes the set.
        num_jobs: jobs of that array.
        on_bad: stop at the first bad sample, or list it in `quarantine.jsonl` and go on.
        max_bad_fraction: stop when more than this part of the samples (rounded up) is bad; see `allowed_bad`
            for what None means. With None, a shard of nothing but bad samples stops the run, too.
        codec: precision that is kept.
        shard_mb: size in MiB that shards get, about.
        overwrite: replace a set that was made from other files or options.
        time_limit_s: seconds after which a worker process that hangs over one sample is killed, and the run
            stops with its name.
        progress: called after every sample.

    Raises:
        BadSample: a sample is bad and `on_bad` is "error".
        BadSource: there is no sample, too many are bad, or all are; or a worker process died or hung.
        ConfigError: options that cannot work.
        StorageError: the file system refused or has too little space, or `out` holds a set made from other
            files or options, or files of someone else with the names of a set.
    """
    started = time.monotonic()
    out = Path(out)
    share = Share(job_id, num_jobs)
    job = Job(source, size, codec or CodecOptions())
    keys = _checked_keys(source)
    _check_arguments(job, out, workers, scheduler, max_bad_fraction, shard_mb, time_limit_s)
    if overwrite and num_jobs > 1:
        reason = "jobs of an array would remove what the others wrote"
        raise ConfigError(reason, field="overwrite", hint="remove the folder before the array starts")
    metadata = describe(job, shard_mb)
    with own_folder(out, shared=num_jobs > 1):
        check_not_foreign(out)
        existing = _existing(out, metadata, job, keys, workers, share, overwrite)
        if existing is not None:
            return _report(existing, started)
        with _engine(job, workers, scheduler, time_limit_s) as run:
            per_shard, probed = samples_per_shard(keys, run, shard_mb * MEBIBYTE)
            writer = ShardWriter(out, {**metadata, "samples_per_shard": per_shard})
            blocks = cut(keys, per_shard)
            mine = share.of(blocks)
            total = sum(len(block.keys) for block in mine)
            allowed = allowed_bad(total, max_bad_fraction)
            stated = max_bad_fraction is not None
            budget = Budget(source.name, source.root, total, allowed, on_bad, whole_shards=stated)
            told = None if progress is None else _Told(progress, total, budget, writer, source.name)
            _fill(writer, job, mine, run, probed, workers, budget, told)
        missing = _missing(writer, blocks)
        if not missing:
            _check_all(
                writer, Budget(source.name, source.root, len(keys), allowed_bad(len(keys), max_bad_fraction))
            )
            writer.close()
    return PrepareReport(
        writer.count, writer.skipped, writer.bytes, time.monotonic() - started, missing=missing
    )


@dataclass(slots=True)
class _Told:
    """Call the caller's progress with everything it wants to know."""

    progress: Callable[[Progress], None]
    total: int
    budget: Budget
    writer: ShardWriter
    name: str
    done: int = 0

    def add(self, count: int = 1) -> None:
        self.done += count
        self.progress(Progress(self.done, self.total, self.budget.bad, self.writer.bytes, self.name))


def _engine(job: Job, workers: int, scheduler: str | None, limit_s: float) -> AbstractContextManager[Run]:
    if scheduler is None:
        return workers_for(job, workers, limit_s)
    from depthmix.prepare.cluster import cluster_for

    return cluster_for(job, scheduler)


def _fill(
    writer: ShardWriter,
    job: Job,
    blocks: Sequence[Block],
    run: Run,
    probed: dict[str, Item],
    workers: int,
    budget: Budget,
    told: _Told | None,
) -> None:
    """Make the shards of these blocks; take over what an interrupted run has finished."""
    inputs = {block.number: _inputs(job.source, block, workers) for block in blocks}
    pending = []
    for block in blocks:
        if not writer.take_over(block.number, inputs[block.number]):
            pending.append(block)
        elif told is not None:
            told.done += len(block.keys)
    for skipped in writer.skipped:
        budget.count(skipped)
    check_space(writer.out, pending, probed.values())
    _reopen(writer.out, pending)
    fresh = iter(run([key for block in pending for key in block.keys if key not in probed]))
    for block in pending:
        items = []
        for key in block.keys:
            item = probed.pop(key) if key in probed else next(fresh)
            if isinstance(item, Skipped):
                budget.count(item)
            items.append(item)
            if told is not None and len(items) < len(block.keys):
                told.add()
        budget.check_shard(items)
        writer.write(block.number, items, inputs[block.number])
        if told is not None:
            told.add()


def _inputs(source: Source, block: Block, workers: int) -> list[str]:
    """Return the fingerprint of each raw sample of a block."""
    files = [raw_files(source, key) for key in block.keys]
    prints = fingerprint_files(source.root, files, threads=workers)
    return [combine([key, fingerprint]) for key, fingerprint in zip(block.keys, prints, strict=True)]


def _missing(writer: ShardWriter, blocks: Sequence[Block]) -> int:
    """Look at what other jobs have finished, and return how many shards are still to come."""
    others = [block.number for block in blocks if block.number not in writer.finished]
    missing = sum(not writer.take_over(number, None) for number in others)
    if missing:  # only this job's part is reported
        for number in others:
            writer.finished.pop(number, None)
    return missing


def _check_all(writer: ShardWriter, budget: Budget) -> None:
    """Hold the whole set to the budget that each part kept."""
    for skipped in writer.skipped:
        budget.count(skipped)


def _reopen(out: Path, pending: Sequence[Block]) -> None:
    """Take back the claim that the set is whole, before any shard of it changes."""
    if pending:
        with storage_errors(out / ROOT):
            (out / ROOT).unlink(missing_ok=True)


def _existing(
    out: Path,
    metadata: dict[str, Any],
    job: Job,
    keys: Sequence[str],
    workers: int,
    share: Share,
    overwrite: bool,
) -> ShardSet | None:
    """Return the set that lies in `out` when it is just what this run would write."""
    with storage_errors(out / ROOT):
        if not (out / ROOT).exists():
            return None
    try:
        existing = ShardSet(out)
        problems = verify_set(out, workers=max(1, workers)).problems if share.jobs == 1 else []
    except CorruptShard as error:
        problems = [error]
    except StorageError as error:
        if error.field != "schema":
            raise
        if not overwrite:
            hint = "choose another folder, or replace the set with --overwrite (overwrite=True)"
            raise StorageError(error.reason, file=error.file, field=error.field, hint=hint) from error
        remove_set(out)
        return None
    else:
        parts = {key: existing.info.get(key) for key in metadata}
        made_from = {}
        if share.jobs == 1:
            parts["raw files"] = existing.info["fingerprint"]
            made_from["raw files"] = _fingerprint(job.source, keys, existing.info, workers)
        differences = changes(parts, {**made_from, **metadata})
        if differences and not overwrite:
            hint = "choose another folder, or replace the set with --overwrite (overwrite=True)"
            reason = f"holds a set made otherwise: {'; '.join(differences)}"
            raise StorageError(reason, file=out / ROOT, hint=hint)
        if differences:
            remove_set(out)
            return None
        if share.jobs > 1:
            return None  # each job looks at its own shards
        if not problems:
            return existing
    log.warning("%s is damaged and is completed again: %s", out, problems[0])
    with storage_errors(out / ROOT):
        (out / ROOT).unlink(missing_ok=True)
    return None


def _fingerprint(source: Source, keys: Sequence[str], info: dict[str, Any], workers: int) -> str:
    """Return what the record of a set would state about these raw files."""
    blocks = cut(keys, info["samples_per_shard"])
    return combine([combine(_inputs(source, block, workers)) for block in blocks])


def _report(existing: ShardSet, started: float) -> PrepareReport:
    skipped = [Skipped(**skip) for skip in existing.info["skipped"]]
    total = sum(shard["size"] for shard in existing.info["shards"])
    return PrepareReport(len(existing), skipped, total, time.monotonic() - started, reused=True)


def _checked_keys(source: Source) -> list[str]:
    keys = raw_keys(source)
    if not keys:
        raise BadSource(
            "no samples found", file=source.root, sample=source.name, hint=f"expected {source.layout}"
        )
    if len(set(keys)) < len(keys):
        double = Counter(keys).most_common(1)[0][0]
        raise BadSource("two samples have this key", file=source.root, sample=f"{source.name}/{double}")
    return keys


def _check_arguments(
    job: Job,
    out: Path,
    workers: int,
    scheduler: str | None,
    max_bad_fraction: float | None,
    shard_mb: int,
    time_limit_s: float,
) -> None:
    if job.size is not None and min(job.size) < 1:
        raise ConfigError(f"must be positive, got {job.size}", field="size")
    if workers < 0:
        raise ConfigError(f"must not be negative, got {workers}", field="workers")
    if max_bad_fraction is not None and not 0 <= max_bad_fraction <= 1:
        raise ConfigError(f"must lie in 0 .. 1, got {max_bad_fraction}", field="max_bad_fraction")
    if shard_mb < 1:
        raise ConfigError(f"must be at least 1, got {shard_mb}", field="shard_mb")
    if not time_limit_s > 0:
        raise ConfigError(f"must be positive, got {time_limit_s}", field="time_limit_s")
    if out.resolve().is_relative_to(job.source.root.resolve()):
        raise ConfigError("lies inside the raw data", file=out, field="out", hint="choose another folder")
    if workers or scheduler:
        check_picklable(job)
