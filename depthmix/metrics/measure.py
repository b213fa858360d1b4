"""Which row bears which measure, after which alignment; and all of them at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.geometry import unproject
from depthmix.masked import masked_mean, masked_median
from depthmix.metrics.align import Alignment, Cap, align, residual
from depthmix.metrics.boundary import boundary_f1, edge_agreement
from depthmix.metrics.cloud import cloud_f1
from depthmix.metrics.edges import depth_edges, edge_errors
from depthmix.metrics.normals import normal_errors
from depthmix.metrics.pairs import pair_errors
from depthmix.metrics.pixels import MOMENTS, PIXEL_MEASURES, measures_of_moments, pixel_moments
from depthmix.metrics.planes import Fitted, fit_planes, flatness, turn
from depthmix.metrics.shapes import Map, Mask, Rows, mean_or_nan
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

__all__ = ["DEFAULT", "METRICS", "PARTS", "POOLED", "Measured", "measure", "pooled"]

METRICS: Final = (
    "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3",
    "mae_inverse_depth", "ssi", "whdr", "planarity_rms", "planarity_angle", "normal_angle", "normal_median",
    "normal_11_25", "boundary_f1", "edge_accuracy", "edge_completeness", "edge_agreement", "cloud_f1",
)  # fmt: skip
SHARES: Final = ("whdr", "normal_angle", "normal_11_25")  # averages over pairs or pixels, like the moments
PARTS: Final = (*MOMENTS, *SHARES)
POOLED: Final = (*PIXEL_MEASURES, *SHARES)
DEFAULT: Final[tuple[Alignment, ...]] = ("none", "affine_inverse_depth")
DENSE_SHARE: Final = 0.5  # part of the pixels with a label from which neighbours can be compared everywhere
CLOUD_SHARE: Final = 0.05  # distance that `cloud_f1` allows, as a part of the median labelled depth

Values = dict[str, Rows]


@dataclass(frozen=True)
class Measured:
    """Hold what a batch was found to be, for each alignment and row.

    Args:
        values: the measures of `METRICS`; NaN where a row does not bear one.
        parts: averages over each row's pixels or pairs, named in `PARTS`; 0 where nothing was measured.
        weights: numbers of pixels or pairs behind them.
        constant: rows that the alignment made constant, since no positive scale fits.
    """

    values: Float[Tensor, "a m b"]
    parts: Float[Tensor, "a k b"]
    weights: Float[Tensor, "a k b"]
    constant: Bool[Tensor, "a b"]


def measure(
    prediction: Prediction,
    batch: Batch,
    alignments: Sequence[Alignment] = DEFAULT,
    cap: Cap | None = None,
) -> Measured:
    """Measure every row after every alignment; NaN where the label cannot bear a measure.

    Args:
        prediction: of the batch.
        batch: images and labels.
        alignments: what to fit before measuring; see `align`.
        cap: smallest and largest depth in the unit of the labels: labels of depth outside are not read, and
            predictions are clamped into it after the alignment.

    Convention: "none" reads predicted metres as they are, so it needs a metric label and a known camera. All
    others need a label of depth, up to an unknown factor at least. `ssi` is the residual of the fit in
    inverse depth and all that a label of AFFINE_DISPARITY can bear, because its shift cannot be turned into
    depth. Pairs bear `whdr`, which no fit is needed for: it stands beside "none". A label of planes alone
    bears `planarity_rms` as predicted. Normals, boundaries and edges need a dense label.
    """
    label = _Label(batch, _within(batch, cap))
    return _stacked([_measured(prediction, label, alignment, cap) for alignment in alignments])


def pooled(
    parts: Float[Tensor, "*n k"], weights: Float[Tensor, "*n k"]
) -> Mapping[str, Float[Tensor, " *n"]]:
    """Turn averages of `PARTS` over any set of pixels into the measures of `POOLED`; NaN without pixels."""
    k = len(MOMENTS)
    found = dict(measures_of_moments(parts[..., :k], weights[..., 0]))
    shares = torch.where(weights > 0, parts, torch.nan)[..., k:]
    return found | dict(zip(SHARES, shares.unbind(-1), strict=True))


class _Label:
    """What is known about the rows of a batch, and what of the label all alignments are compared with."""

    def __init__(self, batch: Batch, valid: Mask) -> None:
        self.batch, self.valid = batch, valid
        self.is_depth = batch.is_depth
        self.metric = (batch.kind == int(LabelKind.METRIC_DEPTH)) & batch.camera_known
        self.dense = masked_mean(batch.valid.float(), ~batch.sky) >= DENSE_SHARE
        self.target = torch.where(self.is_depth[:, None, None, None], batch.target, 1)
        self.camera = batch.intrinsics.double()
        # Where the label is depth, planes are read as far as it is valid.
        self.planes = torch.where(valid | ~self.is_depth[:, None, None, None], batch.planes, 0)

    @cached_property
    def points(self) -> Float[Tensor, "b 3 h w"]:
        return unproject(torch.where(self.valid, self.target, 1).double(), self.camera)

    @cached_property
    def fitted(self) -> Fitted:
        return fit_planes(self.points, self.planes)

    @cached_property
    def edges(self) -> Mask:
        return depth_edges(self.target, self.valid)


def _within(batch: Batch, cap: Cap | None) -> Mask:
    if cap is None:
        return batch.valid
    is_depth = batch.is_depth[:, None, None, None]
    return batch.valid & (~is_depth | ((batch.target >= cap[0]) & (batch.target <= cap[1])))


def _measured(prediction: Prediction, label: _Label, alignment: Alignment, cap: Cap | None) -> Measured:
    batch = label.batch
    values: Values = {}
    as_is = alignment == "none"
    has_depth = label.metric if as_is else label.is_depth
    depth, constant = align(prediction.depth, label.target, label.valid, alignment, cap)
    parts, weights = [torch.zeros(len(batch), len(PARTS), dtype=torch.float64).to(depth.device) for _ in "pw"]
    if has_depth.any():
        k = len(MOMENTS)
        moments, count = pixel_moments(depth, label.target, label.valid)
        parts[:, :k], weights[:, :k] = moments, torch.where(has_depth, count, 0)[:, None]
        values |= _geometry(depth, label, has_depth, parts, weights)
    if as_is and batch.pairs.shape[1]:
        wrong, there = pair_errors(depth, batch.pairs)
        _add(parts, weights, "whdr", wrong, there)
    flat = (
        label.metric | ((batch.kind == int(LabelKind.NONE)) & batch.camera_known) if as_is else label.metric
    )
    if flat.any() or (has_depth & batch.camera_known).any():
        fitted = fit_planes(unproject(depth, label.camera), label.planes)
        values["planarity_rms"] = _only(flat, flatness(fitted))
        if has_depth.any():
            values["planarity_angle"] = _only(has_depth & batch.camera_known, turn(fitted, label.fitted))
    if alignment in ("affine_inverse_depth", "robust_inverse_depth"):
        robust = alignment == "robust_inverse_depth"
        inverse = label.is_depth | (batch.kind == int(LabelKind.AFFINE_DISPARITY))
        found, turned = residual(prediction.inverse_depth, batch.inverse_depth, label.valid, robust)
        values["ssi"] = _only(inverse, found)
        constant = torch.where(label.is_depth, constant, turned & inverse)
    parts = torch.where(weights > 0, parts, 0)  # 0 and not inf, whatever rows without a label held
    values |= pooled(parts, weights)
    nothing = torch.full_like(depth[:, 0, 0, 0], torch.nan)
    table = torch.stack([values.get(name, nothing) for name in METRICS])
    return Measured(table, parts.T, weights.T, constant & ~table.isnan().all(0))


def _geometry(
    depth: Map, label: _Label, has_depth: Bool[Tensor, " b"], parts: Tensor, weights: Tensor
) -> Values:
    """Compare points, planes, normals and edges in the rows that have depth and what else they need."""
    with_camera, dense = has_depth & label.batch.camera_known, has_depth & label.dense
    maps = (depth, label.target, label.valid)
    values: Values = {}
    if with_camera.any():
        points = unproject(depth, label.camera)
        limit = CLOUD_SHARE * masked_median(label.target.double(), label.valid)
        values["cloud_f1"] = _only(with_camera, cloud_f1(points, label.points, label.valid, limit))
    if (dense & with_camera).any():
        angles, good = normal_errors(*maps, label.camera)
        good = good & (dense & with_camera)[:, None, None, None]
        _add(parts, weights, "normal_angle", angles, good)
        _add(parts, weights, "normal_11_25", (angles < 11.25).double(), good)
        values["normal_median"] = _only(good.flatten(1).any(1), masked_median(angles, good))
    if dense.any():
        values["boundary_f1"] = _only(dense, boundary_f1(*maps))
        values["edge_agreement"] = _only(dense, edge_agreement(*maps))
        errors = edge_errors(depth_edges(depth, label.valid), label.edges)
        values["edge_accuracy"], values["edge_completeness"] = (_only(dense, error) for error in errors)
    return values


def _add(parts: Tensor, weights: Tensor, name: str, x: Tensor, valid: Tensor) -> None:
    place = PARTS.index(name)
    parts[:, place], weights[:, place] = mean_or_nan(x, valid), valid.flatten(1).sum(1)


def _only(rows: Bool[Tensor, " b"], values: Rows) -> Rows:
    return torch.where(rows, values, torch.nan)


def _stacked(found: Sequence[Measured]) -> Measured:
    fields = ("values", "parts", "weights", "constant")
    return Measured(*(torch.stack([getattr(one, field) for one in found]) for field in fields))
