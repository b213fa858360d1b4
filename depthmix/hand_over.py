"""Decide how batches come from the workers to the trainer: in reused memory where that works."""

import logging
import multiprocessing
from typing import Final

from torch.utils.data import get_worker_info

from depthmix.batch import OWN, Batch, collate
from depthmix.datasets import Picked
from depthmix.errors import DepthmixError
from depthmix.ring import Parcel, Ring
from depthmix.slate import Slate
from depthmix.workers import keep_memory, outlive_signals

__all__ = ["HandOver"]

log = logging.getLogger(__name__)

SPARE_SLOTS: Final = 3  # of each worker, besides those it reads ahead: what a trainer holds on to


class HandOver:
    """Make samples a batch, in the memory of the ring where there is one; runs where samples are read."""

    def __init__(self) -> None:
        self._ring: Ring | None = None
        self._slate: Slate | None = None

    def prepare(self, workers: int, ahead: int, size: int) -> None:
        """Make what the workers that are started next share with this process."""
        self._ring = self._slate = None
        method = _start_method()
        if method != "fork":
            log.warning("workers started by %s hand batches over at several times the cost of fork", method)
            return
        self._slate = Slate(workers)
        try:
            self._ring = Ring(workers, ahead + SPARE_SLOTS, size)
        except OSError as error:
            log.warning("no memory to hand batches over in (%s): they are copied instead", error.strerror)

    def serve(self, iterator: object) -> None:
        """Accept what the workers of `iterator` send."""
        if self._ring is not None:
            self._ring.serve(iterator)

    def start(self, worker: int) -> None:
        """Set up a worker."""
        import cv2

        # torch does this for itself. Threads of OpenCV do not survive the fork, and would fight over cores.
        cv2.setNumThreads(0)
        keep_memory()
        if self._slate is not None:
            self._slate.adopt(worker)
        outlive_signals()

    def __call__(self, picked: Picked | DepthmixError) -> Batch | Parcel | DepthmixError:
        """Return what is sent; an error goes the way of a batch."""
        if isinstance(picked, DepthmixError):
            return picked
        worker = get_worker_info()
        slot = self._ring.claim(worker.id) if self._ring is not None and worker is not None else None
        try:
            batch = collate(*picked, slot or OWN)
        except DepthmixError as error:
            return error
        return batch if slot is None else slot.seal(batch)


def _start_method() -> str:
    return multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
