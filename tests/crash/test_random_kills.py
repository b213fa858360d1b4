"""Runs killed at random moments lose nothing; two writers at once never mix."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.strace import Runner, check_left
from tests.store.helpers import make_raw, tree

KILLS = int(os.environ.get("DEPTHMIX_TEST_KILLS", "0"))


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return make_raw(tmp_path_factory.mktemp("raw"), 12, bad=[5])


def command(raw: Path, out: Path, workers: int = 0, image: str = "jpeg") -> list[str]:
    source = ["prepare", "tests.store.helpers:TinySource", str(raw), str(out), "--shard-mb", "3"]
    return [*source, "--workers", str(workers), "--image", image]


def writes(out: Path) -> Callable[[], bool]:
    """Return what tells whether a run has begun to write into a folder."""

    def names() -> set[str]:
        return {path.name for path in out.iterdir()} if out.exists() else set()

    before = names()
    return lambda: any(not name.startswith(".writer-on") for name in names() - before)


def kill_again_and_again(runner: Runner, raw: Path, folder: Path, *, kills: int, workers: int) -> None:
    """Kill runs at random moments; each goes on where the one before was, until a set is whole."""
    started = time.monotonic()
    assert runner.run(*command(raw, folder / "whole", workers))[0] == 0
    lasts = time.monotonic() - started
    whole = tree(folder / "whole" / "tiny")
    moments, out = random.Random(kills + workers), folder / "out"
    finished: set[str] = set()
    killed = sets = 0
    while killed < kills:
        if (
            workers and killed % 4
        ):  # nearly all the time of such a run goes into its start: kill its work, too
            code = runner.kill(
                moments.uniform(0, 0.1), *command(raw, out, workers), once=writes(out / "tiny")
            )
        else:
            code = runner.kill(moments.uniform(0, lasts), *command(raw, out, workers))
        assert code in (-9, 0)
        killed += code == -9
        final = check_left(out / "tiny", whole, killed=code != 0)
        assert finished <= final
        finished = final
        if final == set(whole):
            assert runner.run(*command(raw, out, 0))[0] == 0
            assert tree(out / "tiny") == whole
            shutil.rmtree(out)
            finished, sets = set(), sets + 1
    assert runner.run(*command(raw, out, workers))[0] == 0
    assert tree(out / "tiny") == whole
    print(f"{killed} kills with {workers} workers over {sets + 1} sets, 0 lost, all identical")  # noqa: T201


@pytest.mark.parametrize(("workers", "kills"), [(0, 20), (2, 2)])
def test_runs_killed_at_random_moments_lose_nothing_and_end_in_the_same_bytes(
    runner, raw, tmp_path, workers, kills
):
    kill_again_and_again(runner, raw, tmp_path, kills=kills, workers=workers)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(0, 900), (2, 100)])
def test_a_thousand_kills_lose_nothing(runner, raw, tmp_path, workers, kills):
    kill_again_and_again(runner, raw, tmp_path, kills=min(kills, KILLS or kills), workers=workers)


@pytest.fixture(scope="module")
def rival(tmp_path_factory):
    started = Runner.start(tmp_path_factory.mktemp("rival"))
    yield started
    started.stop()


@pytest.mark.parametrize("other", ["jpeg", "png"])
def test_two_writers_at_once_end_in_one_set_or_are_told_who_is_there(runner, rival, raw, tmp_path, other):
    wholes = []
    for image in ("jpeg", other):
        assert runner.run(*command(raw, tmp_path / f"whole-{image}", image=image))[0] == 0
        wholes.append(tree(tmp_path / f"whole-{image}" / "tiny"))
    moments, refused = random.Random(3), 0
    for _ in range(10):
        out = tmp_path / "out"
        said: list[tuple[int, str]] = []
        arguments = command(raw, out, image=other)
        first = threading.Thread(
            target=lambda to, words: to.append(rival.run(*words)), args=(said, arguments)
        )
        first.start()
        time.sleep(moments.uniform(0, 0.03))
        said.append(runner.run(*command(raw, out)))
        first.join()
        assert tree(out / "tiny") in wholes, said
        for code, text in said:
            named = "another process prepares data in this folder: process " in text
            changed = 'options.codec.image: was "' in text
            assert code == int(named or changed), text
            assert f" on {os.uname().nodename}; wait" in text or not named
            refused += code
        assert sum(code for code, _ in said) < 2
        shutil.rmtree(out)
    assert refused
    print(f"10 pairs of writers: {refused} writers refused by name, no mixture")  # noqa: T201
