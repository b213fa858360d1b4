"""Put files in place so that a kill, a power cut or a full disk leaves the old or the new, never a part."""

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError

__all__ = [
    "MACHINE",
    "TEMPORARY",
    "commit",
    "is_record",
    "pack_record",
    "proof_of",
    "read_plain",
    "read_record",
    "refusal",
    "storage_errors",
]

HEAD: Final = b'{"proof": "'
TAIL: Final = b'",\n'
DIGITS: Final = 64
TEMPORARY: Final = re.compile(r"\..+\.\d+-[0-9a-f]+\.tmp")  # as `commit` names them
PIECE: Final = 8 << 20
REDO: Final = "remove it and run prepare again, which rebuilds only what is missing"
HINTS: Final = {
    errno.ENOSPC: "free some space and run the same command again; finished shards are kept",
    errno.EDQUOT: "your quota is full; free some space and run the same command again",
    errno.EACCES: "check who owns the folder, or choose another one",
    errno.EROFS: "the file system is mounted read-only; choose another folder",
    errno.EIO: "look at the disk or the network, then run the same command again; finished shards are kept",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer workers",
    errno.ENFILE: "wait until other programs have closed their files, and run the same command again",
}
HINT: Final = "check the path and the file system, and run the same command again"
# What says something about the machine and nothing about a file: the next try may go well.
MACHINE: Final = frozenset(
    (
        *HINTS,
        *(errno.EPERM, errno.ENOMEM, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT),
        *(errno.EREMOTEIO, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    )
)


def commit(path: Path, data: bytes | memoryview) -> None:
    """Write `data` under `path` for good: all of it or nothing, on the disk when this returns.

    Temporary file beside the target, fsync, read back, rename, fsync of the folder.

    Raises:
        StorageError: the file system refused, or gave back other bytes than were written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with storage_errors(path):
            _write_synced(temporary, data)
            _read_back(temporary, data)
            os.replace(temporary, path)  # noqa: PTH105  # the module is os calls throughout, to be injectable
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def pack_record(body: dict[str, Any], *, indent: int | None = None) -> bytes:
    """Write a record as JSON whose first line proves the rest: its sha256 over all following bytes."""
    rest = json.dumps(body, indent=indent, ensure_ascii=True, allow_nan=False).encode()[1:].lstrip() + b"\n"
    return HEAD + hashlib.sha256(rest).hexdigest().encode() + TAIL + rest


def proof_of(record: bytes) -> str:
    """Return the proof that a packed record carries."""
    return record[len(HEAD) : len(HEAD) + DIGITS].decode("ascii", "replace")


def is_record(path: Path) -> bool:
    """Tell whether a file begins as records do, sound or damaged.

    Raises:
        StorageError: the file cannot be read.
    """
    with storage_errors(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(HEAD)) == HEAD


def read_plain(path: Path) -> bytes:
    """Read a whole plain file; a pipe or a device has no end.

    Raises:
        StorageError: it is missing, something else than a plain file, or cannot be read.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "is no plain file")
        return path.read_bytes()


def read_record(path: Path, *, proof: str | None = None) -> dict[str, Any]:
    """Read a record and check its proof.

    Args:
        path: the record file.
        proof: the proof that another record expects of this one.

    Raises:
        CorruptShard: the bytes differ from their proof, or the proof from the expected one.
        StorageError: the file is missing or cannot be read.
    """
    data = read_plain(path)
    start = len(HEAD) + DIGITS + len(TAIL)
    found = hashlib.sha256(data[start:]).hexdigest()
    if data[:start] != HEAD + found.encode() + TAIL:
        raise CorruptShard("the record does not match its own proof", file=path, field="proof", hint=REDO)
    if proof is not None and found != proof:
        raise CorruptShard(
            f"expected proof {proof[:12]}, got {found[:12]}", file=path, field="proof", hint=REDO
        )
    try:
        body: dict[str, Any] = json.loads(b"{" + data[start:])
    except (ValueError, RecursionError) as error:
        raise CorruptShard(f"not JSON: {error}", file=path, hint=REDO) from error
    return body


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn any OSError inside into one StorageError that names `path` and the next step."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path) from error


def refusal(error: OSError, file: Path, *, sample: str | None = None) -> StorageError:
    """Return the one error that says what the system refused, where, and what to do next."""
    reason, hint = error.strerror or str(error), HINTS.get(error.errno or 0, HINT)
    return StorageError(reason, file=file, sample=sample, hint=hint)


def _write_synced(path: Path, data: bytes | memoryview) -> None:
    # O_EXCL: never follow or reuse a file that someone else placed under this name.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view[:PIECE]) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_back(path: Path, data: bytes | memoryview) -> None:
    if path.read_bytes() != data:
        raise OSError(errno.EIO, "the file system gave back other bytes than were written")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
