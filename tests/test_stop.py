"""A training that is told to stop saves the step it is in, exits with 143, and goes on from there."""

import os
import random
import signal
import stat
import time
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from depthmix.stop import requeue
from depthmix.trained import read_checkpoint
from tests.small_run import (
    Signal,
    code_of,
    differences,
    in_child,
    mixed,
    on_two_ranks,
    start,
    state_of,
    train,
    write_sets,
)


class Steps(Callback):
    """Writes down how many steps were begun."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "steps"

    def on_train_batch_start(self, *_: object) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(".")


def wait_for(file: Path) -> None:
    end = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < end, "the child never began"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert in_child(lambda: train(folder, mixed(root))) == 0
    return folder


def stopped(folder: Path, root: Path, signaller: Callback, workers: int = 0) -> int:
    """Train until stopped, and return the step that was saved."""
    assert in_child(lambda: train(folder, mixed(root, workers=workers), signaller)) == 143
    return int(read_checkpoint(folder / "last.ckpt")["global_step"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_step_under_way_is_saved_and_nothing_else_is_lost(
    tmp_path: Path, root: Path, unbroken: Path, number: int
):
    assert stopped(tmp_path, root, Signal(13, number)) == 14
    assert in_child(lambda: train(tmp_path, mixed(root))) == 0
    assert not differences(state_of(unbroken), state_of(tmp_path))


def test_a_signal_to_all_processes_of_the_job_leaves_the_workers_alone(
    tmp_path: Path, root: Path, unbroken: Path
):
    child = start(lambda: train(tmp_path, mixed(root, workers=2), Steps(tmp_path)))
    wait_for(tmp_path / "steps")
    os.killpg(child, signal.SIGTERM)
    assert code_of(child) == 143
    assert in_child(lambda: train(tmp_path, mixed(root, workers=2))) == 0
    assert not differences(state_of(unbroken), state_of(tmp_path))


@pytest.mark.parametrize(("step", "validating"), [(19, False), (20, True)])
def test_behind_the_last_step_of_an_epoch_its_validation_is_finished(
    tmp_path: Path, root: Path, unbroken: Path, step: int, validating: bool
):
    assert stopped(tmp_path, root, Signal(step, signal.SIGTERM, validating=validating)) == 20
    assert in_child(lambda: train(tmp_path, mixed(root))) == 0
    assert not differences(state_of(unbroken), state_of(tmp_path))


def test_a_signal_to_one_rank_stops_all_at_the_same_step_and_they_go_on(tmp_path: Path, root: Path):
    ddp = {"strategy": "ddp", "devices": 2, "use_distributed_sampler": False}
    for folder, step in ((tmp_path / "whole", -1), (tmp_path / "stopped", 13)):
        signallers = [Signal(-1, signal.SIGTERM), Signal(step, signal.SIGTERM)]
        codes = on_two_ranks(lambda rank: train(folder, mixed(root), signallers[rank], **ddp))  # noqa: B023
        assert codes == ([143, 143] if step > 0 else [0, 0])
    assert read_checkpoint(tmp_path / "stopped" / "last.ckpt")["global_step"] == 14
    assert on_two_ranks(lambda rank: train(tmp_path / "stopped", mixed(root), **ddp)) == [0, 0]
    assert not differences(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))


class TermThenKill(Signal):
    """Like a cluster whose patience ends in the middle of a validation."""

    def on_validation_epoch_end(self, *_: object) -> None:  # before its figures are written
        if self.sent:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_validation_that_is_cut_short_costs_no_step(tmp_path: Path, root: Path, unbroken: Path):
    killer = TermThenKill(20, signal.SIGTERM, validating=True)
    assert in_child(lambda: train(tmp_path, mixed(root), killer)) == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 20
    assert in_child(lambda: train(tmp_path, mixed(root))) == 0
    whole, found = state_of(unbroken), state_of(tmp_path)
    logs = [state.pop("metrics.csv").splitlines() for state in (whole, found)]
    assert not differences(whole, found)
    assert len(set(logs[0]) - set(logs[1])) == 1  # the row of that validation is missing
    assert set(logs[1]) < set(logs[0])  # and there is none of half a validation


def write_scontrol(folder: Path, code: int) -> Path:
    """Put a fake `scontrol` into a folder, which writes down how it was called."""
    folder.mkdir()
    script = folder / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\necho "no such job" >&2\nexit {code}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder / "calls"


def test_under_slurm_the_warning_signal_puts_the_job_back_into_the_queue(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = write_scontrol(tmp_path / "bin", 0)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert stopped(tmp_path / "run", root, Signal(3, signal.SIGUSR1)) == 4
    assert calls.read_text() == "requeue 4711\n"
    assert stopped(tmp_path / "cancelled", root, Signal(3, signal.SIGTERM)) == 4
    assert calls.read_text() == "requeue 4711\n"  # scancel sends SIGTERM


def test_a_task_of_an_array_is_requeued_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = write_scontrol(tmp_path / "bin", 0)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    requeue()
    assert calls.read_text() == "requeue 4711_7\n"


def test_a_queue_that_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue()
    assert "job 4711 was not put back into the queue: scontrol requeue: " in caplog.text
    write_scontrol(tmp_path / "bin", 1)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    requeue()
    assert "scontrol requeue: no such job" in caplog.text


def check_at_instants(root: Path, folder: Path, instants: list[float], workers: int) -> None:
    """Send SIGTERM so many seconds after the first step has begun."""
    for count, instant in enumerate(instants):
        run = folder / str(count)
        data = mixed(root, workers=workers)
        child = start(lambda run=run, data=data: train(run, data, Steps(run), epochs=100))  # type: ignore[misc]
        wait_for(run / "steps")
        time.sleep(instant)
        os.kill(child, signal.SIGTERM)
        assert code_of(child) == 143
        begun = len((run / "steps").read_bytes())
        saved = read_checkpoint(run / "last.ckpt")["global_step"]
        assert begun - 1 <= saved <= begun


def test_at_any_instant_all_but_one_step_is_saved(tmp_path: Path, root: Path):
    check_at_instants(root, tmp_path, [0.0, 0.21, 0.43], workers=0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_at_fifty_instants_all_but_one_step_is_saved(tmp_path: Path, root: Path, workers: int):
    draw = random.Random(workers)
    check_at_instants(root, tmp_path, [draw.uniform(0, 1) for _ in range(25)], workers)
