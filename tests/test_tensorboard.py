"""TensorBoard is one line of configuration away, and shows depth as pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import ConfigError
from depthmix.tensorboard import PanelWriter, TensorBoard
from tests.test_task import task, trainer
from tests.toy_data import ToyData


class Writer:
    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.images, self.flushed = folder, [], [], False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def add_image(self, name: str, rgb: np.ndarray, step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.images.append((name, rgb, step))

    def flush(self) -> None:
        self.flushed = True


def test_figures_keep_their_names_and_steps():
    log = TensorBoard("folder", writer=Writer)
    log.log_metrics({"train/loss": 0.5, "epoch": 0.0}, step=7)
    assert log.experiment.scalars == [("train/loss", 0.5, 7), ("epoch", 0.0, 7)]
    assert log.experiment.folder == "folder"
    log.finalize("success")
    assert log.experiment.flushed


def test_without_the_package_the_first_figure_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"is not installed; pip install depthmix\[tensorboard\]"):
        TensorBoard().log_metrics({"train/loss": 1.0}, step=1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*")
def test_each_validation_set_is_shown_once_a_validation(tmp_path: Path):
    log, data = TensorBoard(str(tmp_path), writer=Writer), ToyData(steps=2)
    fit = trainer(tmp_path, max_epochs=2, log_every_n_steps=1, logger=log, callbacks=[PanelWriter()])
    fit.fit(task(), datamodule=data)
    assert [(name, step) for name, _, step in log.experiment.images] == [
        (f"val/{name}", step) for step in (2, 4) for name in data.val_names
    ]
    rgb = log.experiment.images[0][1]
    assert rgb.dtype == np.uint8
    assert rgb.shape == (32, 4 * 40 + 6, 3)
    assert "train/sources/ssi/web" in {name for name, _, _ in log.experiment.scalars}
