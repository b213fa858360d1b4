"""The list of the worst samples: bounded, the same on every rank, and whole again after a kill."""

import json
import math
import signal
from pathlib import Path

import pytest
import torch

from depthmix.doubt import Disagreement
from depthmix.objective import ObjectiveValue
from depthmix.worst import WORST, WorstSamples
from tests.small_run import Signal, differences, in_child, mixed, small_task, state_of, train, write_sets
from tests.toy import random_batch
from tests.toy_data import KINDS

TERMS, SOURCES = ["ssi", "metric"], list(KINDS)


def value_of(scores: list[float], losses: list[list[float]] | None = None) -> ObjectiveValue:
    k, b = len(TERMS), len(scores)
    zero = torch.zeros(())
    per_row = torch.tensor(losses) if losses else torch.ones(k, b)
    carried = torch.ones(k, b, dtype=torch.bool)
    given, trust = torch.tensor(scores), torch.tensor([min(1.0, 2 / max(z, 1e-9)) for z in scores])
    return ObjectiveValue(zero, zero, zero, zero, per_row, carried, zero == 0, given, trust)


def batch_of(seed: int, rows: int = 2):
    return random_batch(list(KINDS.values())[:rows], seed, sources=list(range(rows)))


def worst(folder: Path, listed: int = 100) -> WorstSamples:
    return WorstSamples(folder, TERMS, SOURCES, listed)


def listed_in(folder: Path) -> list[dict]:
    return json.loads((folder / WORST).read_text())["samples"]


def test_the_file_names_samples_sources_losses_and_how_often_they_were_seen(tmp_path: Path):
    found = worst(tmp_path)
    for scores in ([1.0, 5.0], [3.0, 7.0]):
        found.watch(value_of(scores, [[0.5, 0.25], [2.0, math.nan]]), batch_of(4))
    found.take_up()
    found.write(12)
    assert json.loads((tmp_path / WORST).read_text())["step"] == 12
    first, second = listed_in(tmp_path)
    assert first == {
        "seen": 2,
        "mean_score": 6.0,
        "sample": "toy/4-1",
        "source": "web",
        "score": 7.0,
        "weight": pytest.approx(2 / 7),
        "losses": {"ssi": 0.25, "metric": None},
    }
    assert (second["sample"], second["source"], second["mean_score"]) == ("toy/4-0", "planes", 2.0)
    means = {"train/trust/planes": 5 / 6, "train/trust/web": (0.4 + 2 / 7) / 2}
    assert found.figures() == pytest.approx(means)
    assert found.figures() == {}


def test_it_keeps_the_worst_in_bounded_memory(tmp_path: Path):
    found = worst(tmp_path, listed=2)
    for seed in range(200):
        found.watch(value_of([float(seed % 50), 0.0]), batch_of(seed))
        if seed % 10 == 9:
            found.take_up()
    found.write(1)
    assert [row["score"] for row in listed_in(tmp_path)] == [49.0, 49.0]
    assert len(found.plain()["samples"]) == 20 * 2


def test_what_it_holds_until_then_are_no_images(tmp_path: Path):
    found, batch = worst(tmp_path), batch_of(0)
    found.watch(value_of([1.0, 2.0]), batch)
    held = sum(tensor.numel() for one in found._seen for tensor in one.tensors)
    assert held <= 7 * len(batch)


def test_it_goes_on_from_its_plain_state(tmp_path: Path):
    one, other = worst(tmp_path / "one"), worst(tmp_path / "other")
    for seed in range(6):
        one.watch(value_of([1.0, seed]), batch_of(seed % 3))
        other.watch(value_of([1.0, seed]), batch_of(seed % 3))
        if seed == 3:
            one.take_up()
            state = json.loads(json.dumps(one.plain()))
            one = worst(tmp_path / "one")
            one.go_on(state)
    for found in (one, other):
        found.take_up()
        found.write(0)
    assert listed_in(tmp_path / "one") == listed_in(tmp_path / "other")
    assert one.figures() == other.figures()


DOUBTS = {"disagreement": Disagreement(tolerance=0.5, warmup=4, memory=0.9, listed=5)}


def trained(folder: Path, root: Path, *callbacks) -> int:
    task = small_task
    return in_child(lambda: train(folder, mixed(root), *callbacks, every=1, task=task(**DOUBTS)))


def test_a_training_writes_it_and_a_kill_changes_no_bit(tmp_path: Path):
    root = write_sets(tmp_path / "sets")
    assert trained(tmp_path / "whole", root) == 0
    assert trained(tmp_path / "killed", root, Signal(17, signal.SIGKILL)) == -signal.SIGKILL
    assert trained(tmp_path / "killed", root) == 0
    whole, killed = state_of(tmp_path / "whole"), state_of(tmp_path / "killed")
    assert not differences(whole, killed)
    assert {"objective.doubt.seen", "objective.doubt.centre"} <= set(whole["state_dict"])
    assert "train/trust/web" in whole["metrics.csv"]
    lists = [listed_in(tmp_path / name) for name in ("whole", "killed")]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 5
    assert any(row["weight"] < 1 for row in lists[0])
    assert all(row["seen"] > 1 for row in lists[0])
