"""The log of a training for TensorBoard, with a picture of each validation set; one line of configuration."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from depthmix.batch import Batch
from depthmix.errors import ConfigError
from depthmix.plot.panels import stack_panels, strip_panels
from depthmix.plot.rows import sample_of
from depthmix.prediction import Prediction

__all__ = ["PanelWriter", "TensorBoard"]


class TensorBoard(Logger):
    """Write scalars and pictures as TensorBoard reads them, beside the `metrics.csv` of the run.

        trainer: {logger: depthmix.tensorboard.TensorBoard}

    Args:
        folder: where to write; the folder `tensorboard` in the run folder by default.
        writer: what is called with the folder and has `add_scalar`, `add_image` and `flush`; torch's
            `SummaryWriter` by default, which needs the package tensorboard.

    Raises:
        ConfigError: at the first figure: the package is not installed.
    """

    def __init__(self, folder: str | None = None, writer: Callable[[str], Any] | None = None) -> None:
        super().__init__()
        self.folder = Path(folder) if folder else None
        self._make, self._made = writer or _summary_writer, None

    @property
    def name(self) -> str:
        """No name: the run folder holds one run."""
        return ""

    @property
    def version(self) -> str:
        """No version, for the same reason."""
        return ""

    @property
    def experiment(self) -> Any:
        """The writer, made when first asked for."""
        if self._made is None:
            self._made = self._make(str(self.folder or "tensorboard"))
        return self._made

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leave them to `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write each figure under its own name."""
        for name, value in metrics.items():
            self.experiment.add_scalar(name, value, step)

    @rank_zero_only
    def add_image(self, name: str, rgb: UInt8[np.ndarray, "h w 3"], step: int) -> None:
        """Write a picture."""
        self.experiment.add_image(name, rgb, step, dataformats="HWC")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Put everything on disk."""
        if self._made is not None:
            self._made.flush()


class PanelWriter(Callback):
    """Show image, label, prediction and signed error of the first sample of each validation set.

    Every logger of the trainer gets the picture that has a method `add_image(name, rgb, step)`.
    """

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first sample of a set."""
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero:
            return
        targets = [one for one in trainer.loggers if hasattr(one, "add_image")]
        if not targets:
            return
        row = batch.select(torch.zeros(1, dtype=torch.int64, device=batch.kind.device))
        prediction: Prediction = pl_module.predict_rows(row)
        depth = prediction.depth[0, 0].float().cpu().numpy()
        panels = strip_panels(sample_of(row, 0), depth, metric=bool(row.camera_known[0]))
        data: Any = getattr(trainer, "datamodule", None)
        for logger in targets:
            logger.add_image(
                f"val/{data.val_names[dataloader_idx]}", stack_panels(panels), trainer.global_step
            )


def _summary_writer(folder: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        hint = "pip install depthmix[tensorboard], or leave `trainer.logger` out: metrics.csv is always there"
        raise ConfigError("tensorboard is not installed", field="trainer.logger", hint=hint) from error
    return SummaryWriter(folder)
