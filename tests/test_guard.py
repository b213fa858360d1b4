"""Steps without a finite gradient leave no trace in the weights, and one in a file."""

import json
from pathlib import Path

import pytest
import torch

from depthmix.batch import Batch
from depthmix.errors import DepthmixError
from depthmix.guard import SKIPPED, StepGuard
from depthmix.objective import ObjectiveValue
from depthmix.sample import LabelKind
from tests.toy import random_batch

SOUND = [torch.ones(3), torch.zeros(2, 2)]


def batch(seed: int = 0) -> Batch:
    return random_batch([LabelKind.METRIC_DEPTH] * 3, seed, (8, 8))


def value(broken_row: int | None = None, finite: bool = True) -> ObjectiveValue:
    per_row = torch.ones(2, 3)
    if broken_row is not None:
        per_row[1, broken_row] = torch.inf
    terms = per_row.double().mean(1)
    return ObjectiveValue(
        loss=terms.sum(),
        terms=terms,
        gradients=torch.ones(2, dtype=torch.float64),
        weights=torch.ones(2, dtype=torch.float64),
        per_row=per_row,
        carried=torch.ones(2, 3, dtype=torch.bool),
        finite=terms.isfinite().all() & finite,
    )


def guard(folder: Path, patience: int = 10) -> StepGuard:
    return StepGuard(folder, ["ssi", "metric"], patience)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / SKIPPED).read_text().splitlines()]


def test_a_sound_step_is_admitted_and_leaves_no_file(tmp_path: Path):
    one = guard(tmp_path)
    one.watch(value(), batch())
    assert one.admits(SOUND, 0, main=True)
    assert not (tmp_path / SKIPPED).exists()


def test_a_loss_that_is_not_finite_names_term_and_sample(tmp_path: Path):
    one = guard(tmp_path / "run")
    one.watch(value(broken_row=1), batch())
    assert not one.admits(SOUND, 7, main=True)
    assert lines(tmp_path / "run") == [
        {
            "step": 7,
            "not_finite": ["metric"],
            "suspects": ["toy/0-1"],
            "samples": ["toy/0-0", "toy/0-1", "toy/0-2"],
        }
    ]


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_a_gradient_of_the_weights_that_is_not_finite_names_all_samples(tmp_path: Path, wrong: float):
    one = guard(tmp_path)
    one.watch(value(), batch(1))
    one.watch(value(), batch(2))
    assert not one.admits([torch.ones(3), torch.tensor([0.0, wrong])], 0, main=True)
    (line,) = lines(tmp_path)
    assert (line["not_finite"], line["suspects"]) == ([], [])
    assert line["samples"] == [f"toy/{seed}-{row}" for seed in (1, 2) for row in range(3)]


def test_large_gradients_of_half_precision_are_admitted(tmp_path: Path):
    one = guard(tmp_path)
    assert one.admits([torch.full((1000,), 6e4, dtype=torch.float16)], 0, main=True)
    assert one.admits([], 0, main=True)


def test_only_steps_in_a_row_end_training_and_the_error_names_the_samples(tmp_path: Path):
    one = guard(tmp_path, patience=3)
    for step, broken in enumerate([True, True, False, True, True]):
        one.watch(value(0 if broken else None), batch())
        assert one.admits(SOUND, step, main=True) is not broken
    one.watch(value(2), batch(9))
    said = r"skipped.jsonl: toy/9-2: no finite gradient in 3 steps in a row, the last on these samples; lower"
    with pytest.raises(DepthmixError, match=said):
        one.admits(SOUND, 5, main=True)
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 3, 4, 5]
    assert (one.skipped, one.in_a_row) == (5, 3)


def test_only_the_main_rank_writes(tmp_path: Path):
    one = guard(tmp_path)
    one.watch(value(0), batch())
    assert not one.admits(SOUND, 0, main=False)
    assert not (tmp_path / SKIPPED).exists()


def test_a_training_that_goes_on_forgets_the_steps_that_it_does_again(tmp_path: Path):
    one = guard(tmp_path)
    for step in (2, 5, 8):
        one.watch(value(0), batch())
        one.admits(SOUND, step, main=True)
    with (tmp_path / SKIPPED).open("a") as file:
        file.write('{"step": 1')  # cut short by a kill
    guard(tmp_path).begin(8)
    assert [line["step"] for line in lines(tmp_path)] == [2, 5]
    guard(tmp_path).begin(0)
    assert not lines(tmp_path)
