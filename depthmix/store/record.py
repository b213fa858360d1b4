"""Put files in place so that a kill, a power cut or a full disk leaves the old or the new, never a part."""

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError
from depthmix.store.strict_json import parse

__all__ = [
    "MACHINE",
    "MAX_RECORD",
    "TEMPORARY",
    "Hashed",
    "commit",
    "is_record",
    "open_plain",
    "pack_record",
    "parse_record",
    "proof_of",
    "read_plain",
    "read_record",
    "refusal",
    "sha256_of",
    "storage_errors",
]

HEAD: Final = b'{"proof": "'
TAIL: Final = b'",\n'
DIGITS: Final = 64
TEMPORARY: Final = re.compile(r"\..+\.\d+-[0-9a-f]+\.tmp")  # as `commit` names them
PIECE: Final = 8 << 20
BACK: Final = 256 << 10  # read at once to compare: stays in the processor's cache
MAX_RECORD: Final = 128 << 20  # bytes; a shard of 65536 samples has a record of 30 million
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


@dataclass(frozen=True, slots=True)
class Hashed:
    """Tell what a file was found to be.

    Args:
        size: in bytes.
        sha256: of all of them.
        state: as the file system saw the file; None behind a URL.
    """

    size: int
    sha256: str
    state: os.stat_result | None = None


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
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(HEAD)) == HEAD


def open_plain(path: Path) -> int:
    """Open a file of a set for reading and return its descriptor.

    Raises:
        StorageError: it is missing, a link, something else than a plain file, or cannot be opened.
    """
    try:
        # O_NOFOLLOW: a stranger's link would let a set read any file of this machine. O_NONBLOCK: opening a
        # pipe that bears the name of a shard would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and path.is_symlink():
            hint = "put a copy in its place, or link the whole folder, if you trust where it leads"
            raise StorageError("is a link, and sets hold plain files only", file=path, hint=hint) from error
        if error.errno == errno.ENXIO:
            raise StorageError("is no plain file", file=path, hint=REDO) from error
        raise refusal(error, path) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StorageError("is no plain file", file=path, hint=REDO)
    return handle


def read_plain(path: Path, *, most: int = MAX_RECORD) -> bytes:
    """Read a whole file of a set.

    Raises:
        StorageError: it is missing, a link, something else than a plain file, or cannot be read.
        CorruptShard: it has more than `most` bytes.
    """
    with open(open_plain(path), "rb") as file, storage_errors(path):
        size = os.fstat(file.fileno()).st_size
        data = file.read(most + 1) if size <= most else b""
    if max(size, len(data)) > most:
        raise CorruptShard(f"has {size} bytes, more than {most}", file=path, field="size", hint=REDO)
    return data


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file of a set, read in pieces.

    Raises:
        StorageError: it is missing, a link, something else than a plain file, or cannot be read.
    """
    with open(open_plain(path), "rb") as file, storage_errors(path):
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(path: Path, *, proof: str | None = None) -> dict[str, Any]:
    """Read a record and check its proof.

    Args:
        path: the record file.
        proof: the proof that another record expects of this one.

    Raises:
        CorruptShard: the bytes differ from their proof, or the proof from the expected one; or they are no
            JSON that has one meaning and a bounded size.
        StorageError: the file is missing, no plain file, or cannot be read.
    """
    return parse_record(read_plain(path), path, proof=proof)


def parse_record(data: bytes, path: str | Path, *, proof: str | None = None) -> dict[str, Any]:
    """Check the proof of a record's bytes, which lie at `path`, and return its content.

    Raises:
        CorruptShard: as `read_record`.
    """
    start = len(HEAD) + DIGITS + len(TAIL)
    found = hashlib.sha256(data[start:]).hexdigest()
    if data[:start] != HEAD + found.encode() + TAIL:
        raise CorruptShard("the record does not match its own proof", file=path, field="proof", hint=REDO)
    if proof is not None and found != proof:
        raise CorruptShard(
            f"expected proof {proof[:12]}, got {found[:12]}", file=path, field="proof", hint=REDO
        )
    try:
        body: dict[str, Any] = parse(b"{" + data[start:])
    except ValueError as error:
        raise CorruptShard(f"not JSON of a record: {error}", file=path, hint=REDO) from error
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
    view = memoryview(data)
    with path.open("rb") as file:
        # One piece more than there should be, to see that there is none.
        for place in range(0, len(view) + 1, BACK):
            # As bytes: views are compared number by number.
            if file.read(BACK) != bytes(view[place : place + BACK]):
                raise OSError(errno.EIO, "the file system gave back other bytes than were written")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
