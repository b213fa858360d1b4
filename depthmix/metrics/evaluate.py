"""Average the measures of `functional` over the images of each evaluation set, on any number of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from depthmix.batch import Batch
from depthmix.errors import DepthmixError
from depthmix.geometry import unproject
from depthmix.masked import masked_mean
from depthmix.metrics import functional as f
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

__all__ = ["ALIGNMENTS", "METRICS", "DepthMetrics", "EvaluationSet", "measure"]

ALIGNMENTS = ("none", "affine_inverse_depth")
METRICS = (
    "abs_rel",
    "delta1",
    "delta2",
    "delta3",
    "rmse",
    "silog",
    "sq_rel",
    "rmse_log",
    "log10",
    "ssi",
    "planarity_rms",
    "planarity_angle",
    "normal_angle",
    "boundary_f1",
)
DENSE_SHARE = 0.5  # part of the pixels with a label from which neighbours can be compared everywhere


@dataclass(frozen=True)
class EvaluationSet:
    """Describe one evaluation set: its name, and family, tier and kind of its label card."""

    name: str
    family: str
    tier: str
    kind: str


class DepthMetrics(Metric):
    """Collect every measure of every set as per-image averages, in vector states of one metric.

    One metric with sums and counts for all sets, and not one logged figure per set: ranks that see
    different sets would log different keys, which Lightning pairs up wrongly without a word.

    Args:
        sets: the evaluation sets; `update` names them by their place in this list.
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False
    totals: Float[Tensor, "g a m"]
    counts: Float[Tensor, "g a m"]
    images: Float[Tensor, " g"]

    def __init__(self, sets: Sequence[EvaluationSet]) -> None:
        super().__init__()
        self.sets = list(sets)
        shape = (len(self.sets), len(ALIGNMENTS), len(METRICS))
        self.add_state("totals", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(shape[0], dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Prediction, batch: Batch, group: int) -> None:
        """Add the images of one batch, all of set number `group`.

        Raises:
            DepthmixError: the prediction is not finite.
        """
        broken = ~prediction.log_canonical.isfinite().flatten(1).all(1)
        if broken.any():
            names = [name for name, bad in zip(batch.names, broken.tolist(), strict=False) if bad]
            hint = "the checkpoint is damaged or its training diverged"
            raise DepthmixError("the network's map is not finite", sample=", ".join(names) or None, hint=hint)
        values = measure(prediction, batch)
        measured = ~values.isnan()
        self.totals[group] += torch.where(measured, values, 0).sum(-1)
        self.counts[group] += measured.sum(-1)
        self.images[group] += len(batch)

    def compute(self) -> tuple[Float[Tensor, "g a m"], Float[Tensor, " g"]]:
        """Average over the images that could bear a measure (NaN where none could), and count the images."""
        return torch.where(self.counts > 0, self.totals / self.counts.clamp_min(1), torch.nan), self.images

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row per set and alignment that has a figure, None for what it cannot bear."""
        table, images = self.compute()
        images = images.reshape(-1)  # torchmetrics makes a number of a vector with one entry
        return [
            _row(entry, int(images[i]), alignment, table[i, k].tolist())
            for i, entry in enumerate(self.sets)
            for k, alignment in enumerate(ALIGNMENTS)
            if not table[i, k].isnan().all()
        ]


def measure(prediction: Prediction, batch: Batch) -> Float[Tensor, "a m b"]:
    """Measure every row in every alignment; NaN where the label cannot bear a measure.

    Convention: "none" reads predicted metres as they are, so it needs a metric label and a known camera.
    "affine_inverse_depth" first fits scale and shift in inverse depth; `ssi` is the residual of this fit and
    all that a label of AFFINE_DISPARITY can bear, because its shift cannot be turned into depth. A label of
    planes alone bears `planarity_rms` as predicted. Normals and boundaries need a dense label.
    """
    metric = (batch.kind == int(LabelKind.METRIC_DEPTH)) & batch.camera_known
    planes_only = (batch.kind == int(LabelKind.NONE)) & batch.camera_known
    target = torch.where(batch.is_depth[:, None, None, None], batch.target, 1)
    aligned = f.align_inverse_depth(prediction.inverse_depth, target, batch.valid)
    as_is = _measures(prediction.depth.double(), target, batch, metric, metric | planes_only)
    fitted = _measures(aligned, target, batch, batch.is_depth, metric)
    has_inverse = batch.is_depth | (batch.kind == int(LabelKind.AFFINE_DISPARITY))
    residual = f.ssi(prediction.inverse_depth, batch.inverse_depth, batch.valid)
    fitted["ssi"] = torch.where(has_inverse, residual, torch.nan)
    nothing = torch.full_like(residual, torch.nan)
    return torch.stack(
        [torch.stack([found.get(name, nothing) for name in METRICS]) for found in (as_is, fitted)]
    )


def _measures(
    depth: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    batch: Batch,
    has_depth: Bool[Tensor, " b"],
    has_metres: Bool[Tensor, " b"],
) -> dict[str, Float[Tensor, " b"]]:
    """Measure depth in rows that have it, and flatness in metres in rows whose points are in metres."""
    label = (depth, target, batch.valid)
    values = {
        name: getattr(f, name)(*label) for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
    }
    values |= {f"delta{i}": f.delta(*label, threshold=1.25**i) for i in (1, 2, 3)}
    dense = has_depth & (masked_mean(batch.valid.float(), ~batch.sky) >= DENSE_SHARE)
    camera = batch.intrinsics.double()
    points, target_points = unproject(depth, camera), unproject(target.double(), camera)
    labelled = torch.where(batch.valid, batch.planes, 0)
    readable = torch.where(batch.is_depth[:, None, None, None], labelled, batch.planes)
    only = dict.fromkeys(values, has_depth) | {
        "planarity_rms": has_metres,
        "planarity_angle": has_depth & batch.camera_known,
        "normal_angle": dense & batch.camera_known,
        "boundary_f1": dense,
    }
    values["planarity_rms"] = f.planarity_rms(points, readable)
    values["planarity_angle"] = f.planarity_angle(points, target_points, labelled)
    values["normal_angle"] = f.normal_angle(*label, camera)
    values["boundary_f1"] = f.boundary_f1(*label)
    return {name: torch.where(rows, values[name], torch.nan) for name, rows in only.items()}


def _row(entry: EvaluationSet, images: int, alignment: str, values: Sequence[float]) -> dict[str, Any]:
    figures = {name: None if value != value else value for name, value in zip(METRICS, values, strict=True)}
    return {
        "set": entry.name,
        "family": entry.family,
        "tier": entry.tier,
        "kind": entry.kind,
        "count": images,
        "alignment": alignment,
        **figures,
    }
