"""Read a prepared set behind a URL: small files whole, samples as ranges, kept in a bounded local cache."""

import logging
import os
import re
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError
from depthmix.store.gate import REBUILD, Shard, check_root, check_shard
from depthmix.store.record import MAX_RECORD, PIECE, Hashed, parse_record
from depthmix.store.writer import ROOT

__all__ = ["RangeCache", "RemoteFolder", "below", "cache_folder", "is_url"]

log = logging.getLogger(__name__)

URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://.")  # one letter would be a drive
PAUSES_S: Final = (1.0, 4.0)  # before the second and the third try
ROOM: Final = 0.9  # of the limit is left after cleaning up
HEAD: Final = 4  # bytes of the checksum in front of each cached range


def is_url(root: str | Path) -> bool:
    """Tell whether a place is a URL, as in `s3://bucket/prepared`, and no path."""
    return isinstance(root, str) and URL.match(root) is not None


def below(root: str | Path, path: str) -> str | Path:
    """Return the place of `path`: itself where it is absolute or a URL, else below the root."""
    if is_url(path):
        return path
    return f"{str(root).rstrip('/')}/{path}" if is_url(root) else Path(root) / path


def cache_folder() -> Path:
    """Return where ranges are kept: `depthmix` in the user's cache folder (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "depthmix"


class RemoteFolder:
    """Read files of one folder through fsspec; instances can be pickled and survive a fork.

    Whatever a server says wrong is tried again twice before it is an error. Credentials and time limits are
    those of fsspec's own configuration.

    Args:
        url: of the folder, with any protocol that fsspec knows.
        cache: where ranges are kept; None fetches each of them anew.
    """

    def __init__(self, url: str, cache: "RangeCache | None" = None) -> None:
        self.url, self.cache = url.rstrip("/"), cache
        self._system: tuple[int, Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_system": None}

    def path(self, name: str) -> str:
        """Return the URL of a file, as messages name it."""
        return f"{self.url}/{name}".rstrip("/")

    def read(self, name: str, most: int = MAX_RECORD) -> bytes:
        """Fetch a whole file of at most so many bytes, a record above all.

        Raises:
            StorageError: it is missing or cannot be fetched.
            CorruptShard: it is larger.
        """
        data: bytes = self._tried(
            name, lambda system, root: system.cat_file(f"{root}/{name}", start=0, end=most + 1)
        )
        if len(data) > most:
            reason = f"has more than {most} bytes"
            raise CorruptShard(reason, file=self.path(name), field="size", hint=REBUILD)
        return data

    def root_record(self) -> dict[str, Any]:
        """Fetch and check the record of the set.

        Raises:
            StorageError: there is none, it cannot be fetched, or it is one of another version.
            CorruptShard: it is damaged or was made up.
        """
        return check_root(parse_record(self.read(ROOT), self.path(ROOT)), self.path(ROOT))

    def shard_record(self, entry: Mapping[str, Any]) -> Shard:
        """Fetch and check the record of a shard.

        Args:
            entry: what the record of the set states about it.

        Raises:
            StorageError: there is none, or it cannot be fetched.
            CorruptShard: it is damaged, was made up, or differs from the record of the set.
        """
        name = Path(entry["file"]).with_suffix(".json").name
        record = parse_record(self.read(name), self.path(name), proof=entry["proof"])
        return check_shard(record, entry, self.path(entry["file"]), self.path(name))

    def read_range(self, name: str, start: int, length: int, mark: str) -> bytes:
        """Fetch part of a file, or take it from the cache; shorter where the file ends before.

        Args:
            name: of the file.
            start: first byte.
            length: number of bytes.
            mark: of the file's content, so that what was kept of another content does not pass for it.

        Raises:
            StorageError: the file is missing, cannot be fetched, or the server knows no ranges.
        """
        key = self._key(name, start, length, mark)
        kept = self.cache.get(key) if self.cache else None
        if kept is not None:
            return kept
        data = self._range(name, start, length)
        if self.cache:
            self.cache.put(key, data)
        return data

    def _range(self, name: str, start: int, length: int) -> bytes:
        data: bytes = self._tried(
            name, lambda system, root: system.cat_file(f"{root}/{name}", start=start, end=start + length)
        )
        if len(data) > length:
            hint = "use a server that answers range requests, or copy the set to a disk"
            raise StorageError("the server sends more than was asked for", file=self.path(name), hint=hint)
        return data

    def hashed(self, entry: Mapping[str, Any]) -> Hashed:
        """Hash a shard piece by piece as the server sends it; nothing is kept.

        Args:
            entry: what the record of the set states about it.

        Raises:
            StorageError: it is missing, cannot be fetched, or is another one each time.
        """
        first = self._hashed(entry)
        if first == (wanted := Hashed(entry["size"], entry["sha256"])):
            return first
        second = self._hashed(entry)  # perhaps damaged on its way; what arrives again is what lies there
        if second not in (first, wanted):
            hint = "wait until nobody writes here, see to the connection, and verify again"
            raise StorageError(
                "has other bytes each time it is read", file=self.path(entry["file"]), hint=hint
            )
        return second

    def _hashed(self, entry: Mapping[str, Any]) -> Hashed:
        name, size = entry["file"], entry["size"]
        found, done = sha256(), 0
        try:
            for start in range(0, max(size, 1), PIECE):
                # The last piece asks for a byte too many, to see whether the file goes on: servers refuse a
                # request that begins behind the end.
                length = PIECE if start + PIECE < size else size + 1 - start
                data = self._range(name, start, length)
                found.update(data)
                done += len(data)
                if len(data) < length:
                    break
        except StorageError:
            # A file that was cut between two pieces: servers refuse what begins behind its end.
            stated = self._size(name)
            if stated is None or stated >= size:
                raise
            return Hashed(stated, "")
        if done > size:
            return Hashed(max(done, self._size(name) or 0), "")
        return Hashed(done, found.hexdigest())

    def _size(self, name: str) -> int | None:
        """Return the size that the server states, to explain what was found; None where it states none."""
        try:
            size = self._tried(name, lambda system, root: system.info(f"{root}/{name}")).get("size")
        except StorageError:
            return None
        return size if isinstance(size, int) else None

    def names(self) -> list[str]:
        """List what lies in the folder, sorted, folders with a slash behind their name.

        Raises:
            StorageError: it is missing, or the server lists nothing.
        """
        listed = self._tried("", lambda system, root: system.ls(root, detail=True))
        names = set()
        for item in listed:
            name = str(item["name"]).rstrip("/").rsplit("/", 1)[-1]
            names.add(f"{name}/" if item.get("type") == "directory" else name)
        return sorted(names - {"/", "./", "../"})

    def forget(self, name: str, start: int, length: int, mark: str) -> None:
        """Drop a range from the cache, so that it is fetched again."""
        if self.cache:
            self.cache.drop(self._key(name, start, length, mark))

    def _key(self, name: str, start: int, length: int, mark: str) -> str:
        return f"{self.path(name)}\n{mark}\n{start}\n{length}"

    def _tried(self, name: str, action: Callable[[Any, str], Any]) -> Any:
        for pause in (*PAUSES_S, None):
            try:
                return action(*self._opened())
            except FileNotFoundError as error:
                raise StorageError("no such file", file=self.path(name)) from error
            except StorageError:
                raise
            except Exception as error:  # every protocol has errors of its own
                if pause is None:
                    reason = f"cannot be fetched: {type(error).__name__}: {error}"
                    hint = "check the connection and the credentials"
                    raise StorageError(reason, file=self.path(name), hint=hint) from error
                log.warning("%s: %s; trying again in %g s", self.path(name), error, pause)
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _opened(self) -> tuple[Any, str]:
        """Open the file system once in each process: connections do not survive a fork."""
        if self._system is None or self._system[0] != os.getpid():
            import fsspec

            try:
                system, root = fsspec.core.url_to_fs(self.url, skip_instance_cache=True)
            except (ImportError, ValueError) as error:  # a protocol without its package, or an unknown one
                raise StorageError(str(error), file=self.url, hint="install the package it names") from error
            self._system = (os.getpid(), system, root.rstrip("/"))
        return self._system[1], self._system[2]


class RangeCache:
    """Keep fetched ranges in files, least lately used ones first to go; any number of processes may share it.

    A range that is damaged on the disk is fetched again; a cache that cannot be written is done without.

    Args:
        folder: of the cache, made when first needed.
        limit_bytes: size that it keeps to, up to what the processes write between two clean-ups: a twentieth
            of it each.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._written = 0
        self._broken = False

    def get(self, key: str) -> bytes | None:
        """Return the bytes that were put under a key, or None."""
        file = self._file(key)
        try:
            data = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        whole = len(data) >= HEAD and zlib.crc32(data[HEAD:]) == int.from_bytes(data[:HEAD], "little")
        return data[HEAD:] if whole else None

    def put(self, key: str, data: bytes) -> None:
        """Keep bytes under a key."""
        if self._broken or len(data) > self.limit_bytes // 20:
            return
        file = self._file(key)
        temporary = file.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(zlib.crc32(data).to_bytes(HEAD, "little") + data)
            temporary.replace(file)
        except OSError as error:
            self._broken = True
            log.warning("%s: nothing is kept here any more: %s", self.folder, error.strerror)
            with suppress(OSError):
                temporary.unlink()
            return
        self._written += len(data)
        if self._written > self.limit_bytes // 20:
            self._written = 0
            self.clean()

    def drop(self, key: str) -> None:
        """Forget what was put under a key."""
        with suppress(OSError):
            self._file(key).unlink()

    def clean(self) -> None:
        """Remove what was not used for longest until a tenth of the limit is free, if the limit is passed."""
        files = []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):  # another process removed it
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.limit_bytes:
            return
        for _, size, path in sorted(files):
            if total <= ROOM * self.limit_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size

    def _file(self, key: str) -> Path:
        name = sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / name[2:]
