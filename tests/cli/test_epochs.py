"""While it trains, `fit` shows few numbers, and what each source did in each epoch."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import RichProgressBar

from depthmix.cli.epochs import FewNumbers, epoch_table
from depthmix.run_log import RunLog

FIGURES = {
    "train/sources/ssi/web": 0.5,
    "train/sources/ssi/kitti": 0.25,
    "train/sources/metric/kitti": 1234.0,
    "train/terms/ssi": 0.4,
    "val/rooms/abs_rel": 0.5,
    "val/rooms/abs_rel_aligned": 0.125,
    "val/rooms/rmse": 7.0,
}


def test_the_table_has_a_line_for_each_source_and_a_dash_where_a_loss_does_not_see_it():
    assert epoch_table(FIGURES, 1, 8).splitlines() == [
        "epoch 2 of 8    ssi    metric",
        "  web         0.500         -",
        "  kitti       0.250  1.23e+03",
        "validation   abs_rel  abs_rel_aligned  delta1",
        "  rooms        0.500            0.125       -",
    ]
    assert epoch_table(FIGURES, 1, -1).startswith("epoch 2 ")
    assert epoch_table({"train/loss": 1.0}, 0) == ""


def test_the_log_averages_the_rows_of_an_epoch(tmp_path):
    log = RunLog(tmp_path)
    assert log.means(0) == {}
    for step, epoch, loss in ((1, 0, 4.0), (2, 1, 1.0), (3, 1, 2.0)):
        log.log_metrics({"epoch": float(epoch), "train/loss": loss}, step=step)
    log.log_metrics({"epoch": 1.0, "val/rooms/abs_rel": 0.5}, step=3)
    assert log.means(1) == {"train/loss": 1.5, "val/rooms/abs_rel": 0.5}
    assert log.means(0) == {}


def test_the_log_of_a_training_that_goes_on_averages_what_it_kept_of_the_epoch_too(tmp_path):
    log = RunLog(tmp_path)
    for step, epoch, loss in ((1, 0, 9.0), (2, 1, 1.0), (3, 1, 100.0)):
        log.log_metrics({"epoch": float(epoch), "train/loss": loss}, step=step)
    resumed = RunLog(tmp_path, resume=2)
    assert resumed.means(1) == {"train/loss": 1.0}
    resumed.log_metrics({"epoch": 1.0, "train/loss": 2.0}, step=3)
    assert resumed.means(1) == {"train/loss": 1.5}


@pytest.mark.parametrize(("columns", "width"), [(80, 6), (60, 5), (200, 40)])
def test_the_bar_leaves_room_for_the_numbers_and_counts_epochs_as_the_table_does(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = FewNumbers()
    bar._trainer = SimpleNamespace(max_epochs=8)
    assert [one.bar_width for one in bar.configure_columns(bar.trainer) if hasattr(one, "bar_width")] == [
        width
    ]
    assert bar._get_train_description(1) == "epoch 2 of 8"


def test_at_most_three_numbers_stand_beside_the_bar(monkeypatch):
    found = {"v_num": "", "train/loss": 0.5, **{f"val/{i}": 1.0 for i in range(20)}}
    monkeypatch.setattr(RichProgressBar, "get_metrics", lambda *_: found)
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.001}])
    trainer = SimpleNamespace(training=True, optimizers=[optimizer])
    task = SimpleNamespace(guard=SimpleNamespace(skipped=0))
    shown = FewNumbers().get_metrics(trainer, task)
    assert shown == {"loss": 0.5, "lr": "0.001"}
    optimizer.param_groups[0]["lr"] = 6e-05
    assert FewNumbers().get_metrics(trainer, task)["lr"] == "6e-05"
    task.guard.skipped = 2
    assert FewNumbers().get_metrics(trainer, task) == {**shown, "lr": "6e-05", "skipped": 2.0}
