"""Processes that share a batch give what one process gives for the whole of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from depthmix.batch import Batch
from depthmix.doubt import Disagreement
from depthmix.guard import SKIPPED, StepGuard
from depthmix.losses import LearnedNoiseLoss, PlaneLoss, ScaleShiftInvariantLoss, SilogLoss
from depthmix.losses.base import DepthLoss
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.objective import Balance, Objective, Term
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from depthmix.train_log import TrainingFigures
from tests.small_run import TwoLayers, code_of, start
from tests.toy import card, random_batch
from tests.toy_data import KINDS

# With four ranks of two rows, each source and each term is unknown to some rank.
NAMES = ["planes", "web", "kitti", "kitti", "web", "kitti", "planes", "kitti"]
SETS = [EvaluationSet(name, "synthetic", "high", "") for name in ("even", "odd")]


def whole_batch() -> Batch:
    """Eight rows, from 10 to some hundred valid pixels each."""
    batch = random_batch(
        [KINDS[name] for name in NAMES], sources=[list(KINDS).index(name) for name in NAMES], size=(24, 28)
    )
    valid = batch.valid.clone()
    for row, left in ((3, 10), (4, 40)):
        places = valid[row].flatten().nonzero()[left:, 0]
        valid[row].view(-1)[places] = False
    return replace(batch, valid=valid, target=torch.where(valid, batch.target, 0).double())


def on_ranks(folder: Path, world: int, work: Callable[[int, int], object]) -> list[Any]:
    """Run `work(rank, world)` in so many processes that can talk, and return what they returned."""

    def rank(number: int) -> None:
        meeting = f"file://{folder}/meet-{world}"
        dist.init_process_group("gloo", init_method=meeting, rank=number, world_size=world)
        torch.save(work(number, world), folder / f"{world}-{number}.pt")
        dist.destroy_process_group()

    children = [start(lambda number=number: rank(number)) for number in range(world)]  # type: ignore[misc]
    assert [code_of(child) for child in children] == [0] * world
    return [torch.load(folder / f"{world}-{n}.pt", weights_only=False) for n in range(world)]


def result(rank: int, world: int, balance: str, disagreement: Disagreement | None = None) -> dict[str, Any]:
    """Do two steps of gradients on this rank's rows, in float64: what is left is the order of sums."""
    torch.manual_seed(0)
    net: torch.nn.Module = TwoLayers(broken=0.0).double().eval()
    run = net if world == 1 else DistributedDataParallel(net)
    terms = {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "metric": Term(SilogLoss(), weight=2.0),
        "plane": Term(PlaneLoss(min_pixels=20), weight=0.1),
        "none": Term(SilogLoss(), tiers=["middle"]),
    }
    if disagreement is None:  # it falls by itself from step to step, and then no sample stands out
        terms["learning"] = Term(LearnedNoiseLoss(memory=0.5))
    cards = {name: card(kind) for name, kind in KINDS.items()}
    objective = Objective(terms, balance, cards, disagreement)  # type: ignore[arg-type]
    figures, metrics = TrainingFigures(list(terms), list(cards), adaptive=True), DepthMetrics(SETS)
    batch = whole_batch().select(torch.arange(len(NAMES))[rank::world])
    for step in range(2):
        net.zero_grad()
        prediction = Prediction(run(batch.image_float.double()), batch.intrinsics.double(), 40.0)
        value = objective(prediction, batch, step)
        figures.update(value, batch.source)
        value.loss.backward()
    metrics.update(prediction, batch, 0)
    whole = figures.whole()
    return {
        "gradient": torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]),
        "value": value.loss.detach(),
        "norms": value.gradients,
        "weights": value.weights,
        "learned": [p.grad for p in objective.parameters()],
        "state": list(objective.buffers()),
        "trust": value.trust,
        "sums": whole,
        "figures": figures.figures(),
        "rows": metrics.rows(),
    }


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, int | float)}


