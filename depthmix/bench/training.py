"""One training of the benchmark: a recipe and the settings in, a network and its learning curve out."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn

from depthmix.augment import resize
from depthmix.average import AverageWeights
from depthmix.batch import Batch, collate
from depthmix.bench.settings import Settings
from depthmix.configured import data_arguments, term_from
from depthmix.data import MixData
from depthmix.store import ShardSet
from depthmix.task import DepthTask

__all__ = ["batches", "fit", "make_data", "make_task", "train"]

Look = Callable[[nn.Module], dict[str, float]]


def fit(
    values: Mapping[str, Any],
    settings: Settings,
    seed: int,
    prepared: Path,
    folder: Path,
    look: Look | None = None,
) -> tuple[DepthTask, list[dict[str, float]], float]:
    """Train one network.

    Args:
        values: configuration of the recipe: terms, balance, sources, rates.
        settings: what all recipes have in common; goes before what the configuration says of it.
        seed: of initial weights, order and augmentation.
        prepared: folder of the prepared sets.
        folder: where steps that were skipped are listed.
        look: measures the network on validation scenes, a few times during the training.

    Returns:
        The trained task, its learning curve, and the CPU seconds that it took.
    """
    seed_everything(seed, verbose=False)
    task, data = make_task(values, settings), make_data(values, settings, seed, prepared)
    steps = {round(settings.steps * part / settings.looks) for part in range(1, settings.looks + 1)}
    curve = _Curve(steps, look) if look else None
    seconds = train(task, data, folder, [curve] if curve else [])
    return task, curve.points if curve else [], seconds


def make_task(values: Mapping[str, Any], settings: Settings) -> DepthTask:
    """Build network and objective of a recipe."""
    model = dict(values["model"])
    heads = model.get("heads") or []
    terms = {name: term_from(dict(options)) for name, options in model.pop("terms").items()}
    given = {"net": settings.network(len(heads)), "terms": terms, "focal_canonical": settings.focal}
    return DepthTask(**(model | given))


def make_data(values: Mapping[str, Any], settings: Settings, seed: int, prepared: Path) -> MixData:
    """Open the mix of a recipe at the size and for the steps of the benchmark."""
    data = dict(values["data"])
    data |= {"batch_size": settings.batch, "steps_per_epoch": settings.steps, "workers": 0, "seed": seed}
    data["augment"] = dict(data.get("augment") or {}) | {"height": settings.height, "width": settings.width}
    for option in ("val_sources", "test_sources", "shapes"):
        data.pop(option, None)
    return MixData(**data_arguments(data, str(prepared)))


def train(task: DepthTask, data: MixData, folder: Path, callbacks: list[Callback] | None = None) -> float:
    """Train for one epoch on the CPU without logs or checkpoints, and return the CPU seconds that it took.

    Where the task averages its weights, the network holds the average afterwards.
    """
    _quieten()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        deterministic=True,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )
    started = time.process_time()
    trainer.fit(task, datamodule=data)
    _average_of(trainer).on_validation_start(trainer, task)
    return time.process_time() - started


def batches(folder: Path, size: tuple[int, int], rows: int) -> Iterator[Batch]:
    """Give a prepared set at the size of training: at a larger one, networks would see a wider view."""
    shards = ShardSet(folder)
    samples = [resize(shards[index], *size) for index in range(len(shards))]
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        yield collate(part, [0] * len(part))


class _Curve(Callback):
    """Measure the network after given steps; draws of the training itself are left as they are."""

    def __init__(self, steps: set[int], look: Look) -> None:
        self.steps, self.look, self.points = steps, look, list[dict[str, float]]()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Look where a step is due."""
        if trainer.global_step in self.steps:
            average, net = _average_of(trainer), pl_module.net
            assert isinstance(net, nn.Module)
            average.on_validation_start(trainer, pl_module)
            pl_module.eval()
            with torch.no_grad():
                self.points.append({"step": trainer.global_step, **self.look(net)})
            pl_module.train()
            average.on_validation_end(trainer, pl_module)


def _average_of(trainer: Trainer) -> AverageWeights:
    """Find what averages the weights; the task always brings one, if only one that does nothing."""
    return next(one for one in trainer.callbacks if isinstance(one, AverageWeights))  # type: ignore[attr-defined]


def _quieten() -> None:
    """Leave the screen to the benchmark: Lightning reports devices and advises on workers."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
