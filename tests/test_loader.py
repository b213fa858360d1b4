"""Batches from workers keep their bytes for as long as they are held, and workers fail and end clearly."""

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from depthmix import hand_over
from depthmix.batch import Batch
from depthmix.datasets import MixDataset
from depthmix.errors import BadSample, ConfigError, DepthmixError
from depthmix.loader import ResumableLoader, name_in_flight
from depthmix.mixture import Slot
from depthmix.ring import Ring
from depthmix.sample import Sample
from depthmix.slate import Slate, now_reading
from tests.test_data import digest, mixed, write_set

STEPS = 12


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    for source, count in {"web": 9, "kitti": 4, "planes": 6}.items():
        write_set(folder / source, source, [(18 + number % 2, 24) for number in range(count)])
    return folder


@pytest.fixture(scope="module")
def plain(root: Path) -> list[str]:
    """Digests of an epoch that is read without workers."""
    return [digest(batch) for batch in loader(root, workers=0)]


def loader(root: Path, **options: float) -> ResumableLoader:
    return mixed(root, steps_per_epoch=STEPS, **options).train_dataloader()


def home(batch: Batch) -> int:
    return batch.target.untyped_storage().data_ptr()


def taken(loader: ResumableLoader) -> int:
    """Count the slots that are not free."""
    gc.collect()
    ring = loader._hand_over._ring
    assert ring is not None
    return int(ring._states.sum())


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of machines with fewer cores
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bytes(root: Path, plain: list[str], workers: int) -> None:
    assert [digest(batch) for batch in loader(root, workers=workers)] == plain


def test_maps_of_a_batch_lie_in_one_slot_and_slots_are_used_again(root: Path) -> None:
    homes = []
    for batch in loader(root, workers=1):
        homes.append(home(batch))
        assert {home(batch)} == {
            getattr(batch, name).untyped_storage().data_ptr() for name in ("image", "valid", "planes")
        }
        assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert len(set(homes)) <= 4 < len(homes)


def test_batches_that_are_held_never_change(root: Path, plain: list[str]) -> None:
    held = list(loader(root, workers=1))
    assert len({home(batch) for batch in held}) == STEPS
    assert [digest(batch) for batch in held] == plain


def test_a_view_of_one_row_keeps_the_slot(root: Path) -> None:
    views, copies = [], []
    for batch in loader(root, workers=1):
        views.append(batch.target[1, 0, 2:5, ::2])
        copies.append(views[-1].clone())
        del batch
    assert all(map(torch.equal, views, copies))


def test_what_is_written_into_a_batch_stays_there(root: Path, plain: list[str]) -> None:
    found = []
    for batch in loader(root, workers=2):
        found.append(digest(batch))
        batch.target.fill_(torch.nan)
        batch.sky.fill_(True)
        batch.sigma.fill_(3.0)
    assert found == plain


def test_no_slot_is_lost_when_an_epoch_is_left_early(root: Path, plain: list[str]) -> None:
    data = loader(root, workers=2)
    for _ in range(4):
        assert len(next(iter(data)))
    assert [digest(batch) for batch in data] == plain
    assert taken(data) == 0


def test_a_slot_is_taken_only_while_something_of_it_is_held(root: Path) -> None:
    data = loader(root, workers=1)
    batches = list(data)
    assert taken(data) == 5
    mask = batches[0].valid
    del batches
    assert taken(data) == 1
    del mask
    assert taken(data) == 0


def test_the_end_of_a_fork_frees_nothing(root: Path) -> None:
    data = loader(root, workers=1)
    batches = list(data)
    child = os.fork()
    if not child:
        del batches
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert taken(data) == 5
    assert len(batches) == STEPS


def test_without_memory_batches_go_the_ordinary_way(
    root: Path, plain: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: int) -> Ring:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(hand_over, "Ring", refuse)
    with caplog.at_level(logging.WARNING):
        assert [digest(batch) for batch in loader(root, workers=2)] == plain
    assert "(Cannot allocate memory): they are copied instead" in caplog.text


def test_without_fork_batches_go_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hand_over, "_start_method", lambda: "spawn")
    how = hand_over.HandOver()
    with caplog.at_level(logging.WARNING):
        how.prepare(2, 2, 1000)
    assert how._ring is None
    assert "workers started by spawn" in caplog.text


def at(monkeypatch: pytest.MonkeyPatch, name: str, happen: object) -> None:
    """Let something happen when a worker reads the named sample."""
    real = MixDataset.sample

    def sample(self: MixDataset, slot: Slot) -> Sample:
        found = real(self, slot)
        if found.name == name:
            happen()  # type: ignore[operator]
        return found

    monkeypatch.setattr(MixDataset, "sample", sample)


