"""Run a job over keys in this process or in workers; the results come in the order of the keys."""

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from depthmix.errors import BadSource, ConfigError
from depthmix.sources.base import Source
from depthmix.workers import start_worker

__all__ = ["Work", "check_picklable", "ordered_results", "worker_died", "workers_for"]

Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)


class Work(Protocol[Given]):
    """Something that turns a key of a source into a result, in any process."""

    @property
    def source(self) -> Source:
        """The source that the keys belong to."""

    def run(self, key: str) -> Given:
        """Return the result of one key."""


@contextmanager
def workers_for(
    job: Work[Result], workers: int
) -> Iterator[Callable[[Sequence[str]], Generator[Result, None, None]]]:
    """Give a function that turns keys into results, in their order; 0 workers do it in this process.

    Raises:
        BadSource: a worker process died.
    """
    if not workers:
        yield lambda keys: (job.run(key) for key in keys)
        return
    # Spawned, never forked: threads of cv2 and of the caller do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(job,))
    try:
        yield lambda keys: _pooled(pool, job, keys, 4 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def ordered_results(job: Work[Result], keys: Sequence[str], workers: int) -> Generator[Result, None, None]:
    """Yield the results in the order of the keys, from this process or from workers.

    Raises:
        BadSource: a worker process died.
    """
    with workers_for(job, workers if keys else 0) as run:
        yield from run(keys)


def worker_died(job: Work[Any], key: str) -> BadSource:
    """Build the error for a worker that is gone, as the kernel takes it when memory runs out."""
    reason = "a worker process died while this sample or one of the next few was read"
    hint = "look for a lack of memory, and try workers=0"
    return BadSource(reason, file=job.source.root, sample=f"{job.source.name}/{key}", hint=hint)


def _pooled(
    pool: ProcessPoolExecutor, job: Work[Result], keys: Sequence[str], ahead: int
) -> Generator[Result, None, None]:
    waiting: deque[tuple[str, Future[Result]]] = deque()
    key = keys[0] if keys else ""
    try:
        for upcoming in keys:
            waiting.append((upcoming, pool.submit(_work, upcoming)))
            # A bounded queue: results of fast workers must not fill the memory.
            if len(waiting) >= ahead:
                key, future = waiting.popleft()
                yield future.result()
        while waiting:
            key, future = waiting.popleft()
            yield future.result()
    except BrokenProcessPool as error:
        raise worker_died(job, key) from error
    finally:
        for _, future in waiting:
            future.cancel()


_current: list[Work[Any]] = []  # the job of this worker process, sent once and not with every key


def _start_worker(job: Work[Any]) -> None:
    start_worker()
    _current[:] = [job]


def _work(key: str) -> Any:
    return _current[0].run(key)


def check_picklable(job: Work[Any]) -> None:
    """Refuse, before anything is written, a source that cannot be sent to workers.

    Raises:
        ConfigError: its class or one of its attributes cannot be pickled.
    """
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        hint = "define its class at the top of an importable module, or use workers=0"
        name = type(job.source).__qualname__
        raise ConfigError(
            f"{name} cannot be sent to worker processes ({error})", field="workers", hint=hint
        ) from error
