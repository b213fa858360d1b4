"""Keep other writers out of the folder of a set, and say who is in it."""

import errno
import fcntl
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from depthmix.errors import StorageError
from depthmix.store.record import TEMPORARY, storage_errors

__all__ = ["WRITER", "own_folder"]

log = logging.getLogger(__name__)

WRITER: Final = re.compile(r"\.writer-on-(.+)\.(\d+)-[0-9a-f]+\.tmp")  # a temporary file, too
NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
TRIES: Final = 20
PAUSE_S: Final = 0.1


@contextmanager
def own_folder(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Create `folder` and keep every other writer out of it until the end of the block.

    The lock is one on the folder itself and ends with the process, however that ends. A small file beside
    the shards tells others who holds it. Temporary files of a killed run are removed; a folder that is still
    empty at the end is removed, too.

    Args:
        folder: folder of the set.
        shared: let in other writers that say the same, jobs of one array, and leave their files alone.

    Raises:
        StorageError: another process writes here, or the folder cannot be made.
    """
    handle, locked = _enter(folder, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    mark = folder / f".writer-on-{os.uname().nodename}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with storage_errors(folder):
            if locked and not shared:
                _remove_temporaries(folder)
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        yield
    finally:
        _leave(handle, folder, mark, clear=locked)


def _leave(handle: int, folder: Path, mark: Path, *, clear: bool) -> None:
    """Clear up and give up the lock; nothing here is worth an error."""

    def clear_up() -> None:
        if clear and _try_lock(handle, fcntl.LOCK_EX):  # the last of several jobs is alone
            _remove_temporaries(folder)

    # The folder goes before the lock: one that another writer has entered is not taken from it.
    for step in (mark.unlink, clear_up, folder.rmdir, partial(os.close, handle)):
        with suppress(OSError):
            step()


def _enter(folder: Path, kind: int) -> tuple[int, bool]:
    """Make and lock the folder; return the handle that holds the lock, and whether there is one."""
    for attempt in range(TRIES):
        with storage_errors(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            except (FileExistsError, FileNotFoundError):  # removed in between, by a writer that ended
                if attempt == TRIES - 1:
                    raise
                continue
        try:
            with storage_errors(folder):
                locked = _lock(handle, folder, kind)
                if _is_at(handle, folder):
                    return handle, locked
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the lock is on a folder that is no longer there
    raise StorageError(
        "is removed and made again all the time", file=folder, hint="see what else writes here"
    )


def _lock(handle: int, folder: Path, kind: int) -> bool:
    """Lock the folder; False where the file system has no locks.

    Raises:
        StorageError: another process holds it.
        OSError: the system refused.
    """
    writers: list[str] = []
    try:
        # A writer that begins or ends holds the lock for a moment without its mark, and a job that ends holds
        # the folder alone, to clear it up: another look says more.
        for attempt in range(TRIES):
            if _try_lock(handle, kind):
                return True
            writers = _writers(folder)
            if writers and kind == fcntl.LOCK_EX:
                break
            time.sleep(PAUSE_S * (attempt < TRIES - 1))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        # Some network file systems have no locks; two writers of the same work then still agree.
        log.warning("%s: cannot be locked (%s)", folder, error.strerror)
        return False
    reason = f"another process prepares data in this folder{_named(writers)}"
    raise StorageError(reason, file=folder, hint="wait for it to end, or choose another folder")


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, folder: Path) -> bool:
    """Tell whether the open folder is the one that bears this name now."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def _writers(folder: Path) -> list[str]:
    found = (WRITER.fullmatch(name) for name in sorted(os.listdir(folder)))  # noqa: PTH208  # names alone
    return [f"process {match[2]} on {match[1]}" for match in found if match]


def _named(writers: list[str]) -> str:
    return f": {', '.join(writers[:3])}{', ...' if len(writers) > 3 else ''}" if writers else ""


def _remove_temporaries(folder: Path) -> None:
    """Remove what killed runs left, by the names that `commit` and `own_folder` give."""
    for name in sorted(os.listdir(folder)):  # noqa: PTH208  # pathlib's glob passes over errors
        if TEMPORARY.fullmatch(name):
            (folder / name).unlink()