def test_a_worker_that_dies_is_named_with_its_sample(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "kitti/002", lambda: os.kill(os.getpid(), signal.SIGKILL))
    began = time.monotonic()
    with pytest.raises((DepthmixError, RuntimeError)) as caught:
        list(loader(root, workers=1))
    assert "kitti/002" in f"{caught.value}{getattr(caught.value, '__notes__', '')}"
    # Which of the two torch says depends on what it notices first.
    assert "killed by signal" in str(caught.value) or "exited unexpectedly" in str(caught.value)
    assert time.monotonic() - began < 20


def test_a_dead_worker_is_noticed_without_torchs_signal_handler(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, "kitti/002", lambda: os.kill(os.getpid(), signal.SIGKILL))
    data = loader(root, workers=1)
    found = iter(data)
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # as Lightning leaves it behind a training
    try:
        with pytest.raises(DepthmixError, match=r"kitti/002: .* exited unexpectedly; if the system"):
            list(found)
    finally:
        signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)


def test_a_signal_to_a_worker_that_has_just_begun_is_left_to_the_trainer(
    root: Path, plain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up = hand_over.HandOver.start

    def start(self: hand_over.HandOver, worker: int) -> None:
        for name in ("TERM", "USR1"):  # as a cluster does it, to all processes of the job
            subprocess.run(["kill", f"-{name}", str(os.getpid())], check=True)
        set_up(self, worker)

    monkeypatch.setattr(hand_over.HandOver, "start", start)
    assert [digest(batch) for batch in loader(root, workers=1)] == plain
    assert not {signal.SIGTERM, signal.SIGUSR1} & signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_slow_is_not_dead(root: Path, plain: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthmix.loader.LOOK", 0.05)
    at(monkeypatch, "kitti/002", lambda: time.sleep(0.3))
    assert [digest(batch) for batch in loader(root, workers=1)] == plain


def test_torchs_own_error_gets_the_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthmix.slate._slates", weakref.WeakSet())
    monkeypatch.setattr("depthmix.slate._own", None)
    slate = Slate(2)
    slate.adopt(1)
    now_reading("a/1")
    now_reading("kitti/ü")
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    name_in_flight(error)
    assert error.__notes__ == ["Samples that workers were reading: kitti/ü"]
    now_reading("")
    assert slate.names() == []


def test_a_worker_that_hangs_is_named_with_its_sample(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "kitti/002", lambda: time.sleep(1000))
    with pytest.raises(DepthmixError) as caught:
        list(loader(root, workers=1, timeout=1))
    expected = (
        "kitti/002: no batch came within 1 s while workers were reading; "
        "if the storage is that slow, raise data.timeout"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [StopIteration, SystemExit, type("Panic", (BaseException,), {})])
def test_nothing_ends_an_epoch_in_silence(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int, kind: type[BaseException]
) -> None:
    def happen() -> None:
        raise kind("gone")

    at(monkeypatch, "kitti/002", happen)
    with pytest.raises(DepthmixError, match=rf"kitti/002: reading stopped with {kind.__name__}: gone"):
        list(loader(root, workers=workers))


def test_a_fault_of_the_code_is_shown_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "kitti/002", lambda: [][1])
    with pytest.raises(IndexError, match="Original Traceback"):
        list(loader(root, workers=1))


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_do_not_stack_are_named(root: Path, workers: int) -> None:
    (whole,) = mixed(root, test_sources={"web": "web"}, workers=workers).test_dataloader()
    with pytest.raises(BadSample, match=r"web/001: image: size \(19, 24\) differs"):
        list(whole)


def test_a_time_limit_that_is_none_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.timeout: must be positive, got 0"):
        mixed(root, timeout=0)


@pytest.mark.slow
def test_workers_end_with_a_killed_trainer(root: Path) -> None:
    script = f"""
        from pathlib import Path
        from tests.test_loader import loader
        data = loader(Path({str(root)!r}), workers=2)
        for batch in data:
            print(*[worker.pid for worker in data._iterator._workers], flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        workers = [int(pid) for pid in child.stdout.readline().split()]
        child.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/fd").exists() and alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_full_slot_gives_other_memory() -> None:
    slot = Ring(1, 1, 4096).claim(0)
    assert slot is not None
    first, second, third = (slot.empty((size,), np.float32) for size in (1, 1000, 100))
    assert np.shares_memory(first, slot._area)
    assert second.ctypes.data % 64 == 0
    assert not np.shares_memory(third, slot._area)
