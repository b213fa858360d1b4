"""Run a job over all keys in this process or in workers; the results come in the order of the keys."""

import multiprocessing
import pickle
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from depthmix.errors import BadSource, ConfigError
from depthmix.prepare.job import Job
from depthmix.store.shard import EncodedSample
from depthmix.store.writer import Skipped
from depthmix.workers import start_worker

__all__ = ["check_picklable", "ordered_results"]

Results = Generator[EncodedSample | Skipped, None, None]


def ordered_results(job: Job, keys: Sequence[str], workers: int) -> Results:
    """Yield the results in the order of the keys, from this process or from workers."""
    if workers and keys:
        yield from _pooled(job, keys, workers)
    else:
        yield from map(job.run, keys)


def _pooled(job: Job, keys: Sequence[str], workers: int) -> Results:
    # Spawned, never forked: threads of cv2 and of the caller do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(job,))
    waiting: deque[tuple[str, Future[EncodedSample | Skipped]]] = deque()
    key = keys[0]
    try:
        for upcoming in keys:
            waiting.append((upcoming, pool.submit(_work, upcoming)))
            # A bounded queue: results of fast workers must not fill the memory.
            if len(waiting) >= 4 * workers:
                key, future = waiting.popleft()
                yield future.result()
        while waiting:
            key, future = waiting.popleft()
            yield future.result()
    except BrokenProcessPool as error:
        reason = "a worker process died while this sample or one of the next few was read"
        hint = "look for a lack of memory, and try workers=0"
        raise BadSource(reason, file=job.source.root, sample=f"{job.source.name}/{key}", hint=hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


_current: list[Job] = []  # the job of this worker process, sent once and not with every key


def _start_worker(job: Job) -> None:
    start_worker()
    _current[:] = [job]


def _work(key: str) -> EncodedSample | Skipped:
    return _current[0].run(key)


def check_picklable(job: Job) -> None:
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
