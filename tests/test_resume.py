"""A training that is killed and goes on ends in the same bits as one that nothing stopped."""

import signal
from pathlib import Path
from typing import Any

import pytest

from depthmix.data import MixData
from tests.small_run import Signal, differences, in_child, mixed, state_of, train, write_sets


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert in_child(lambda: train(folder, mixed(root), every=1, epochs=3)) == 0
    return folder


def killed_and_gone_on(
    folder: Path, data: MixData, killer: Signal, *, every: int = 1, epochs: int = 3
) -> dict[str, Any]:
    """Train with a checkpoint every so many steps, with 0 every epoch; return what is left in the end."""
    assert in_child(lambda: train(folder, data, killer, every=every, epochs=epochs)) == -signal.SIGKILL
    assert in_child(lambda: train(folder, data, every=every, epochs=epochs)) == 0
    return state_of(folder)


def test_the_run_that_is_compared_with_has_skipped_steps_and_several_sources(unbroken: Path):
    state = state_of(unbroken)
    assert state["global_step"] == 30
    assert 2 <= state["depthmix"]["skipped"][0] <= 10
    assert state["skipped.jsonl"].count("\n") == state["depthmix"]["skipped"][0]
    columns = set(state["metrics.csv"].partition("\n")[0].split(","))
    assert {"train/sources/ssi/web", "train/sources/ssi/kitti", "train/sources/plane/planes"} <= columns


@pytest.mark.parametrize(("step", "workers"), [(0, 0), (17, 2), (20, 0)])
def test_a_kill_at_a_step_changes_no_bit(tmp_path: Path, root: Path, unbroken: Path, step: int, workers: int):
    found = killed_and_gone_on(tmp_path, mixed(root, workers=workers), Signal(step, signal.SIGKILL))
    assert not differences(state_of(unbroken), found)


@pytest.mark.parametrize(("step", "validating"), [(18, False), (20, True)])
def test_a_kill_behind_the_checkpoint_or_in_a_validation_changes_no_bit(
    tmp_path: Path, root: Path, unbroken: Path, step: int, validating: bool
):
    killer = Signal(step, signal.SIGKILL, validating=validating)
    assert not differences(state_of(unbroken), killed_and_gone_on(tmp_path, mixed(root), killer, every=0))


@pytest.fixture(scope="module")
def sixty_steps(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sixty")
    assert in_child(lambda: train(folder, mixed(root), every=1, epochs=6)) == 0
    return state_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(60))
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kill_at_any_step_changes_no_bit(
    tmp_path: Path, root: Path, sixty_steps: dict[str, Any], workers: int, step: int
):
    data = mixed(root, workers=workers)
    assert not differences(
        sixty_steps, killed_and_gone_on(tmp_path, data, Signal(step, signal.SIGKILL), epochs=6)
    )
