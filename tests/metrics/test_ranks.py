"""Processes that share the images of an evaluation give the rows of one process."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from depthmix.metrics import ALIGNMENTS, DepthMetrics, EvaluationSet
from depthmix.prediction import Prediction
from tests.test_ranks import on_ranks, whole_batch

SETS = [
    EvaluationSet("rooms", "synthetic", "high", "", ALIGNMENTS),
    EvaluationSet("streets", "synthetic", "high", ""),
    EvaluationSet("empty", "synthetic", "high", ""),
]


def evaluate(rank: int, world: int) -> dict[str, Any]:
    """Measure this rank's images; the last of three ranks has none."""
    metrics = DepthMetrics(SETS)
    metrics.reset()  # as validation does again and again
    batch = whole_batch()
    draw = torch.Generator().manual_seed(0)
    y = 1 + 0.2 * torch.randn(len(batch), 1, *batch.image.shape[-2:], generator=draw)
    prediction = Prediction(y, batch.intrinsics, 40.0)
    busy = min(world, 2)
    for group in (0, 1):
        rows = torch.arange(len(batch))[rank::busy] if rank < busy else torch.arange(0)
        rows = rows[:-1] if group else rows  # ranks hold different numbers of images
        for row in rows.split(3) if len(rows) else ():
            metrics.update(prediction.select(row), batch.select(row), group)
    warnings.simplefilter("ignore" if rank >= busy else "error")  # torchmetrics warns that it saw nothing
    return {
        "rows": metrics.rows(bootstrap=50),
        "tiers": metrics.tiers(),
        "images": sorted(metrics.images(), key=lambda one: (one["set"], one["alignment"], one["image"])),
    }


def test_any_number_of_ranks_gives_the_rows_and_images_of_one(tmp_path: Path):
    one = evaluate(0, 1)
    two = on_ranks(tmp_path, 2, evaluate)
    assert two[0] == two[1]
    assert len(one["images"]) > 20
    left_out = {"toy/0-6"}  # the second set: each rank leaves out its last image, one process one only
    for name in ("rows", "images"):
        rooms, expected = ([row for row in found[name] if row["set"] == "rooms"] for found in (two[0], one))
        for ours, theirs in zip(rooms, expected, strict=True):
            plain = {key for key in theirs if not key.endswith(("_low", "_high"))}  # drawn in another order
            assert {key: ours[key] for key in plain} == pytest.approx({key: theirs[key] for key in plain})
    streets = [row["image"] for row in two[0]["images"] if row["set"] == "streets"]
    assert left_out.isdisjoint(streets)
    assert [row["count"] for row in two[0]["rows"] if row["set"] == "streets"] == [6, 6]
    assert [row["set"] for row in two[0]["tiers"]] == ["tier high"] * len(two[0]["tiers"])


def test_a_rank_without_images_holds_up_nobody(tmp_path: Path):
    three = on_ranks(tmp_path, 3, evaluate)
    assert three[0] == three[1] == three[2]
    assert three[0] == on_ranks(tmp_path, 2, evaluate)[0]
