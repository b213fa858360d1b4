"""Hand batches from worker processes to the trainer in shared memory that is used again and again.

Fresh shared memory costs more than decoding a sample: every page of it is cleared by the system first. Here
a worker writes into slots that the trainer has let go of. The memory has no name, so no file can be left
behind, and it needs no room in /dev/shm.
"""

import itertools
import math
import mmap
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from depthmix.batch import Batch, Memory

__all__ = ["Parcel", "Ring", "Slot"]

ALIGNED: Final = 64  # a cache line, and a multiple of the size of every number
FREE, TAKEN = 0, 1

_rings: dict[int, "Ring"] = {}
_keys = itertools.count()


class Ring:
    """Own the slots of all workers of one iterator; made before the workers are forked.

    Each worker has slots of its own, so a slot has one writer and one reader and needs no lock: the worker
    marks it as taken, and the trainer's process as free again when the last tensor in it is gone. A worker
    that is killed at any instant therefore stops nobody else.

    Args:
        workers: number of worker processes.
        slots: of each worker.
        size: bytes of a slot.

    Raises:
        OSError: the system has not that much memory.
    """

    def __init__(self, workers: int, slots: int, size: int) -> None:
        self.slots, self.size = slots, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.key, self.owner = next(_keys), os.getpid()
        self._memory = mmap.mmap(-1, mmap.PAGESIZE + workers * slots * self.size)
        self._states = np.frombuffer(self._memory, np.uint8, workers * slots)

    def serve(self, iterator: object) -> None:
        """Accept what workers send for as long as `iterator` lives."""
        _rings[self.key] = self
        weakref.finalize(iterator, _rings.pop, self.key, None)

    def claim(self, worker: int) -> "Slot | None":
        """Return a slot that nobody reads; None when the user holds all of this worker's batches."""
        own = range(worker * self.slots, (worker + 1) * self.slots)
        number = next((slot for slot in own if self._states[slot] == FREE), None)
        return None if number is None else Slot(self, number)

    def take(self, number: int) -> None:
        """Keep the slot's bytes until the trainer's process has let go of them."""
        self._states[number] = TAKEN

    def lend(self, number: int) -> Tensor:
        """Return the bytes of a slot; it is free again when no tensor shares them any more."""
        area = self.area(number)
        # The storage of a tensor keeps this very array alive, and all views of the tensor share the storage.
        weakref.finalize(area, _release, self._states, number, self.owner).atexit = False
        return torch.from_numpy(area)

    def area(self, number: int) -> np.ndarray:
        """Return the bytes of a slot as an array of its own."""
        return np.frombuffer(self._memory, np.uint8, self.size, mmap.PAGESIZE + number * self.size)


class Slot(Memory):
    """Lay the maps of one batch into a slot of the ring; lives in a worker.

    Args:
        ring: the ring.
        number: of a slot that is free.
    """

    def __init__(self, ring: Ring, number: int) -> None:
        self._ring, self._number = ring, number
        self._area, self._used = ring.area(number), 0
        self._places: dict[int, int | None] = {}  # address of an array, place in the slot; None: only zeros

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return room in the slot, and elsewhere when the slot is full."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        start = -(-self._used // ALIGNED) * ALIGNED
        if not size or start + size > len(self._area):
            return super().empty(shape, dtype)
        self._used = start + size
        array: np.ndarray = self._area[start : self._used].view(dtype).reshape(shape)
        self._places[array.ctypes.data] = start
        return array

    def zeros(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return zeros that need not be sent; nobody may write to them."""
        # One zero, seen from everywhere: memory that a worker has used before would have to be cleared.
        array: np.ndarray = np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (0,) * len(shape))
        self._places[array.ctypes.data] = None
        return array

    def seal(self, batch: Batch) -> "Parcel":
        """Return what to send to the trainer's process, where it arrives as a `Batch` again."""
        parts = {name: self._part(tensor) for name, tensor in batch.tensors().items()}
        self._ring.take(self._number)
        return Parcel(self._ring.key, self._number, parts, batch.names, batch.draws)

    def _part(self, tensor: Tensor) -> "Part":
        array = tensor.numpy()
        start = self._places.get(tensor.data_ptr())
        value = None if tensor.data_ptr() in self._places else array
        return Part(array.shape, tensor.stride(), array.dtype, start, value)


class Part(NamedTuple):
    """Say where one tensor of a batch lies: in the slot, in `value`, or nowhere as it holds only zeros."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, as torch counts them
    dtype: np.dtype
    start: int | None
    value: np.ndarray | None

    def read(self, area: Tensor) -> Tensor:
        """Return the tensor, without a copy of what lies in the slot."""
        if self.value is not None:
            return torch.from_numpy(self.value)
        size = math.prod(self.shape) * self.dtype.itemsize
        if self.start is None:
            # Pages of the system's own zero until they are written to; np.zeros clears memory that was used.
            zeros = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            return torch.from_numpy(np.frombuffer(zeros, self.dtype).reshape(self.shape))
        kind = torch.from_numpy(np.empty(0, self.dtype)).dtype
        return area[self.start : self.start + size].view(kind).as_strided(self.shape, self.strides)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Travel from a worker to the trainer's process, and become a `Batch` by being unpickled there.

    So a batch that arrives and is thrown away unseen frees its slot like any other.
    """

    key: int
    number: int
    parts: dict[str, Part]
    names: tuple[str, ...]
    draws: tuple[int, ...]

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[Any, ...]]:
        return _open, (self.key, self.number, self.parts, self.names, self.draws)


def _open(
    key: int, number: int, parts: dict[str, Part], names: tuple[str, ...], draws: tuple[int, ...]
) -> Batch:
    area = _rings[key].lend(number)
    return Batch(**{name: part.read(area) for name, part in parts.items()}, names=names, draws=draws)


def _release(states: np.ndarray, number: int, owner: int) -> None:
    # A process that was forked while a batch was held has a copy of it, whose end means nothing.
    if os.getpid() == owner:
        states[number] = FREE
