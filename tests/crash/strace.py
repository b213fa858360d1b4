"""Run prepare under strace: list its file-system calls, kill it at one of them, or let one of them fail."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.store.helpers import tree

__all__ = ["CHANGING", "READING", "Call", "Runner", "check_left", "needs_strace"]

REPOSITORY = Path(__file__).parents[2]
# The names of all architectures; strace passes over those that this one lacks.
CHANGING = (
    *("creat", "open", "openat", "mkdir", "mkdirat", "write", "pwrite64", "writev", "fsync", "fdatasync"),
    *("truncate", "ftruncate", "fallocate", "rename", "renameat", "renameat2", "link", "linkat"),
    *("unlink", "unlinkat", "rmdir", "flock"),
)
READING = (
    *("read", "pread64", "readv", "getdents64", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs"),
    *("fstatfs", "close"),
)


def _strace_works() -> bool:
    """Tell whether strace is there and may trace; containers can forbid it."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(
    not _strace_works(),
    reason="strace is missing or may not trace: make strace installs it",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One file-system call of an undisturbed run.

    Args:
        name: of the system call.
        number: among the calls of this name, from 1.
        text: as strace shows it, with paths.
    """

    name: str
    number: int
    text: str

    @property
    def kind(self) -> str:
        """What is done to which kind of file: numbers of shards, samples and processes left out."""
        path = re.search(r'/[^">]*', re.sub(r"AT_FDCWD<[^>]*>", "", self.text))
        assert path is not None, self.text
        return f"{self.name} {re.sub(r'[0-9]+(-[0-9a-f]+)?', '', path[0])}"


@dataclass(slots=True)
class Runner:
    """Start commands in a server process and let strace act on them."""

    folder: Path
    server: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start the server; it answers when all imports are done."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "1000", "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-m", "tests.crash.server"]
        pipe = subprocess.PIPE
        server = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        runner = cls(folder, server)
        assert runner._answer() == "ready"
        return runner

    def stop(self) -> None:
        """End the server."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()

    def calls(self, names: tuple[str, ...], places: tuple[Path, ...], *arguments: str) -> list[Call]:
        """List the calls of an undisturbed run that name one of these places."""
        code, said = self.run(*arguments, names=names)
        assert code == 0, said
        found: list[Call] = []
        numbers, threads = Counter[tuple[str, str]](), set()
        for line in (self.folder / "trace").read_text(errors="replace").splitlines():
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                thread, name = match.groups()
                numbers[thread, name] += 1
                if any(str(place) in line for place in places):
                    threads.add(thread)
                    found.append(Call(name, numbers[thread, name], line[match.start(2) :]))
        # strace counts the calls of each thread, so a number would not say which call is meant.
        assert len(threads) == 1, threads
        return found

    def run(
        self,
        *arguments: str,
        inject: str | None = None,
        names: tuple[str, ...] = (),
        limit: int | None = None,
    ) -> tuple[int, str]:
        """Run one command.

        Args:
            arguments: of `depthmix`.
            inject: as strace takes it, such as `write:error=EIO:when=3`.
            names: of the calls that strace lists.
            limit: bytes that a file may have.

        Returns:
            The exit code, negative for a signal, and what was said.
        """
        log = self.folder / "log"
        self._say(json.dumps({"arguments": arguments, "log": str(log), "limit": limit}))
        pid = self._answer()
        traced = ",".join(f"?{name}" for name in names) if names else (inject or "").split(":")[0]
        options = ["-y", "-e", f"trace={traced}", *(["-e", f"inject={inject}"] if inject else [])]
        tracer = None
        if traced:
            command = ["strace", "-f", "-o", str(self.folder / "trace"), *options, "-p", pid]
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert tracer.stderr is not None
            first = tracer.stderr.readline()
            assert "attached" in first, first + tracer.stderr.read()
        self._say("go")
        code = int(self._answer())
        if tracer is not None:
            tracer.communicate(timeout=20)
        return code, log.read_text(errors="replace")

    def kill(self, seconds: float, *arguments: str, once: Callable[[], bool] = lambda: True) -> int:
        """Run one command and kill it some time after `once` is true.

        Returns:
            Its exit code, -9 where it was not yet done.
        """
        self._say(json.dumps({"arguments": arguments, "log": str(self.folder / "log"), "limit": None}))
        pid = int(self._answer())
        self._say("go")
        with suppress(ProcessLookupError):
            while not once():
                os.kill(pid, 0)  # it is still there
                time.sleep(0.002)
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        return int(self._answer())

    def _say(self, line: str) -> None:
        assert self.server.stdin is not None
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()

    def _answer(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline().strip()


def check_left(out: Path, whole: dict[str, bytes], *, killed: bool) -> set[str]:
    """Check what a broken run left: nothing under a final name that is not whole; return the final names."""
    left = tree(out) if out.exists() else {}
    final = {name for name in left if not name.endswith(".tmp")}
    for name in final:
        assert left[name] == whole[name], f"{name} is not what an undisturbed run writes"
    assert killed or final == set(left), f"temporary files: {sorted(set(left) - final)}"
    shards = {name for name in whole if name.endswith(".h5")}
    assert "index.json" not in final or shards <= final
    for name in final:
        claimed = Path(name).with_suffix(".h5").name
        assert claimed not in shards or claimed in final, f"{name} claims a shard that is not there"
    return final
