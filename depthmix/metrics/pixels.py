"""Errors of depth pixel by pixel, averaged over the valid pixels of each row.

Convention: every function returns one float64 value per row, NaN where the row has no valid pixel. Depth is z
in metres (or in the unit of an aligned label) and pixels outside `valid` are never read. Labels are positive.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.masked import count_valid, masked_mean
from depthmix.metrics.shapes import Map, Mask, Rows, mean_or_nan

__all__ = [
    "MOMENTS",
    "PIXEL_MEASURES",
    "abs_rel",
    "delta",
    "log10",
    "mae_inverse_depth",
    "measures_of_moments",
    "pixel_moments",
    "rmse",
    "rmse_log",
    "silog",
    "sq_rel",
]

# Pixels that are worked on at a time: some maps of so many float64 stay in the processor's cache, which is
# three times faster than maps of a whole batch.
PIECE = 65536
LIMIT = math.log(1.25)


def abs_rel(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average |prediction - target| / target."""
    p, g = _pair(prediction, target, valid)
    return mean_or_nan((p - g).abs() / g, valid)


def sq_rel(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average (prediction - target)² / target, in metres."""
    p, g = _pair(prediction, target, valid)
    return mean_or_nan((p - g).square() / g, valid)


def rmse(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the root of the mean squared error, in metres."""
    p, g = _pair(prediction, target, valid)
    return mean_or_nan((p - g).square(), valid).sqrt()


def rmse_log(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the root of the mean squared difference of natural logarithms; inf for a prediction <= 0."""
    return mean_or_nan(_log_error(prediction, target, valid).square(), valid).sqrt()


def log10(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average the absolute difference of logarithms to base 10; inf for a prediction <= 0."""
    return mean_or_nan(_log_error(prediction, target, valid).abs(), valid) / math.log(10)


def silog(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Take the standard deviation of the log error, which is left when the scale is free; inf if one is <= 0.

    Reference: Eigen et al. 2014, equation 1 with full invariance, as a root; KITTI reports 100 times this.
    """
    error = _log_error(prediction, target, valid)
    centred = error - masked_mean(error, valid)[:, None, None, None]
    spread = mean_or_nan(centred.square(), valid).sqrt()
    return torch.where(error.isinf().flatten(1).any(1), torch.inf, spread)


def delta(prediction: Map, target: Map, valid: Mask, threshold: float = 1.25) -> Rows:
    """Find the share of pixels where prediction and target differ by a factor below `threshold`.

    Convention: a prediction that is not positive is never an inlier. The common form max(p/g, g/p) counts
    every negative prediction as one.
    """
    p, g = _pair(prediction, target, valid)
    inlier = (p < threshold * g) & (g < threshold * p)  # the label is positive, so p is, too
    return mean_or_nan(inlier.double(), valid)


def mae_inverse_depth(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average |1 / prediction - 1 / target|, in 1/m; inf for a prediction <= 0."""
    p, g = _pair(prediction, target, valid)
    inverse = torch.where(p > 0, 1 / p, torch.inf)
    return mean_or_nan((inverse - 1 / g).abs(), valid)


# What `pixel_moments` averages over pixels. With r = prediction / target and l = log r:
MOMENTS = (
    "abs_rel",  # |r - 1|
    "sq_rel",  # (r - 1)² target
    "square",  # (r - 1)² target²
    "log",  # l
    "log_square",  # l²
    "log_absolute",  # |l|
    "delta1",
    "delta2",
    "delta3",
    "mae_inverse_depth",  # |1 / r - 1| / target
)
PIXEL_MEASURES = (
    "abs_rel",
    "sq_rel",
    "rmse",
    "rmse_log",
    "log10",
    "silog",
    "delta1",
    "delta2",
    "delta3",
    "mae_inverse_depth",
)


def pixel_moments(
    prediction: Map, target: Map, valid: Mask
) -> tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]:
    """Average what all measures of this module are made of, in one go over the maps.

    Returns:
        The averages named in `MOMENTS`, 0 in an empty row, and the number of valid pixels.

    Convention: `measures_of_moments` makes the measures of it. Averages of several images, weighted by their
    numbers of pixels, give the measures over all pixels of them: so one table serves per image and pooled.
    """
    p, g, missing = prediction.flatten(1), target.flatten(1), ~valid.flatten(1)
    sums = torch.zeros(len(p), len(MOMENTS), dtype=torch.float64, device=p.device)
    rows = len(p) if p.is_cuda else 1
    size = p.shape[1] if p.is_cuda else PIECE
    for first in range(0, len(p), rows):
        for start in range(0, p.shape[1], size):
            piece = slice(first, first + rows), slice(start, start + size)
            sums[piece[0]] += _sums(p[piece], g[piece], missing[piece])
    count = count_valid(valid).double()
    return sums / count.clamp_min(1)[:, None], count


def _sums(p: Float[Tensor, "b n"], g: Float[Tensor, "b n"], missing: Bool[Tensor, "b n"]) -> Tensor:
    """Sum over pixels; what is missing counts as a perfect prediction and adds 0."""
    label = g.to(torch.float64, copy=True).masked_fill_(missing, 1)
    ratio = (p / label).masked_fill_(missing, 1)
    away, log = ratio - 1, ratio.clamp_min_(0).log()
    far = away * label
    squares = [_dot(away, far), _dot(far, far), log.sum(1), _dot(log, log)]
    size, relative = log.abs_(), away.abs_()
    holes = missing.sum(1, dtype=torch.int32)
    inliers = [(size < k * LIMIT).sum(1, dtype=torch.int32).sub_(holes).double() for k in (1, 2, 3)]
    inverse = relative / ratio.mul_(label)  # |1 / r - 1| / target
    return torch.stack([relative.sum(1), *squares, size.sum(1), *inliers, inverse.sum(1)], 1)


def _dot(a: Float[Tensor, "b n"], b: Float[Tensor, "b n"]) -> Rows:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product


def measures_of_moments(
    moments: Float[Tensor, "*n k"], count: Float[Tensor, " *n"]
) -> Mapping[str, Float[Tensor, " *n"]]:
    """Turn averages of `pixel_moments` into the measures of `PIXEL_MEASURES`; NaN where `count` is 0.

    Convention: `silog` is the root of mean(l²) - mean(l)², so a spread below 1e-8 of the mean |l| is lost.
    """
    mean = dict(zip(MOMENTS, moments.unbind(-1), strict=True))
    linear = ("abs_rel", "sq_rel", "delta1", "delta2", "delta3", "mae_inverse_depth")
    found = {name: mean[name] for name in linear}
    found["rmse"], found["rmse_log"] = mean["square"].sqrt(), mean["log_square"].sqrt()
    found["log10"] = mean["log_absolute"] / math.log(10)
    spread = (mean["log_square"] - mean["log"].square()).clamp_min(0).sqrt()
    found["silog"] = torch.where(mean["log_square"].isinf(), torch.inf, spread)
    return {name: torch.where(count > 0, found[name], torch.nan) for name in PIXEL_MEASURES}


def _log_error(prediction: Map, target: Map, valid: Mask) -> Map:
    p, g = _pair(prediction, target, valid)
    return torch.where(p > 0, p, 0).log() - g.log()


def _pair(prediction: Map, target: Map, valid: Mask) -> tuple[Map, Map]:
    return torch.where(valid, prediction.double(), 1), torch.where(valid, target.double(), 1)
