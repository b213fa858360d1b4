"""What the benchmarks that train small networks share."""

import time
from collections.abc import Iterator
from pathlib import Path

from depthmix.augment import resize
from depthmix.batch import Batch, collate
from depthmix.data import MixData
from depthmix.store import ShardSet
from depthmix.task import DepthTask


def train(task: DepthTask, data: MixData, folder: Path) -> float:
    """Train for one epoch on the CPU without logs or checkpoints, and return the CPU seconds that it took."""
    from lightning.pytorch import Trainer

    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )
    started = time.process_time()
    trainer.fit(task, datamodule=data)
    return time.process_time() - started


def batches(folder: Path, size: tuple[int, int], rows: int) -> Iterator[Batch]:
    """Give a prepared set at the size of training: at a larger one, networks would see a wider view."""
    shards = ShardSet(folder)
    samples = [resize(shards[index], *size) for index in range(len(shards))]
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        yield collate(part, [0] * len(part))
