"""Remember which shards a verification has found sound, so that it goes on behind them after a kill."""

import json
import threading
from collections.abc import Mapping
from os import stat_result
from pathlib import Path
from typing import Any, Final, Self

from depthmix.errors import ConfigError
from depthmix.store.record import storage_errors
from depthmix.store.strict_json import parse

__all__ = ["Vouched"]

_HEAD: Final = b'{"depthmix verify": 1}\n'
_MAX_BYTES: Final = 256 << 20


class Vouched:
    """Keep one line a shard in a file outside of all sets; used as a context.

    A shard is vouched for as long as its size, its times, and what the record of the set states
    about it are those of then. What changes bytes without any of these, a decaying disk, is seen by hashing
    alone: the file serves one verification that was interrupted, and `finish` removes it.

    Args:
        file: where to remember.

    Raises:
        ConfigError: the file is something else.
        StorageError: it cannot be read or written.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._lock = threading.Lock()
        self._known = self._read()
        with storage_errors(self.file):
            self._out = self.file.open("ab")
            if self._out.tell() == 0:
                self._write(_HEAD)
            elif self._torn:
                self._write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.close()

    def knows(self, path: Path, entry: Mapping[str, Any]) -> bool:
        """Tell whether a shard was found sound and is still just what it was."""
        try:
            now = path.lstat()
        except OSError:
            return False
        return self._known.get(_name(path)) == _state(now, entry)

    def add(self, path: Path, entry: Mapping[str, Any], state: stat_result) -> None:
        """Remember a shard that was found sound in this state.

        Raises:
            StorageError: the file cannot be written.
        """
        line = json.dumps({"shard": _name(path), "state": _state(state, entry)}).encode() + b"\n"
        with self._lock, storage_errors(self.file):
            self._write(line)

    def finish(self) -> None:
        """Remove the file: the next verification looks at everything again.

        Raises:
            StorageError: it cannot be removed.
        """
        with storage_errors(self.file):
            self.file.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        self._out.write(line)
        # No fsync: what a power cut takes from this file is only hashed once more.
        self._out.flush()

    def _read(self) -> dict[str, list[Any]]:
        self._torn = False
        with storage_errors(self.file):
            if not self.file.exists():
                return {}
            data = self.file.read_bytes() if self.file.is_file() else b"?"
        if data and (len(data) > _MAX_BYTES or not data.startswith(_HEAD)):
            hint = "name a file that does not exist yet, or the one of the verification that was interrupted"
            raise ConfigError("is no progress of a verification", file=self.file, field="--resume", hint=hint)
        self._torn = bool(data) and not data.endswith(b"\n")
        known: dict[str, list[Any]] = {}
        for line in data.splitlines()[1:]:
            try:
                entry = parse(line)
                known[entry["shard"]] = entry["state"]
            except (KeyError, TypeError, ValueError):
                continue  # a kill cuts the last line; that shard is hashed again
        return known


def _name(path: Path) -> str:
    return str(path.absolute())


def _state(found: stat_result, entry: Mapping[str, Any]) -> list[Any]:
    times = [found.st_mtime_ns, found.st_ctime_ns]
    return [found.st_size, *times, entry["sha256"], entry["proof"]]
