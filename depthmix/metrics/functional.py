"""All measures as plain functions: maps and masks in, one float64 value per row out.

Convention: NaN where the row has nothing to measure (an empty label is never a perfect score). Depth is z in
metres; pixels outside `valid` are never read.
"""

from depthmix.metrics.align import align, align_inverse_depth, ssi
from depthmix.metrics.boundary import boundary_f1, edge_agreement
from depthmix.metrics.cloud import cloud_f1
from depthmix.metrics.edges import edge_accuracy, edge_completeness
from depthmix.metrics.normals import edge_free, normal_11_25, normal_angle, normal_median
from depthmix.metrics.pairs import whdr
from depthmix.metrics.pixels import (
    abs_rel,
    delta,
    log10,
    mae_inverse_depth,
    rmse,
    rmse_log,
    silog,
    sq_rel,
)
from depthmix.metrics.planes import planarity_angle, planarity_rms

__all__ = [
    "abs_rel",
    "align",
    "align_inverse_depth",
    "boundary_f1",
    "cloud_f1",
    "delta",
    "edge_accuracy",
    "edge_agreement",
    "edge_completeness",
    "edge_free",
    "log10",
    "mae_inverse_depth",
    "normal_11_25",
    "normal_angle",
    "normal_median",
    "planarity_angle",
    "planarity_rms",
    "rmse",
    "rmse_log",
    "silog",
    "sq_rel",
    "ssi",
    "whdr",
]
