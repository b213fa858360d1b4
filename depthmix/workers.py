"""What every worker process of depthmix does first: one core, no Ctrl-C, no life without its parent."""

import multiprocessing
import os
import signal
import threading

__all__ = ["start_worker"]


def start_worker() -> None:
    """Set up a spawned worker process; give it to a process pool as its initialiser."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle, once
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the parent was killed; a pool worker would otherwise work on, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
