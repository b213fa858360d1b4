"""Bring a prediction into the space of a label, and measure the signed error there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from depthmix.plot.colour import fair_range
from depthmix.sample import DEPTH_KINDS, LabelKind, Sample

__all__ = ["Comparison", "compare", "plane_residual"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold a prediction in the space of a label.

    Args:
        values: the prediction, in the unit of the label.
        error: signed error in percent, positive where the prediction is too far.
        known: where the error is defined.
        fitted: whether scale and shift were fitted to the label first.
        error_words: what the error is a percentage of.
    """

    values: Float[np.ndarray, "h w"]
    error: Float[np.ndarray, "h w"]
    known: Bool[np.ndarray, "h w"]
    fitted: bool
    error_words: str


def compare(sample: Sample, depth: Float32[np.ndarray, "h w"], *, metric: bool) -> Comparison:
    """Bring predicted depth into the space of the label and take the signed error.

    Args:
        sample: the label.
        depth: predicted depth, everywhere positive.
        metric: whether `depth` is in metres; if not, or if the label is not, scale and shift are fitted
            in inverse depth, the only space in which an unknown shift is one.

    Convention: a label without depth is compared with the best plane of each instance: 1/z of a plane is
    affine in the pixel, so the error is the part of predicted 1/z that no plane explains.
    """
    inverse = 1 / np.asarray(depth, np.float64)
    if sample.kind is LabelKind.NONE:
        return _compare_planes(sample, inverse)
    if sample.kind is LabelKind.METRIC_DEPTH and metric:
        return _compare_depth(sample, np.asarray(depth, np.float64), fitted=False)
    if sample.kind in DEPTH_KINDS:
        goal = 1 / np.where(sample.valid, sample.target, 1)
        aligned = _fitted(inverse, goal, sample.valid)
        floor = 0.1 * goal[sample.valid].min()  # a fit may cross zero, where depth has no meaning
        return _compare_depth(sample, 1 / np.maximum(aligned, floor), fitted=True)
    aligned = _fitted(inverse, sample.target, sample.valid)
    low, high = fair_range(sample.target, sample.valid)
    error = np.where(sample.valid, 100 * (sample.target - aligned) / (high - low), 0)
    return Comparison(aligned, error, sample.valid, True, "% of the label's range")


def plane_residual(
    inverse: Float[np.ndarray, "h w"], planes: Int[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Return what is left of inverse depth after the best plane of each instance; 0 outside planes."""
    rows, columns = (np.asarray(axis) for axis in np.indices(planes.shape))
    residual = np.zeros(planes.shape)
    for plane in np.unique(planes[planes > 0]):
        inside = planes == plane
        # Centred pixels keep the three columns apart, so the fit keeps its digits.
        pixels = [axis[inside] - axis[inside].mean() for axis in (columns, rows)]
        basis = np.stack([*pixels, np.ones(int(inside.sum()))], axis=1)
        solution = np.linalg.lstsq(basis, inverse[inside], rcond=None)[0]
        residual[inside] = inverse[inside] - basis @ solution
    return residual


def _compare_planes(sample: Sample, inverse: Float[np.ndarray, "h w"]) -> Comparison:
    inside = sample.planes > 0
    low, high = fair_range(inverse, np.ones_like(inside))
    error = -100 * plane_residual(inverse, sample.planes) / (high - low)
    return Comparison(inverse, error, inside, False, "% of the map's range off the plane")


def _compare_depth(sample: Sample, depth: Float[np.ndarray, "h w"], *, fitted: bool) -> Comparison:
    error = np.where(sample.valid, 100 * (depth / np.where(sample.valid, sample.target, 1) - 1), 0)
    return Comparison(depth, error, sample.valid, fitted, "% of depth")


def _fitted(
    inverse: Float[np.ndarray, "h w"], goal: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    import torch  # half a second: labels are drawn without

    from depthmix.alignment import align_scale_shift

    rows = [torch.from_numpy(np.asarray(field, np.float64)[None]) for field in (inverse, goal)]
    scale, shift = align_scale_shift(rows[0], rows[1], torch.from_numpy(valid[None]))
    return np.asarray(scale.item() * inverse + shift.item())
