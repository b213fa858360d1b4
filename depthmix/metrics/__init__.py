"""Measures of depth maps, and their averages over evaluation sets."""

from depthmix.metrics.evaluate import ALIGNMENTS, METRICS, DepthMetrics, EvaluationSet, measure
from depthmix.metrics.table import format_table, read_rows, write_results

__all__ = [
    "ALIGNMENTS",
    "METRICS",
    "DepthMetrics",
    "EvaluationSet",
    "format_table",
    "measure",
    "read_rows",
    "write_results",
]
