"""The log of a training is on disk after each row, and goes on with the training."""

from pathlib import Path

import pytest

from depthmix.errors import StorageError
from depthmix.run_log import RunLog

OLD = "epoch,step,train/loss\n0,10,3.0\n0,20,2.0\n1,30,1.5\n"


def log_of(folder: Path) -> list[list[str]]:
    return [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]


def test_every_row_is_on_disk_at_once_whatever_columns_come_later(tmp_path: Path):
    log = RunLog(tmp_path / "run")
    log.log_metrics({"train/loss": 3.0, "epoch": 0}, step=10)
    assert log_of(tmp_path / "run") == [["epoch", "step", "train/loss"], ["0", "10", "3.0"]]
    log.log_metrics({"val/rooms/abs_rel": 0.5, "epoch": 0}, step=10)
    log.log_metrics({"train/loss": 2.0}, step=20)
    assert log_of(tmp_path / "run") == [
        ["epoch", "step", "train/loss", "val/rooms/abs_rel"],
        ["0", "10", "3.0", ""],
        ["0", "10", "", "0.5"],
        ["", "20", "2.0", ""],
    ]


def test_a_resumed_log_keeps_the_rows_up_to_the_checkpoint_and_replaces_those_done_again(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text(OLD)
    log = RunLog(tmp_path, resume=15)
    assert (tmp_path / "metrics.csv").read_text() == OLD
    log.log_metrics({"train/loss": 1.9, "train/terms/ssi": 1.0, "epoch": 0}, step=20)
    log.log_metrics({"train/loss": 1.4, "epoch": 1}, step=30)
    assert log_of(tmp_path) == [
        ["epoch", "step", "train/loss", "train/terms/ssi"],
        ["0", "10", "3.0", ""],
        ["0", "20", "1.9", "1.0"],
        ["1", "30", "1.4", ""],
    ]


def test_a_new_log_replaces_the_old_one_with_its_first_row_and_not_before(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text(OLD)
    log = RunLog(tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == OLD
    log.log_metrics({"train/loss": 9.0}, step=40)
    assert log_of(tmp_path) == [["step", "train/loss"], ["40", "9.0"]]


def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text(OLD + "1,4")
    RunLog(tmp_path, resume=40).log_metrics({"train/loss": 1.0, "epoch": 1}, step=50)
    assert [row[1] for row in log_of(tmp_path)] == ["step", "10", "20", "30", "50"]


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"step,b\nten,2\n", b"step,b\n1,\xff\n"])
def test_a_file_that_is_no_log_stops_a_resumed_run_before_it_starts(tmp_path: Path, content: bytes):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(StorageError, match=r"metrics.csv: is no log of a training; move it away"):
        RunLog(tmp_path, resume=10)
    assert (tmp_path / "metrics.csv").read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match="run"):
        RunLog(tmp_path / "run").log_metrics({"train/loss": 1.0}, step=1)
