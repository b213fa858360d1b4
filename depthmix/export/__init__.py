"""Write a trained network in forms that run without depthmix, and in smaller ones."""

from depthmix.export.figures import figures_beside
from depthmix.export.files import FORMATS, Exported, export_network
from depthmix.export.folder import write_card, write_folder
from depthmix.export.graph import CanonicalDepth
from depthmix.export.measure import Change
from depthmix.export.prune import measured_pruning, pruned
from depthmix.export.quantise import Quantised, export_int8

__all__ = [
    "FORMATS",
    "CanonicalDepth",
    "Change",
    "Exported",
    "Quantised",
    "export_int8",
    "export_network",
    "figures_beside",
    "measured_pruning",
    "pruned",
    "write_card",
    "write_folder",
]
