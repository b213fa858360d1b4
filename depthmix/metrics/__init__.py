"""Measures of depth maps, and their averages over evaluation sets."""

from depthmix.metrics.evaluate import ALIGNMENTS, METRICS, DepthMetrics, EvaluationSet, measure
from depthmix.metrics.table import format_table, write_results

__all__ = [
    "ALIGNMENTS",
    "METRICS",
    "DepthMetrics",
    "EvaluationSet",
    "format_table",
    "measure",
    "write_results",
]
