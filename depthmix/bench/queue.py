"""Do the runs that are missing, several at a time, each in a process of its own with one thread."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from depthmix.bench.corpus import Corpus
from depthmix.bench.digest import measured_name, run_name
from depthmix.bench.one import Run
from depthmix.bench.recipes import Recipe
from depthmix.bench.settings import Settings

__all__ = ["do_runs", "plan_runs"]


def plan_runs(
    recipes: Iterable[Recipe], seeds: Sequence[int], settings: Settings, corpus: Corpus, folder: Path, on: str
) -> list[Run]:
    """List all runs of a benchmark, seed by seed, so that whatever is cut off leaves whole seeds behind.

    A baseline has nothing random and is run once.
    """
    measured, recipes = measured_name(on, corpus), list(recipes)
    return [
        Run(
            recipe=recipe.name,
            values=dict(recipe.values),
            seed=seed,
            settings=settings,
            prepared=corpus.prepared,
            folder=folder / "runs" / run_name(recipe, settings, seed, corpus),
            measured=measured,
            on=on,
        )
        for seed in seeds
        for recipe in recipes
        if recipe.trains or seed == seeds[0]
    ]


def do_runs(runs: Sequence[Run], jobs: int, say: Callable[[str], None]) -> list[str]:
    """Do the runs that are not finished and return what went wrong, in one line for each that failed.

    Args:
        runs: all runs; finished ones are left alone.
        jobs: how many run side by side.
        say: told of every run that ended.
    """
    missing = [run for run in runs if not run.finished]
    say(f"{len(runs)} runs, {len(missing)} to do")
    pool = ThreadPoolExecutor(max(jobs, 1))
    try:
        return [line for line in pool.map(lambda run: _spawn(run, say), missing) if line]
    finally:
        pool.shutdown(cancel_futures=True)  # interrupted, no further run starts


def _spawn(run: Run, say: Callable[[str], None]) -> str | None:
    """Do one run in a new process; return None, or what went wrong."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "depthmix.bench.one"],
        input=run.dumped(),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    name = f"{run.recipe} seed {run.seed}"
    if done.returncode == 0:
        say(f"{name}: {time.monotonic() - started:.0f} s")
        return None
    said = done.stderr.strip().splitlines()
    reason = said[-1] if said else "ended without a word"
    if done.returncode < 0:
        reason = f"killed by signal {-done.returncode}; the next call does it again"
    say(f"{name} failed: {reason}")
    return f"{name}: {reason}"
