"""Run a job over keys in this process or in workers; the results come in the order of the keys."""

import multiprocessing
import pickle
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from signal import SIGTERM, Signals
from typing import Any, Final, Protocol, TypeVar

from depthmix.errors import BadSource, ConfigError, StorageError
from depthmix.prepare.raw import raw_files
from depthmix.sources.base import Source
from depthmix.workers import start_worker

__all__ = ["LIMIT_S", "Work", "check_picklable", "ordered_results", "worker_died", "workers_for"]

LIMIT_S: Final = 300.0  # no sample of a data set we know takes a tenth of it
AHEAD: Final = 4  # keys a worker

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
    job: Work[Result], workers: int, limit_s: float = LIMIT_S
) -> Iterator[Callable[[Sequence[str]], Generator[Result, None, None]]]:
    """Give a function that turns keys into results, in their order; 0 workers do it in this process.

    Args:
        job: what to do.
        workers: processes; 0 is this one, which no limit of time can interrupt.
        limit_s: seconds that a worker may take for one key.

    Raises:
        BadSource: a worker process died, or was killed because it took too long.
        StorageError: the system refuses to start one.
    """
    if not workers:
        yield lambda keys: (job.run(key) for key in keys)
        return
    # Spawned, never forked: threads of cv2 and of the caller do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(job,))
    try:
        yield lambda keys: _pooled(pool, job, keys, workers, limit_s)
    finally:
        pool.shutdown(cancel_futures=True)


def ordered_results(job: Work[Result], keys: Sequence[str], workers: int) -> Generator[Result, None, None]:
    """Yield the results in the order of the keys, from this process or from workers.

    Raises:
        BadSource: a worker process died, or was killed because it took too long.
    """
    with workers_for(job, workers if keys else 0) as run:
        yield from run(keys)


def worker_died(job: Work[Any], keys: Sequence[str], how: str = "died") -> BadSource:
    """Build the error for a worker that is gone, as the kernel takes it when memory runs out.

    Args:
        job: what it did.
        keys: samples in flight; one of them is to blame, if any is.
        how: what happened to it.
    """
    others = f" or one of the {len(keys) - 1} others in flight ({', '.join(keys[1:])})" if keys[1:] else ""
    reason = f"a worker process {how} while this sample{others} was read"
    hint = "look for a lack of memory, and try workers=0; finished shards are kept"
    return BadSource(reason, file=job.source.root, sample=f"{job.source.name}/{keys[0]}", hint=hint)


def _pooled(
    pool: ProcessPoolExecutor, job: Work[Result], keys: Sequence[str], workers: int, limit_s: float
) -> Generator[Result, None, None]:
    waiting: deque[tuple[str, Future[Result]]] = deque()
    try:
        _submit(pool, job, _ready).result()  # imports take seconds, which are no sample's
        limit_s = min(limit_s, threading.TIMEOUT_MAX)
        for upcoming in keys:
            waiting.append((upcoming, _submit(pool, job, _work, upcoming)))
            # A bounded queue: results of fast workers must not fill the memory.
            if len(waiting) >= AHEAD * workers:
                yield waiting[0][1].result(limit_s)
                waiting.popleft()
        while waiting:
            yield waiting[0][1].result(limit_s)
            waiting.popleft()
    except BrokenProcessPool as error:
        raise worker_died(job, _in_flight(waiting, workers) or keys[:1], _end_of_a_worker(pool)) from error
    except FutureTimeoutError as error:
        if waiting[0][1].done():
            raise  # not the limit: reading the sample raised it
        _kill(pool)
        raise _too_slow(job, waiting[0][0], limit_s) from error
    finally:
        for _, future in waiting:
            future.cancel()


def _submit(pool: ProcessPoolExecutor, job: Work[Any], function: Callable[..., Any], *of: str) -> Future[Any]:
    """Hand over a task; a worker process may have to be started for it, and the system may refuse one.

    Raises:
        StorageError: it did.
    """
    try:
        return pool.submit(function, *of)
    except OSError as error:
        reason = f"no worker process can be started: {error.strerror or error}"
        hint = "use fewer workers, or raise the limits of processes and open files (ulimit -u, ulimit -n)"
        raise StorageError(reason, file=job.source.root, hint=hint) from error


def _in_flight(waiting: Iterable[tuple[str, Future[Any]]], workers: int) -> list[str]:
    """Return the keys that workers were at: tasks start in order, so these are the first unfinished ones."""
    unfinished = [
        key
        for key, future in waiting
        if not future.done() or isinstance(future.exception(), BrokenProcessPool)
    ]
    return unfinished[:workers]


def _too_slow(job: Work[Any], key: str, limit_s: float) -> BadSource:
    reason = f"not read after {limit_s:g} s; its worker process was killed"
    hint = "look at the file and its disk; prepare goes on behind its finished shards, see --time-limit"
    file = next(iter(raw_files(job.source, key)), job.source.root)
    return BadSource(reason, file=file, sample=f"{job.source.name}/{key}", hint=hint)


def _processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    # Public from Python 3.14 on, as kill_workers(); before, this is the only way to the processes.
    return list((pool._processes or {}).values())


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in _processes(pool):
        process.kill()


def _end_of_a_worker(pool: ProcessPoolExecutor) -> str:
    """Tell how a worker ended: by which signal, or with which exit code."""
    processes = _processes(pool)
    pool.shutdown(cancel_futures=True)
    # The pool ends the others itself, with SIGTERM.
    codes = [process.exitcode for process in processes if process.exitcode not in (0, None, -SIGTERM)]
    if not codes or codes[0] is None:
        return "died"
    return f"was ended by {Signals(-codes[0]).name}" if codes[0] < 0 else f"ended with code {codes[0]}"


_current: list[Work[Any]] = []  # the job of this worker process, sent once and not with every key


def _start_worker(job: Work[Any]) -> None:
    start_worker()
    _current[:] = [job]


def _ready() -> None:
    """Do nothing, in a worker that has started."""


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