@pytest.mark.parametrize("balance", get_args(Balance))
def test_any_number_of_ranks_gives_the_gradient_and_figures_of_one(tmp_path: Path, balance: str):
    one = result(0, 1, balance)
    assert one["gradient"].norm() > 1e-3
    for world in (2, 4):
        for found in on_ranks(tmp_path, world, lambda rank, world: result(rank, world, balance)):
            assert (found["gradient"] - one["gradient"]).norm() <= 1e-6 * one["gradient"].norm()
            assert float(found["value"]) == pytest.approx(float(one["value"]), rel=1e-6)
            for name in ("norms", "weights", "learned"):
                torch.testing.assert_close(found[name], one[name], rtol=1e-6, atol=1e-12)
            torch.testing.assert_close(found["state"], one["state"], rtol=1e-6, atol=1e-9)
            assert found["figures"] == pytest.approx(one["figures"], rel=1e-6)
            torch.testing.assert_close(found["sums"]["sums"], one["sums"]["sums"], rtol=1e-6, atol=1e-12)
            assert len(found["rows"]) == len(one["rows"])
            for ours, theirs in zip(found["rows"], one["rows"], strict=True):
                assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-4)


@pytest.mark.parametrize("balance", ["none", "gradient"])
def test_any_number_of_ranks_doubts_the_same_samples(tmp_path: Path, balance: str):
    options = Disagreement(tolerance=0.05, warmup=1, memory=0.5)
    one = result(0, 1, balance, options)
    assert one["trust"].min() < 0.9
    assert (one["gradient"] - result(0, 1, balance)["gradient"]).norm() > 0.01 * one["gradient"].norm()
    for world in (2, 4):
        found = on_ranks(tmp_path, world, lambda rank, world: result(rank, world, balance, options))
        for rank, ours in enumerate(found):
            assert (ours["gradient"] - one["gradient"]).norm() <= 1e-6 * one["gradient"].norm()
            torch.testing.assert_close(ours["trust"], one["trust"][rank::world], rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(ours["state"], one["state"], rtol=1e-6, atol=1e-9)


class Exploding(DepthLoss):
    """Infinite on one row of all."""

    accepts = frozenset({LabelKind.METRIC_DEPTH})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Tensor:
        bad = torch.tensor([name == "toy/0-5" for name in batch.names])
        return prediction.log_canonical.mean((1, 2, 3)) + torch.where(bad, torch.inf, 0.0)


def guarded(rank: int, world: int, folder: Path) -> dict[str, Any]:
    objective = Objective({"bad": Term(Exploding())}, "none")
    guard = StepGuard(folder, ["bad"], patience=10)
    batch = whole_batch().select(torch.arange(len(NAMES))[rank::world])
    maps = torch.zeros(len(batch), 1, 24, 28, dtype=torch.float64, requires_grad=True)
    guard.watch(objective(Prediction(maps, batch.intrinsics.double(), 40.0), batch), batch)
    admitted = [guard.admits([torch.ones(2)], 0, main=rank == 0)]
    # A gradient that only one rank sees, as where weights are split over ranks.
    admitted.append(guard.admits([torch.tensor([torch.nan if rank == 1 else 1.0])], 1, main=rank == 0))
    return {"admitted": [*admitted, guard.admits([torch.ones(2)], 2, main=rank == 0)], "n": guard.skipped}


@pytest.mark.parametrize("world", [2, 4])
def test_an_infinite_loss_on_one_rank_skips_the_step_on_all_and_names_the_sample(tmp_path: Path, world: int):
    found = on_ranks(tmp_path, world, lambda rank, world: guarded(rank, world, tmp_path))
    assert found == [{"admitted": [False, False, True], "n": 2}] * world
    first, second = [json.loads(line) for line in (tmp_path / SKIPPED).read_text().splitlines()]
    assert (first["suspects"], first["not_finite"]) == (["toy/0-5"], ["bad"])
    assert sorted(first["samples"]) == [f"toy/0-{row}" for row in range(len(NAMES))]
    assert second["step"] == 1
