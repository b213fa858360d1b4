"""A training that is killed and goes on ends in the same bits as one that nothing stopped."""

import signal
from pathlib import Path

import pytest

from tests.small_run import STEPS, Signal, differences, in_child, mixed, state_of, train, write_sets


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert in_child(lambda: train(folder, mixed(root), every=1)) == 0
    return folder


def killed_and_gone_on(folder: Path, root: Path, step: int, workers: int, **how: object) -> Path:
    every = int(how.pop("every", 1))  # type: ignore[call-overload]
    killer = Signal(step, signal.SIGKILL, **how)  # type: ignore[arg-type]
    data = mixed(root, workers=workers)
    assert in_child(lambda: train(folder, data, killer, every=every)) == -signal.SIGKILL
    assert in_child(lambda: train(folder, data, every=every)) == 0
    return folder


def test_the_run_that_is_compared_with_has_skipped_steps_and_several_sources(unbroken: Path):
    state = state_of(unbroken)
    assert state["global_step"] == STEPS
    assert 2 <= state["depthmix"]["skipped"][0] <= 15
    assert state["skipped.jsonl"].count("\n") == state["depthmix"]["skipped"][0]
    columns = set(state["metrics.csv"].partition("\n")[0].split(","))
    assert {"train/sources/ssi/web", "train/sources/ssi/kitti", "train/sources/plane/planes"} <= columns


@pytest.mark.parametrize(("step", "workers"), [(0, 0), (17, 2), (30, 0)])
def test_a_kill_at_a_step_changes_no_bit(tmp_path: Path, root: Path, unbroken: Path, step: int, workers: int):
    folder = killed_and_gone_on(tmp_path, root, step, workers)
    assert not differences(state_of(unbroken), state_of(folder))


def test_a_kill_far_behind_the_checkpoint_or_in_a_validation_changes_no_bit(
    tmp_path: Path, root: Path, unbroken: Path
):
    folder = killed_and_gone_on(tmp_path / "far", root, 38, 0, every=0)
    assert not differences(state_of(unbroken), state_of(folder))
    folder = killed_and_gone_on(tmp_path / "val", root, 20, 0, every=0, validating=True)
    assert not differences(state_of(unbroken), state_of(folder))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kill_at_any_step_changes_no_bit(tmp_path: Path, root: Path, unbroken: Path, workers: int):
    whole = state_of(unbroken)
    for step in range(STEPS):
        folder = killed_and_gone_on(tmp_path / str(step), root, step, workers)
        assert not differences(whole, state_of(folder)), step
