"""Take batches from worker processes, and go on exactly after an interruption."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch.utils.data import DataLoader

from depthmix.batch import Batch
from depthmix.datasets import MixDataset, WholeDataset
from depthmix.errors import ConfigError, DepthmixError
from depthmix.hand_over import HandOver
from depthmix.mixture import MixtureSampler
from depthmix.slate import in_flight
from depthmix.workers import holding_signals

__all__ = ["ResumableLoader", "SampleLoader", "must_be_same_order", "name_in_flight"]

BYTES_PER_PIXEL: Final = 17  # of all maps of a batch together
MARGIN: Final = 1024  # for the gaps between maps
LOOK: Final = 5.0  # seconds between two looks for dead workers
TIMEOUT: Final = 300.0  # seconds without a batch


class SampleLoader(DataLoader[Batch]):
    """Load batches with worker processes that hand over cheaply, fail clearly and stop when they should.

    Workers build batches in a `Ring` of memory that is used again when the last tensor of a batch is gone.
    A batch that is held stays as it is: a worker that finds all its slots held sends the next batch the
    ordinary way. The ring needs the start method "fork"; elsewhere all batches go the ordinary way.

    A worker's exception reaches the user as torch rebuilds it from a text, without file, sample and field.
    So workers hand errors over like batches, and the loader raises them. A worker that dies or hangs ends in
    an error that names the samples that were being read.

    Args:
        dataset: `MixDataset` or `WholeDataset`.
        workers: processes that read; 0 reads in this one.
        rows: rows of the largest batch.
        keep: keep the workers from one pass over the data to the next.
        timeout: seconds that a batch may take to come, until workers count as hanging.
        **options: of `torch.utils.data.DataLoader`.
    """

    def __init__(
        self,
        dataset: MixDataset | WholeDataset,
        *,
        workers: int,
        rows: int,
        keep: bool = False,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> None:
        self._hand_over, self.limit = HandOver(), timeout
        self._bytes = BYTES_PER_PIXEL * rows * dataset.pixels + MARGIN
        super().__init__(
            dataset,  # type: ignore[arg-type]  # gives rows, of which `collate_fn` makes batches
            num_workers=workers,
            collate_fn=self._hand_over,  # type: ignore[arg-type]
            worker_init_fn=self._hand_over.start,
            persistent_workers=keep and workers > 0,
            pin_memory=torch.cuda.is_available(),
            timeout=min(LOOK, timeout) if workers else 0,
            # Starting an iterator draws a number; taken from the global generator, it would change what a
            # resumed run draws next.
            generator=torch.Generator(),
            **options,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # nothing needs torch's private type
        iterator = self._start()
        while (batch := self._next(iterator)) is not None:
            if isinstance(batch, DepthmixError):
                # Let the workers go now. Left to the garbage collector, together with the cycle of error
                # and frame, they would be waited for in vain for five seconds.
                self._iterator = None
                try:
                    raise batch
                finally:
                    del batch, iterator
            yield batch
            # Or its slot would be held while the next one is waited for.
            del batch

    def _start(self) -> Iterator[Any]:
        """Start workers, with memory to hand over in, unless they run on from the last pass."""
        if not self.num_workers or (self.persistent_workers and self._iterator is not None):
            return super().__iter__()
        self._hand_over.prepare(self.num_workers, self.prefetch_factor or 0, self._bytes)
        with holding_signals():
            iterator = super().__iter__()
        self._hand_over.serve(iterator)
        return iterator

    def _next(self, iterator: Iterator[Any]) -> Batch | DepthmixError | None:
        deadline = time.monotonic() + self.limit
        while True:
            try:
                found: Batch | DepthmixError | None = next(iterator, None)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader "):
                    raise
                hangs = "timed out" in str(error)
                # torch looks for dead workers at each of its timeouts; its signal handler, which would be
                # faster, is gone after Lightning's first training in a process.
                if hangs and time.monotonic() < deadline:
                    continue
                self._iterator = None
                raise self._stopped(error, hangs) from error
            return found

    def _stopped(self, error: RuntimeError, hangs: bool) -> DepthmixError:
        """Say which samples workers were reading when one died, or none sent anything for too long."""
        reason, hint = str(error).strip().rstrip("."), "if the system ran out of memory, lower data.workers"
        if hangs:
            reason = f"no batch came within {self.limit:g} s while workers were reading"
            hint = "if the storage is that slow, raise data.timeout"
        return DepthmixError(reason, sample=in_flight() or None, hint=hint)


class ResumableLoader(SampleLoader):
    """Go on with the very batch that follows a checkpoint, whatever the number of workers.

    Lightning saves and restores the state of any loader that has these two methods. What is counted are
    the batches that the trainer took, not those that workers read ahead.

    Args:
        dataset: as for `SampleLoader`.
        sampler: yields the slots of each batch.
        workers: as for `SampleLoader`.
        identity: what the order of samples depends on, as plain values.
        timeout: as for `SampleLoader`.
    """

    def __init__(
        self,
        dataset: MixDataset,
        sampler: MixtureSampler,
        *,
        workers: int,
        identity: Mapping[str, object],
        timeout: float = TIMEOUT,
    ) -> None:
        options: dict[str, Any] = {"workers": workers, "keep": True, "timeout": timeout}
        rows = sampler.plan.batch_size // sampler.world
        super().__init__(dataset, batch_sampler=sampler, rows=rows, **options)
        self.mixture = sampler
        self.identity = dict(identity)
        self._taken = (0, 0)  # epoch, batches
        self._resume = (0, 0)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A generator: this line runs at the first batch, when Lightning has already set the epoch.
        epoch = self.mixture.epoch
        taken = self._resume[1] if self._resume[0] == epoch else 0
        self._resume = (0, 0)
        self.mixture.start = taken
        self._taken = (epoch, taken)
        for batch in super().__iter__():
            taken += 1
            self._taken = (epoch, taken)
            yield batch
            del batch

    @property
    def place(self) -> dict[str, int]:
        """The present epoch, and how many of its batches were taken."""
        epoch, taken = self._taken
        return {"epoch": self.mixture.epoch, "taken": taken if epoch == self.mixture.epoch else 0}

    def go_on(self, epoch: int = 0, taken: int = 0) -> None:
        """Leave out the batches of an epoch that were taken."""
        self._resume = (epoch, taken)
        self.mixture.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the order, and what the order is made from."""
        return {**self.place, "identity": self.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches that were taken.

        Raises:
            ConfigError: the checkpoint belongs to another order of samples.
        """
        must_be_same_order(state.get("identity", {}), self.identity)
        self.go_on(state["epoch"], state["taken"])


def must_be_same_order(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Compare what a checkpoint's order of samples was made from with what ours is.

    Raises:
        ConfigError: they differ; says where.
    """
    if differences := _differences(old, new):
        hint = "restore the configuration, or start anew from the weights alone"
        reason = f"the checkpoint was trained on another order of samples: {differences}"
        raise ConfigError(reason, field="data", hint=hint)


def name_in_flight(error: BaseException) -> None:
    """Add to torch's own error about a dead worker, which can come at any moment, what was being read."""
    if str(error).startswith("DataLoader worker") and (names := in_flight()):
        error.add_note(f"Samples that workers were reading: {names}")


def _differences(old: object, new: object, at: str = "") -> str:
    """Say where two nested mappings of plain values differ, old before new."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        found = [_differences(old.get(key), new.get(key), f"{at}.{key}" if at else key) for key in keys]
        return ", ".join(filter(None, found))
    return "" if old == new else f"{at} was {old}, is {new}"
