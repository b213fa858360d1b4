"""Read the rows of a batch inside a worker; what is wrong with them is handed over like rows."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from depthmix.augment import AugmentOptions, augment
from depthmix.errors import DepthmixError
from depthmix.mixture import Slot
from depthmix.sample import Sample
from depthmix.slate import in_hand, now_reading
from depthmix.store import ShardSet

__all__ = ["MixDataset", "Picked", "WholeDataset"]

# the rows of a batch, the number of each one's source, and what each one is varied by on the device
Picked = tuple[list[Sample], list[int], list[int]]


class MixDataset(Dataset[Picked]):
    """Turn the slots of a batch into augmented samples, inside the worker.

    Args:
        sets: the prepared sources; their order gives the numbers in `Batch.source`.
        options: how samples are varied, for each shape of the plan.
        seed: of all variation.
    """

    def __init__(self, sets: Mapping[str, ShardSet], options: Sequence[AugmentOptions], seed: int) -> None:
        self.sets, self.options, self.seed = dict(sets), list(options), seed
        self.numbers = {name: number for number, name in enumerate(sets)}

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def __getitems__(self, slots: list[Slot]) -> Picked | DepthmixError:
        """Return the rows of a batch, or the error that `SampleLoader` raises in the user's process."""
        numbers = [self.numbers[slot.source] for slot in slots]
        return _pick(self.sample, slots, numbers, list(map(self.draw, slots)))

    def draw(self, slot: Slot) -> int:
        """Return the number that decides how a sample is varied on the device."""
        return zlib.crc32(f"{self.seed} {slot.source} {slot.epoch} {slot.index}".encode())

    @property
    def pixels(self) -> int:
        """Pixels of the largest row."""
        return max(options.height * options.width for options in self.options)

    def sample(self, slot: Slot) -> Sample:
        """Read and vary one sample; the same slot always gives the same bytes."""
        now_reading(self.sets[slot.source].name_of(slot.index))
        stored = self.sets[slot.source].stored(slot.index)
        options = self.options[slot.shape]
        return augment(stored, options, seed=self.seed, epoch=slot.epoch, index=slot.index)


class WholeDataset(Dataset[Picked]):
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

    def __getitems__(self, rows: list[int]) -> Picked | DepthmixError:
        """Return the rows of a batch, or the error that `SampleLoader` raises in the user's process."""
        return _pick(self.sample, [self.indices[row] for row in rows], [self.number] * len(rows), [])

    @property
    def pixels(self) -> int:
        """Pixels of the largest row."""
        return self.shards.largest

    def sample(self, index: int) -> Sample:
        """Read one sample."""
        now_reading(self.shards.name_of(index))
        return self.shards[index]


def _pick(
    read: Callable[[Any], Sample], places: Sequence[Any], numbers: list[int], draws: list[int]
) -> Picked | DepthmixError:
    try:
        samples = [read(place) for place in places]
    except DepthmixError as error:
        return error
    except BaseException as error:
        # A StopIteration would end the epoch in silence, a panic or an exit of a decoder the worker.
        if isinstance(error, KeyboardInterrupt) or (
            isinstance(error, Exception) and not isinstance(error, StopIteration)
        ):
            raise
        return DepthmixError(
            f"reading stopped with {type(error).__name__}: {error}", sample=in_hand() or None
        )
    now_reading("")
    return samples, numbers, draws
