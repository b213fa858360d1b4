"""Know what worker processes were reading when they die or hang, which they cannot say any more."""

import mmap
import weakref
from typing import Final

__all__ = ["Slate", "in_flight", "in_hand", "now_reading"]

ROOM: Final = 4096  # bytes a worker

_slates: "weakref.WeakSet[Slate]" = weakref.WeakSet()
_own: memoryview | None = None  # the part of this worker
_hand = ""


class Slate:
    """Share one line of text per worker with the process that forks them.

    Args:
        workers: number of worker processes.
    """

    def __init__(self, workers: int) -> None:
        self._memory, self.workers = mmap.mmap(-1, ROOM * workers), workers
        _slates.add(self)

    def adopt(self, worker: int) -> None:
        """Let `now_reading` write into the line of this worker from now on."""
        global _own
        _own = memoryview(self._memory)[worker * ROOM : (worker + 1) * ROOM]

    def names(self) -> list[str]:
        """Return what each worker reads that is not idle."""
        lines = [bytes(self._memory[k * ROOM : (k + 1) * ROOM]) for k in range(self.workers)]
        return [line.partition(b"\0")[0].decode("utf-8", "replace") for line in lines if line[0]]


def now_reading(name: str) -> None:
    """Note the sample at hand; an empty name when there is none."""
    global _hand
    _hand = name
    if _own is not None:
        text = name.encode()[: ROOM - 1] + b"\0"
        _own[: len(text)] = text


def in_hand() -> str:
    """Return what this very process noted last."""
    return _hand


def in_flight() -> str:
    """Name the samples that workers of this process are reading."""
    return ", ".join(name for slate in _slates for name in slate.names())
