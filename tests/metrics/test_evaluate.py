"""Which set bears which measure, and averages that do not depend on how images are batched."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from depthmix.batch import Batch
from depthmix.errors import DepthmixError, StorageError
from depthmix.metrics import (
    METRICS,
    DepthMetrics,
    EvaluationSet,
    format_table,
    functional,
    measure,
    write_results,
)
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from tests.toy import random_batch

WEB, METRIC, PLANES, SFM = (
    LabelKind.AFFINE_DISPARITY,
    LabelKind.METRIC_DEPTH,
    LabelKind.NONE,
    LabelKind.SCALED_DEPTH,
)
SETS = [EvaluationSet(name, "synthetic", "high", "METRIC_DEPTH") for name in ("rooms", "web")]


def prediction_for(batch: Batch, seed: int = 0) -> Prediction:
    draw = torch.Generator().manual_seed(seed)
    y = torch.randn(len(batch), 1, *batch.image.shape[-2:], generator=draw) * 0.2 + 1
    return Prediction(y, batch.intrinsics, 40.0)


def borne(kind: LabelKind) -> tuple[set[str], set[str]]:
    batch = random_batch([kind])
    values = measure(prediction_for(batch), batch)[..., 0]
    none, affine = ({name for name, v in zip(METRICS, row, strict=True) if not v.isnan()} for row in values)
    return none, affine


def test_a_metric_set_bears_everything():
    none, affine = borne(METRIC)
    assert none == set(METRICS) - {"ssi"}
    assert affine == set(METRICS)


def test_web_stereo_bears_only_the_residual_in_inverse_depth():
    assert borne(WEB) == (set(), {"ssi"})


def test_planes_bear_only_flatness():
    assert borne(PLANES) == ({"planarity_rms"}, set())


def test_pairs_of_points_bear_no_measure():
    batch = random_batch([PLANES])
    ordinal = Batch(**{**batch.__dict__, "kind": torch.full_like(batch.kind, int(LabelKind.ORDINAL))})
    assert measure(prediction_for(ordinal), ordinal).isnan().all()


def test_depth_of_unknown_scale_is_never_read_in_metres():
    none, affine = borne(SFM)
    assert none == set()
    assert affine == set(METRICS) - {"planarity_rms"}


def test_sparse_labels_bear_neither_normals_nor_boundaries():
    batch = random_batch([METRIC])
    every_third = torch.zeros_like(batch.valid)
    every_third[..., ::3] = True
    sparse = Batch(**{**batch.__dict__, "valid": batch.valid & every_third})
    values = dict(zip(METRICS, measure(prediction_for(sparse), sparse)[0, :, 0].tolist(), strict=True))
    assert math.isnan(values["normal_angle"])
    assert math.isnan(values["boundary_f1"])
    assert values["abs_rel"] > 0


def test_measures_are_those_of_the_functions():
    batch = random_batch([METRIC, METRIC])
    prediction = prediction_for(batch)
    values = measure(prediction, batch)
    expected = functional.abs_rel(prediction.depth, batch.target, batch.valid)
    torch.testing.assert_close(values[0, METRICS.index("abs_rel")], expected)
    aligned = functional.align_inverse_depth(prediction.inverse_depth, batch.target, batch.valid)
    expected = functional.delta(aligned, batch.target, batch.valid, 1.25**2)
    torch.testing.assert_close(values[1, METRICS.index("delta2")], expected)


def test_the_average_is_per_image_whatever_the_batches():
    batch = random_batch([METRIC] * 5)
    prediction = prediction_for(batch)
    whole, parts = DepthMetrics(SETS), DepthMetrics(SETS)
    whole.update(prediction, batch, 0)
    for rows in (torch.tensor([0, 1, 2, 3]), torch.tensor([4])):
        part = Prediction(prediction.log_canonical[rows], prediction.intrinsics[rows], 40.0)
        parts.update(part, batch.select(rows), 0)
    torch.testing.assert_close(whole.compute()[0], parts.compute()[0], equal_nan=True)
    assert whole.compute()[1].tolist() == [5, 0]


def test_rows_name_set_and_alignment_and_hold_none_for_what_is_not_borne():
    metrics = DepthMetrics(SETS)
    for group, kind in enumerate((METRIC, WEB)):
        batch = random_batch([kind])
        metrics.update(prediction_for(batch), batch, group)
    rows = metrics.rows()
    assert [(row["set"], row["alignment"]) for row in rows] == [
        ("rooms", "none"),
        ("rooms", "affine_inverse_depth"),
        ("web", "affine_inverse_depth"),
    ]
    assert rows[2]["abs_rel"] is None
    assert isinstance(rows[2]["ssi"], float)
    assert rows[0]["count"] == 1


def test_a_map_that_is_not_finite_is_named():
    batch = random_batch([METRIC, METRIC])
    prediction = prediction_for(batch)
    prediction.log_canonical[1, 0, 3, 3] = torch.nan
    with pytest.raises(DepthmixError, match=r"^toy/0-1: the network's map is not finite"):
        DepthMetrics(SETS).update(prediction, batch, 0)


def some_rows() -> list[dict]:
    metrics = DepthMetrics(SETS)
    for group, kind in enumerate((METRIC, WEB)):
        batch = random_batch([kind])
        metrics.update(prediction_for(batch), batch, group)
    return metrics.rows()


def test_results_are_written_as_json_and_csv_with_equal_rows(tmp_path: Path):
    rows = some_rows()
    write_results(tmp_path / "run", rows, "last.ckpt")
    record = json.loads((tmp_path / "run" / "test.json").read_text())
    assert (record["schema"], record["checkpoint"], record["rows"]) == (1, "last.ckpt", rows)
    with (tmp_path / "run" / "test.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["set"] for line in lines] == [row["set"] for row in rows]
    assert float(lines[0]["abs_rel"]) == rows[0]["abs_rel"]
    assert lines[2]["abs_rel"] == ""
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["test.csv", "test.json"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match="run"):
        write_results(tmp_path / "run", some_rows(), None)


def test_the_table_is_aligned_text():
    lines = format_table(some_rows()).splitlines()
    assert lines[0].split()[:5] == ["set", "tier", "alignment", "count", "abs_rel"]
    assert lines[2].startswith("rooms  high  affine 1/z")
    assert "-" in lines[3].split()
    assert len(lines) == 4
