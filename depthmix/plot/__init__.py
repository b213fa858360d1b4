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
from depthmix.plot.maps import (
    label_edges,
    shared_scale,
    show_edges,
    show_labels,
    show_map,
    show_sigma,
)
from depthmix.plot.panels import Panel, sample_panels, strip_panels
from depthmix.plot.rows import sample_of
from depthmix.plot.space import show_space
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
    "label_edges",
    "label_unit",
    "points_of",
    "sample_of",
    "sample_panels",
    "sample_title",
    "shared_scale",
    "show_cloud",
    "show_edges",
    "show_labels",
    "show_map",
    "show_points",
    "show_sample",
    "show_sigma",
    "show_space",
    "show_strip",
    "strip_panels",
    "tier_words",
]
