"""Measures of depth maps, their averages over evaluation sets, and intervals for them."""

from depthmix.metrics.align import ALIGNMENTS, Alignment, align
from depthmix.metrics.bootstrap import Interval, image_values, mean_interval, paired_difference
from depthmix.metrics.evaluate import DepthMetrics, EvaluationSet
from depthmix.metrics.image_file import read_images, write_images
from depthmix.metrics.measure import METRICS, POOLED, Measured, measure
from depthmix.metrics.table import format_table, read_rows, reported, write_results

__all__ = [
    "ALIGNMENTS",
    "METRICS",
    "POOLED",
    "Alignment",
    "DepthMetrics",
    "EvaluationSet",
    "Interval",
    "Measured",
    "align",
    "format_table",
    "image_values",
    "mean_interval",
    "measure",
    "paired_difference",
    "read_images",
    "read_rows",
    "reported",
    "write_images",
    "write_results",
]
