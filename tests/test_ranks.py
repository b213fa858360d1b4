"""Two processes that share a batch must give what one process gives for the whole of it."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from depthmix.batch import Batch
from depthmix.losses import PlaneLoss, ScaleShiftInvariantLoss, SilogLoss
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.models import LightDepthNet
from depthmix.objective import Balance, Objective, Term
from depthmix.prediction import Prediction
from depthmix.train_log import TrainingFigures
from tests.toy import card, random_batch
from tests.toy_data import KINDS

# Rank 0 sees planes and web only, rank 1 metric rows only: no term but SSI has rows on both.
ROWS = [[0, 1, 2], [3, 4, 5]]
NAMES = ["planes", "web", "web", "kitti", "kitti", "kitti"]
SETS = [EvaluationSet(name, "synthetic", "high", "") for name in ("even", "odd")]


def whole_batch() -> Batch:
    return random_batch([KINDS[name] for name in NAMES], sources=[list(KINDS).index(name) for name in NAMES])


def result(rows: list[int], rank: int | None, balance: str) -> dict[str, object]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net: torch.nn.Module = LightDepthNet(widths=(8, 16), bottleneck=1)
    run = net if rank is None else DistributedDataParallel(net)
    terms = {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "metric": Term(SilogLoss(), weight=2.0),
        "plane": Term(PlaneLoss(min_pixels=20), weight=0.1),
        "none": Term(SilogLoss(), tiers=["middle"]),
    }
    cards = {name: card(kind) for name, kind in KINDS.items()}
    objective = Objective(terms, balance, cards)  # type: ignore[arg-type]
    figures, metrics = TrainingFigures(list(terms), list(cards), adaptive=True), DepthMetrics(SETS)
    batch = whole_batch().select(torch.tensor(rows))
    for step in range(2):
        net.zero_grad()
        prediction = Prediction(run(batch.image_float), batch.intrinsics, 40.0)
        value = objective(prediction, batch, step)
        figures.update(value, batch.source)
        value.loss.backward()
    metrics.update(prediction, batch, 0)
    return {
        "gradient": torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]),
        "value": value.loss.detach(),
        "norms": value.gradients,
        "weights": value.weights,
        "learned": [p.grad for p in objective.parameters()],
        "figures": figures.figures(),
        "rows": metrics.rows(),
    }


def numbers(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if isinstance(value, int | float)}


def work(rank: int, folder: str, balance: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{balance}", rank=rank, world_size=2)
    torch.save(result(ROWS[rank], rank, balance), f"{folder}/{balance}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("balance", get_args(Balance))
def test_two_ranks_give_the_gradient_and_figures_of_one(tmp_path: Path, balance: str):
    multiprocessing.spawn(work, (str(tmp_path), balance), nprocs=2)
    one = result([*ROWS[0], *ROWS[1]], None, balance)
    for rank in range(2):
        found = torch.load(tmp_path / f"{balance}-{rank}.pt", weights_only=False)
        torch.testing.assert_close(found["gradient"], one["gradient"], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["value"], one["value"])
        torch.testing.assert_close(found["norms"], one["norms"], rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(found["weights"], one["weights"], rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(found["learned"], one["learned"], rtol=1e-4, atol=1e-9)
        assert found["figures"] == pytest.approx(one["figures"], rel=1e-4)
        assert len(found["rows"]) == len(one["rows"])
        for ours, theirs in zip(found["rows"], one["rows"], strict=True):
            assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-4)
