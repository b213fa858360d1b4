"""Fit the scale and shift that a label leaves open, per row; used by losses and metrics alike.

All functions take a prediction, a target and a valid mask of any shape [b, ...] and work in the space that
the caller passes: depth, inverse depth or their logarithms. A shift of log depth is a factor of depth, so
`align_shift(depth.log(), target.log(), valid).exp()` fits a scale of depth to relative errors.
"""

from depthmix.alignment.absolute import align_scale_l1, align_scale_shift_l1, align_shift_l1
from depthmix.alignment.least_squares import Sign, align_scale, align_scale_shift, align_shift
from depthmix.alignment.median import align_median, align_median_mad
from depthmix.alignment.normalised import (
    CONTRAST_FLOOR,
    Normalised,
    has_contrast,
    median_mad,
    normalise,
    normalised,
    normalised_difference,
)

__all__ = [
    "CONTRAST_FLOOR",
    "Normalised",
    "Sign",
    "align_median",
    "align_median_mad",
    "align_scale",
    "align_scale_l1",
    "align_scale_shift",
    "align_scale_shift_l1",
    "align_shift",
    "align_shift_l1",
    "has_contrast",
    "median_mad",
    "normalise",
    "normalised",
    "normalised_difference",
]
