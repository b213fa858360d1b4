"""Cut a source into blocks of keys, one block a shard: the same in every process that shares the work."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from depthmix.errors import ConfigError
from depthmix.store.shard import MAX_SAMPLES, EncodedSample
from depthmix.store.writer import Skipped

__all__ = ["PROBES", "Block", "Share", "cut", "samples_per_shard"]

PROBES: Final = 8
UNKNOWN: Final = 64  # where the first samples are all bad


@dataclass(frozen=True, slots=True)
class Block:
    """Name the keys of one shard.

    Args:
        number: of the shard.
        keys: raw samples, those that turn out to be bad included.
    """

    number: int
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Share:
    """Say which part of the work is this process's: blocks `job`, `job` + `jobs`, `job` + 2 `jobs`, ...

    Args:
        job: number of this process, from 0.
        jobs: number of processes; 1 does everything here.

    Raises:
        ConfigError: no such share.
    """

    job: int = 0
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError(f"must be at least 1, got {self.jobs}", field="num_jobs")
        if not 0 <= self.job < self.jobs:
            hint = "arrays of jobs count from 0; with SLURM use --array=0-N"
            raise ConfigError(f"must be in 0 .. {self.jobs - 1}, got {self.job}", field="job_id", hint=hint)

    def of(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks of this share."""
        return list(blocks[self.job :: self.jobs])


def samples_per_shard(
    keys: Sequence[str],
    run: Callable[[Sequence[str]], Iterable[EncodedSample | Skipped]],
    shard_bytes: int,
) -> tuple[int, dict[str, EncodedSample | Skipped]]:
    """Decide how many samples a shard holds from the sizes of the first few.

    The number depends on the raw files and the options alone, so all processes that share the work come to
    the same, and shards can be made in any order.

    Args:
        keys: all samples of the source.
        run: encodes samples.
        shard_bytes: wanted size of a shard.

    Returns:
        The number, and the results of the samples that were looked at.
    """
    probed = dict(zip(keys[:PROBES], run(keys[:PROBES]), strict=True))
    sizes = [item.bytes for item in probed.values() if isinstance(item, EncodedSample)]
    wanted = math.ceil(shard_bytes * len(sizes) / sum(sizes)) if sizes else UNKNOWN
    return min(MAX_SAMPLES, wanted), probed


def cut(keys: Sequence[str], per_shard: int) -> list[Block]:
    """Cut the keys into blocks of `per_shard`; the last may be shorter."""
    starts = range(0, len(keys), per_shard)
    return [Block(number, keys[start : start + per_shard]) for number, start in enumerate(starts)]
