"""`depthmix verify`: every byte of prepared data against its records."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthmix.errors import ConfigError, DepthmixError, StorageError, visible

if TYPE_CHECKING:
    from depthmix.store.verify import Verified
    from depthmix.store.vouched import Vouched

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "root", type=_place, nargs="+", help="prepared sets, or folders that hold some; URLs, too (s3://...)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="cores that hash (default: all of them)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="remember here, outside of the sets, what is done; run the same command again after a kill "
        "(local sets only)",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per problem; exit code 1 if there is one."""
    workers = (os.cpu_count() or 1) if options.workers is None else options.workers
    if workers < 1:
        raise ConfigError(f"must be at least 1, got {workers}", field="--workers")
    if options.resume and (urls := [root for root in options.root if isinstance(root, str)]):
        reason = f"cannot be told for {urls[0]}: what a server states does not prove that a file is unchanged"
        hint = "leave it out, or verify URLs in a command of their own"
        raise ConfigError(reason, field="--resume", hint=hint)
    folders = [folder for root in options.root for folder in _sets(root)]
    vouched = _vouched(options.resume, folders)
    results = []
    with vouched or nullcontext():
        for folder, found in _found(options.root, folders, workers, vouched):
            results.append(_plain(folder, found))
            if not options.json:
                _show(folder, found)
        if vouched is not None:
            vouched.finish()
    count = sum(len(result["problems"]) for result in results)
    if options.json:
        print(json.dumps({"sets": results, "problems": count}, indent=1))
    return 1 if count else 0


def _place(text: str) -> str | Path:
    from depthmix.store.remote import is_url

    return text if is_url(text) else Path(text)


def _found(
    roots: list[str | Path], folders: list[str | Path], workers: int, vouched: "Vouched | None"
) -> "Iterator[tuple[str | Path, Verified]]":
    """Yield what is found in each set, as soon as it is known."""
    from depthmix.cli.progress import bar
    from depthmix.store.verify import Verified, verify_set

    for root in roots:
        if isinstance(root, Path) and not _sets(root):
            yield root, Verified(0, 0, 0, 0, [_nothing(root)])
    for folder in folders:
        with bar(f"verify {str(folder).rstrip('/').rpartition('/')[2]}") as update:
            found = verify_set(
                folder,
                workers=workers,
                vouched=vouched,
                progress=lambda done, total: update(*_in_units(done, total)),
            )
        yield folder, found


def _sets(root: str | Path) -> list[str | Path]:
    """List the folders of sets at a path: those with a record, and those where only the record is gone."""
    if isinstance(root, str):
        return _sets_behind(root)
    try:
        inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        return [folder for folder in [root, *inside] if _is_set(folder)]
    except OSError as error:
        raise StorageError(error.strerror or str(error), file=root) from error


def _sets_behind(url: str) -> list[str | Path]:
    """List the URLs of sets likewise; the URL itself where none is seen, which then says what it lacks."""
    from depthmix.store.remote import RemoteFolder

    def names(place: str) -> list[str]:
        try:
            return RemoteFolder(place).names()
        except StorageError:  # many servers list nothing
            return []

    url = url.rstrip("/")
    found = names(url)
    sets = [url] if _are_set(found) else []
    inside = [f"{url}/{name.rstrip('/')}" for name in found if name.endswith("/")]
    return [*sets, *(folder for folder in inside if _are_set(names(folder)))] or [url]


def _are_set(names: list[str]) -> bool:
    from depthmix.store.gate import NAME
    from depthmix.store.writer import QUARANTINE, ROOT

    # By names alone: a shard with its record beside it, where those of the set are gone.
    pairs = {name[:-3] for name in names if NAME.fullmatch(name)} & {
        name[:-5] for name in names if name.endswith(".json")
    }
    return bool(pairs or {ROOT, QUARANTINE} & set(names))


def _is_set(folder: Path) -> bool:
    from depthmix.store.record import is_record
    from depthmix.store.writer import QUARANTINE, ROOT, shard_files

    if not folder.is_dir():
        return False
    if any(os.path.lexists(folder / name) for name in (ROOT, QUARANTINE)):
        return True
    return any(is_record(path) for path in shard_files(folder))


def _nothing(root: Path) -> DepthmixError:
    hint = "give the folder that `depthmix prepare` wrote"
    return StorageError("no prepared set here (no index.json)", file=root, hint=hint)


def _vouched(file: Path | None, folders: list[str | Path]) -> "Vouched | None":
    from depthmix.store.vouched import Vouched

    if file is None:
        return None
    if any(file.resolve().is_relative_to(Path(folder).resolve()) for folder in folders):
        hint = "choose a place that no set occupies"
        raise ConfigError("lies inside a prepared set", file=file, field="--resume", hint=hint)
    return Vouched(file)


def _show(folder: str | Path, found: "Verified") -> None:
    for problem in found.problems:
        print(problem, file=sys.stderr)
    known = f", {found.vouched} of them verified before" if found.vouched else ""
    shards = f"{found.shards} shard{'' if found.shards == 1 else 's'}"
    count = f"{len(found.problems)} problem{'' if len(found.problems) == 1 else 's'}"
    print(visible(f"{folder}: {found.samples} samples in {shards}{known}, {count}"), flush=True)


def _plain(folder: str | Path, found: "Verified") -> dict[str, Any]:
    """Return the result of one set as plain values."""
    numbers = {name: getattr(found, name) for name in ("samples", "shards", "bytes", "vouched")}
    parts = ("file", "sample", "field", "reason", "hint")
    problems = []
    for problem in found.problems:
        values = {part: getattr(problem, part) for part in parts}
        plain = {part: None if value is None else str(value) for part, value in values.items()}
        problems.append({"text": str(problem), **plain})
    return {"folder": str(folder), **numbers, "problems": problems}


def _in_units(done: int, total: int) -> tuple[int, int, str]:
    bits, unit = (20, "MiB") if total >= 1 << 24 else (10, "KiB")
    return done >> bits, total >> bits, unit
