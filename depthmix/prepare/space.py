"""Say before the first byte is written whether the disk is large enough."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from depthmix.errors import StorageError
from depthmix.prepare.blocks import Block
from depthmix.store.record import storage_errors
from depthmix.store.shard import EncodedSample
from depthmix.store.writer import Skipped

__all__ = ["check_space", "expected_bytes"]

# Beside the encoded fields, measured and rounded up: tables, digests and records.
PER_SAMPLE: Final = 600
PER_SHARD: Final = 6000


def expected_bytes(blocks: Sequence[Block], probed: Collection[EncodedSample | Skipped]) -> int:
    """Return how many bytes the shards and records of these blocks will take.

    Args:
        blocks: shards to be written.
        probed: the first few samples, encoded; the others are expected to be as large on average.

    Returns:
        0 where none of the first samples is good: then nothing can be said.

    Convention: where all samples are like the first ones, the true sum is at most the result, and at least
    85 % of it, more for shards of more than a few kilobytes.
    """
    sizes = [item.bytes for item in probed if isinstance(item, EncodedSample)]
    if not sizes:
        return 0
    count = sum(len(block.keys) for block in blocks)
    return round(count * (sum(sizes) / len(sizes) + PER_SAMPLE) + len(blocks) * PER_SHARD)


def check_space(out: Path, blocks: Sequence[Block], probed: Collection[EncodedSample | Skipped]) -> None:
    """Refuse a disk that is too small.

    Raises:
        StorageError: there is less free space than the first samples lead to expect.
    """
    needed = expected_bytes(blocks, probed)
    with storage_errors(out):
        free = shutil.disk_usage(out).free
    if needed > free:
        count = sum(len(block.keys) for block in blocks)
        reason = f"about {needed / 1e9:.1f} GB are needed for {count} samples, {free / 1e9:.1f} GB are free"
        raise StorageError(reason, file=out, hint="free some space, choose another folder, or a smaller size")
