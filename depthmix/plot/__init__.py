"""Pictures of samples, labels and predictions; each function returns what it drew."""

from depthmix.plot.cloud import points_of, show_cloud, show_points
from depthmix.plot.colour import (
    Scale,
    colour_depth,
    colour_normals,
    colour_planes,
    colour_signed,
    colour_valid,
    fair_range,
)
from depthmix.plot.figures import show_sample, show_strip
from depthmix.plot.panels import Panel, sample_panels, strip_panels
from depthmix.plot.words import kind_words, label_unit, sample_title, tier_words

__all__ = [
    "Panel",
    "Scale",
    "colour_depth",
    "colour_normals",
    "colour_planes",
    "colour_signed",
    "colour_valid",
    "fair_range",
    "kind_words",
    "label_unit",
    "points_of",
    "sample_panels",
    "sample_title",
    "show_cloud",
    "show_points",
    "show_sample",
    "show_strip",
    "strip_panels",
    "tier_words",
]
