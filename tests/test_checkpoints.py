"""Checkpoints: whole or not there, the newest that loads, and never code."""

import errno
import itertools
import logging
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from depthmix.checkpoints import CheckpointFiles, newest_checkpoint
from depthmix.errors import ConfigError, StorageError
from tests.small_run import code_of, start

FILES = CheckpointFiles()


def content(step: int) -> dict[str, Any]:
    return {"global_step": step, "optimizer_states": [], "weights": torch.arange(1000)}


def save(folder: Path, step: int, name: str = "last.ckpt") -> Path:
    FILES.save_checkpoint(content(step), folder / name)
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded_and_the_one_before_is_kept(tmp_path: Path):
    for step in (1, 2, 3):
        path = save(tmp_path / "run", step)
    assert names(tmp_path / "run") == ["last.ckpt", "last.previous.ckpt"]
    loaded = FILES.load_checkpoint(path)
    assert loaded["global_step"] == 3
    assert torch.equal(loaded["weights"], torch.arange(1000))
    assert FILES.load_checkpoint(tmp_path / "run" / "last.previous.ckpt")["global_step"] == 2
    FILES.remove_checkpoint(path)
    assert not names(tmp_path / "run")


def test_the_folder_for_temporary_files_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert FILES.load_checkpoint(save(tmp_path, 1))["global_step"] == 1


def test_a_file_that_a_kill_left_goes_with_the_next_checkpoint(tmp_path: Path):
    (tmp_path / ".last.ckpt.123-abcd.tmp").write_bytes(b"half")
    save(tmp_path, 1)
    assert names(tmp_path) == ["last.ckpt"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_named_error_and_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    path = save(tmp_path, 1)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageError, match=r"last.ckpt: No space left on device; free some space"):
            save(tmp_path, 2)
    assert FILES.load_checkpoint(path)["global_step"] == 1
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def test_the_bytes_are_on_the_disk_before_the_old_ones_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: calls.append(n) or r(*a))
    save(tmp_path, 1)
    assert calls == ["fsync", "replace", "fsync"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip], ids=["cut", "flip"])
def test_the_newest_that_loads_is_chosen_and_the_broken_one_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    assert newest_checkpoint(tmp_path) == path
    damage(path)
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(tmp_path) == tmp_path / "last.previous.ckpt"
    assert f"{path}: " in caplog.text
    assert "passed over" in caplog.text


def test_weights_alone_are_not_gone_on_from(tmp_path: Path):
    path = save(tmp_path, 1)
    FILES.save_checkpoint({"global_step": 9, "state_dict": {}}, tmp_path / "best.ckpt")
    assert newest_checkpoint(tmp_path) == path


def test_no_checkpoint_is_not_the_same_as_none_that_loads(tmp_path: Path):
    assert newest_checkpoint(tmp_path / "run") is None
    cut(save(tmp_path, 1))
    with pytest.raises(ConfigError, match="none of 1 checkpoints can be loaded; move them away"):
        newest_checkpoint(tmp_path)


def test_a_flipped_bit_is_named_or_changes_nothing(tmp_path: Path):
    data, draw = save(tmp_path, 1).read_bytes(), random.Random(0)
    named = 0
    for place in range(0, len(data), 17):
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.randrange(8)
        (tmp_path / "x.ckpt").write_bytes(damaged)
        try:
            loaded = FILES.load_checkpoint(tmp_path / "x.ckpt")
        except ConfigError as error:
            named += "x.ckpt" in str(error)
        else:
            assert loaded["global_step"] == 1
            assert torch.equal(loaded["weights"], torch.arange(1000))
    assert named > 300


def save_for_ever(folder: Path, elsewhere: Path) -> None:
    os.environ["TMPDIR"] = str(elsewhere)
    tempfile.tempdir = None  # so that it is read again
    weights = torch.randn(1 << 19)
    for step in itertools.count(1):
        FILES.save_checkpoint(content(step) | {"weights": weights}, folder / "last.ckpt")
        (folder / "said").write_text(str(step))


def destroyed_by_kills(folder: Path, kills: int) -> int:
    """Kill a process that saves, again and again; count the finished checkpoints that are gone."""
    elsewhere, draw = Path("/dev/shm"), random.Random(kills)
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == folder.stat().st_dev:
        pytest.skip("there is no second file system")
    destroyed = 0
    for number in range(kills):
        run = folder / str(number)
        run.mkdir()
        child = start(lambda run=run: save_for_ever(run, elsewhere))  # type: ignore[misc]
        while not (run / "said").exists():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert code_of(child) == -signal.SIGKILL
        said = int((run / "said").read_text() or 0)
        newest = newest_checkpoint(run)
        destroyed += newest != run / "last.ckpt" or FILES.load_checkpoint(newest)["global_step"] < said
        shutil.rmtree(run)
    return destroyed


def test_a_kill_while_saving_destroys_nothing(tmp_path: Path):
    assert destroyed_by_kills(tmp_path, 10) == 0


@pytest.mark.slow
def test_two_hundred_kills_while_saving_destroy_nothing(tmp_path: Path):
    assert destroyed_by_kills(tmp_path, 200) == 0


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(content(1) | {"evil": Canary(tmp_path / "ran")}, tmp_path / "evil.ckpt")
    for asked in (None, False, True):
        with pytest.raises(ConfigError, match=r"evil.ckpt: holds more than tensors and plain values"):
            FILES.load_checkpoint(tmp_path / "evil.ckpt", weights_only=asked)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["s3://bucket/last.ckpt", "https://example.org/last.ckpt"])
def test_a_checkpoint_elsewhere_is_refused(path: str):
    with pytest.raises(ConfigError, match="checkpoints are local files; copy it to this machine first"):
        FILES.load_checkpoint(path)
    with pytest.raises(ConfigError, match="checkpoints are local files"):
        FILES.save_checkpoint(content(1), path)
