"""Read the files of a set in a local folder for verification, as `RemoteFolder` does behind a URL."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthmix.errors import StorageError
from depthmix.store.gate import Shard, read_root, read_shard
from depthmix.store.record import Hashed, open_plain, read_plain, storage_errors
from depthmix.store.writer import ROOT

__all__ = ["LocalFolder", "find_sets"]


def find_sets(root: Path) -> list[Path]:
    """List the prepared sets at a path: the folder itself, and folders in it; perhaps none.

    Raises:
        StorageError: a folder cannot be looked into; it is not passed over.
    """
    with storage_errors(root):
        inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [folder for folder in [root, *inside] if _has_record(folder)]


def _has_record(folder: Path) -> bool:
    with storage_errors(folder):
        try:
            os.stat(folder / ROOT)  # noqa: PTH116  (Path.exists takes any error for an answer, from 3.14 on)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


class LocalFolder:
    """Read plain files of one folder, each opened anew.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return where a file lies, as messages name it."""
        return self.root / name

    def root_record(self) -> dict[str, Any]:
        """Read and check the record of the set.

        Raises:
            StorageError: there is none, or one of another version.
            CorruptShard: it is damaged or was made up.
        """
        return read_root(self.root)

    def shard_record(self, entry: Mapping[str, Any]) -> Shard:
        """Read and check the record of a shard.

        Args:
            entry: what the record of the set states about it.

        Raises:
            StorageError: there is none, or it cannot be read.
            CorruptShard: it is damaged, was made up, or differs from the record of the set.
        """
        return read_shard(self.root, entry)

    def read(self, name: str, most: int) -> bytes:
        """Read a whole file of at most so many bytes.

        Raises:
            StorageError: it is missing, no plain file, or cannot be read.
            CorruptShard: it is larger.
        """
        return read_plain(self.path(name), most=most)

    def read_range(self, name: str, start: int, length: int, mark: str) -> bytes:
        """Read part of a file; shorter where the file ends before.

        Args:
            name: of the file.
            start: first byte.
            length: number of bytes.
            mark: of the file's content; nothing is kept here that it could tell apart.

        Raises:
            StorageError: the file is missing, no plain file, or cannot be read.
        """
        path = self.path(name)
        with open(open_plain(path), "rb") as file, storage_errors(path):  # noqa: PTH123  (a descriptor)
            return os.pread(file.fileno(), length, start)

    def hashed(self, entry: Mapping[str, Any]) -> Hashed:
        """Hash a shard that nobody changes meanwhile.

        Args:
            entry: what the record of the set states about it.

        Raises:
            StorageError: it is missing, no plain file, cannot be read, or was changed.
        """
        path = self.path(entry["file"])
        with open(open_plain(path), "rb") as file, storage_errors(path):  # noqa: PTH123  (a descriptor)
            before = os.fstat(file.fileno())
            found = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            hint = "wait until nobody writes here, and verify again"
            raise StorageError("was changed while it was read", file=path, hint=hint)
        return Hashed(before.st_size, found, before)

    def names(self) -> list[str]:
        """List what lies in the folder, sorted.

        Raises:
            StorageError: it cannot be listed.
        """
        with storage_errors(self.root):
            return sorted(path.name for path in self.root.iterdir())
