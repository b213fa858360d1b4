"""Which set bears which measure, and averages that do not depend on how images are batched."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from depthmix.batch import Batch
from depthmix.errors import DepthmixError, StorageError
from depthmix.geometry import unproject
from depthmix.masked import masked_median, masked_quantile
from depthmix.metrics import (
    ALIGNMENTS,
    METRICS,
    DepthMetrics,
    EvaluationSet,
    format_table,
    functional,
    mean_interval,
    measure,
    reported,
    write_results,
)
from depthmix.metrics.measure import PARTS
from depthmix.metrics.normals import normal_errors
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


def with_pairs(batch: Batch) -> Batch:
    relations = [[0, 0, 30, 20, 1], [5, 6, 30, 20, -1], [39, 31, 0, 1, 0], [-1] * 5]
    return replace(batch, pairs=torch.tensor([relations] * len(batch), dtype=torch.int32))


def prediction_for(batch: Batch, seed: int = 0) -> Prediction:
    draw = torch.Generator().manual_seed(seed)
    y = torch.randn(len(batch), 1, *batch.image.shape[-2:], generator=draw) * 0.2 + 1
    return Prediction(y, batch.intrinsics, 40.0)


def borne(kind: LabelKind) -> tuple[set[str], set[str]]:
    batch = random_batch([kind])
    values = measure(prediction_for(batch), batch).values[..., 0]
    none, affine = ({name for name, v in zip(METRICS, row, strict=True) if not v.isnan()} for row in values)
    return none, affine


def test_a_metric_set_bears_everything():
    none, affine = borne(METRIC)
    assert none == set(METRICS) - {"ssi", "whdr"}
    assert affine == set(METRICS) - {"whdr"}


def test_web_stereo_bears_only_the_residual_in_inverse_depth():
    assert borne(WEB) == (set(), {"ssi"})


def test_planes_bear_only_flatness():
    assert borne(PLANES) == ({"planarity_rms"}, set())


def test_pairs_of_points_bear_the_share_of_wrong_orders_as_predicted():
    batch = random_batch([PLANES])
    ordinal = replace(batch, kind=torch.full_like(batch.kind, int(LabelKind.ORDINAL)))
    assert measure(prediction_for(ordinal), ordinal).values.isnan().all()
    found = measure(prediction_for(ordinal), with_pairs(ordinal))
    borne = (~found.values[..., 0].isnan()).nonzero().tolist()
    assert borne == [[0, METRICS.index("whdr")]]
    assert found.weights[0, PARTS.index("whdr")].tolist() == [3]


def test_depth_of_unknown_scale_is_never_read_in_metres():
    none, affine = borne(SFM)
    assert none == set()
    assert affine == set(METRICS) - {"planarity_rms", "whdr"}


def test_sparse_labels_bear_neither_normals_nor_boundaries():
    batch = random_batch([METRIC])
    every_third = torch.zeros_like(batch.valid)
    every_third[..., ::3] = True
    sparse = replace(batch, valid=batch.valid & every_third)
    values = dict(zip(METRICS, measure(prediction_for(sparse), sparse).values[0, :, 0].tolist(), strict=True))
    assert math.isnan(values["normal_angle"])
    assert math.isnan(values["boundary_f1"])
    assert values["abs_rel"] > 0


def test_measures_are_those_of_the_functions():
    batch = random_batch([METRIC, METRIC])
    prediction = prediction_for(batch)
    values = measure(prediction, batch).values
    expected = functional.abs_rel(prediction.depth, batch.target, batch.valid)
    torch.testing.assert_close(values[0, METRICS.index("abs_rel")], expected)
    label = (batch.target, batch.valid)
    aligned = functional.align_inverse_depth(prediction.inverse_depth, *label)
    points, target_points = (unproject(x.double(), batch.intrinsics) for x in (aligned, batch.target))
    near = 0.05 * masked_median(batch.target, batch.valid)
    expected = {
        "delta2": functional.delta(aligned, *label, threshold=1.25**2),
        "silog": functional.silog(aligned, *label),
        "normal_angle": functional.normal_angle(aligned, *label, batch.intrinsics),
        "normal_11_25": functional.normal_11_25(aligned, *label, batch.intrinsics),
        "normal_median": functional.normal_median(aligned, *label, batch.intrinsics),
        "cloud_f1": functional.cloud_f1(points, target_points, batch.valid, near),
        "boundary_f1": functional.boundary_f1(aligned, *label),
        "edge_agreement": functional.edge_agreement(aligned, *label),
        "edge_accuracy": functional.edge_accuracy(aligned, *label),
        "edge_completeness": functional.edge_completeness(aligned, *label),
    }
    for name, value in expected.items():
        # The two ways to inverse depth, in float32, differ in the last digit.
        torch.testing.assert_close(values[1, METRICS.index(name)], value, rtol=1e-4, atol=1e-6, msg=name)


def test_each_set_is_measured_after_its_own_alignments():
    chosen = ("robust_inverse_depth", "median", "affine_depth", "scale")
    metrics = DepthMetrics([EvaluationSet("rooms", "synthetic", "high", "METRIC_DEPTH", chosen), SETS[1]])
    batch = random_batch([METRIC, METRIC])
    for group in (0, 1):
        metrics.update(prediction_for(batch), batch, group)
    rows = metrics.rows()
    assert [(row["set"], row["alignment"]) for row in rows] == [
        *(("rooms", alignment) for alignment in ALIGNMENTS if alignment in chosen),
        ("web", "none"),
        ("web", "affine_inverse_depth"),
    ]
    for row in rows:
        depth, _ = functional.align(prediction_for(batch).depth, batch.target, batch.valid, row["alignment"])
        expected = functional.abs_rel(depth, batch.target, batch.valid).mean().item()
        assert row["abs_rel"] == pytest.approx(expected)
        assert (row["ssi"] is not None) == row["alignment"].endswith("inverse_depth")


def test_what_an_alignment_made_constant_is_counted():
    batch = random_batch([METRIC, METRIC, WEB])
    sign = torch.tensor([1.0, -1.0, -1.0])[:, None, None, None]
    nearness = torch.where(batch.is_depth[:, None, None, None], 1 / batch.target, batch.target)
    y = torch.where(batch.valid, -sign * 0.1 * nearness, 0)  # the last two are turned over
    metrics = DepthMetrics([replace(SETS[0], alignments=ALIGNMENTS)])
    metrics.update(Prediction(y, batch.intrinsics, 40.0), batch, 0)
    found = {row["alignment"]: row["constant"] for row in metrics.rows()}
    assert found == {
        "none": 0,
        "median": 0,
        "scale": 0,
        "affine_depth": 1,
        "affine_inverse_depth": 2,
        "robust_inverse_depth": 2,
    }


def test_a_cap_leaves_labels_out_and_bounds_predictions():
    batch = random_batch([METRIC, METRIC])
    near, far = (float(masked_quantile(batch.target, batch.valid, q)[0]) for q in (0.2, 0.6))
    capped = DepthMetrics([replace(SETS[0], alignments=ALIGNMENTS, cap=(near, far))])
    capped.update(prediction_for(batch), batch, 0)
    valid = batch.valid & (batch.target >= near) & (batch.target <= far)
    for row in capped.rows():
        assert row["cap"] == f"{near:g} to {far:g} m"
        depth, _ = functional.align(
            prediction_for(batch).depth, batch.target, valid, row["alignment"], (near, far)
        )
        assert depth.min() >= near
        assert depth.max() <= far
        expected = functional.rmse(depth, batch.target, valid).mean().item()
        assert row["rmse"] == pytest.approx(expected)


def test_a_set_refuses_what_cannot_be_measured():
    card = ("rooms", "synthetic", "high")
    for alignments in (("median", "wrong"), (), ("none", "none")):
        with pytest.raises(ValueError, match=r"^`alignments` of rooms must be"):
            EvaluationSet(*card, "METRIC_DEPTH", alignments)
    with pytest.raises(ValueError, match=r"^`cap` of rooms must be 0 < smallest < largest, got \(5, 1\)"):
        EvaluationSet(*card, "METRIC_DEPTH", cap=(5, 1))
    with pytest.raises(ValueError, match=r"^`cap` of rooms is one of depth, but its labels are AFFINE_"):
        EvaluationSet(*card, "AFFINE_DISPARITY", cap=(1, 5))


def test_a_cap_of_labels_without_metres_is_in_their_own_unit():
    entry = EvaluationSet("film", "synthetic", "high", "SCALED_DEPTH", ("median",), (1.0, 2.0))
    batch = random_batch([SFM])
    metrics = DepthMetrics([entry])
    metrics.update(prediction_for(batch), batch, 0)
    (row,) = metrics.rows()
    assert row["cap"] == "1 to 2"
    valid = batch.valid & (batch.target >= 1) & (batch.target <= 2)
    depth = functional.align(prediction_for(batch).depth, batch.target, valid, "median", (1.0, 2.0))[0]
    assert row["rmse"] == pytest.approx(float(functional.rmse(depth, batch.target, valid).mean()))


def test_the_average_is_per_image_whatever_the_batches():
    batch = random_batch([METRIC] * 5)
    prediction = prediction_for(batch)
    whole, parts = DepthMetrics(SETS), DepthMetrics(SETS)
    whole.update(prediction, batch, 0)
    for rows in (torch.tensor([0, 1, 2, 3]), torch.tensor([4])):
        part = Prediction(prediction.log_canonical[rows], prediction.intrinsics[rows], 40.0)
        parts.update(part, batch.select(rows), 0)
    (one, *_), (other, *_) = whole.rows(), parts.rows()
    assert one == pytest.approx(other)
    assert one["count"] == 5
    assert whole.images() == parts.images()


def test_pooled_figures_are_those_of_all_pixels_in_one_image():
    batch = with_pairs(random_batch([METRIC] * 3))
    batch = replace(
        batch, valid=batch.valid & (torch.arange(40) < torch.tensor([40, 35, 30])[:, None, None, None])
    )
    prediction = prediction_for(batch)
    metrics = DepthMetrics(SETS)
    metrics.update(prediction, batch, 0)
    row = metrics.rows()[0]

    def joined(x: Tensor) -> Tensor:
        return torch.cat(list(x), 1)[None]

    label = joined(prediction.depth), joined(batch.target), joined(batch.valid)
    for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "mae_inverse_depth"):
        assert row[f"pooled_{name}"] == pytest.approx(getattr(functional, name)(*label).item(), rel=1e-9)
        assert row[f"pooled_{name}"] != row[name]
    for k in (1, 2, 3):
        assert row[f"pooled_delta{k}"] == pytest.approx(functional.delta(*label, 1.25**k).item())
    angles, good = normal_errors(prediction.depth, batch.target, batch.valid, batch.intrinsics)
    assert row["pooled_normal_angle"] == pytest.approx(angles[good].mean().item())
    assert row["pooled_normal_11_25"] == pytest.approx((angles[good] < 11.25).double().mean().item())
    assert row["pooled_whdr"] == pytest.approx(row["whdr"])  # all images have three pairs


def test_a_tier_holds_the_images_of_its_sets():
    tiers = ("high", "low", "high")
    sets = [EvaluationSet(str(i), "synthetic", tier, "METRIC_DEPTH") for i, tier in enumerate(tiers)]
    metrics = DepthMetrics(sets)
    both = random_batch([METRIC] * 5, seed=4)
    for group, rows in ((0, [0, 1, 2]), (2, [3, 4]), (1, [0])):
        part = both.select(torch.tensor(rows))
        metrics.update(prediction_for(both).select(torch.tensor(rows)), part, group)
    whole = DepthMetrics([EvaluationSet("tier high", "", "high", "METRIC_DEPTH")])
    whole.update(prediction_for(both), both, 0)
    found, expected = metrics.tiers(bootstrap=50), whole.rows(bootstrap=50)
    assert [row["set"] for row in found] == ["tier high"] * 2
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx({**theirs, "kind": ""})


def test_intervals_are_asked_for_and_hold_the_average():
    metrics = DepthMetrics(SETS)
    batch = random_batch([METRIC] * 6)
    metrics.update(prediction_for(batch), batch, 0)
    assert not any(name.endswith(("_low", "_high")) for name in metrics.rows()[0])
    row = metrics.rows(bootstrap=200)[0]
    values = np.array([one["abs_rel"] for one in metrics.images() if one["alignment"] == "none"])
    expected = mean_interval(values, draws=200)
    assert (row["abs_rel"], row["abs_rel_low"], row["abs_rel_high"]) == pytest.approx(expected)
    assert row["ssi_low"] is None


def test_images_are_named_by_the_batch_or_by_set_and_number():
    metrics = DepthMetrics(SETS)
    for names in (("a/b", "ü" * 90), ()):
        batch = replace(random_batch([METRIC, METRIC]), names=names)
        metrics.update(prediction_for(batch), batch, 1)
    rows = metrics.images()
    assert [row["image"] for row in rows[::2]] == ["a/b", "ü" * 90, "web/2", "web/3"]
    assert rows[0].keys() == {"set", "alignment", "image", *METRICS}
    assert rows[0]["ssi"] is None
    metrics.reset()
    metrics.update(prediction_for(batch), batch, 0)
    assert [row["image"] for row in metrics.images()[::2]] == ["rooms/0", "rooms/1"]


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


def test_flatness_is_never_shown_without_normals_and_boundaries():
    metrics = DepthMetrics(SETS)
    for group, kind in enumerate((METRIC, PLANES)):
        batch = random_batch([kind])
        metrics.update(prediction_for(batch), batch, group)
    rows = metrics.rows()
    assert [row["planarity_rms"] is not None for row in rows] == [True] * 3
    assert [reported(row)["planarity_rms"] is not None for row in rows] == [True, True, False]
    shown = format_table(rows).splitlines()
    assert "planarity_rms" in shown[0]
    assert set(shown[3].split()[4:]) == {"-"}


def test_pairs_have_a_column_where_a_set_bears_it():
    metrics = DepthMetrics(SETS)
    batch = with_pairs(random_batch([METRIC]))
    metrics.update(prediction_for(batch), batch, 0)
    assert "whdr" in format_table(metrics.rows())
    assert "whdr" not in format_table(some_rows())


def test_the_table_is_aligned_text():
    lines = format_table(some_rows()).splitlines()
    assert lines[0].split()[:5] == ["set", "tier", "alignment", "count", "abs_rel"]
    assert lines[2].startswith("rooms  high  affine 1/z")
    assert "-" in lines[3].split()
    assert len(lines) == 4
