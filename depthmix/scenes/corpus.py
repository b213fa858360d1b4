"""Make the demo corpus on disk: in parallel, byte for byte the same each time, resumed if cut off."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from depthmix.errors import ConfigError, DepthmixError, StorageError
from depthmix.scenes.layouts import file_names, make_files
from depthmix.scenes.plan import SHARES, Job, Preset, jobs_of
from depthmix.workers import start_worker

__all__ = ["RECORD", "VERSION", "corpus_hash", "make_demo_data"]

VERSION = 1  # raised whenever the same seed gives other files
RECORD = "corpus.json"
UNFINISHED = "corpus.unfinished.json"

log = logging.getLogger(__name__)


def make_demo_data(
    root: Path,
    *,
    preset: Preset,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render the four training sources, their validation parts and the evaluation scenes.

    Below `root`: `web` (layout of HR-WSI), `kitti` (KITTI object), `middlebury/{train,val}` (Middlebury
    2014), `planes/{train,val}`, `eval/{rooms,streets,clutter}`, with `preset.exact` the same training images
    with exact labels in `exact/train/<source>` and the validation images in `exact/val/<family>`, and,
    written last, `corpus.json` with the hash over all files. A finished corpus is left alone; one that was
    cut off is continued.

    Args:
        root: folder to fill.
        preset: how many images, and how large.
        seed: another seed gives other scenes.
        workers: processes; 0 or 1 works in this one. The files do not depend on it.
        progress: called with the number of images done and of all images.

    Raises:
        ConfigError: the folder holds another corpus or something else, or open3d is not installed.
        StorageError: the folder cannot be written.
    """
    wanted = {
        "schema": 1,
        "preset": preset.name,
        "seed": seed,
        "version": VERSION,
        "settings": _settings(preset),
    }
    if _is_finished(root, wanted):
        return
    jobs = jobs_of(preset)
    try:
        _start(root, wanted)
        files = {job: file_names(job, preset.exact) for job in jobs}
        missing = [job for job in jobs if not all((root / name).exists() for name in files[job])]
        done = len(jobs) - len(missing)
        for _ in _run(partial(_write, root, preset, seed), missing, workers):
            done += 1
            if progress:
                progress(done, len(jobs))
        names = sorted(name for job in jobs for name in files[job])
        record = wanted | {"images": len(jobs), "files": len(names), "sha256": corpus_hash(root, names)}
        _store(root / RECORD, _encoded(record))
        (root / UNFINISHED).unlink()
    except OSError as error:
        hint = "check space and rights; the next call continues"
        raise StorageError(error.strerror or str(error), file=root, hint=hint) from error


def corpus_hash(root: Path, names: list[str]) -> str:
    """Hash names and contents of files in the order given."""
    total = hashlib.sha256()
    for name in names:
        total.update(name.encode() + b"\0" + hashlib.sha256((root / name).read_bytes()).digest())
    return total.hexdigest()


def _settings(preset: Preset) -> dict[str, object]:
    settings = {name: getattr(preset, name) for name in ("train", "val", "evaluation", "height", "width")}
    exact = {"exact": 1} if preset.exact else {}  # others are the corpora that they always were
    shares = {name: list(one) for name, one in preset.shares.items() if one != SHARES[name]}
    return settings | exact | ({"shares": shares} if shares else {})


def _is_finished(root: Path, wanted: dict[str, object]) -> bool:
    """Compare with the record of a finished corpus; refuse one that was made otherwise."""
    if not (root / RECORD).exists():
        return False
    _check_same(root / RECORD, wanted)
    return True


def _start(root: Path, wanted: dict[str, object]) -> None:
    """Claim an empty folder, or take up one that was claimed for the same corpus."""
    root.mkdir(parents=True, exist_ok=True)
    if (root / UNFINISHED).exists():
        _check_same(root / UNFINISHED, wanted)
        log.info("continue the corpus in %s", root)
    elif any(not path.name.endswith(".part") for path in root.iterdir()):
        hint = "give a new or empty folder"
        raise ConfigError("holds files, but no demo corpus", file=root, field="root", hint=hint)
    _store(root / UNFINISHED, _encoded(wanted))


def _check_same(record: Path, wanted: dict[str, object]) -> None:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        found = {name: found.get(name) for name in wanted}
    except (ValueError, AttributeError, RecursionError) as error:
        hint = "delete the folder and run again"
        raise ConfigError("is damaged", file=record, hint=hint) from error
    if found != wanted:
        hint = "take another folder, or delete this one"
        raise ConfigError(f"holds {_named(found)}, wanted {_named(wanted)}", file=record, hint=hint)


def _named(record: dict[str, object]) -> str:
    return f"preset {record['preset']}, seed {record['seed']}, version {record['version']}"


def _encoded(record: dict[str, object]) -> bytes:
    return (json.dumps(record, indent=1) + "\n").encode("ascii")


def _run(task: Callable[[Job], None], jobs: list[Job], workers: int) -> Iterator[None]:
    if workers <= 1 or len(jobs) < 2:
        yield from map(task, jobs)
        return
    # Started afresh rather than forked: a fork copies locks that open3d's threads may hold.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), initializer=start_worker)
    try:
        yield from pool.map(task, jobs, chunksize=4 if len(jobs) > 100 else 1)
    except BrokenProcessPool as error:
        hint = "often too little memory: use fewer workers; the next call continues"
        raise DepthmixError("a rendering process died", field="workers", hint=hint) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write(root: Path, preset: Preset, seed: int, job: Job) -> None:
    for name, content in make_files(job, preset, seed).items():
        _store(root / name, content)


def _store(path: Path, content: bytes) -> None:
    """Write a file so that it is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105
