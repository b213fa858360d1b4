"""A worker that is killed, hangs or gives up: one error with the samples in flight, nothing half-written."""

import errno
import re
from concurrent.futures import ProcessPoolExecutor

import pytest

from depthmix.errors import BadSource, ConfigError, DepthmixError, StorageError
from depthmix.prepare import prepare
from tests.crash.strace import check_left
from tests.store.helpers import DyingSource, TinySource, TroubleSource, make_raw, tree


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("depthmix.prepare.run.MEBIBYTE", 960)


@pytest.fixture
def raw(tmp_path):
    return make_raw(tmp_path / "raw", 9)


def stopped(source, tmp_path, **options) -> DepthmixError:
    """Run into the trouble; check what it left, and that a run without it goes on to the same bytes."""
    prepare(TinySource(source.root), tmp_path / "whole", shard_mb=6)
    whole = tree(tmp_path / "whole")
    with pytest.raises(DepthmixError) as caught:
        prepare(source, tmp_path / "out", shard_mb=6, **options)
    assert "index.json" not in check_left(tmp_path / "out", whole, killed=False)
    prepare(TinySource(source.root), tmp_path / "out", shard_mb=6)
    written = tree(tmp_path / "out")
    assert {name for name in written if written[name] != whole[name]} == set()
    return caught.value


@pytest.mark.parametrize(
    ("trouble", "how"),
    [("out of memory", "was ended by SIGKILL"), ("crash", "was ended by SIGSEGV")],
)
def test_a_killed_worker_is_named_with_the_signal_and_the_samples_in_flight(raw, tmp_path, trouble, how):
    error = stopped(TroubleSource(raw, trouble=trouble), tmp_path, workers=2)
    assert isinstance(error, BadSource)
    expected = (
        rf"tiny/00(\d): a worker process {how} while this sample( or one of .*00\d.*)? was read; .*workers=0"
    )
    assert re.search(expected, str(error))
    assert "003" in str(error)
    assert len(re.findall(r"00\d", str(error))) <= 2


def test_one_worker_that_ends_names_the_very_sample(raw, tmp_path):
    error = stopped(DyingSource(raw), tmp_path, workers=1)
    assert "tiny/003: a worker process ended with code 9 while this sample was read; " in str(error)


def test_a_worker_that_hangs_is_killed_and_its_sample_named(raw, tmp_path):
    error = stopped(TroubleSource(raw, trouble="hang"), tmp_path, workers=2, time_limit_s=1.5)
    assert f"{raw / '003.npy'}: tiny/003: not read after 1.5 s; its worker process was killed" in str(error)


def test_no_limit_of_time_is_too_large_and_none_is_negative(raw, tmp_path):
    assert prepare(TinySource(raw), tmp_path / "out", workers=1, time_limit_s=float("inf")).count == 9
    with pytest.raises(ConfigError, match="time_limit_s: must be positive, got -1"):
        prepare(TinySource(raw), tmp_path / "out", time_limit_s=-1)


@pytest.mark.parametrize(
    ("workers", "trouble", "raised"),
    [
        (0, "exit", "SystemExit(0)"),
        (1, "exit", "SystemExit(0)"),
        (0, "end", "StopIteration()"),
        (1, "end", "StopIteration()"),
        (0, "close", "GeneratorExit()"),
        (0, "panic", "BaseException('a decoder panics')"),
    ],
)
def test_a_source_that_would_end_the_run_without_a_word_is_named(raw, tmp_path, workers, trouble, raised):
    error = stopped(TroubleSource(raw, trouble=trouble), tmp_path, workers=workers)
    assert isinstance(error, BadSource)
    assert str(error).startswith(f"{raw / '003.npy'}: tiny/003: TroubleSource raised {raised}; ")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_machine_refuses_is_no_bad_sample(raw, tmp_path, workers):
    error = stopped(TroubleSource(raw, trouble="no files"), tmp_path, workers=workers)
    assert isinstance(error, StorageError)
    assert str(error).startswith(f"{raw / '003.npy'}: tiny/003: Too many open files; raise the limit")


def test_a_worker_that_cannot_be_started_is_one_error(raw, tmp_path, monkeypatch):
    def refuse(self, function, *of):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", refuse)
    with pytest.raises(
        StorageError, match=r"raw: no worker process can be started: Resource temp.*; use fewer"
    ):
        prepare(TinySource(raw), tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()
