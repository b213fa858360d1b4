"""Run a job over keys on the workers of a Dask cluster; the results come in the order of the keys."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Final

from depthmix.errors import ConfigError
from depthmix.prepare.pool import Result, Work, worker_died

__all__ = ["cluster_for"]

BATCH: Final = 8  # keys a task: a task costs the scheduler about a millisecond
AHEAD: Final = 4  # tasks a thread: results of fast workers must not fill the memory
WAIT_S: Final = 20


@contextmanager
def cluster_for(
    job: Work[Result], scheduler: str
) -> Iterator[Callable[[Sequence[str]], Generator[Result, None, None]]]:
    """Give a function that turns keys into results, in their order.

    Args:
        job: what to do; its source is read by the workers, at the paths that it has here.
        scheduler: address, such as "tcp://node1:8786".

    Raises:
        ConfigError: Dask is not installed, nobody answers at this address, or there is no worker.
        BadSource: a worker died again and again over the same samples.
    """
    try:
        from distributed import Client
    except ImportError as error:
        hint = "pip install depthmix[cluster]"
        raise ConfigError("Dask distributed is not installed", field="scheduler", hint=hint) from error
    try:
        # The package says that it is typed, and is so in part.
        connect: Any = Client
        client = connect(scheduler, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        hint = "start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
        raise ConfigError(f"nobody answers at {scheduler} ({error})", field="scheduler", hint=hint) from error
    with client:
        threads = sum(
            worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()
        )
        if not threads:
            hint = "start some with `dask worker ADDRESS`"
            raise ConfigError(f"the scheduler at {scheduler} has no workers", field="scheduler", hint=hint)
        yield lambda keys: _ordered(client, job, keys, AHEAD * threads)


def _ordered(
    client: Any, job: Work[Result], keys: Sequence[str], ahead: int
) -> Generator[Result, None, None]:
    from distributed.scheduler import KilledWorker

    sent = client.scatter(job, broadcast=True, hash=False)
    waiting: deque[tuple[Any, list[str]]] = deque()
    try:
        for start in range(0, len(keys), BATCH):
            batch = list(keys[start : start + BATCH])
            # Not pure: a task of an earlier run with the same key may have read other files.
            waiting.append((client.submit(_run, sent, batch, pure=False), batch))
            if len(waiting) >= ahead:
                yield from waiting[0][0].result()
                waiting.popleft()
        while waiting:
            yield from waiting[0][0].result()
            waiting.popleft()
    except (KilledWorker, CancelledError) as error:  # the latter where the job was lost with all workers
        raise worker_died(job, waiting[0][1]) from error
    finally:
        client.cancel([future for future, _ in waiting])


def _run(job: Work[Result], keys: Sequence[str]) -> list[Result]:
    return [job.run(key) for key in keys]
