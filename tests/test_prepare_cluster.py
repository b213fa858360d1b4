"""Dask workers give the bytes that one process gives, and what is wrong with a cluster is said."""

import sys
from collections.abc import Iterator

import pytest

from depthmix.errors import BadSample, BadSource, ConfigError
from depthmix.prepare import prepare
from depthmix.prepare.cluster import _ordered
from tests.store.helpers import DyingSource, TinySource, make_raw, tree

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a scheduler with two workers, each a process of its own."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("depthmix.prepare.run.MEBIBYTE", 960)


def test_a_cluster_ends_in_the_bytes_of_one_process(tmp_path, scheduler):
    source = TinySource(make_raw(tmp_path / "raw", 30, bad=[4, 17]))
    prepare(source, tmp_path / "serial", shard_mb=6)
    prepare(source, tmp_path / "pool", shard_mb=6, workers=2)
    seen = []
    report = prepare(source, tmp_path / "dask", shard_mb=6, scheduler=scheduler, progress=seen.append)
    assert report.count == 28
    assert [now.done for now in seen] == list(range(1, 31))
    for job in range(3):
        prepare(source, tmp_path / "array", shard_mb=6, job_id=job, num_jobs=3)
    assert (
        tree(tmp_path / "serial")
        == tree(tmp_path / "pool")
        == tree(tmp_path / "dask")
        == tree(tmp_path / "array")
    )


def test_a_bad_sample_stops_the_cluster_where_it_stops_one_process(tmp_path, scheduler):
    source = TinySource(make_raw(tmp_path / "raw", 9, bad=[3]))
    with pytest.raises(BadSample, match="tiny/003: not an array file"):
        prepare(source, tmp_path / "out", on_bad="error", scheduler=scheduler)


def test_a_worker_that_dies_again_and_again_is_one_error_that_names_the_sample(tmp_path, scheduler):
    source = DyingSource(make_raw(tmp_path / "raw", 9))
    with pytest.raises(
        BadSource,
        match=r"tiny/000: a worker process died while this sample or one of the 7 others in flight \(001, ",
    ):
        prepare(source, tmp_path / "out", scheduler=scheduler)


def test_a_job_that_is_lost_with_all_workers_is_the_same_error(tmp_path):
    """The scheduler forgets tasks whose scattered job died with its last holder, and cancels them."""

    class Lost:
        def scatter(self, job, **_):
            return job

        def submit(self, *_, **__):
            return self

        def result(self):
            raise distributed.client.FutureCancelledError("_run", "already forgotten", None)

        def cancel(self, futures):
            self.cancelled = len(futures)

    client, job = Lost(), DyingSource(make_raw(tmp_path / "raw", 2))
    job.source = job
    with pytest.raises(BadSource, match="tiny/000: a worker process died while this sample or"):
        list(_ordered(client, job, ["000", "001"], 4))
    assert client.cancelled == 1


def test_an_address_where_nobody_answers_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("depthmix.prepare.cluster.WAIT_S", 0.5)
    source = TinySource(make_raw(tmp_path / "raw", 3))
    for address in ("tcp://127.0.0.1:9", "nonsense://"):
        with pytest.raises(ConfigError, match=f"scheduler: nobody answers at {address}"):
            prepare(source, tmp_path / "out", scheduler=address)
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_workers_is_refused(tmp_path):
    source = TinySource(make_raw(tmp_path / "raw", 3))
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        pytest.raises(ConfigError, match="has no workers"),
    ):
        prepare(source, tmp_path / "out", scheduler=cluster.scheduler_address)


def test_a_machine_without_dask_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    source = TinySource(make_raw(tmp_path / "raw", 3))
    with pytest.raises(ConfigError, match=r"pip install depthmix\[cluster\]"):
        prepare(source, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
