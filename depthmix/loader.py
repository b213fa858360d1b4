"""Put batches together in worker processes, and go on exactly after an interruption."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from depthmix.augment import AugmentOptions, augment
from depthmix.batch import Batch, collate
from depthmix.errors import ConfigError, DepthmixError
from depthmix.mixture import MixtureSampler, Slot
from depthmix.sample import Sample
from depthmix.store import ShardSet

__all__ = ["MixDataset", "ResumableLoader", "SampleLoader", "WholeDataset", "must_be_same_order"]


class MixDataset(Dataset[Batch]):
    """Turn the slots of a batch into augmented samples, and those into a `Batch`, inside the worker.

    Args:
        sets: the prepared sources; their order gives the numbers in `Batch.source`.
        options: how samples are varied.
        seed: of all variation.
    """

    def __init__(self, sets: Mapping[str, ShardSet], options: AugmentOptions, seed: int) -> None:
        self.sets, self.options, self.seed = dict(sets), options, seed
        self.numbers = {name: number for number, name in enumerate(sets)}

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def __getitems__(self, slots: list[Slot]) -> Batch | DepthmixError:
        """Return the batch, or the error that `SampleLoader` raises in the user's process."""
        try:
            return collate(list(map(self.sample, slots)), [self.numbers[slot.source] for slot in slots])
        except DepthmixError as error:
            return error

    def sample(self, slot: Slot) -> Sample:
        """Read and vary one sample; the same slot always gives the same bytes."""
        stored = self.sets[slot.source][slot.index]
        return augment(stored, self.options, seed=self.seed, epoch=slot.epoch, index=slot.index)


class WholeDataset(Dataset[Batch]):
    """Give the samples of one prepared set as they are stored.

    Args:
        shards: the prepared set.
        number: what `Batch.source` holds.
        limit: take only so many samples, spread evenly over the set.
    """

    def __init__(self, shards: ShardSet, number: int, limit: int | None = None) -> None:
        count = len(shards)
        taken = count if limit is None else min(limit, count)
        self.shards, self.number = shards, number
        self.indices = [i * count // taken for i in range(taken)]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, rows: list[int]) -> Batch | DepthmixError:
        """Return the batch, or the error that `SampleLoader` raises in the user's process."""
        try:
            return collate([self.shards[self.indices[row]] for row in rows], [self.number] * len(rows))
        except DepthmixError as error:
            return error


class SampleLoader(DataLoader[Batch]):
    """Load batches that a dataset has already put together, with worker processes that behave.

    A worker's exception reaches the user as torch rebuilds it from a text, without file, sample and field.
    So datasets hand errors over like batches, and the loader raises them.

    Args:
        dataset: has `__getitems__` that returns a `Batch` or a `DepthmixError`.
        workers: processes that read; 0 reads in this one.
        keep: keep the workers from one pass over the data to the next.
        **options: of `torch.utils.data.DataLoader`.
    """

    def __init__(self, dataset: Dataset[Batch], *, workers: int, keep: bool = False, **options: Any) -> None:
        super().__init__(
            dataset,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_one_thread,
            persistent_workers=keep and workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Starting an iterator draws a number; taken from the global generator, it would change what a
            # resumed run draws next.
            generator=torch.Generator(),
            **options,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # nothing needs torch's private type
        for batch in super().__iter__():
            if isinstance(batch, DepthmixError):
                # Let the workers go now. Left to the garbage collector, together with the cycle of error
                # and frame, they would be waited for in vain for five seconds.
                self._iterator = None
                try:
                    raise batch
                finally:
                    del batch
            yield batch


class ResumableLoader(SampleLoader):
    """Go on with the very batch that follows a checkpoint, whatever the number of workers.

    Lightning saves and restores the state of any loader that has these two methods. What is counted are
    the batches that the trainer took, not those that workers read ahead.

    Args:
        dataset: as for `SampleLoader`.
        sampler: yields the slots of each batch.
        workers: as for `SampleLoader`.
        identity: what the order of samples depends on, as plain values.
    """

    def __init__(
        self, dataset: MixDataset, sampler: MixtureSampler, *, workers: int, identity: Mapping[str, object]
    ) -> None:
        super().__init__(dataset, workers=workers, keep=True, batch_sampler=sampler)
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

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the order, and what the order is made from."""
        epoch, taken = self._taken
        here = taken if epoch == self.mixture.epoch else 0
        return {"epoch": self.mixture.epoch, "taken": here, "identity": self.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches that were taken.

        Raises:
            ConfigError: the checkpoint belongs to another order of samples.
        """
        must_be_same_order(state.get("identity", {}), self.identity)
        self._resume = (state["epoch"], state["taken"])
        self.mixture.set_epoch(state["epoch"])


def must_be_same_order(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Compare what a checkpoint's order of samples was made from with what ours is.

    Raises:
        ConfigError: they differ; says where.
    """
    if differences := _differences(old, new):
        hint = "restore the configuration, or start anew from the weights alone"
        reason = f"the checkpoint was trained on another order of samples: {differences}"
        raise ConfigError(reason, field="data", hint=hint)


def _as_it_is(batch: Any) -> Any:
    return batch


def _one_thread(worker: int) -> None:
    import cv2

    # torch does this for itself. Threads of OpenCV do not survive the fork, and would fight over the cores.
    cv2.setNumThreads(0)


def _differences(old: object, new: object, at: str = "") -> str:
    """Say where two nested mappings of plain values differ, old before new."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        found = [_differences(old.get(key), new.get(key), f"{at}.{key}" if at else key) for key in keys]
        return ", ".join(filter(None, found))
    return "" if old == new else f"{at} was {old}, is {new}"
