"""What every worker process of depthmix does first: one core, no Ctrl-C, no life without its parent."""

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["holding_signals", "keep_memory", "outlive_signals", "start_worker"]

M_TRIM_THRESHOLD: Final = -1  # as malloc.h has it
M_MMAP_THRESHOLD: Final = -3
LARGEST_BLOCK: Final = 32 << 20  # the most that glibc accepts


def start_worker() -> None:
    """Set up a spawned worker process; give it to a process pool as its initialiser."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle, once
    threading.Thread(target=_end_with_parent, daemon=True).start()


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for the next sample, instead of giving it back.

    Taken anew for every sample, each page is cleared by the system first: a tenth of a worker's time.
    """
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):  # of glibc
        allocator.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        allocator.mallopt(M_TRIM_THRESHOLD, 8 * LARGEST_BLOCK)


@contextmanager
def holding_signals() -> Iterator[None]:
    """Start workers in here: what a cluster sends meanwhile waits until they have set themselves up.

    A worker begins as a copy of the parent, and would end, or handle the signal as the parent does.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outlive_signals() -> None:
    """Let only the parent end this worker process of a training.

    A cluster signals all processes of a job, and the parent needs its workers until it has saved.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_word_of, args=(os.getppid(),), daemon=True).start()


def _end_at_word_of(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _end_with_parent() -> None:
    """Leave when the parent was killed; a pool worker would otherwise work on, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
