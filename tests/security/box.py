"""What attacks have in common: a folder to play in, a canary outside of it, sets that a stranger made."""

import io
import json
import os
import shutil
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from depthmix.cli.main import main
from depthmix.errors import DepthmixError
from depthmix.store.record import pack_record, proof_of

CANARY = b"CANARY-7f3a"
MIB = 1 << 20


@dataclass(frozen=True)
class Attack:
    """One attack: its name, what it does, and how much memory its subject may honestly take."""

    name: str
    run: Callable[["Box"], object]
    cap: int


@dataclass(frozen=True)
class Box:
    """Hold the folder of one attack, a file outside of it, and a sound set to start from."""

    root: Path
    canary: Path
    sound: Path

    def copy(self, name: str = "set") -> Path:
        return Path(shutil.copytree(self.sound, self.root / name))

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def sparse(self, name: str, size: int, head: bytes = b"") -> Path:
        path = self.write(name, head)
        with path.open("r+b") as file:
            file.truncate(size)
        return path


class Runs:
    """Run a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


TABLE: list[Attack] = []


def attack(run: Callable[[Box], object]) -> Callable[[Box], object]:
    """Add an attack to the table; what it does may take 256 MiB."""
    TABLE.append(Attack(run.__name__, run, 0))
    return run


def bomb(cap_mib: int) -> Callable[[Callable[[Box], object]], Callable[[Box], object]]:
    """Add an attack on a decoder whose own cap is so many MiB."""

    def add(run: Callable[[Box], object]) -> Callable[[Box], object]:
        TABLE.append(Attack(run.__name__, run, cap_mib))
        return run

    return add


def cli(*arguments: object) -> str:
    """Run a command as a user does, and return all it says: plain text, and a known code at the end."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main([str(argument) for argument in arguments])
    text = said.getvalue()
    assert code in (0, 1, 2), code
    hostile = sorted({char for char in text if not char.isprintable() and char != "\n"})
    assert not hostile, f"said {hostile} to the terminal"
    return text


def refused_for(run: Callable[[], object], reason: str) -> None:
    """Run what must be refused by us and for this reason, not by luck by a decoder behind us."""
    with pytest.raises(DepthmixError, match=reason):
        run()


def reseal(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the record of a set and prove it again, as whoever makes one up can."""
    body = _body(root / "index.json")
    change(body)
    (root / "index.json").write_bytes(pack_record(body, indent=1))
    return root


def reshard(root: Path, change: Callable[[dict[str, Any]], object], *, raw: bytes | None = None) -> Path:
    """Change the record of the first shard, and prove both records again.

    Args:
        root: the set.
        change: of the record of the shard.
        raw: the bytes of the record, in place of it.
    """
    path = root / "00000.json"
    body = _body(path)
    change(body)
    path.write_bytes(pack_record(body) if raw is None else raw)
    stated = {"proof": proof_of(path.read_bytes())}
    stated |= {name: body[name] for name in ("size", "sha256") if name in body}
    return reseal(root, lambda root_body: root_body["shards"][0].update(stated))


def refill(root: Path, field: int, data: bytes, *, size: tuple[int, int] | None = None) -> Path:
    """Give the first sample other bytes for one field, with all checksums right."""
    shard = root / "00000.h5"
    old = shard.read_bytes()
    new = old + data

    def change(body: dict[str, Any]) -> None:
        columns = body["samples"]
        columns["offsets"][0] = [len(old)] * 7
        columns["lengths"][0] = [len(data) if place == field else 0 for place in range(7)]
        columns["crc32"][0] = [zlib.crc32(data) if place == field else 0 for place in range(7)]
        columns["digests"][0] = sha256(data).hexdigest()
        if size is not None:
            columns["sizes"][0] = list(size)
        body["size"], body["sha256"] = len(new), sha256(new).hexdigest()

    shard.write_bytes(new)
    return reshard(root, change)


def _body(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text())
    del body["proof"]
    return body
