"""Say in one short text which raw bytes a prepared set was made from."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from depthmix.store.record import MACHINE, refusal

__all__ = ["combine", "fingerprint_files", "relative_name"]


def combine(fingerprints: Sequence[str]) -> str:
    """Return one fingerprint over many, in their order."""
    # Names that are not valid UTF-8 arrive with surrogates, which stand for their bytes.
    return hashlib.sha256("\n".join(fingerprints).encode("utf-8", "surrogateescape")).hexdigest()


def fingerprint_files(root: Path, files: Sequence[Sequence[Path]], *, threads: int = 0) -> list[str]:
    """Return one fingerprint per sample over the names and contents of its raw files.

    Args:
        root: folder of the raw data; names are taken relative to it, so that it may move.
        files: the raw files of each sample. A file that several samples share is read once.
        threads: how many files are read at once; below 2 it is this thread alone.

    Raises:
        StorageError: the machine could not read a file, which says nothing about the file.
    """
    paths = list(dict.fromkeys(path for group in files for path in group))
    if threads < 2:
        digests = {path: _digest(path) for path in paths}
    else:
        with ThreadPoolExecutor(threads) as pool:
            digests = dict(zip(paths, pool.map(_digest, paths), strict=True))
    return [combine([f"{relative_name(root, path)} {digests[path]}" for path in group]) for group in files]


def relative_name(root: Path, path: Path) -> str:
    """Name a raw file relative to the root of its data set, with forward slashes."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _digest(path: Path) -> str:
    try:
        if not path.is_file():
            return "unreadable: no plain file"  # a pipe or a device has no end
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        if error.errno in MACHINE:
            raise refusal(error, path) from error
        # Reading the sample will fail with the full reason; here it only has to differ from any content.
        return f"unreadable: {error.strerror}"
